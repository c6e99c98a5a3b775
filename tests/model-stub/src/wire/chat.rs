//! OpenAI Chat Completions.
#![expect(clippy::indexing_slicing, reason = "keys are set in objects made here")]

use serde_json::{Value, json};

use super::{Wire, told};
use crate::decide::{Said, fresh};
use crate::question::Question;
use crate::rule::{Ending, Tokens};

pub(super) fn render(question: &Question, said: &Said, tokens: Tokens) -> Wire {
    let usage = json!({
        "prompt_tokens": tokens.input,
        "completion_tokens": tokens.output,
        "total_tokens": tokens.input.saturating_add(tokens.output),
        "prompt_tokens_details": { "cached_tokens": tokens.cached },
    });
    let mut message = json!({ "role": "assistant", "content": told(said) });
    if said.ending == Ending::Refusal {
        message = json!({ "role": "assistant", "content": null, "refusal": told(said) });
    }
    if !said.calls.is_empty() {
        let calls = said.calls.iter().enumerate().map(|(index, call)| {
            json!({
                "index": index, "id": format!("call_{}", call.id), "type": "function",
                "function": { "name": call.name, "arguments": call.input.to_string() },
            })
        });
        message["tool_calls"] = calls.collect();
    }
    let stop = match said.ending {
        _ if !said.calls.is_empty() => "tool_calls",
        Ending::Well | Ending::Refusal | Ending::Empty => "stop",
        Ending::Length => "length",
        Ending::Filter => "content_filter",
    };
    let id = format!("chatcmpl-{}", fresh());
    let with = |object: &str, choice: Value, usage: Value| {
        json!({
            "id": id, "object": object, "created": 0, "model": question.model,
            "choices": [choice], "usage": usage,
        })
    };
    if !question.stream {
        let choice = json!({ "index": 0, "message": message, "finish_reason": stop });
        return Wire::value(&with("chat.completion", choice, usage));
    }
    let object = "chat.completion.chunk";
    let first = json!({ "index": 0, "delta": message, "finish_reason": null });
    let last = json!({ "index": 0, "delta": {}, "finish_reason": stop });
    let mut wire =
        Wire::events([(None, with(object, first, Value::Null)), (None, with(object, last, usage))]);
    wire.pieces.push(b"data: [DONE]\n\n".to_vec());
    wire
}
