//! What a script answers.

use std::time::Duration;

use downbeat_core::goal::Usage;
use downbeat_core::llm::{LlmError, Reply};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A reply, or an error in its place.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Reply(ScriptedReply),
    /// And what was spent all the same.
    Error(ScriptedError, ScriptedUsage),
}

/// What a script says in the place of a [`Reply`].
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ScriptedReply {
    pub(super) value: Value,
    #[serde(default)]
    usage: ScriptedUsage,
    #[serde(default = "scripted")]
    model: String,
}

fn scripted() -> String {
    "scripted".to_owned()
}

/// [`Usage`], of which a script may leave out what is zero.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ScriptedUsage {
    calls: u64,
    input_tokens: u64,
    output_tokens: u64,
    cost_micros: u64,
}

impl From<ScriptedUsage> for Usage {
    fn from(usage: ScriptedUsage) -> Self {
        let ScriptedUsage { calls, input_tokens, output_tokens, cost_micros } = usage;
        Self { calls, input_tokens, output_tokens, cost_micros }
    }
}

impl ScriptedReply {
    /// # Errors
    ///
    /// [`LlmError::Unusable`] when the value is none of its type; that was checked on loading.
    pub(super) fn reply<T: DeserializeOwned>(&self, duration: Duration) -> Result<Reply<T>, LlmError> {
        let value = serde_json::from_value(self.value.clone()).map_err(|error| LlmError::Unusable {
            reason: format!("a scripted reply does not fit: {error}"),
        })?;
        Ok(Reply { value, usage: self.usage.into(), model: self.model.clone(), duration })
    }
}

/// What a script says in the place of an [`LlmError`].
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum ScriptedError {
    Unavailable { reason: String, retry_after_ms: Option<u64> },
    BudgetSpent { reason: String, until_ms: Option<u64> },
    TimedOut { limit_ms: u64 },
    Malformed { reason: String, excerpt: String },
    Refused { reason: String },
    Unusable { reason: String },
}

impl From<ScriptedError> for LlmError {
    fn from(error: ScriptedError) -> Self {
        let span = |millis: Option<u64>| millis.map(Duration::from_millis);
        match error {
            ScriptedError::Unavailable { reason, retry_after_ms } => {
                Self::Unavailable { reason, retry_after: span(retry_after_ms) }
            }
            ScriptedError::BudgetSpent { reason, until_ms } => {
                Self::BudgetSpent { reason, until: span(until_ms) }
            }
            ScriptedError::TimedOut { limit_ms } => Self::TimedOut { limit: Duration::from_millis(limit_ms) },
            ScriptedError::Malformed { reason, excerpt } => Self::Malformed { reason, excerpt },
            ScriptedError::Refused { reason } => Self::Refused { reason },
            ScriptedError::Unusable { reason } => Self::Unusable { reason },
        }
    }
}
