//! What came of a program.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::confine::Enforcement;

/// What came of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it ended.
    pub end: End,
    /// The end of what it wrote to both outputs, at most [`TAIL`](crate::TAIL) bytes, cleared of
    /// control characters.
    pub tail: String,
    /// How much it wrote in all, in bytes.
    pub written: u64,
    /// How far the kernel held up its confinement, if it had any.
    pub confined: Option<Enforcement>,
}

/// How a program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that we did not send.
    Signalled(i32),
    /// We ended it: it took longer than this.
    TimedOut(Duration),
    /// We ended it: it was no longer wanted.
    Cancelled,
    /// We ended it: who read its output had enough.
    Stopped,
    /// We ended it: it and what it started were more processes than this.
    TooManyProcesses(usize),
}

impl Report {
    /// Why it did not succeed; `None` when it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self.end {
            End::Exited(0) => None,
            End::Exited(126) => Some("exited with code 126 (not executable)".to_owned()),
            End::Exited(127) => Some("exited with code 127 (command not found)".to_owned()),
            End::Exited(code) => Some(format!("exited with code {code}")),
            End::Signalled(signal) => {
                let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
                Some(format!("was killed by signal {signal} ({name})"))
            }
            End::TimedOut(limit) => Some(format!("took longer than {limit:?} and was ended")),
            End::Cancelled => Some("was ended because the work was stopped".to_owned()),
            End::Stopped => Some("was ended because of what it wrote".to_owned()),
            End::TooManyProcesses(limit) => {
                Some(format!("started more than {limit} processes and was ended"))
            }
        }
    }
}
