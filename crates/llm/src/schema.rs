//! The JSON Schemas that models are given, and what vendors' strict modes make of one.

use std::sync::{Arc, LazyLock};

use downbeat_core::dag::{Draft, draft_schema};
use downbeat_core::llm::{Assessment, Execution, MAX_PROPOSED_TASKS, Permissions, Selection, Summary};
use downbeat_core::schema::Validator;
use serde_json::{Map, Value, json};

pub(crate) static DRAFT: LazyLock<Validator> = LazyLock::new(Validator::for_type::<Draft>);
pub(crate) static SELECTION: LazyLock<Validator> = LazyLock::new(Validator::for_type::<Selection>);
pub(crate) static EXECUTION: LazyLock<Validator> = LazyLock::new(Validator::for_type::<Execution>);
pub(crate) static SUMMARY: LazyLock<Validator> = LazyLock::new(Validator::for_type::<Summary>);
pub(crate) static ASSESSMENT: LazyLock<Validator> = LazyLock::new(Validator::for_type::<Assessment>);

/// The schema of a validator, to send.
pub(crate) fn of(validator: &Validator) -> Arc<Value> {
    let mut schema = validator.schema().clone();
    clean(&mut schema);
    Arc::new(schema)
}

/// Members of a task that a model may not set: they are shell commands, which would run outside of
/// every permission that the model was given.
const COMMANDS: [&str; 2] = ["run", "checks"];

/// Members of a task that are the deployment's to decide, or that no model needs.
const OURS: [&str; 6] = ["max_attempts", "timeout", "metadata", "kind", "goal", "plan"];

/// The schema of a plan as a model is asked for it: less than a draft may have.
pub(crate) fn proposal(permissions: Permissions) -> Arc<Value> {
    let mut schema = draft_schema();
    remove_property(&mut schema, "goal_id");
    if let Some(node) = schema.pointer_mut("/$defs/DraftNode") {
        OURS.iter().for_each(|name| remove_property(node, name));
        if permissions != Permissions::Full {
            COMMANDS.iter().for_each(|name| remove_property(node, name));
        }
    }
    if let Some(definitions) = schema.get_mut("$defs").and_then(Value::as_object_mut) {
        definitions.retain(|name, _| name == "DraftNode" || name == "DraftEdge");
    }
    if let Some(nodes) = schema.pointer_mut("/properties/nodes").and_then(Value::as_object_mut) {
        nodes.insert("maxItems".to_owned(), MAX_PROPOSED_TASKS.into());
    }
    clean(&mut schema);
    Arc::new(schema)
}

fn remove_property(schema: &mut Value, name: &str) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.shift_remove(name);
    }
    if let Some(required) = schema.get_mut("required").and_then(Value::as_array_mut) {
        required.retain(|key| key != name);
    }
}

/// Leaves out what says nothing to a model and costs tokens.
fn clean(schema: &mut Value) {
    if let Some(members) = schema.as_object_mut() {
        members.shift_remove("description");
    }
    strip(schema);
}

fn strip(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    for key in ["$schema", "title", "default", "format"] {
        members.shift_remove(key);
    }
    for (key, member) in members.iter_mut() {
        match (key.as_str(), member) {
            ("properties" | "$defs", Value::Object(schemas)) => schemas.values_mut().for_each(strip),
            ("anyOf" | "oneOf" | "allOf", Value::Array(schemas)) => schemas.iter_mut().for_each(strip),
            ("items", schema) => strip(schema),
            _ => {}
        }
    }
}

/// What strict modes do not know, or what only some of them do. The answer is checked against the
/// whole schema in any case.
const UNSUPPORTED: [&str; 21] = [
    "$schema",
    "title",
    "default",
    "examples",
    "format",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
];

/// `schema` as vendors' strict modes take it: every object has all its properties required and no
/// others allowed, those that were optional may be null, and keywords that the modes do not know are
/// left out, as are properties that may have any keys.
///
/// An answer to it is an answer to `schema`, once nulls are left out.
#[must_use]
pub fn strict(schema: &Value) -> Value {
    let mut schema = schema.clone();
    tighten(&mut schema);
    schema
}

