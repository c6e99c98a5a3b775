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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_says_what_a_planner_must_know() {
        let schema = draft_schema();
        let at = |pointer: &str| schema.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(at("/title"), "Downbeat DAG");
        assert_eq!(at("/required"), serde_json::json!(["goal_id", "nodes"]));
        assert_eq!(at("/additionalProperties"), false);
        assert_eq!(at("/properties/nodes/maxItems"), 100_000);
        assert_eq!(at("/properties/edges/maxItems"), 1_000_000);
        let node = "/$defs/DraftNode";
        assert_eq!(
            at(&format!("{node}/required")),
            serde_json::json!(["id", "title"])
        );
        assert_eq!(at(&format!("{node}/additionalProperties")), false);
        for (limit, expected) in [
            ("id/pattern", Value::from(crate::ids::ID_PATTERN)),
            ("title/maxLength", 500.into()),
            ("title/minLength", 1.into()),
            ("description/maxLength", 65_536.into()),
            ("priority/maximum", 1_000_000.into()),
            ("expected_artifacts/maxItems", 256.into()),
            ("expected_artifacts/items/maxLength", 1_024.into()),
            ("capabilities/maxItems", 32.into()),
            ("checks/maxItems", 64.into()),
            ("max_attempts/maximum", 1_000.into()),
            ("metadata/maxProperties", 64.into()),
        ] {
            assert_eq!(
                at(&format!("{node}/properties/{limit}")),
                expected,
                "{limit}"
            );
        }
    }
}
