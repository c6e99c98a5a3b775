//! Language models behind the [`Llm`](downbeat_core::llm::Llm) trait, and what stands in for one.
//!
//! In reading order:
//! - [`open()`]: from the name that a user gives to a provider.
//! - [`transport`]: what a provider is.
//! - [`Prompted`]: the model behind one: prompts, answers, repairs.
//! - [`layers`]: retry, fall-over, recording: around any of them.
//! - [`offline`]: no model at all; plans from checklists.
//! - [`scripted`]: answers from a file; for tests, demonstrations and reproduction.

mod acp;
mod answer;
mod claude;
mod codex;
mod gemini;
mod http;
pub mod layers;
pub mod offline;
mod open;
mod opening;
mod prompt;
mod prompted;
mod schema;
pub mod scripted;
#[cfg(test)]
mod testing;
mod tool;
pub mod transport;

pub use offline::Offline;
pub use open::{open, open_in, transport_in};
pub use opening::{Environment, Opening};
pub use prompt::PROMPT_VERSION;
pub use prompted::Prompted;
pub use schema::strict;
pub use scripted::Scripted;
