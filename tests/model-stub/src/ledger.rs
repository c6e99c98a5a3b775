//! What was asked, and what was reported.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::question::Vendor;
use crate::rule::Tokens;

/// One request, as it came.
#[derive(Debug, Clone)]
pub struct Asked {
    /// The path, without its query.
    pub path: String,
    /// Whose format it was in; none if it asked for no answer of a model.
    pub vendor: Option<Vendor>,
    /// The headers, as they came: secrets included.
    pub headers: Vec<(String, String)>,
    /// The body; null if it was no JSON.
    pub body: Value,
    /// All text in it.
    pub text: String,
    /// The tools that it offered.
    pub tools: Vec<String>,
    /// The schema that it asked for.
    pub schema: Option<Value>,
    /// How many results of tools it brought back.
    pub tool_results: usize,
    /// The rule that answered: its name, or its pattern.
    pub rule: Option<String>,
}

impl Asked {
    /// The value of a header, its name in small letters.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The sum of all usage that was reported to clients, as clients should have counted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reported {
    /// Answers that carried a usage.
    pub answers: u64,
    /// Tokens that went in, those from a cache included, whichever way the vendor says it.
    pub input_tokens: u64,
    /// Of those, tokens from a cache.
    pub cached_tokens: u64,
    /// Tokens that came out.
    pub output_tokens: u64,
}

/// Keeps both.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    asked: Mutex<Vec<Asked>>,
    reported: Mutex<Reported>,
}

impl Ledger {
    pub(crate) fn ask(&self, asked: Asked) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    }

    pub(crate) fn report(&self, vendor: Vendor, tokens: Tokens) {
        let mut sum = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let input = match vendor {
            Vendor::Anthropic => tokens.input.saturating_add(tokens.cached),
            Vendor::Openai | Vendor::Gemini | Vendor::Ollama => tokens.input,
        };
        sum.answers = sum.answers.saturating_add(1);
        sum.input_tokens = sum.input_tokens.saturating_add(input);
        sum.output_tokens = sum.output_tokens.saturating_add(tokens.output);
        // Ollama tells of no cache.
        if vendor != Vendor::Ollama {
            sum.cached_tokens = sum.cached_tokens.saturating_add(tokens.cached);
        }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn reported(&self) -> Reported {
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
