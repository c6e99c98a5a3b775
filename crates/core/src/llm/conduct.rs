//! How a question is to be answered: who listens, what may be done, how long it may take.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::goal::Usage;

/// How a question is to be answered.
///
/// It is no part of what is asked: two requests that differ in it alone are equal, and it is not
/// written to scripts.
#[derive(Debug, Clone)]
pub struct Conduct {
    /// Hears of what goes on.
    pub observer: Arc<dyn Observer>,
    /// What the model may do with tools, where it is given any.
    pub permissions: Permissions,
    /// Variables that the model's commands are given beside the standard ones, as name and value.
    pub env: Vec<(String, String)>,
    /// How long it may take in all, repairs included; the provider's own limit without it.
    pub timeout: Option<Duration>,
}

impl Default for Conduct {
    fn default() -> Self {
        Self {
            observer: Arc::new(Unobserved),
            permissions: Permissions::default(),
            env: Vec::new(),
            timeout: None,
        }
    }
}

impl PartialEq for Conduct {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Conduct {}

/// What a model may do with tools.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permissions {
    /// Read, and say what it would do.
    Plan,
    /// Read and write files in the workspace, and run commands that are confined to it.
    #[default]
    Edit,
    /// Whatever the user may: the provider's own bypass of permissions. Never a default.
    Full,
}

impl Permissions {
    /// As users type it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Edit => "edit",
            Self::Full => "full",
        }
    }
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Hears of what a model does while it is asked.
pub trait Observer: Send + Sync + fmt::Debug {
    /// What it is doing now, in one short line that was cleared of control characters.
    fn progress(&self, line: &str);

    /// Raw output of the tool or agent as it comes, so that it is kept when the question is cut off.
    /// The observer bounds what it keeps.
    fn output(&self, bytes: &[u8]);

    /// What a part of the question cost, as soon as it is known. It is part of the answer's usage as
    /// well, and counts only when the question is cut off before there is an answer.
    fn spent(&self, usage: Usage) {
        let _ = usage;
    }
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn progress(&self, _line: &str) {}
    fn output(&self, _bytes: &[u8]) {}
}
