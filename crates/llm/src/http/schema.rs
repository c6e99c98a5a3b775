//! A JSON Schema in the part of the language that a vendor enforces.
//!
//! Vendors enforce less than JSON Schema can say, and refuse what they do not know. What is left out
//! here is not lost: every answer is checked against the whole schema later.

use serde_json::{Map, Value, json};

/// Deeper schemas are not reduced.
const MAX_DEPTH: usize = 64;

/// What Gemini knows of JSON Schema.
const PORTABLE: [&str; 18] = [
    "$defs",
    "$ref",
    "type",
    "format",
    "title",
    "description",
    "enum",
    "items",
    "prefixItems",
    "minItems",
    "maxItems",
    "minimum",
    "maximum",
    "anyOf",
    "oneOf",
    "properties",
    "additionalProperties",
    "required",
];

/// The schema with every object closed, as Anthropic enforces it; none if it has a part that cannot be
/// said so, such as an object with any keys.
pub(crate) fn closed(schema: &Value) -> Option<Value> {
    root(schema, false)
}

/// The schema with every object closed and every property required, as OpenAI enforces it: what is
/// optional may be null instead. None if it has a part that cannot be said so.
pub(crate) fn strict(schema: &Value) -> Option<Value> {
    root(schema, true)
}

/// The schema without keywords that Gemini does not know.
pub(crate) fn portable(schema: &Value) -> Value {
    filter(schema, 0)
}

/// An answer by the [`strict`] form of `schema` as one by `schema`: without the nulls that stand for
/// what was left out.
pub(crate) fn loosen(schema: &Value, value: Value) -> Value {
    drop_nulls(schema, schema, value, 0)
}

fn root(schema: &Value, all: bool) -> Option<Value> {
    let mut reduced = reduce(schema, all, 0)?;
    let object = reduced.as_object_mut()?;
    object.get("properties")?;
    if let Some(definitions) = schema.get("$defs").and_then(Value::as_object) {
        let definitions: Map<_, _> = definitions
            .iter()
            .map(|(name, inner)| Some((name.clone(), reduce(inner, all, 0)?)))
            .collect::<Option<_>>()?;
        object.insert("$defs".to_owned(), definitions.into());
    }
    Some(reduced)
}

fn reduce(schema: &Value, all: bool, depth: usize) -> Option<Value> {
    let schema = schema.as_object().filter(|_| depth < MAX_DEPTH)?;
    let within = |inner: &Value| reduce(inner, all, depth.saturating_add(1));
    let mut reduced = Map::new();
    if let Some(reference) = schema.get("$ref") {
        reduced.insert("$ref".to_owned(), reference.clone());
        return Some(reduced.into());
    }
    if ["allOf", "not", "if", "patternProperties", "prefixItems"].iter().any(|key| schema.contains_key(*key))
    {
        return None;
    }
    if let Some(description) = schema.get("description") {
        reduced.insert("description".to_owned(), description.clone());
    }
    if let Some(kinds) = schema.get("type") {
        reduced.insert("type".to_owned(), kinds.clone());
    }
    if let Some(branches) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        let branches: Vec<Value> = branches.iter().map(within).collect::<Option<_>>()?;
        reduced.insert("anyOf".to_owned(), branches.into());
        return Some(reduced.into());
    }
    if let Some(values) = schema.get("enum") {
        reduced.insert("enum".to_owned(), values.clone());
        return Some(reduced.into());
    }
    if let Some(value) = schema.get("const") {
        reduced.insert("enum".to_owned(), json!([value]));
        return Some(reduced.into());
    }
    let has = |kind: &str| match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.iter().any(|one| one == kind),
        Some(one) => one == kind,
        None => false,
    };
    schema.get("type")?;
    if has("array") {
        reduced.insert("items".to_owned(), within(schema.get("items")?)?);
    }
    if has("object") {
        if schema.get("additionalProperties").is_some_and(|more| *more != Value::Bool(false)) {
            return None;
        }
        let properties = schema.get("properties")?.as_object()?;
        let required = |name: &str| is_required(schema, name);
        let inner: Map<_, _> = properties
            .iter()
            .map(|(name, inner)| {
                let inner = within(inner)?;
                Some((name.clone(), if all && !required(name) { or_null(inner) } else { inner }))
            })
            .collect::<Option<_>>()?;
        let names: Vec<Value> =
            properties.keys().filter(|name| all || required(name)).map(|name| json!(name)).collect();
        reduced.insert("properties".to_owned(), inner.into());
        reduced.insert("required".to_owned(), names.into());
        reduced.insert("additionalProperties".to_owned(), json!(false));
    }
    Some(reduced.into())
}

