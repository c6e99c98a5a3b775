//! JSON Schema of our own types: to tell a model what to answer, and to say what is wrong with it.

use std::fmt::{self, Write as _};

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError};
use schemars::JsonSchema;
use serde_json::Value;

use crate::dag::cut;

/// How much of a message is kept, in characters.
const MESSAGE: usize = 240;
/// How long a text may be to be quoted in a message, in bytes.
const QUOTED: usize = 80;

/// One way in which a value differs from its schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaFault {
    /// Where: a JSON pointer (RFC 6901) into the value; empty for the whole.
    pub pointer: String,
    /// What the schema wants there; short, on one line.
    pub message: String,
}

/// Checks values against the JSON Schema (2020-12) of one of our types.
///
/// Making one costs milliseconds: keep it in a `LazyLock`. It reads no file and fetches nothing,
/// whatever the schema refers to, and its regular expressions take linear time.
pub struct Validator {
    schema: Value,
    // An error here is a mistake in a type of ours. It refuses every value instead of panicking.
    compiled: Result<jsonschema::Validator, String>,
}

impl fmt::Debug for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validator").field("schema", &self.schema).finish_non_exhaustive()
    }
}

impl Validator {
    /// The validator of `T`.
    #[must_use]
    pub fn for_type<T: JsonSchema>() -> Self {
        Self::of(schemars::schema_for!(T).to_value())
    }

    /// The validator of a schema that was made elsewhere. One that is no schema refuses every value.
    #[must_use]
    pub fn of(schema: Value) -> Self {
        let compiled = jsonschema::options()
            .with_draft(jsonschema::Draft::Draft202012)
            .with_pattern_options(PatternOptions::regex())
            .build(&schema)
            .map_err(|error| format!("the schema itself is wrong: {}", error.masked()));
        Self { schema, compiled }
    }

    /// The schema, to show.
    #[must_use]
    pub fn schema(&self) -> &Value {
        &self.schema
    }

    /// Whether nothing is wrong with `value`: what costs less than looking for all that is.
    #[must_use]
    pub fn accepts(&self, value: &Value) -> bool {
        self.compiled.as_ref().is_ok_and(|validator| validator.is_valid(value))
    }

    /// Everything that is wrong with `value`; empty when nothing is.
    ///
    /// Where a value fits no branch of an `anyOf` or `oneOf`, it is told what is wrong with it under
    /// the branch that its tag names.
    #[must_use]
    pub fn faults(&self, value: &Value) -> Vec<SchemaFault> {
        let mut faults = Vec::new();
        match &self.compiled {
            Ok(validator) => {
                for error in validator.iter_errors(value) {
                    explain(&error, &mut faults);
                }
            }
            Err(message) => {
                faults.push(SchemaFault { pointer: String::new(), message: cut(message, MESSAGE) });
            }
        }
        faults
    }
}

fn explain(error: &ValidationError<'_>, faults: &mut Vec<SchemaFault>) {
    let branches = match error.kind() {
        ValidationErrorKind::AnyOf { context } | ValidationErrorKind::OneOfNotValid { context } => {
            context.as_slice()
        }
        _ => &[],
    };
    let here = error.instance_path().as_str();
    let meant: Vec<_> =
        branches.iter().filter(|branch| !branch.iter().any(|fault| is_other(fault, here))).collect();
    if let [branch] = meant.as_slice() {
        for error in *branch {
            explain(error, faults);
        }
        return;
    }
    let tags = if branches.is_empty() { Vec::new() } else { tags(branches, here) };
    let (pointer, message) = match tags.first() {
        Some((pointer, _)) => {
            let mut message = String::from("must be one of ");
            for (index, (_, tag)) in tags.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                // Writing to a string cannot fail.
                let _ = write!(message, "{comma}{tag}");
            }
            (pointer.clone(), message)
        }
        None => (here.to_owned(), message(error)),
    };
    faults.push(SchemaFault { pointer: cut(&pointer, MESSAGE), message: cut(&message, MESSAGE) });
}

/// Whether a fault says that its branch is for values of another kind: another tag, or another type
/// of the value at `here` itself.
fn is_other(fault: &ValidationError<'_>, here: &str) -> bool {
    match fault.kind() {
        ValidationErrorKind::Constant { .. } => true,
        // Deeper down these are slips under the right tag.
        ValidationErrorKind::Enum { .. } | ValidationErrorKind::Type { .. } => {
            fault.instance_path().as_str() == here
        }
        _ => false,
    }
}

