//! A scripted language model on loopback, for tests that must not reach a real one.
//!
//! It speaks the wire formats of five vendors' interfaces, streamed or not, so that any client can be
//! pointed at it unchanged, the vendors' own command-line tools included:
//!
//! | path | format |
//! |---|---|
//! | `/v1/messages` | Anthropic Messages |
//! | `/v1/responses` | OpenAI Responses |
//! | `/v1/chat/completions` | OpenAI Chat Completions, and what is compatible with it |
//! | `/v1beta/models/M:generateContent`, `:streamGenerateContent` | Gemini |
//! | `/api/chat` | Ollama |
//!
//! What it answers is a list of [`Rule`]s; what it was asked, and what usage it reported, is kept, so
//! that a test can compare it with what a client counted.
//!
//! ```
//! use downbeat_model_stub::{Rule, Stub};
//!
//! let stub = Stub::start(vec![Rule::text("forty-two").when("meaning of life")])?;
//! assert!(stub.url().starts_with("http://127.0.0.1:"));
//! assert_eq!(stub.reported().answers, 0);
//! # Ok::<(), downbeat_model_stub::StubError>(())
//! ```
//!
//! In reading order: [`Rule`] is what a script says; `question` reads what a client asked, whichever
//! vendor's client it is; `script` finds the rule; `decide` what it answers; `wire` how each vendor
//! says that; `fault` what goes wrong on the way; [`Stub`] serves it.

mod decide;
mod fault;
mod ledger;
mod question;
mod rule;
mod sample;
mod script;
mod server;
mod step;
mod wire;

pub use ledger::{Asked, Reported};
pub use question::Vendor;
pub use rule::{Ending, Rule, Step, Tokens, Write};
pub use server::{Stub, StubError};
