//! How each vendor is asked, and how it answers.

mod alike;
mod anthropic;
mod chat;
mod gemini;
mod ollama;
mod responses;

use std::fmt;

use reqwest::header::{HeaderName, HeaderValue};
use serde_json::Value;

use super::conversation::{Request, ToolCall};
use super::key::Key;

pub(crate) use anthropic::Anthropic;
pub(crate) use chat::Chat;
pub(crate) use gemini::Gemini;
pub(crate) use ollama::Ollama;
pub(crate) use responses::Responses;

/// The most tokens that an answer may have, for vendors that must be told.
const MAX_TOKENS: u32 = 16_384;

/// The name of the tool that a structured answer is given with where there is no better way.
const ANSWER_TOOL: &str = "answer";

/// A vendor's format.
pub(crate) trait Dialect: Send + Sync + fmt::Debug {
    /// The path of a question, below the base address.
    fn path(&self, model: &str) -> String;

    /// The headers beside the usual ones.
    fn headers(&self, key: Option<&Key>) -> Vec<(HeaderName, HeaderValue)>;

    /// The body of a question.
    fn body(&self, request: &Request<'_>) -> Value;

    /// Reads the body of an answer to `request`; an error says what it lacks.
    fn read(&self, request: &Request<'_>, body: &Value) -> Result<Reading, String>;
}

/// What an answer says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reading {
    /// What the model said, as it goes back into the conversation.
    pub(crate) said: Value,
    /// All its text.
    pub(crate) text: String,
    /// The structured answer, where the vendor has a field for it or it is all of the text.
    pub(crate) structured: Option<Value>,
    pub(crate) calls: Vec<ToolCall>,
    pub(crate) ending: Ending,
    pub(crate) tokens: Tokens,
    /// Which model answered, as the vendor names it; empty if it does not say.
    pub(crate) model: String,
}

/// How a model's turn ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// As it should, with text or calls.
    Well,
    /// At the limit of tokens.
    Length,
    /// The model or a filter of the vendor's refused; in its words, or the name of the reason.
    Refused(String),
}

/// Tokens of one answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tokens {
    /// That went in, those from a cache included.
    pub(crate) input: u64,
    /// That came out, those spent on thinking included.
    pub(crate) output: u64,
    /// Of `input`, those from a cache.
    pub(crate) cached: u64,
}

fn string(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn array<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value.pointer(pointer).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// `Authorization: Bearer <key>`.
fn bearer(key: Option<&Key>) -> Vec<(HeaderName, HeaderValue)> {
    key.and_then(|key| key.header("Bearer "))
        .map(|value| (reqwest::header::AUTHORIZATION, value))
        .into_iter()
        .collect()
}

/// The arguments of a call that come as text. What is no JSON stays text: the tool's schema will refuse
/// it, and the model hears of it.
fn arguments(text: &str) -> Value {
    if text.trim().is_empty() {
        return Value::Object(serde_json::Map::new());
    }
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}

/// The structured answer, when all of the text is one.
fn structured(request: &Request<'_>, text: &str) -> Option<Value> {
    request.answer.filter(|_| request.native)?;
    serde_json::from_str(text).ok().filter(Value::is_object)
}

/// The system prompt, with the schema in words where the vendor does not enforce one.
fn system(request: &Request<'_>) -> String {
    match request.answer {
        Some((_, schema)) if !request.native => format!(
            "{}\n\nAnswer with one JSON object that follows this JSON Schema, and nothing else:\n{schema}",
            request.system
        ),
        _ => request.system.to_owned(),
    }
}
