//! What was said in a conversation with a model, whichever vendor it is.

use serde_json::Value;

/// One thing that was said.
#[derive(Debug, Clone)]
pub(crate) enum Entry {
    /// By us.
    User(String),
    /// By the model, in text.
    Model(String),
    /// By the model, as its vendor wrote it: it goes back unchanged, with what only the vendor can
    /// read in it.
    Said(Value),
    /// What came of the calls in the entry before.
    Results(Vec<ToolResult>),
}

/// A tool, as a model is told of it.
#[derive(Debug, Clone)]
pub(crate) struct ToolSpec {
    pub(crate) name: &'static str,
    pub(crate) description: &'static str,
    /// The JSON Schema of its input.
    pub(crate) schema: Value,
}

/// A call of a tool, by a model.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ToolCall {
    /// What its result refers to; some vendors have none.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) input: Value,
}

/// What came of a call.
#[derive(Debug, Clone)]
pub(crate) struct ToolResult {
    pub(crate) call: ToolCall,
    pub(crate) output: String,
    pub(crate) failed: bool,
}

/// What is asked of a vendor.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) model: &'a str,
    pub(crate) system: &'a str,
    pub(crate) entries: &'a [Entry],
    /// The schema that the answer shall have, with the name of it.
    pub(crate) answer: Option<(&'a str, &'a Value)>,
    /// Whether the vendor's own way to enforce a schema is to be used. Some models and servers have
    /// none; then the schema is told to them in words.
    pub(crate) native: bool,
    pub(crate) tools: &'a [ToolSpec],
}
