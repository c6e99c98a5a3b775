//! Anthropic Messages.

use serde_json::{Value, json};

use super::{Wire, told};
use crate::decide::{Said, fresh};
use crate::question::Question;
use crate::rule::{Ending, Tokens};

pub(super) fn render(question: &Question, said: &Said, tokens: Tokens) -> Wire {
    let usage = json!({
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cache_read_input_tokens": tokens.cached,
        "cache_creation_input_tokens": 0,
    });
    let mut blocks: Vec<Value> =
        told(said).map(|text| json!({ "type": "text", "text": text })).into_iter().collect();
    blocks.extend(said.calls.iter().map(|call| {
        json!({ "type": "tool_use", "id": format!("toolu_{}", call.id), "name": call.name, "input": call.input })
    }));
    let stop = match said.ending {
        _ if !said.calls.is_empty() => "tool_use",
        Ending::Well | Ending::Empty => "end_turn",
        Ending::Length => "max_tokens",
        Ending::Filter | Ending::Refusal => "refusal",
    };
    let message = |content: &[Value], stop: Option<&str>| {
        json!({
            "id": format!("msg_{}", fresh()), "type": "message", "role": "assistant",
            "model": question.model, "content": content,
            "stop_reason": stop, "stop_sequence": null, "usage": usage,
        })
    };
    if !question.stream {
        return Wire::value(&message(&blocks, Some(stop)));
    }
    let mut events =
        vec![(Some("message_start"), json!({ "type": "message_start", "message": message(&[], None) }))];
    for (index, block) in blocks.iter().enumerate() {
        let (start, delta) = match block.get("input") {
            Some(input) => (
                json!({ "type": "tool_use", "id": block["id"], "name": block["name"], "input": {} }),
                json!({ "type": "input_json_delta", "partial_json": input.to_string() }),
            ),
            None => (
                json!({ "type": "text", "text": "" }),
                json!({ "type": "text_delta", "text": block["text"] }),
            ),
        };
        events.extend([
            (
                Some("content_block_start"),
                json!({ "type": "content_block_start", "index": index, "content_block": start }),
            ),
            (
                Some("content_block_delta"),
                json!({ "type": "content_block_delta", "index": index, "delta": delta }),
            ),
            (Some("content_block_stop"), json!({ "type": "content_block_stop", "index": index })),
        ]);
    }
    events.extend([
        (
            Some("message_delta"),
            json!({
                "type": "message_delta",
                "delta": { "stop_reason": stop, "stop_sequence": null },
                "usage": usage,
            }),
        ),
        (Some("message_stop"), json!({ "type": "message_stop" })),
    ]);
    Wire::events(events)
}
