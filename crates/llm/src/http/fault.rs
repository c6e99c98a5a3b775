//! What an HTTP answer that is no answer means.

use std::time::Duration;

use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;
use reqwest::StatusCode;
use serde_json::Value;

use super::address::Address;
use super::client::Sent;
use super::key::Key;
use super::retry_after::retry_after;
use super::vendor::Vendor;

/// How much of a vendor's message is shown, in bytes.
const MESSAGE: usize = 400;
/// A wait that is longer than this is a limit of use, not of speed.
const USE_LIMIT: Duration = Duration::from_secs(10 * 60);

/// Who was asked, for messages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whom<'a> {
    pub(crate) vendor: &'a Vendor,
    pub(crate) address: &'a Address,
    pub(crate) model: &'a str,
    pub(crate) key: Option<&'a Key>,
}

impl Whom<'_> {
    fn shown(&self) -> String {
        format!("{} at {}", self.vendor.label, self.address.shown())
    }
}

/// What an answer with this status means; what is shown of it is scrubbed of the key already.
pub(crate) fn of_status(whom: Whom<'_>, sent: &Sent) -> LlmError {
    let text = String::from_utf8_lossy(&sent.body);
    let body: Value = serde_json::from_str(&text).unwrap_or_default();
    let said = message(&body).unwrap_or_else(|| excerpt(&text));
    let said = if said.is_empty() { "it did not say why".to_owned() } else { said };
    let wait = retry_after(&sent.headers, &body);
    let reason = format!("{} answered {}: {said}", whom.shown(), sent.status);
    match sent.status.as_u16() {
        _ if is_billing(&body, &said) => LlmError::BudgetSpent { reason, until: wait },
        402 => LlmError::BudgetSpent { reason, until: wait },
        429 if is_per_day(&text) || wait.is_some_and(|wait| wait > USE_LIMIT) => {
            LlmError::BudgetSpent { reason, until: wait }
        }
        _ if is_key_fault(sent.status, &body) => LlmError::Unusable { reason: key_remedy(whom, &reason) },
        404 => LlmError::Unusable { reason: model_remedy(whom, &reason) },
        300..=399 => LlmError::Unusable {
            reason: format!("{reason}; it points elsewhere, and a key does not follow: correct the address"),
        },
        408 | 409 | 425 | 429 | 500..=599 => LlmError::Unavailable { reason, retry_after: wait },
        _ => LlmError::Refused { reason },
    }
}

/// Whether a request was refused because of the vendor's own way to enforce a schema, which some
/// models and servers lack.
pub(crate) fn is_about_format(sent: &Sent) -> bool {
    if !matches!(sent.status.as_u16(), 400 | 422 | 501) {
        return false;
    }
    let text = String::from_utf8_lossy(&sent.body).to_lowercase();
    [
        "output_config",
        "output_format",
        "response_format",
        "text.format",
        "json_schema",
        "responsejsonschema",
        "structured output",
        "response schema",
        "grammar",
    ]
    .iter()
    .any(|word| text.contains(word))
}

/// The start of what should have been text, on one line and without control characters.
pub(crate) fn excerpt(text: &str) -> String {
    let start = clip(text.trim(), MESSAGE);
    let plain: String = start
        .chars()
        .map(|letter| if letter.is_control() || letter == char::REPLACEMENT_CHARACTER { ' ' } else { letter })
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The message of an error, in any vendor's shape.
fn message(body: &Value) -> Option<String> {
    ["/error/message", "/error", "/message", "/detail", "/0/error/message"]
        .iter()
        .find_map(|pointer| body.pointer(pointer)?.as_str())
        .map(excerpt)
}

/// Nothing is left to pay with: no retry changes that.
fn is_billing(body: &Value, said: &str) -> bool {
    let code = ["/error/code", "/error/type"].iter().filter_map(|pointer| body.pointer(pointer)?.as_str());
    let said = said.to_lowercase();
    code.into_iter().any(|code| {
        matches!(
            code,
            "insufficient_quota" | "billing_error" | "billing_hard_limit_reached" | "usage_limit_reached"
        )
    }) || ["credit balance is too low", "exceeded your current quota, please check your plan and billing"]
        .iter()
        .any(|words| said.contains(words) && !is_per_day(&body.to_string()) && !said.contains("free_tier"))
}

/// Gemini names the quota that was exceeded.
fn is_per_day(text: &str) -> bool {
    text.contains("PerDay")
}

fn is_key_fault(status: StatusCode, body: &Value) -> bool {
    matches!(status.as_u16(), 401 | 403 | 407)
        || body.pointer("/error/details").and_then(Value::as_array).is_some_and(|details| {
            details.iter().any(|one| one.get("reason") == Some(&"API_KEY_INVALID".into()))
        })
}

fn key_remedy(whom: Whom<'_>, reason: &str) -> String {
    let variable = whom.vendor.key_variables.first().copied().unwrap_or_default();
    match whom.key {
        Some(key) => {
            format!("{reason}; the key from {} is not accepted there: {}", key.origin(), whom.vendor.remedy)
        }
        None => format!("{reason}; no key was sent: set {variable} or {variable}_FILE"),
    }
}

fn model_remedy(whom: Whom<'_>, reason: &str) -> String {
    let model = clip(whom.model, 200);
    if whom.vendor.label == "Ollama" {
        return format!("{reason}; get the model with `ollama pull {model}`");
    }
    format!("{reason}; is there a model called `{model}`, and is the address right?")
}

#[cfg(test)]
mod tests;
