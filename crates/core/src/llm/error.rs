//! Why a model gave no answer.

use std::time::Duration;

use crate::cache::Disposition;
use crate::goal::Usage;

/// Why there is no answer, and what was spent all the same: a model that answered nonsense three
/// times was paid three times.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct CallError {
    /// Why.
    pub error: LlmError,
    /// What was spent before it failed: calls, tokens and cost.
    pub usage: Usage,
}

impl CallError {
    /// What to do about it.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        self.error.disposition()
    }

    /// The same, with what was spent before.
    #[must_use]
    pub fn after(self, spent: Usage) -> Self {
        Self { usage: spent.plus(self.usage), ..self }
    }
}

impl From<LlmError> for CallError {
    /// An error that cost nothing.
    fn from(error: LlmError) -> Self {
        Self { error, usage: Usage::default() }
    }
}

/// Why a model gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LlmError {
    /// It cannot be reached, or is overloaded.
    #[error("the model does not answer: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
        /// When it said to come back.
        retry_after: Option<Duration>,
    },
    /// A spending limit is reached.
    #[error("the budget is spent: {reason}")]
    BudgetSpent {
        /// Which limit.
        reason: String,
        /// How long it holds, when that is known.
        until: Option<Duration>,
    },
    /// It took too long.
    #[error("the model did not answer within {limit:?}")]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It answered something else than was asked for, also after it was told so.
    #[error("the answer is malformed: {reason}; it began: {excerpt}")]
    Malformed {
        /// What is wrong, each fault.
        reason: String,
        /// The beginning of the answer.
        excerpt: String,
    },
    /// It will not or cannot do this.
    #[error("the model refused: {reason}")]
    Refused {
        /// Why.
        reason: String,
    },
    /// It is not set up: not installed, not signed in, no recording for this request.
    #[error("{reason}")]
    Unusable {
        /// What is missing, and what to do about it.
        reason: String,
    },
}

impl LlmError {
    /// What to do about it.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } | Self::TimedOut { .. } | Self::Malformed { .. } => Disposition::Retry,
            Self::BudgetSpent { .. } | Self::Refused { .. } | Self::Unusable { .. } => Disposition::Report,
        }
    }
}
