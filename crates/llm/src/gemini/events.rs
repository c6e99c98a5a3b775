//! What Gemini CLI says of itself, line by line.

use std::ops::ControlFlow;

use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;
use serde_json::Value;

use crate::tool::{Heard, Tool, bounded, fault, number_at, text_at};
use crate::transport::{Answer, Ask};

/// After so many tries of its own the tool is ended: it would make ten.
const MOST_TRIES: u64 = 3;

/// Hears the events of one run.
#[derive(Debug)]
pub(super) struct Events<'a> {
    tool: &'a Tool,
    ask: &'a Ask,
    /// What was reported. Gemini CLI reports tokens and no cost.
    pub(super) usage: Usage,
    model: String,
    /// What the model said since its last use of a tool.
    text: String,
    denied: Vec<String>,
    trouble: String,
    result: Option<Value>,
}

impl<'a> Events<'a> {
    pub(super) fn new(tool: &'a Tool, ask: &'a Ask) -> Self {
        Self {
            tool,
            ask,
            usage: Usage::default(),
            model: tool.model.clone().unwrap_or_else(|| "gemini".to_owned()),
            text: String::new(),
            denied: Vec::new(),
            trouble: String::new(),
            result: None,
        }
    }

    /// What came of it; none if it ended in the middle. `permissions` is what it was given.
    pub(super) fn answer(&mut self, permissions: &str) -> Option<Result<Answer, LlmError>> {
        let result = self.result.take()?;
        if text_at(&result, "/status") == "error" {
            let message = match text_at(&result, "/error/message") {
                "" => self.trouble.clone(),
                message => format!("{} {message}", text_at(&result, "/error/type")),
            };
            let error = fault::read(self.tool, None, &message).unwrap_or_else(|| LlmError::Unavailable {
                reason: format!("`{}`: {}", self.tool.name, self.tool.quote(&message)),
                retry_after: None,
            });
            return Some(Err(error));
        }
        if self.text.trim().is_empty() && !self.denied.is_empty() {
            self.denied.dedup();
            let what = self.denied.join(", ");
            let reason =
                format!("it asked for permission to use {what}, which `{permissions}` does not give");
            return Some(Err(LlmError::Refused { reason }));
        }
        let text = bounded(std::mem::take(&mut self.text));
        Some(Ok(Answer { structured: None, text, usage: self.usage, model: self.model.clone() }))
    }

    fn progress(&self, line: &str) {
        self.ask.observer.progress(&clip(&self.tool.quote(line), 200));
    }
}

impl Heard for Events<'_> {
    fn line(&mut self, line: &str) -> ControlFlow<LlmError> {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return ControlFlow::Continue(()) };
        match text_at(&event, "/type") {
            "init" if !text_at(&event, "/model").is_empty() => {
                self.model = clip(text_at(&event, "/model"), 100);
            }
            "message" if text_at(&event, "/role") == "assistant" => {
                self.text.push_str(text_at(&event, "/content"));
            }
            "tool_use" => {
                if !self.text.is_empty() {
                    let said = std::mem::take(&mut self.text);
                    self.progress(&said);
                }
                let input = ["/parameters/file_path", "/parameters/command", "/parameters/pattern"];
                let what = input.iter().map(|at| text_at(&event, at)).find(|what| !what.is_empty());
                self.progress(&format!("{} {}", text_at(&event, "/tool_name"), what.unwrap_or_default()));
            }
            "tool_result" if text_at(&event, "/status") == "error" => {
                let message = text_at(&event, "/error/message");
                if message.contains("denied") || message.contains("policy") || message.contains("not allowed")
                {
                    let id = text_at(&event, "/tool_id");
                    self.denied.push(clip(id.split("__").next().unwrap_or(id), 60));
                }
                self.progress(message);
            }
            "error" => {
                self.trouble = text_at(&event, "/message").to_owned();
                let trouble = self.trouble.clone();
                self.progress(&trouble);
            }
            "result" => {
                self.usage = Usage {
                    calls: 1,
                    input_tokens: number_at(&event, "/stats/input_tokens"),
                    output_tokens: number_at(&event, "/stats/output_tokens"),
                    cost_micros: 0,
                };
                self.result = Some(event);
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn complaint(&mut self, line: &str) -> ControlFlow<LlmError> {
        let Some(rest) = line.strip_prefix("Attempt ") else { return ControlFlow::Continue(()) };
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        self.progress(line);
        match fault::read(self.tool, None, line) {
            Some(error) if digits.parse().is_ok_and(|tries: u64| tries >= MOST_TRIES) => {
                ControlFlow::Break(error)
            }
            Some(error @ LlmError::BudgetSpent { .. }) => ControlFlow::Break(error),
            _ => ControlFlow::Continue(()),
        }
    }
}
