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
        f.debug_struct("Validator")
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Validator {
    /// The validator of `T`.
    #[must_use]
    pub fn for_type<T: JsonSchema>() -> Self {
        let schema = schemars::schema_for!(T).to_value();
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
            Err(message) => faults.push(SchemaFault {
                pointer: String::new(),
                message: cut(message, MESSAGE),
            }),
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
    let meant: Vec<_> = branches
        .iter()
        .filter(|branch| !branch.iter().any(|fault| is_other(fault, here)))
        .collect();
    if let [branch] = meant.as_slice() {
        for error in *branch {
            explain(error, faults);
        }
        return;
    }
    let tags = if branches.is_empty() {
        Vec::new()
    } else {
        tags(branches)
    };
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
    faults.push(SchemaFault {
        pointer: cut(&pointer, MESSAGE),
        message: cut(&message, MESSAGE),
    });
}

/// Whether a fault says that its branch is for values of another kind: another tag, or another type
/// of the value at `here` itself.
fn is_other(fault: &ValidationError<'_>, here: &str) -> bool {
    match fault.kind() {
        ValidationErrorKind::Constant { .. } | ValidationErrorKind::Enum { .. } => true,
        ValidationErrorKind::Type { .. } => fault.instance_path().as_str() == here,
        _ => false,
    }
}

/// The tags that the branches ask for, and where.
fn tags(branches: &[Vec<ValidationError<'_>>]) -> Vec<(String, Value)> {
    branches
        .iter()
        .flatten()
        .flat_map(|fault| {
            let values = match fault.kind() {
                ValidationErrorKind::Constant { expected_value } => {
                    vec![(**expected_value).clone()]
                }
                ValidationErrorKind::Enum { options } => {
                    options.as_array().cloned().unwrap_or_default()
                }
                _ => Vec::new(),
            };
            let at = fault.instance_path().as_str().to_owned();
            values.into_iter().map(move |value| (at.clone(), value))
        })
        .collect()
}

/// What the validator says, with the value if it is short.
fn message(error: &ValidationError<'_>) -> String {
    let short = match error.instance().as_ref() {
        Value::String(text) => text.len() <= QUOTED,
        // The required or unexpected key is what matters, and it is named in either form.
        Value::Array(_) | Value::Object(_) => false,
        _ => true,
    };
    if let ValidationErrorKind::AdditionalProperties { unexpected } = error.kind() {
        let keys: Vec<String> = unexpected.iter().take(5).map(|key| cut(key, 40)).collect();
        let more = unexpected.len().saturating_sub(keys.len());
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        return format!("unexpected key `{}`{more}", keys.join("`, `"));
    }
    if short {
        error.to_string()
    } else {
        error.masked_with("the value").to_string()
    }
}
