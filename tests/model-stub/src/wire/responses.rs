//! OpenAI Responses.

use serde_json::{Value, json};

use super::{Wire, told};
use crate::decide::{Said, fresh};
use crate::question::Question;
use crate::rule::{Ending, Tokens};

pub(super) fn render(question: &Question, said: &Said, tokens: Tokens) -> Wire {
    let usage = json!({
        "input_tokens": tokens.input,
        "input_tokens_details": { "cached_tokens": tokens.cached },
        "output_tokens": tokens.output,
        "output_tokens_details": { "reasoning_tokens": 0 },
        "total_tokens": tokens.input.saturating_add(tokens.output),
    });
    let mut items: Vec<Value> = told(said)
        .map(|text| {
            let content = match said.ending {
                Ending::Refusal => json!({ "type": "refusal", "refusal": text }),
                _ => json!({ "type": "output_text", "text": text, "annotations": [] }),
            };
            json!({
                "type": "message", "role": "assistant", "id": format!("msg_{}", fresh()),
                "status": "completed", "content": [content],
            })
        })
        .into_iter()
        .collect();
    items.extend(said.calls.iter().map(|call| {
        json!({
            "type": "function_call", "id": format!("fc_{}", call.id), "call_id": format!("call_{}", call.id),
            "name": call.name, "arguments": call.input.to_string(), "status": "completed",
        })
    }));
    let (status, details) = match said.ending {
        Ending::Length => ("incomplete", json!({ "reason": "max_output_tokens" })),
        Ending::Filter => ("incomplete", json!({ "reason": "content_filter" })),
        Ending::Well | Ending::Refusal | Ending::Empty => ("completed", Value::Null),
    };
    let id = format!("resp_{}", fresh());
    let response = json!({
        "id": id, "object": "response", "created_at": 0, "status": status, "incomplete_details": details,
        "model": question.model, "output": items, "usage": usage,
    });
    if !question.stream {
        return Wire::value(&response);
    }
    let begun = json!({
        "id": id, "object": "response", "created_at": 0, "status": "in_progress",
        "model": question.model, "output": [], "usage": null,
    });
    let mut events =
        vec![(Some("response.created"), json!({ "type": "response.created", "response": begun }))];
    for (index, item) in items.iter().enumerate() {
        events.push((
            Some("response.output_item.added"),
            json!({ "type": "response.output_item.added", "output_index": index, "item": item }),
        ));
        if let Some(text) = item.pointer("/content/0/text") {
            events.push((
                Some("response.output_text.delta"),
                json!({
                    "type": "response.output_text.delta", "item_id": item["id"],
                    "output_index": index, "content_index": 0, "delta": text,
                }),
            ));
        }
        events.push((
            Some("response.output_item.done"),
            json!({ "type": "response.output_item.done", "output_index": index, "item": item }),
        ));
    }
    let last = if status == "completed" { "response.completed" } else { "response.incomplete" };
    events.push((Some(last), json!({ "type": last, "response": response })));
    Wire::events(events)
}
