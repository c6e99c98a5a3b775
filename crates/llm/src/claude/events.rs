//! What Claude Code says of itself, line by line.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::time::Duration;

use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;
use serde_json::Value;

use crate::tool::{Heard, Tool, bounded, fault, number_at, text_at};
use crate::transport::{Answer, Ask};

/// A longer wait is ours to do, not the tool's: it would hold a lease and a process for it.
const LONGEST_OWN_WAIT: u64 = 60_000;

/// After so many tries of its own the tool is ended.
const MOST_TRIES: u64 = 4;

/// Hears the events of one run.
#[derive(Debug)]
pub(super) struct Events<'a> {
    tool: &'a Tool,
    ask: &'a Ask,
    model: String,
    /// Usage by message: an event may repeat a message that grows.
    messages: HashMap<String, Usage>,
    result: Option<Value>,
}

impl<'a> Events<'a> {
    pub(super) fn new(tool: &'a Tool, ask: &'a Ask) -> Self {
        let model = tool.model.clone().unwrap_or_else(|| "claude".to_owned());
        Self { tool, ask, model, messages: HashMap::new(), result: None }
    }

    /// What was reported: the total of the end, or the sum of the messages when there was no end.
    pub(super) fn usage(&self) -> Usage {
        match &self.result {
            Some(result) => Usage { cost_micros: micros(result), ..usage_of(result) },
            None => {
                let sum = self.messages.values().fold(Usage::default(), |sum, usage| sum.plus(*usage));
                Usage { calls: u64::from(!self.messages.is_empty()), ..sum }
            }
        }
    }

    /// What the end says; none if there was no end. `permissions` is what it was given.
    pub(super) fn answer(&self, permissions: &str) -> Option<Result<Answer, LlmError>> {
        let result = self.result.as_ref()?;
        let text = text_at(result, "/result");
        let failed = result.get("is_error").and_then(Value::as_bool).unwrap_or(false);
        let subtype = text_at(result, "/subtype");
        let denials = denials(result);
        let structured = result.get("structured_output").filter(|value| !value.is_null()).cloned();
        if text_at(result, "/stop_reason") == "refusal" {
            return Some(Err(LlmError::Refused { reason: self.tool.quote(text) }));
        }
        if structured.is_none() && !denials.is_empty() {
            let reason = format!(
                "it asked for permission to use {denials}, which `{permissions}` does not give; it said: {}",
                self.tool.quote(text)
            );
            return Some(Err(LlmError::Refused { reason }));
        }
        if failed || subtype.starts_with("error") {
            let status = result.get("api_error_status").and_then(Value::as_u64);
            let said = match (text, text_at(result, "/errors/0")) {
                ("", "") => subtype,
                ("", error) => error,
                (text, _) => text,
            };
            let reason = format!("`{}`: {}", self.tool.name, self.tool.quote(said));
            let error = match subtype {
                "error_max_budget_usd" => LlmError::BudgetSpent { reason, until: None },
                "error_max_structured_output_retries" => LlmError::Malformed {
                    reason: "it did not keep to the schema".to_owned(),
                    excerpt: clip(said, 300),
                },
                _ => fault::read(self.tool, status, said)
                    .unwrap_or(LlmError::Unavailable { reason, retry_after: None }),
            };
            return Some(Err(error));
        }
        if !denials.is_empty() {
            self.ask.observer.progress(&format!("was not allowed to use {denials}"));
        }
        let text = bounded(text.to_owned());
        Some(Ok(Answer { structured, text, usage: self.usage(), model: self.model.clone() }))
    }

    fn assistant(&mut self, event: &Value) {
        let model = text_at(event, "/message/model");
        if model.starts_with('<') {
            // The tool's own words, in place of a model's.
            return;
        }
        if !model.is_empty() {
            self.model = clip(model, 100);
        }
        if let Some(message) = event.get("message") {
            self.messages.insert(text_at(message, "/id").to_owned(), usage_of(message));
        }
        let blocks = event.pointer("/message/content").and_then(Value::as_array).into_iter().flatten();
        for block in blocks {
            let line = match text_at(block, "/type") {
                "tool_use" => {
                    let input =
                        ["/input/file_path", "/input/command", "/input/pattern", "/input/description"];
                    let what = input.iter().map(|at| text_at(block, at)).find(|what| !what.is_empty());
                    format!("{} {}", text_at(block, "/name"), what.unwrap_or_default())
                }
                "text" => text_at(block, "/text").to_owned(),
                _ => continue,
            };
            self.ask.observer.progress(&clip(&self.tool.quote(&line), 200));
        }
    }

    fn retry(&self, event: &Value) -> ControlFlow<LlmError> {
        let status = event.get("error_status").and_then(Value::as_u64);
        let delay = event.get("retry_delay_ms").and_then(Value::as_f64).unwrap_or_default();
        let delay = Duration::try_from_secs_f64(delay / 1_000.0).unwrap_or_default();
        let said = format!("the endpoint failed ({}), and it waits to try again", text_at(event, "/error"));
        self.ask.observer.progress(&clip(&self.tool.quote(&said), 200));
        if delay < Duration::from_millis(LONGEST_OWN_WAIT) && number_at(event, "/attempt") < MOST_TRIES {
            return ControlFlow::Continue(());
        }
        let retry_after = (status == Some(429)).then_some(delay);
        let reason = match status {
            Some(status) => format!("`{}`: the endpoint answers with status {status}", self.tool.name),
            None => format!("`{}`: the endpoint cannot be reached", self.tool.name),
        };
        ControlFlow::Break(LlmError::Unavailable { reason, retry_after })
    }
}

impl Heard for Events<'_> {
    fn line(&mut self, line: &str) -> ControlFlow<LlmError> {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return ControlFlow::Continue(()) };
        match (text_at(&event, "/type"), text_at(&event, "/subtype")) {
            ("system", "api_retry") => return self.retry(&event),
            ("assistant", _) => self.assistant(&event),
            ("result", _) => self.result = Some(event),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// Tokens of a message or a result. What was read from or written to a cache is reported apart.
fn usage_of(value: &Value) -> Usage {
    let input =
        ["/usage/input_tokens", "/usage/cache_read_input_tokens", "/usage/cache_creation_input_tokens"];
    Usage {
        calls: 1,
        input_tokens: input.iter().fold(0, |sum: u64, at| sum.saturating_add(number_at(value, at))),
        output_tokens: number_at(value, "/usage/output_tokens"),
        cost_micros: 0,
    }
}

/// Millionths of a dollar.
fn micros(result: &Value) -> u64 {
    let dollars = result.get("total_cost_usd").and_then(Value::as_f64).unwrap_or_default();
    // A duration rounds to its billionths, and nobody has to cast.
    let exact = Duration::try_from_secs_f64(dollars).unwrap_or_default() + Duration::from_nanos(500);
    u64::try_from(exact.as_micros()).unwrap_or(u64::MAX)
}

/// What it was not allowed to use, each once.
fn denials(result: &Value) -> String {
    let mut names: Vec<String> = result
        .get("permission_denials")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|denial| {
            let what = ["/tool_input/command", "/tool_input/file_path", "/tool_input/url"];
            let what = what.iter().map(|at| text_at(denial, at)).find(|what| !what.is_empty());
            let name = clip(text_at(denial, "/tool_name"), 60);
            match what {
                Some(what) => format!("{name} ({})", clip(what, 100)),
                None => name,
            }
        })
        .collect();
    names.dedup();
    names.truncate(5);
    names.join(", ")
}
