//! The other direction: an exchange as a script has it.

use downbeat_core::llm::LlmError;
use serde_json::{Value, json};

pub(crate) use super::request::Question;
use super::request::Request;

/// The kind of `question`, and it as the `request` of an exchange; `None` for what JSON cannot say.
pub(crate) fn request<Q: Question>(question: &Q) -> Option<(&'static str, Value)> {
    let request = Request::new(question).ok()?;
    Some((request.kind.as_str(), request.json))
}

/// `error` as the `error` of an exchange.
pub(crate) fn error(error: &LlmError) -> Value {
    let millis = |span: &std::time::Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    match error {
        LlmError::Unavailable { reason, retry_after } => {
            json!({ "kind": "unavailable", "reason": reason, "retry_after_ms": retry_after.as_ref().map(millis) })
        }
        LlmError::BudgetSpent { reason, until } => {
            json!({ "kind": "budget_spent", "reason": reason, "until_ms": until.as_ref().map(millis) })
        }
        LlmError::TimedOut { limit } => json!({ "kind": "timed_out", "limit_ms": millis(limit) }),
        LlmError::Malformed { reason, excerpt } => {
            json!({ "kind": "malformed", "reason": reason, "excerpt": excerpt })
        }
        LlmError::Refused { reason } => json!({ "kind": "refused", "reason": reason }),
        error => json!({ "kind": "unusable", "reason": error.to_string() }),
    }
}
