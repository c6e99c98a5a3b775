//! Ollama's own format.
#![expect(clippy::indexing_slicing, reason = "keys are set in objects made here")]

use serde_json::json;

use super::{Wire, told};
use crate::decide::Said;
use crate::question::Question;
use crate::rule::{Ending, Tokens};

pub(super) fn render(question: &Question, said: &Said, tokens: Tokens) -> Wire {
    let mut message = json!({ "role": "assistant", "content": told(said).unwrap_or_default() });
    if !said.calls.is_empty() {
        let calls = said.calls.iter().map(|call| {
            json!({ "id": format!("call_{}", call.id), "function": { "name": call.name, "arguments": call.input } })
        });
        message["tool_calls"] = calls.collect();
    }
    let reason = if said.ending == Ending::Length { "length" } else { "stop" };
    let mut last = json!({
        "model": question.model, "created_at": "2026-01-01T00:00:00Z", "message": message,
        "done": true, "done_reason": reason, "total_duration": 1, "load_duration": 1,
        "prompt_eval_count": tokens.input, "prompt_eval_duration": 1,
        "eval_count": tokens.output, "eval_duration": 1,
    });
    if !question.stream {
        return Wire::value(&last);
    }
    let first = json!({
        "model": question.model, "created_at": "2026-01-01T00:00:00Z", "message": message, "done": false,
    });
    last["message"] = json!({ "role": "assistant", "content": "" });
    Wire::lines(&[first, last])
}
