//! The vendors' HTTP APIs, and servers that speak like them.

use std::sync::Arc;

use downbeat_core::llm::LlmError;

use crate::opening::{Opening, not_built_in_yet};
use crate::transport::Transport;

/// `anthropic:MODEL`.
pub(crate) fn anthropic(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Err(not_built_in_yet(opening))
}

/// `openai:MODEL`.
pub(crate) fn openai(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Err(not_built_in_yet(opening))
}

/// `gemini-api:MODEL`.
pub(crate) fn gemini(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Err(not_built_in_yet(opening))
}

/// `ollama:MODEL`.
pub(crate) fn ollama(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Err(not_built_in_yet(opening))
}

/// `openai-compatible:...`: any server that speaks `OpenAI`'s Chat Completions.
pub(crate) fn openai_compatible(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Err(not_built_in_yet(opening))
}