fn is_required(schema: &Map<String, Value>, name: &str) -> bool {
    schema.get("required").and_then(Value::as_array).is_some_and(|names| names.iter().any(|one| one == name))
}

/// The same, or null.
fn or_null(schema: Value) -> Value {
    let null = json!({ "type": "null" });
    let Value::Object(mut object) = schema else { return schema };
    if let Some(Value::Array(branches)) = object.get_mut("anyOf") {
        if !branches.contains(&null) {
            branches.push(null);
        }
        return object.into();
    }
    if object.contains_key("$ref") || object.contains_key("enum") {
        return json!({ "anyOf": [object, null] });
    }
    let kinds = match object.get("type") {
        Some(Value::Array(kinds)) => kinds.clone(),
        Some(kind) => vec![kind.clone()],
        None => Vec::new(),
    };
    let null = json!("null");
    let more = Some(null.clone()).filter(|null| !kinds.contains(null));
    object.insert("type".to_owned(), kinds.into_iter().chain(more).collect());
    object.into()
}

fn filter(schema: &Value, depth: usize) -> Value {
    let Some(object) = schema.as_object().filter(|_| depth < MAX_DEPTH) else { return schema.clone() };
    let within = |inner: &Value| filter(inner, depth.saturating_add(1));
    let each = |inner: &Value| match inner {
        Value::Object(named) => {
            named.iter().map(|(name, inner)| (name.clone(), within(inner))).collect::<Map<_, _>>().into()
        }
        Value::Array(listed) => listed.iter().map(within).collect(),
        other => other.clone(),
    };
    let mut kept = Map::new();
    for (key, value) in object {
        let value = match key.as_str() {
            "properties" | "$defs" | "anyOf" | "oneOf" | "prefixItems" => each(value),
            "items" | "additionalProperties" => within(value),
            "const" => {
                kept.insert("enum".to_owned(), json!([value]));
                continue;
            }
            // Numbers' own formats, such as `uint32`, are of the type's, not of JSON Schema.
            "format" if !matches!(value.as_str(), Some("date-time" | "date" | "time")) => continue,
            key if PORTABLE.contains(&key) => value.clone(),
            _ => continue,
        };
        kept.insert(key.clone(), value);
    }
    kept.into()
}