/// The tags that the branches ask for, and where.
fn tags(branches: &[Vec<ValidationError<'_>>], here: &str) -> Vec<(String, Value)> {
    let mut tags: Vec<(String, Value)> = branches
        .iter()
        .flatten()
        .filter(|fault| is_other(fault, here))
        .flat_map(|fault| {
            let values = match fault.kind() {
                ValidationErrorKind::Constant { expected_value } => {
                    vec![(**expected_value).clone()]
                }
                ValidationErrorKind::Enum { options } => options.as_array().cloned().unwrap_or_default(),
                _ => Vec::new(),
            };
            let at = fault.instance_path().as_str().to_owned();
            values.into_iter().map(move |value| (at.clone(), value))
        })
        .collect();
    if let Some((at, _)) = tags.first().cloned() {
        tags.retain(|(other, _)| *other == at);
    }
    tags
}

/// What the validator says, with the value if it is short.
fn message(error: &ValidationError<'_>) -> String {
    let short = match error.instance().as_ref() {
        Value::String(text) => text.len() <= QUOTED,
        // The required or unexpected key is what matters, and it is named in either form.
        Value::Array(_) | Value::Object(_) => false,
        _ => true,
    };
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let keys: Vec<String> = unexpected.iter().take(5).map(|key| cut(key, 40)).collect();
            let more = match unexpected.len().saturating_sub(keys.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            return format!("unexpected key `{}`{more}", keys.join("`, `"));
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            return format!("the key `{}` is missing", cut(key, 40));
        }
        _ => {}
    }
    if short { error.to_string() } else { error.masked_with("the value").to_string() }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;
    use serde_json::json;

    use super::*;

    #[derive(Serialize, JsonSchema)]
    #[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its shape is of interest")]
    enum Answer {
        Run { command: String },
        Wait { seconds: u32, note: Option<Level>, level: Level },
    }

    #[derive(Serialize, JsonSchema)]
    #[serde(rename_all = "lowercase")]
    #[expect(dead_code, reason = "only its shape is of interest")]
    enum Level {
        Low,
        High,
    }

    #[derive(Serialize, JsonSchema)]
    struct Answers {
        list: Vec<Answer>,
    }

    fn told(value: &Value) -> Vec<String> {
        Validator::for_type::<Answers>()
            .faults(value)
            .into_iter()
            .map(|fault| format!("{}: {}", fault.pointer, fault.message))
            .collect()
    }

    #[test]
    fn a_fault_under_a_tag_is_told_as_itself() {
        assert!(told(&json!({"list": [{"kind": "run", "command": "make"}]})).is_empty());
        for (answer, expected) in [
            (json!({"kind": "run"}), vec!["/list/0: the key `command` is missing"]),
            (
                json!({"kind": "wait", "seconds": "soon", "level": "low"}),
                vec![r#"/list/0/seconds: "soon" is not of type "integer""#],
            ),
            (json!({"kind": "stop"}), vec![r#"/list/0/kind: must be one of "run", "wait""#]),
            (
                json!({"kind": "wait", "seconds": 1, "note": "middle", "level": "low"}),
                vec![r#"/list/0/note: must be one of "low", "high""#],
            ),
            (
                json!({"kind": "wait", "seconds": 1, "level": "middle"}),
                vec![r#"/list/0/level: "middle" is not one of "low" or "high""#],
            ),
        ] {
            assert_eq!(told(&json!({ "list": [answer] })), expected, "{answer}");
        }
    }

    #[test]
    fn a_message_never_repeats_a_huge_value() {
        let huge = json!({"list": "x".repeat(1_000_000), "more": vec![0; 10_000]});
        for message in told(&huge) {
            assert!(message.len() < 300, "{message}");
        }
        let keys: serde_json::Map<_, _> = (0..1_000).map(|n| (format!("k{n}"), json!(n))).collect();
        let mut answer = keys;
        answer.insert("kind".into(), json!("run"));
        answer.insert("command".into(), json!("make"));
        for message in told(&json!({ "list": [answer] })) {
            assert!(message.len() < 300, "{message}");
        }
    }
}
