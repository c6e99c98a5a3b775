//! How each vendor says it.

mod anthropic;
mod chat;
mod gemini;
mod ollama;
mod responses;

use serde_json::Value;

use crate::decide::Said;
use crate::question::{Format, Question};
use crate::rule::{Ending, Tokens};

/// The body of an answer, in the pieces that it is sent in.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) content_type: &'static str,
    pub(crate) pieces: Vec<Vec<u8>>,
    /// Whether the client is told how long it is.
    pub(crate) sized: bool,
}

impl Wire {
    /// One JSON value.
    pub(crate) fn value(value: &Value) -> Self {
        Self { content_type: "application/json", pieces: vec![value.to_string().into_bytes()], sized: true }
    }

    /// Server-sent events, each with its name if it has one.
    fn events(events: impl IntoIterator<Item = (Option<&'static str>, Value)>) -> Self {
        let pieces = events
            .into_iter()
            .map(|(name, data)| {
                let name = name.map(|name| format!("event: {name}\n")).unwrap_or_default();
                format!("{name}data: {data}\n\n").into_bytes()
            })
            .collect();
        Self { content_type: "text/event-stream", pieces, sized: false }
    }

    /// A JSON value a line.
    fn lines(values: &[Value]) -> Self {
        let pieces = values.iter().map(|value| format!("{value}\n").into_bytes()).collect();
        Self { content_type: "application/x-ndjson", pieces, sized: false }
    }
}

/// What is `said`, in the format that `question` came in.
pub(crate) fn render(question: &Question, said: &Said, tokens: Tokens) -> Wire {
    match question.format {
        Format::Anthropic => anthropic::render(question, said, tokens),
        Format::Responses => responses::render(question, said, tokens),
        Format::Chat => chat::render(question, said, tokens),
        Format::Gemini => gemini::render(question, said, tokens),
        Format::Ollama => ollama::render(question, said, tokens),
    }
}

/// The text as far as the model came with it.
fn told(said: &Said) -> Option<&str> {
    let text = said.text.as_deref()?;
    if said.ending != Ending::Length {
        return Some(text);
    }
    let mut end = text.len() / 2;
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end)
}
