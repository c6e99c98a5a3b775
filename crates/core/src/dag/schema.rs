//! The shape of a draft, as JSON Schema.

use std::sync::LazyLock;

use serde_json::Value;

use super::{Draft, DraftEdge, DraftNode};
use crate::schema::{SchemaFault, Validator};

static DRAFT: LazyLock<Validator> = LazyLock::new(Validator::for_type::<Draft>);
static NODE: LazyLock<Validator> = LazyLock::new(Validator::for_type::<DraftNode>);
static EDGE: LazyLock<Validator> = LazyLock::new(Validator::for_type::<DraftEdge>);

/// The JSON Schema (2020-12) of a DAG: for editors, for models, for people.
#[must_use]
pub fn draft_schema() -> Value {
    DRAFT.schema().clone()
}

/// What the schema says against `value`, task by task: a validator keeps all faults of what it is
/// given, and a million broken edges have many.
pub(super) fn draft_faults(value: &Value) -> impl Iterator<Item = SchemaFault> {
    let parts = [("nodes", &*NODE), ("edges", &*EDGE)];
    // All but the lists, of which one element stands for the others.
    let frame = value.as_object().map(|draft| {
        let entries = draft.iter().map(|(key, value)| {
            let value = match value {
                Value::Array(list) if parts.iter().any(|(part, _)| part == key) => {
                    Value::Array(list.iter().take(1).cloned().collect())
                }
                _ => value.clone(),
            };
            (key.clone(), value)
        });
        Value::Object(entries.collect())
    });
    let whole = DRAFT
        .faults(frame.as_ref().unwrap_or(value))
        .into_iter()
        .filter(|fault| {
            !fault.pointer.starts_with("/nodes/") && !fault.pointer.starts_with("/edges/")
        });
    let inner = parts.into_iter().flat_map(move |(key, validator)| {
        let list = value.get(key).and_then(Value::as_array);
        list.into_iter()
            .flatten()
            .enumerate()
            .flat_map(move |(index, element)| {
                let mut faults = validator.faults(element);
                for fault in &mut faults {
                    fault.pointer = format!("/{key}/{index}{}", fault.pointer);
                }
                faults
            })
    });
    whole.chain(inner)
}
