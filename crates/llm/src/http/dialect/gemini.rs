//! Gemini's `generateContent`.
//!
//! Source: <https://ai.google.dev/api/generate-content>

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Dialect, Ending, Reading, Tokens, array, number, string, structured, system};
use crate::http::conversation::{Entry, Request, ToolCall, ToolResult};
use crate::http::key::Key;
use crate::http::portable::portable;

/// See the module.
#[derive(Debug)]
pub(crate) struct Gemini;

/// Ends that mean that the vendor held the answer back.
const FILTERED: [&str; 9] = [
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "MODEL_ARMOR",
];

impl Dialect for Gemini {
    fn path(&self, model: &str) -> String {
        format!("v1beta/models/{}:generateContent", model.trim_start_matches("models/"))
    }

    fn headers(&self, key: Option<&Key>) -> Vec<(HeaderName, HeaderValue)> {
        key.and_then(|key| key.header(""))
            .map(|value| (HeaderName::from_static("x-goog-api-key"), value))
            .into_iter()
            .collect()
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let mut body = json!({
            "systemInstruction": { "parts": [{ "text": system(request) }] },
            "contents": request.entries.iter().map(content).collect::<Vec<_>>(),
        });
        let Some(object) = body.as_object_mut() else { return body };
        if let Some((_, schema)) = request.answer.filter(|_| request.native) {
            let config =
                json!({ "responseMimeType": "application/json", "responseJsonSchema": portable(schema) });
            object.insert("generationConfig".to_owned(), config);
        }
        if !request.tools.is_empty() {
            let tools: Vec<Value> = request
                .tools
                .iter()
                .map(|tool| {
                    json!({
                        "name": tool.name, "description": tool.description,
                        "parametersJsonSchema": portable(&tool.schema),
                    })
                })
                .collect();
            object.insert("tools".to_owned(), json!([{ "functionDeclarations": tools }]));
        }
        body
    }

    fn read(&self, request: &Request<'_>, body: &Value) -> Result<Reading, String> {
        let blocked = string(body, "/promptFeedback/blockReason");
        let candidate = body.pointer("/candidates/0");
        if candidate.is_none() && blocked.is_empty() {
            return Err("it has no `candidates`".to_owned());
        }
        let said = candidate.and_then(|candidate| candidate.get("content")).cloned().unwrap_or_default();
        let parts = array(&said, "/parts");
        let text: String = parts
            .iter()
            .filter(|part| part.get("thought").and_then(Value::as_bool) != Some(true))
            .map(|part| string(part, "/text"))
            .collect();
        let calls = parts
            .iter()
            .filter_map(|part| part.get("functionCall"))
            .map(|call| ToolCall {
                id: string(call, "/id"),
                name: string(call, "/name"),
                input: call.get("args").cloned().unwrap_or_else(|| json!({})),
            })
            .collect();
        let finish = candidate.map(|candidate| string(candidate, "/finishReason")).unwrap_or_default();
        let ending = match finish.as_str() {
            _ if !blocked.is_empty() => Ending::Refused(format!("the vendor blocked the prompt: {blocked}")),
            "MAX_TOKENS" => Ending::Length,
            reason if FILTERED.contains(&reason) => {
                Ending::Refused(format!("the vendor held the answer back: {reason}"))
            }
            _ => Ending::Well,
        };
        let output = number(body, "/usageMetadata/candidatesTokenCount")
            .saturating_add(number(body, "/usageMetadata/thoughtsTokenCount"));
        Ok(Reading {
            said,
            structured: structured(request, &text),
            text,
            calls,
            ending,
            tokens: Tokens {
                input: number(body, "/usageMetadata/promptTokenCount"),
                output,
                cached: number(body, "/usageMetadata/cachedContentTokenCount"),
            },
            model: string(body, "/modelVersion"),
        })
    }
}

fn content(entry: &Entry) -> Value {
    match entry {
        Entry::User(text) => json!({ "role": "user", "parts": [{ "text": text }] }),
        Entry::Model(text) => json!({ "role": "model", "parts": [{ "text": text }] }),
        Entry::Said(content) => content.clone(),
        Entry::Results(results) => {
            json!({ "role": "user", "parts": results.iter().map(result).collect::<Vec<_>>() })
        }
    }
}

fn result(result: &ToolResult) -> Value {
    let key = if result.failed { "error" } else { "output" };
    let mut response = json!({ "name": result.call.name, "response": { key: result.output } });
    if let Some(object) = response.as_object_mut().filter(|_| !result.call.id.is_empty()) {
        object.insert("id".to_owned(), result.call.id.clone().into());
    }
    json!({ "functionResponse": response })
}
