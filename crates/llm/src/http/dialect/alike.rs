//! What Chat Completions and Ollama's chat have alike: the one was made after the other.

use serde_json::{Map, Value, json};

use super::{arguments, array, string, system};
use crate::http::conversation::{Entry, Request, ToolCall};

/// The conversation, from the system's words on. Each adds to what a tool answered what `label` says.
pub(super) fn messages(
    request: &Request<'_>,
    label: impl Fn(&ToolCall, &mut Map<String, Value>),
) -> Vec<Value> {
    let mut messages = vec![json!({ "role": "system", "content": system(request) })];
    for entry in request.entries {
        match entry {
            Entry::User(text) => messages.push(json!({ "role": "user", "content": text })),
            Entry::Model(text) => messages.push(json!({ "role": "assistant", "content": text })),
            Entry::Said(message) => messages.push(message.clone()),
            Entry::Results(results) => messages.extend(results.iter().map(|result| {
                let mut message = Map::new();
                message.insert("role".to_owned(), json!("tool"));
                message.insert("tool_call_id".to_owned(), json!(result.call.id));
                message.insert("content".to_owned(), json!(result.output));
                label(&result.call, &mut message);
                Value::Object(message)
            })),
        }
    }
    messages
}

/// Offers the request's tools, if it has any.
pub(super) fn offer_tools(request: &Request<'_>, body: &mut Map<String, Value>) {
    if request.tools.is_empty() {
        return;
    }
    let tools = request.tools.iter().map(|tool| {
        json!({
            "type": "function",
            "function": {
                "name": tool.name, "description": tool.description, "parameters": tool.schema,
            },
        })
    });
    body.insert("tools".to_owned(), tools.collect());
}

/// The tools that a message calls.
pub(super) fn calls(message: &Value) -> Vec<ToolCall> {
    array(message, "/tool_calls")
        .iter()
        .map(|call| ToolCall {
            id: string(call, "/id"),
            name: string(call, "/function/name"),
            // As text, as OpenAI does, or as the object itself, as Ollama and some others do.
            input: match call.pointer("/function/arguments") {
                Some(Value::String(text)) => arguments(text),
                Some(value) => value.clone(),
                None => arguments(""),
            },
        })
        .collect()
}
