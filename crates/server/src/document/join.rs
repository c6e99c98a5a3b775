//! Both sides of the wire in one set of components.

use serde_json::{Map, Value};

/// What distinguishes references to schemas of what is sent until both sides are put together.
const SENT: &str = "#sent";

/// A reference to something that is sent.
pub(super) fn sent(mut schema: Value) -> Value {
    mark(&mut schema, &|at| format!("{at}{SENT}"));
    schema
}

/// Applies `change` to every reference.
fn mark(schema: &mut Value, change: &impl Fn(&str) -> String) {
    match schema {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(at) if name == "$ref" => *at = change(at),
                    value => mark(value, change),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| mark(value, change)),
        _ => {}
    }
}

/// Puts the schemas of what is sent beside those of what is answered. Where both sides have a type and see it
/// alike there is one; where they do not, that of what is sent is called `<type>Input`.
pub(super) fn join(schemas: &mut Map<String, Value>, requests: Map<String, Value>, paths: &mut Value) {
    // What refers to something that differs, differs.
    let mut differs: Vec<String> = Vec::new();
    loop {
        let found = requests.iter().filter(|(name, schema)| {
            let refers = |name: &String| refers_to(schema, name);
            !differs.contains(name)
                && schemas.contains_key(*name)
                && (schemas.get(*name) != Some(schema) || differs.iter().any(refers))
        });
        let found: Vec<String> = found.map(|(name, _)| name.clone()).collect();
        if found.is_empty() {
            break;
        }
        differs.extend(found);
    }
    let renamed = |at: &str| match at.rsplit_once('/') {
        Some((_, name)) if differs.iter().any(|other| other == name) => format!("{at}Input"),
        _ => at.to_owned(),
    };
    for (name, mut schema) in requests {
        mark(&mut schema, &renamed);
        let name = if differs.contains(&name) { format!("{name}Input") } else { name };
        schemas.insert(name, schema);
    }
    mark(paths, &|at| match at.strip_suffix(SENT) {
        Some(at) => renamed(at),
        None => at.to_owned(),
    });
}

fn refers_to(schema: &Value, name: &str) -> bool {
    match schema {
        Value::Object(object) => object.iter().any(|(key, value)| match value {
            Value::String(at) if key == "$ref" => at.rsplit_once('/').is_some_and(|(_, found)| found == name),
            value => refers_to(value, name),
        }),
        Value::Array(values) => values.iter().any(|value| refers_to(value, name)),
        _ => false,
    }
}
