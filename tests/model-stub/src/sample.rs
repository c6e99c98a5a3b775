//! The smallest instance that a JSON Schema allows: what an unscripted question is answered with.

use serde_json::{Map, Value, json};

/// Schemas that refer to themselves end here.
const MAX_DEPTH: usize = 32;

pub(crate) fn sample(schema: &Value) -> Value {
    instance(schema, schema, "", 0)
}

fn instance(schema: &Value, root: &Value, name: &str, depth: usize) -> Value {
    if depth > MAX_DEPTH {
        return Value::Null;
    }
    let within = |schema: &Value, name: &str| instance(schema, root, name, depth.saturating_add(1));
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return root
            .pointer(reference.trim_start_matches('#'))
            .map_or(Value::Null, |target| within(target, name));
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    if let Some(value) = schema.get("enum").and_then(|values| values.get(0)) {
        return value.clone();
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"].iter().find_map(|key| schema.get(*key)?.get(0)) {
        return within(first, name);
    }
    let kind = match schema.get("type") {
        Some(Value::Array(kinds)) => kinds.first().and_then(Value::as_str),
        Some(kind) => kind.as_str(),
        None => None,
    };
    match kind.unwrap_or("string").to_lowercase().as_str() {
        "object" => object(schema, within),
        "array" => {
            let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(0).min(1_000);
            match schema.get("items") {
                Some(items) => (0..least).map(|_| within(items, name)).collect(),
                None => json!([]),
            }
        }
        "integer" | "number" => schema.get("minimum").cloned().unwrap_or_else(|| json!(0)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(format!("{}-sample", if name.is_empty() { "text" } else { name })),
    }
}

fn object(schema: &Value, within: impl Fn(&Value, &str) -> Value) -> Value {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let required: Vec<&str> = match schema.get("required").and_then(Value::as_array) {
        Some(required) => required.iter().filter_map(Value::as_str).collect(),
        None => properties.keys().map(String::as_str).collect(),
    };
    required
        .into_iter()
        .filter_map(|key| Some((key.to_owned(), within(properties.get(key)?, key))))
        .collect::<Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_has_what_is_required_and_no_more() {
        let schema = json!({
            "type": "object",
            "required": ["id", "size", "kind", "tags"],
            "properties": {
                "id": { "type": "string" },
                "size": { "type": ["integer", "null"], "minimum": 3 },
                "kind": { "$ref": "#/$defs/Kind" },
                "tags": { "type": "array", "minItems": 1, "items": { "type": "boolean" } },
                "note": { "type": "string" },
            },
            "$defs": { "Kind": { "enum": ["a", "b"] } },
        });

        let value = sample(&schema);

        assert_eq!(value, json!({ "id": "id-sample", "size": 3, "kind": "a", "tags": [true] }));
    }

    #[test]
    fn a_schema_that_contains_itself_ends() {
        let schema = json!({ "type": "object", "properties": { "next": { "$ref": "#" } } });
        assert!(sample(&schema).is_object());
    }
}
