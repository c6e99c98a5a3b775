//! OpenAI Responses.
//!
//! Source: <https://platform.openai.com/docs/api-reference/responses>

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{Dialect, Ending, Reading, Tokens, arguments, array, bearer, number, string, structured, system};
use crate::http::conversation::{Entry, Request, ToolCall};
use crate::http::key::Key;
use crate::schema::strict;

/// See the module.
#[derive(Debug)]
pub(crate) struct Responses;

impl Dialect for Responses {
    fn path(&self, _model: &str) -> String {
        "v1/responses".to_owned()
    }

    fn headers(&self, key: Option<&Key>) -> Vec<(HeaderName, HeaderValue)> {
        bearer(key)
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let mut body = json!({
            "model": request.model,
            "instructions": system(request),
            "input": request.entries.iter().flat_map(items).collect::<Vec<_>>(),
            // The conversation is ours and is sent whole: the vendor need not keep it.
            "store": false,
            "include": ["reasoning.encrypted_content"],
        });
        let Some(object) = body.as_object_mut() else { return body };
        if let Some((name, schema)) = request.answer.filter(|_| request.native) {
            let format =
                json!({ "type": "json_schema", "name": name, "schema": strict(schema), "strict": true });
            object.insert("text".to_owned(), json!({ "format": format }));
        }
        if !request.tools.is_empty() {
            let tools = request.tools.iter().map(|tool| {
                json!({
                    "type": "function", "name": tool.name, "description": tool.description,
                    "parameters": tool.schema, "strict": false,
                })
            });
            object.insert("tools".to_owned(), tools.collect());
        }
        body
    }

    fn read(&self, request: &Request<'_>, body: &Value) -> Result<Reading, String> {
        let output = body.get("output").and_then(Value::as_array).ok_or("it has no `output`")?;
        let kind = |item: &Value| string(item, "/type");
        let parts =
            || output.iter().filter(|item| kind(item) == "message").flat_map(|item| array(item, "/content"));
        let text: String =
            parts().filter(|part| kind(part) == "output_text").map(|part| string(part, "/text")).collect();
        let refusal: String =
            parts().filter(|part| kind(part) == "refusal").map(|part| string(part, "/refusal")).collect();
        let calls = output
            .iter()
            .filter(|item| kind(item) == "function_call")
            .map(|item| ToolCall {
                id: string(item, "/call_id"),
                name: string(item, "/name"),
                input: arguments(&string(item, "/arguments")),
            })
            .collect();
        let ending = match (string(body, "/status").as_str(), string(body, "/incomplete_details/reason")) {
            _ if !refusal.is_empty() => Ending::Refused(refusal),
            ("incomplete", reason) if reason == "content_filter" => {
                Ending::Refused("the vendor's content filter stopped the answer".to_owned())
            }
            ("incomplete", _) => Ending::Length,
            ("failed", _) => {
                return Err(format!("it says that it failed: {}", string(body, "/error/message")));
            }
            _ => Ending::Well,
        };
        Ok(Reading {
            said: Value::Array(output.clone()),
            structured: structured(request, &text),
            text,
            calls,
            ending,
            tokens: Tokens {
                input: number(body, "/usage/input_tokens"),
                output: number(body, "/usage/output_tokens"),
                cached: number(body, "/usage/input_tokens_details/cached_tokens"),
            },
            model: string(body, "/model"),
        })
    }
}

fn items(entry: &Entry) -> Vec<Value> {
    match entry {
        Entry::User(text) => vec![json!({ "role": "user", "content": text })],
        Entry::Model(text) => vec![json!({ "role": "assistant", "content": text })],
        Entry::Said(Value::Array(items)) => items.clone(),
        Entry::Said(other) => vec![other.clone()],
        Entry::Results(results) => results
            .iter()
            .map(|result| {
                json!({ "type": "function_call_output", "call_id": result.call.id, "output": result.output })
            })
            .collect(),
    }
}
