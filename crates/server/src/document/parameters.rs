//! Parameters of paths and queries, which have no place for references or null.

use schemars::JsonSchema;
use serde_json::{Value, json};

use super::Schemas;

/// The parameters that the fields of `P` are, `place` is `path` or `query`.
pub(super) fn of<P: JsonSchema>(schemas: &mut Schemas, place: &str) -> Vec<Value> {
    let mut schema = schemas.alone::<P>();
    let required: Vec<String> = schema
        .get("required")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    let defs = schema.get("$defs").cloned().unwrap_or_default();
    let Some(Value::Object(properties)) = schema.get_mut("properties").map(Value::take) else {
        return Vec::new();
    };
    let parameter = |(name, mut schema): (String, Value)| {
        inline(&mut schema, &defs);
        without_null(&mut schema);
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
        let required = place == "path" || required.contains(&name);
        json!({
            "name": name,
            "in": place,
            "required": required,
            "description": description.unwrap_or_default(),
            "schema": schema,
        })
    };
    properties.into_iter().map(parameter).collect()
}

/// A parameter that is left out is left out: there is no null in a query.
fn without_null(schema: &mut Value) {
    if let Some(Value::Array(branches)) = schema.get("anyOf")
        && let [inner, null] = branches.as_slice()
        && null.get("type") == Some(&json!("null"))
    {
        let (mut inner, said) = (inner.clone(), schema.get("description").cloned());
        if let (Some(inner), Some(said)) = (inner.as_object_mut(), said) {
            inner.insert("description".to_owned(), said);
        }
        *schema = inner;
    }
    let Some(object) = schema.as_object_mut() else { return };
    if let Some(Value::Array(kinds)) = object.get("type")
        && let [kind, Value::String(null)] = kinds.as_slice()
        && null == "null"
    {
        let kind = kind.clone();
        object.insert("type".to_owned(), kind);
    }
    object.remove("default");
}

/// Puts what a schema refers to into its place.
fn inline(schema: &mut Value, defs: &Value) {
    match schema {
        Value::Object(object) => {
            let target =
                object.get("$ref").and_then(Value::as_str).and_then(|at| at.strip_prefix("#/$defs/"));
            if let Some(Value::Object(found)) = target.and_then(|name| defs.get(name)) {
                let mut found = found.clone();
                object.remove("$ref");
                found.extend(std::mem::take(object));
                *object = found;
            }
            object.values_mut().for_each(|value| inline(value, defs));
        }
        Value::Array(values) => values.iter_mut().for_each(|value| inline(value, defs)),
        _ => {}
    }
}
