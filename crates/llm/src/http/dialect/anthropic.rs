//! Anthropic Messages.
//!
//! Source: <https://platform.claude.com/docs/en/api/messages>

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::{ANSWER_TOOL, Dialect, Ending, MAX_TOKENS, Reading, Tokens, number, string, structured};
use crate::http::conversation::{Entry, Request, ToolCall, ToolResult};
use crate::http::key::Key;
use crate::schema::strict;

/// See the module.
#[derive(Debug)]
pub(crate) struct Anthropic;

impl Dialect for Anthropic {
    fn path(&self, _model: &str) -> String {
        "v1/messages".to_owned()
    }

    fn headers(&self, key: Option<&Key>) -> Vec<(HeaderName, HeaderValue)> {
        let version = (HeaderName::from_static("anthropic-version"), HeaderValue::from_static("2023-06-01"));
        let key =
            key.and_then(|key| key.header("")).map(|value| (HeaderName::from_static("x-api-key"), value));
        std::iter::once(version).chain(key).collect()
    }

    fn body(&self, request: &Request<'_>) -> Value {
        let mut messages: Vec<Value> = request.entries.iter().map(message).collect();
        // Two points for the prompt cache: the part that all questions share, and the conversation so
        // far, which each turn with tools sends again.
        if !request.tools.is_empty()
            && let Some(Value::Object(part)) =
                messages.last_mut().and_then(|message| message.get_mut("content")?.as_array_mut()?.last_mut())
        {
            part.insert("cache_control".to_owned(), json!({ "type": "ephemeral" }));
        }
        let mut body = json!({
            "model": request.model,
            "max_tokens": MAX_TOKENS,
            "system": [{
                "type": "text", "text": request.system, "cache_control": { "type": "ephemeral" },
            }],
            "messages": messages,
        });
        let mut tools: Vec<Value> = request
            .tools
            .iter()
            .map(|tool| {
                json!({ "name": tool.name, "description": tool.description, "input_schema": tool.schema })
            })
            .collect();
        if let Some(object) = body.as_object_mut() {
            match answer(request) {
                Some(AnswerBy::Format(schema)) => {
                    let format = json!({ "format": { "type": "json_schema", "schema": schema } });
                    object.insert("output_config".to_owned(), format);
                }
                Some(AnswerBy::Tool(schema)) => {
                    tools.push(json!({
                        "name": ANSWER_TOOL, "description": "Gives the answer.", "input_schema": schema,
                    }));
                    let choice = json!({ "type": "tool", "name": ANSWER_TOOL });
                    object.insert("tool_choice".to_owned(), choice);
                }
                None => {}
            }
            if !tools.is_empty() {
                object.insert("tools".to_owned(), tools.into());
            }
        }
        body
    }

    fn read(&self, request: &Request<'_>, body: &Value) -> Result<Reading, String> {
        let content = body.get("content").and_then(Value::as_array).ok_or("it has no `content`")?;
        let text: String =
            content.iter().filter(|part| is(part, "text")).map(|part| string(part, "/text")).collect();
        let mut calls: Vec<ToolCall> = content
            .iter()
            .filter(|part| is(part, "tool_use"))
            .map(|part| ToolCall {
                id: string(part, "/id"),
                name: string(part, "/name"),
                input: part.get("input").cloned().unwrap_or_default(),
            })
            .collect();
        let mut answered = None;
        if matches!(answer(request), Some(AnswerBy::Tool(_))) {
            answered =
                calls.iter().position(|call| call.name == ANSWER_TOOL).map(|at| calls.remove(at).input);
        }
        let ending = match string(body, "/stop_reason").as_str() {
            "max_tokens" | "model_context_window_exceeded" => Ending::Length,
            "refusal" => Ending::Refused(text.clone()),
            _ => Ending::Well,
        };
        let cached = number(body, "/usage/cache_read_input_tokens");
        let input = number(body, "/usage/input_tokens")
            .saturating_add(number(body, "/usage/cache_creation_input_tokens"))
            .saturating_add(cached);
        Ok(Reading {
            said: Value::Array(content.clone()),
            structured: answered.or_else(|| structured(request, &text)),
            text,
            calls,
            ending,
            tokens: Tokens { input, output: number(body, "/usage/output_tokens"), cached },
            model: string(body, "/model"),
        })
    }
}

enum AnswerBy {
    /// The vendor holds the answer to this schema.
    Format(Value),
    /// A tool that has to be called, for models that cannot enforce a schema.
    Tool(Value),
}

fn answer(request: &Request<'_>) -> Option<AnswerBy> {
    let (_, schema) = request.answer?;
    Some(if request.native { AnswerBy::Format(strict(schema)) } else { AnswerBy::Tool(schema.clone()) })
}

fn is(part: &Value, kind: &str) -> bool {
    part.get("type").and_then(Value::as_str) == Some(kind)
}

fn message(entry: &Entry) -> Value {
    match entry {
        Entry::User(text) => json!({ "role": "user", "content": [{ "type": "text", "text": text }] }),
        Entry::Model(text) => json!({ "role": "assistant", "content": [{ "type": "text", "text": text }] }),
        Entry::Said(content) => json!({ "role": "assistant", "content": content }),
        Entry::Results(results) => {
            json!({ "role": "user", "content": results.iter().map(result).collect::<Vec<_>>() })
        }
    }
}

fn result(result: &ToolResult) -> Value {
    json!({
        "type": "tool_result", "tool_use_id": result.call.id,
        "content": result.output, "is_error": result.failed,
    })
}
