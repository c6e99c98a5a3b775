//! Gemini.

use serde_json::{Value, json};

use super::{Wire, told};
use crate::decide::Said;
use crate::question::Question;
use crate::rule::{Ending, Tokens};

pub(super) fn render(question: &Question, said: &Said, tokens: Tokens) -> Wire {
    let usage = json!({
        "promptTokenCount": tokens.input,
        "cachedContentTokenCount": tokens.cached,
        "candidatesTokenCount": tokens.output,
        "totalTokenCount": tokens.input.saturating_add(tokens.output),
    });
    let mut parts: Vec<Value> = told(said)
        .filter(|_| said.ending != Ending::Refusal)
        .map(|text| json!({ "text": text }))
        .into_iter()
        .collect();
    parts.extend(
        said.calls
            .iter()
            .map(|call| json!({ "functionCall": { "id": call.id, "name": call.name, "args": call.input } })),
    );
    let finish = match said.ending {
        Ending::Well | Ending::Empty => "STOP",
        Ending::Length => "MAX_TOKENS",
        Ending::Filter | Ending::Refusal => "SAFETY",
    };
    let mut value = json!({
        "candidates": [{
            "index": 0, "finishReason": finish, "content": { "role": "model", "parts": parts },
        }],
        "usageMetadata": usage,
        "modelVersion": question.model,
    });
    // A filter stops the prompt itself: then there is no candidate at all.
    if said.ending == Ending::Filter {
        value = json!({
            "promptFeedback": { "blockReason": "SAFETY" },
            "usageMetadata": usage,
            "modelVersion": question.model,
        });
    }
    if question.stream { Wire::events([(None, value)]) } else { Wire::value(&value) }
}
