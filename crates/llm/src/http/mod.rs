//! The vendors' HTTP APIs, and servers that speak like them.
//!
//! In reading order:
//! - `vendor`: who there is, where, and which variables tell of keys and addresses.
//! - `address`, `key`, `price`: what a user sets, checked.
//! - `dialect`: how each vendor is asked and answers; one file each.
//! - `portable`: a JSON Schema in the part of the language that Gemini knows.
//! - `client`: one request, within bounds of time and size.
//! - `fault`, `retry_after`: what an HTTP answer that is no answer means.
//! - `model`: a question and its answer; `work`: a task, with tools; `tools`: those tools.

mod address;
mod client;
mod conversation;
mod dialect;
mod fault;
mod key;
mod model;
mod portable;
mod price;
mod retry_after;
mod tools;
mod vendor;
mod work;

use std::sync::Arc;

use downbeat_core::llm::LlmError;

use crate::opening::Opening;
use crate::transport::Transport;
use model::HttpModel;

/// `anthropic:MODEL`.
pub(crate) fn anthropic(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Ok(Arc::new(HttpModel::open(opening, &vendor::ANTHROPIC)?))
}

/// `openai:MODEL`.
pub(crate) fn openai(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Ok(Arc::new(HttpModel::open(opening, &vendor::OPENAI)?))
}

/// `gemini-api:MODEL`.
pub(crate) fn gemini(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Ok(Arc::new(HttpModel::open(opening, &vendor::GEMINI)?))
}

/// `ollama:MODEL`.
pub(crate) fn ollama(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Ok(Arc::new(HttpModel::open(opening, &vendor::OLLAMA)?))
}

/// `openai-compatible:URL#MODEL`: any server that speaks `OpenAI`'s Chat Completions.
pub(crate) fn openai_compatible(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Ok(Arc::new(HttpModel::open(opening, &vendor::OPENAI_COMPATIBLE)?))
}
