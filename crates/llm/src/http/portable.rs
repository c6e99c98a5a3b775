//! A JSON Schema in the part of the language that Gemini knows.
//!
//! Source: <https://ai.google.dev/gemini-api/docs/structured-output>

use serde_json::{Map, Value, json};

/// Deeper schemas are sent as they are.
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

/// The schema without keywords that Gemini does not know.
///
/// What is left out is not lost: every answer is checked against the whole schema later.
pub(crate) fn portable(schema: &Value) -> Value {
    filter(schema, 0)
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