fn drop_nulls(schema: &Value, root: &Value, value: Value, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return value;
    }
    let schema = schema
        .get("$ref")
        .and_then(Value::as_str)
        .and_then(|reference| root.pointer(reference.trim_start_matches('#')))
        .unwrap_or(schema);
    let within = |schema: &Value, value| drop_nulls(schema, root, value, depth.saturating_add(1));
    match value {
        Value::Object(object) => {
            let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
                // Of several branches, the one for objects, if it is only one.
                let branches = ["anyOf", "oneOf"].iter().find_map(|key| schema.get(*key)?.as_array());
                let mut objects =
                    branches.into_iter().flatten().filter(|one| one.get("type") != Some(&json!("null")));
                return match (objects.next(), objects.next()) {
                    (Some(only), None) => within(only, object.into()),
                    _ => object.into(),
                };
            };
            let required = |name: &str| schema.as_object().is_some_and(|schema| is_required(schema, name));
            object
                .into_iter()
                .filter(|(name, value)| !value.is_null() || required(name))
                .map(|(name, value)| {
                    let value = match properties.get(&name) {
                        Some(inner) => within(inner, value),
                        None => value,
                    };
                    (name, value)
                })
                .collect::<Map<_, _>>()
                .into()
        }
        Value::Array(items) => match schema.get("items") {
            Some(inner) => items.into_iter().map(|item| within(inner, item)).collect(),
            None => items.into(),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Value {
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Execution", "type": "object", "additionalProperties": false,
            "required": ["status"],
            "properties": {
                "status": { "$ref": "#/$defs/Status" },
                "outputs": { "type": "array", "default": [], "maxItems": 3, "items": { "type": "string", "minLength": 1 } },
                "summary": { "type": ["string", "null"], "maxLength": 9 },
                "part": { "anyOf": [{ "$ref": "#/$defs/Part" }, { "type": "null" }] },
            },
            "$defs": {
                "Status": { "oneOf": [{ "const": "done", "description": "Well." }, { "enum": ["failed"] }] },
                "Part": { "type": "object", "properties": { "n": { "type": "integer", "format": "uint8" } } },
            },
        })
    }

    #[test]
    fn the_closed_form_keeps_what_is_optional_optional() {
        let closed = closed(&example()).unwrap();
        assert_eq!(closed["required"], json!(["status"]));
        assert_eq!(
            closed["properties"]["outputs"],
            json!({ "type": "array", "items": { "type": "string" } })
        );
        assert_eq!(closed["$defs"]["Part"]["additionalProperties"], json!(false));
        assert_eq!(
            closed["$defs"]["Status"]["anyOf"][0],
            json!({ "description": "Well.", "enum": ["done"] })
        );
    }

    #[test]
    fn the_strict_form_requires_everything_and_lets_it_be_null() {
        let strict = strict(&example()).unwrap();
        assert_eq!(strict["required"], json!(["status", "outputs", "summary", "part"]));
        assert_eq!(strict["properties"]["outputs"]["type"], json!(["array", "null"]));
        assert_eq!(strict["properties"]["summary"]["type"], json!(["string", "null"]));
        assert_eq!(strict["properties"]["part"]["anyOf"].as_array().unwrap().len(), 2);
        assert_eq!(strict["$defs"]["Part"]["properties"]["n"]["type"], json!(["integer", "null"]));
    }

    #[test]
    fn an_answer_by_the_strict_form_is_one_by_the_schema() {
        let answer = json!({ "status": "done", "outputs": null, "summary": null, "part": { "n": null } });
        assert_eq!(loosen(&example(), answer), json!({ "status": "done", "part": {} }));
    }

    #[test]
    fn what_cannot_be_enforced_is_not_attempted() {
        let open = |inner: Value| json!({ "type": "object", "properties": { "x": inner } });
        for inner in [
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            json!({ "type": "object" }),
            json!({}),
            json!(true),
            json!({ "type": "array" }),
            json!({ "allOf": [{ "type": "string" }] }),
        ] {
            assert_eq!((closed(&open(inner.clone())), strict(&open(inner.clone()))), (None, None), "{inner}");
        }
        // A plan has free metadata.
        assert_eq!(strict(&downbeat_core::dag::draft_schema()), None);
    }

    #[test]
    fn what_gemini_does_not_know_is_left_out() {
        let portable = portable(&example());
        assert!(portable.get("$schema").is_none());
        assert_eq!(
            portable["properties"]["outputs"],
            json!({ "type": "array", "maxItems": 3, "items": { "type": "string" } })
        );
        assert_eq!(portable["$defs"]["Status"]["oneOf"][0]["enum"], json!(["done"]));
        assert_eq!(portable["$defs"]["Part"]["properties"]["n"], json!({ "type": "integer" }));
    }
}
