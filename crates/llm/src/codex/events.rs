//! What Codex says of itself, line by line.

use std::ops::ControlFlow;

use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;
use serde_json::Value;

use crate::tool::{Heard, Tool, bounded, fault, number_at, text_at};
use crate::transport::{Answer, Ask};

/// Hears the events of one run.
#[derive(Debug)]
pub(super) struct Events<'a> {
    tool: &'a Tool,
    ask: &'a Ask,
    /// What was reported so far. Codex reports tokens and no cost.
    pub(super) usage: Usage,
    text: Option<String>,
    failure: Option<LlmError>,
    complete: bool,
}

impl<'a> Events<'a> {
    pub(super) fn new(tool: &'a Tool, ask: &'a Ask) -> Self {
        Self { tool, ask, usage: Usage::default(), text: None, failure: None, complete: false }
    }

    /// What came of it; none if it ended in the middle.
    pub(super) fn answer(&mut self) -> Option<Result<Answer, LlmError>> {
        if let Some(error) = self.failure.take() {
            return Some(Err(error));
        }
        if !self.complete {
            return None;
        }
        let model = self.tool.model.clone().unwrap_or_else(|| "codex".to_owned());
        let text = bounded(self.text.take().unwrap_or_default());
        // It has no field for a structured answer: the schema makes the text one.
        let structured = serde_json::from_str(&text).ok().filter(Value::is_object);
        Some(Ok(Answer { structured, text, usage: self.usage, model }))
    }

    fn item(&mut self, item: &Value, complete: bool) {
        let line = match text_at(item, "/type") {
            "agent_message" if complete => {
                self.text = Some(text_at(item, "/text").to_owned());
                text_at(item, "/text").to_owned()
            }
            "command_execution" if !complete => text_at(item, "/command").to_owned(),
            "command_execution" if text_at(item, "/status") == "declined" => {
                format!("was not allowed to run {}", text_at(item, "/command"))
            }
            "file_change" if complete => {
                let paths = item.get("changes").and_then(Value::as_array).into_iter().flatten();
                let paths: Vec<&str> = paths.map(|change| text_at(change, "/path")).collect();
                format!("changed {}", paths.join(", "))
            }
            "error" => text_at(item, "/message").to_owned(),
            "web_search" if !complete => format!("searches for {}", text_at(item, "/query")),
            _ => return,
        };
        self.progress(&line);
    }

    fn progress(&self, line: &str) {
        self.ask.observer.progress(&clip(&self.tool.quote(line), 200));
    }

    fn read(&self, message: &str) -> LlmError {
        fault::read(self.tool, None, message).unwrap_or_else(|| LlmError::Unavailable {
            reason: format!("`{}`: {}", self.tool.name, self.tool.quote(message)),
            retry_after: None,
        })
    }

    /// It says that something is wrong, and mostly goes on trying.
    fn trouble(&mut self, message: &str) -> ControlFlow<LlmError> {
        self.progress(message);
        let error = self.read(message);
        let hopeless = match &error {
            LlmError::BudgetSpent { .. } | LlmError::Unusable { .. } | LlmError::Refused { .. } => true,
            // Its own tries are over by then, or it would wait as long as it was told.
            LlmError::Unavailable { .. } => {
                message.contains("429")
                    || message.contains("rate limit")
                    || message.contains("waiting for network")
            }
            _ => false,
        };
        if hopeless {
            return ControlFlow::Break(error);
        }
        ControlFlow::Continue(())
    }
}

impl Heard for Events<'_> {
    fn line(&mut self, line: &str) -> ControlFlow<LlmError> {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return ControlFlow::Continue(()) };
        match text_at(&event, "/type") {
            "item.started" => self.item(event.get("item").unwrap_or(&Value::Null), false),
            "item.completed" => self.item(event.get("item").unwrap_or(&Value::Null), true),
            "turn.completed" => {
                self.complete = true;
                self.usage = self.usage.plus(Usage {
                    calls: 1,
                    input_tokens: number_at(&event, "/usage/input_tokens"),
                    output_tokens: number_at(&event, "/usage/output_tokens"),
                    cost_micros: 0,
                });
            }
            "turn.failed" => self.failure = Some(self.read(text_at(&event, "/error/message"))),
            "error" => return self.trouble(text_at(&event, "/message")),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