fn tighten(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if let Some(reference) = members.get("$ref").cloned() {
        // Nothing may stand beside a reference.
        members.clear();
        members.insert("$ref".to_owned(), reference);
        return;
    }
    members.retain(|key, _| !UNSUPPORTED.contains(&key.as_str()));
    if let Some(value) = members.shift_remove("const") {
        members.insert("enum".to_owned(), json!([value]));
    }
    if let Some(branches) = members.shift_remove("oneOf") {
        members.insert("anyOf".to_owned(), branches);
    }
    for key in ["anyOf", "allOf"] {
        if let Some(Value::Array(branches)) = members.get_mut(key) {
            branches.iter_mut().for_each(tighten);
        }
    }
    for key in ["$defs", "definitions"] {
        if let Some(Value::Object(definitions)) = members.get_mut(key) {
            definitions.values_mut().for_each(tighten);
        }
    }
    if let Some(items) = members.get_mut("items") {
        tighten(items);
    }
    if members.contains_key("properties") {
        tighten_object(members);
    }
}

fn tighten_object(members: &mut Map<String, Value>) {
    let required: Vec<String> = members
        .get("required")
        .and_then(Value::as_array)
        .map(|keys| keys.iter().filter_map(|key| key.as_str().map(str::to_owned)).collect())
        .unwrap_or_default();
    if let Some(Value::Object(properties)) = members.get_mut("properties") {
        properties.retain(|_, property| !is_open(property));
        for (name, property) in properties.iter_mut() {
            tighten(property);
            if !required.contains(name) {
                allow_null(property);
            }
        }
        let all: Vec<Value> = properties.keys().map(|key| Value::from(key.as_str())).collect();
        members.insert("required".to_owned(), Value::Array(all));
    }
    members.insert("additionalProperties".to_owned(), false.into());
}

/// Whether it is an object with keys of the model's choice.
fn is_open(schema: &Value) -> bool {
    schema.get("type").is_some_and(|kind| kind == "object") && schema.get("properties").is_none()
}

fn allow_null(schema: &mut Value) {
    let null = json!({ "type": "null" });
    let Value::Object(members) = schema else { return };
    if let Some(Value::Array(branches)) = members.get_mut("anyOf") {
        if !branches.contains(&null) {
            branches.push(null);
        }
        return;
    }
    if let Some(Value::Array(values)) = members.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    match members.get_mut("type") {
        Some(Value::Array(kinds)) => {
            if !kinds.iter().any(|kind| kind == "null") {
                kinds.push("null".into());
            }
        }
        Some(kind) => *kind = json!([kind.take(), "null"]),
        None => {
            let inner = std::mem::take(members);
            members.insert("anyOf".to_owned(), json!([inner, null]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Walks all schemas in `schema`.
    fn visit(schema: &Value, look: &mut impl FnMut(&Map<String, Value>)) {
        match schema {
            Value::Object(members) => {
                look(members);
                members.values().for_each(|member| visit(member, look));
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, look)),
            _ => {}
        }
    }

    #[test]
    fn every_object_of_a_strict_schema_is_closed_and_complete() {
        let schemas =
            [proposal(Permissions::Full), of(&SELECTION), of(&EXECUTION), of(&SUMMARY), of(&ASSESSMENT)];
        for schema in schemas {
            let strict = strict(&schema);
            visit(&strict, &mut |members| {
                for key in UNSUPPORTED {
                    // A property may be called like a keyword.
                    assert!(!members.contains_key(key) || members[key].is_object(), "{key}: {strict:#}");
                }
                if let Some(Value::Object(properties)) = members.get("properties") {
                    assert_eq!(members["additionalProperties"], false);
                    assert_eq!(members["required"].as_array().unwrap().len(), properties.len());
                }
                if members.contains_key("$ref") {
                    assert_eq!(members.len(), 1, "{strict:#}");
                }
            });
        }
    }

    #[test]
    fn a_strict_execution_is_what_it_says() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&strict(&of(&EXECUTION))).unwrap());
    }

    #[test]
    fn a_model_is_not_asked_for_commands_unless_it_may_do_anything() {
        let names = |permissions| {
            let schema = proposal(permissions);
            let node = schema.pointer("/$defs/DraftNode/properties").unwrap().as_object().unwrap();
            node.keys().cloned().collect::<Vec<_>>()
        };
        let least = ["id", "title", "description", "priority", "expected_artifacts", "capabilities"];
        assert_eq!(names(Permissions::Edit), least);
        assert_eq!(names(Permissions::Full).len(), least.len() + 2);
        let schema = proposal(Permissions::Edit);
        assert_eq!(schema["required"], json!(["nodes"]));
        assert_eq!(schema["properties"]["nodes"]["maxItems"], 500);
    }
}
