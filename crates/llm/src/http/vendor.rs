//! Who there is, where, and which variables tell of keys and addresses.

use super::dialect::{Anthropic, Chat, Dialect, Gemini, Ollama, Responses};

/// A vendor's API, or a kind of server.
#[derive(Debug)]
pub(crate) struct Vendor {
    /// For people.
    pub(crate) label: &'static str,
    /// How it is asked and answers.
    pub(crate) dialect: &'static dyn Dialect,
    /// Where it is, if nobody says otherwise. Without one the address stands in the name.
    pub(crate) address: Option<&'static str>,
    /// The variables that say otherwise, nearest first.
    pub(crate) address_variables: &'static [&'static str],
    /// The variables that hold its key, nearest first; each may end in `_FILE` and name a file instead.
    pub(crate) key_variables: &'static [&'static str],
    /// Whether it cannot be asked without a key.
    pub(crate) needs_key: bool,
    /// How a person gets what is missing.
    pub(crate) remedy: &'static str,
}

pub(crate) static ANTHROPIC: Vendor = Vendor {
    label: "Anthropic",
    dialect: &Anthropic,
    address: Some("https://api.anthropic.com"),
    address_variables: &["ANTHROPIC_BASE_URL"],
    key_variables: &["ANTHROPIC_API_KEY"],
    needs_key: true,
    remedy: "a key is made at https://console.anthropic.com/settings/keys",
};

pub(crate) static OPENAI: Vendor = Vendor {
    label: "OpenAI",
    dialect: &Responses,
    address: Some("https://api.openai.com/v1"),
    address_variables: &["OPENAI_BASE_URL"],
    key_variables: &["OPENAI_API_KEY"],
    needs_key: true,
    remedy: "a key is made at https://platform.openai.com/api-keys",
};

pub(crate) static GEMINI: Vendor = Vendor {
    label: "Gemini",
    dialect: &Gemini,
    address: Some("https://generativelanguage.googleapis.com"),
    address_variables: &["GOOGLE_GEMINI_BASE_URL"],
    key_variables: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    needs_key: true,
    remedy: "a key is made at https://aistudio.google.com/apikey",
};

pub(crate) static OLLAMA: Vendor = Vendor {
    label: "Ollama",
    dialect: &Ollama,
    address: Some("http://127.0.0.1:11434"),
    address_variables: &["OLLAMA_HOST"],
    key_variables: &["OLLAMA_API_KEY"],
    needs_key: false,
    remedy: "`ollama serve` starts it, `ollama pull MODEL` gets a model",
};

pub(crate) static OPENAI_COMPATIBLE: Vendor = Vendor {
    label: "the server",
    dialect: &Chat,
    address: None,
    address_variables: &[],
    key_variables: &["OPENAI_COMPATIBLE_API_KEY"],
    needs_key: false,
    remedy: "set OPENAI_COMPATIBLE_API_KEY if the server wants a key",
};
