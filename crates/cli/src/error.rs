//! Why a command did not do what it was asked: what happened, where, and what to do about it.

use std::error::Error;
use std::fmt;
use std::io;

use downbeat_core::cache::CacheError;
use downbeat_core::diagnostic::Report;
use downbeat_core::ids::IdError;
use serde_json::{Value, json};

use crate::{diagnostics, exit};

/// What kind of failure it is: programs read its name, shells its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The command line or a setting is wrong.
    BadInput,
    /// A file has faults, each with its place.
    Faults,
    /// Nothing was run here yet.
    NoStore,
    /// There is no such task, goal or agent.
    NotFound,
    /// A directive could not be carried out.
    Refused,
    /// A run could not begin or go on.
    Failed,
    /// Another process holds the store.
    Busy,
    /// The server that holds the state cannot be reached, or will not do.
    Unreachable,
    /// The machine or the store failed.
    Internal,
    /// Nobody reads the output any more: no failure.
    Closed,
}

impl Kind {
    /// As programs read it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::BadInput => "bad_input",
            Self::Faults => "faults",
            Self::NoStore => "no_store",
            Self::NotFound => "not_found",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Busy => "store_busy",
            Self::Unreachable => "store_unreachable",
            Self::Internal => "internal",
            Self::Closed => "closed",
        }
    }

    /// As shells read it.
    pub(crate) const fn exit(self) -> u8 {
        match self {
            Self::BadInput | Self::Faults | Self::NoStore | Self::NotFound => exit::BAD_INPUT,
            Self::Refused | Self::Failed => exit::FAILED,
            Self::Busy | Self::Unreachable => exit::BUSY,
            Self::Internal => exit::INTERNAL,
            Self::Closed => exit::COMPLETE,
        }
    }
}

/// Why a command did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct CliError {
    /// What kind of failure.
    pub(crate) kind: Kind,
    /// What happened, and where.
    pub(crate) message: String,
    /// What to do about it, each in a line.
    pub(crate) hints: Vec<String>,
    /// Faults of files, which are shown with the lines that they are about.
    pub(crate) reports: Vec<Report>,
}

impl CliError {
    /// A failure without any advice.
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new(), reports: Vec::new() }
    }

    /// The command line or a setting is wrong.
    pub(crate) fn bad_input(message: impl Into<String>) -> Self {
        Self::new(Kind::BadInput, message)
    }

    /// The machine failed at `what`.
    pub(crate) fn internal(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        Self::new(Kind::Internal, format!("{what}: {}", chain(error))).remedy(error)
    }

    /// Files with faults.
    pub(crate) fn faults(reports: Vec<Report>) -> Self {
        let errors = reports
            .iter()
            .flat_map(|report| &report.diagnostics)
            .filter(|diagnostic| diagnostic.severity == downbeat_core::diagnostic::Severity::Error)
            .count();
        let files = match reports.as_slice() {
            [report] => report.source.name.clone(),
            reports => format!("{} files", reports.len()),
        };
        let what = if errors == 1 { "fault" } else { "faults" };
        Self { reports, ..Self::new(Kind::Faults, format!("{files}: {errors} {what}; nothing was started")) }
    }

    /// With what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// With what to do where the machine said no, if `error` comes from there.
    pub(crate) fn remedy(self, error: &(dyn Error + 'static)) -> Self {
        match remedy(error) {
            Some(remedy) => self.hint(remedy),
            None => self,
        }
    }

    /// For programs.
    pub(crate) fn to_json(&self) -> Value {
        let mut error = json!({ "code": self.kind.name(), "message": self.message, "hints": self.hints });
        if let Some(error) = error.as_object_mut()
            && !self.reports.is_empty()
        {
            error.insert("diagnostics".to_owned(), diagnostics::to_json(&self.reports));
        }
        json!({ "error": error })
    }
}

/// An error with all that it came from, in a line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        // Some errors repeat their source in their own message.
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

/// What ends a fault of the machine that `error` comes from.
fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) => {
                return Some("it belongs to another user: do this as that user, or let this one write there");
            }
            Some(io::ErrorKind::ReadOnlyFilesystem) => {
                return Some("work on a copy of the project that lies where you may write");
            }
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
                return Some("make room on that disk; the same command carries on");
            }
            _ => next = error.source(),
        }
    }
    None
}

impl From<CacheError> for CliError {
    fn from(error: CacheError) -> Self {
        let message = chain(&error);
        match error {
            CacheError::TaskNotFound { task } => {
                Self::new(Kind::NotFound, format!("no task is called `{task}`"))
            }
            CacheError::GoalNotFound { goal } => {
                Self::new(Kind::NotFound, format!("no goal is called `{goal}`"))
            }
            CacheError::AgentNotFound { agent } => {
                Self::new(Kind::NotFound, format!("no agent is called `{agent}`"))
            }
            CacheError::Invalid { .. } => Self::new(Kind::BadInput, message),
            error @ CacheError::Unavailable { .. } => Self::new(Kind::Unreachable, message).remedy(&error),
            _ => Self::new(Kind::Internal, message),
        }
    }
}

impl From<IdError> for CliError {
    fn from(error: IdError) -> Self {
        Self::bad_input(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_read_what_happened_and_what_to_do() {
        let error = CliError::new(Kind::NoStore, "no store at x").hint("run `downbeat run` first");
        assert_eq!(
            error.to_json(),
            json!({ "error": { "code": "no_store", "message": "no store at x", "hints": ["run `downbeat run` first"] } })
        );
        assert_eq!(error.kind.exit(), 2);
        assert_eq!(Kind::Busy.exit(), 3);
    }

    #[test]
    fn where_the_machine_says_no_it_is_told_what_to_do() {
        let hints = |kind| {
            let source = CacheError::Unavailable {
                reason: "opening the store".to_owned(),
                source: Some(io::Error::from(kind).into()),
            };
            CliError::internal("cannot go on", &source).hints.join("\n")
        };
        assert!(hints(io::ErrorKind::PermissionDenied).contains("another user"));
        assert!(hints(io::ErrorKind::StorageFull).contains("make room"));
        assert!(hints(io::ErrorKind::ReadOnlyFilesystem).contains("a copy"));
        assert_eq!(hints(io::ErrorKind::Other), "");
    }
}
