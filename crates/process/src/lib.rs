//! Programs within bounds: of time, output, environment and files, and of what they leave behind.
//!
//! In reading order:
//! - [`Program`]: what to run, and within which bounds.
//! - [`run()`], [`spawn`](Running::start): to its end, or with its standard streams in hand.
//! - [`guard`]: the processes between us and a program, which end all that it started.
//! - [`confine`]: which files and networks it may reach, where the kernel can hold that up.
//! - [`shell`]: `sh -c`, the common case.
//! - [`lines`]: output as lines of bounded length.

pub mod confine;
pub mod guard;
pub mod lines;
mod output;
mod program;
mod report;
mod run;
mod running;
pub mod shell;

pub use confine::{Confine, Enforcement};
pub use output::{Sink, Stream, TAIL, plain_text};
pub use program::{Input, Limits, Program, STANDARD_ENV};
pub use report::{End, Report};
pub use run::run;
pub use running::{Ended, Running};
