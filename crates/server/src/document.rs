//! The OpenAPI 3.1 document, made from the list of operations and the schemas of their types.

use std::collections::BTreeMap;

use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{Transform, transform_subschemas};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};

use crate::operation::{Operation, Visitor};
use crate::operations;
use crate::problem::status_of;

/// Where the schemas of the document lie.
const COMPONENTS: &str = "/components/schemas";

/// What any operation may answer.
const ALWAYS: [&str; 6] =
    ["invalid_parameter", "unauthorized", "cross_origin", "foreign_host", "failed", "unavailable"];

/// What any operation may answer to which something is sent.
const WITH_BODY: [&str; 6] = [
    "malformed_json",
    "schema_violation",
    "invalid_body",
    "body_too_large",
    "unsupported_media_type",
    "request_timeout",
];

/// Schemas of types, as one side of the wire sees them.
#[derive(Debug)]
pub(crate) struct Schemas {
    generator: SchemaGenerator,
}

impl Schemas {
    /// Of what is sent: nothing more than is asked for.
    pub(crate) fn requests() -> Self {
        let settings = SchemaSettings::draft2020_12().for_deserialize().with_transform(Strict);
        Self::of(settings.with_transform(Whole))
    }

    /// Of what is answered: a later version may say more.
    fn answers() -> Self {
        Self::of(SchemaSettings::draft2020_12().for_serialize().with_transform(Whole))
    }

    fn of(settings: SchemaSettings) -> Self {
        let settings = settings.with(|settings| settings.meta_schema = None);
        let settings = settings.with(|settings| settings.definitions_path = COMPONENTS.into());
        Self { generator: settings.into_generator() }
    }

    /// A reference to the schema of a type, which becomes a component.
    fn component<T: JsonSchema>(&mut self) -> Value {
        self.generator.subschema_for::<T>().to_value()
    }

    /// The schema of a type with all that it refers to, to check values by.
    pub(crate) fn alone<T: JsonSchema>(&mut self) -> Value {
        let mut settings = self.generator.settings().clone();
        settings.definitions_path = "/$defs".into();
        settings.into_generator().into_root_schema_for::<T>().to_value()
    }

    fn components(mut self) -> Map<String, Value> {
        self.generator.take_definitions(true)
    }
}

/// Objects take no fields that they have no name for.
#[derive(Debug, Clone)]
struct Strict;

impl Transform for Strict {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        if let Some(object) = schema.as_object_mut()
            && object.contains_key("properties")
            && !object.contains_key("additionalProperties")
        {
            object.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
    }
}

/// Numbers of a width say how large they are. That a list has no value twice is nothing that anybody who sends
/// one has to see to.
#[derive(Debug, Clone)]
struct Whole;

impl Transform for Whole {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(object) = schema.as_object_mut() else { return };
        let most = match object.get("format").and_then(Value::as_str) {
            Some("uint8") => json!(u8::MAX),
            Some("uint16") => json!(u16::MAX),
            Some("uint32") => json!(u32::MAX),
            // What JSON's readers hold exactly.
            Some("uint64" | "uint") => json!(u64::MAX),
            _ => Value::Null,
        };
        if !most.is_null() && !object.contains_key("maximum") {
            object.insert("maximum".to_owned(), most);
        }
        object.remove("uniqueItems");
    }
}

/// The document.
pub(crate) fn document() -> Value {
    let mut pages =
        Pages { paths: BTreeMap::new(), requests: Schemas::requests(), answers: Schemas::answers() };
    operations::every(&mut pages);
    let Pages { mut paths, requests, answers } = pages;
    paths.insert("/v1/events", events());
    paths.insert("/metrics", plain("metrics", "Figures for Prometheus", "text/plain"));
    paths.insert("/openapi.json", plain("openapi", "This document", "application/json"));
    let mut schemas = answers.components();
    let mut paths = json!(paths);
    join(&mut schemas, requests.components(), &mut paths);
    schemas.insert("Problem".to_owned(), problem_schema());
    let tags = ["goals", "tasks", "agents", "streams", "records", "service"];
    let tags = tags.map(|name| json!({ "name": name }));
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Downbeat",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Goals, tasks, leases and agents of one Downbeat deployment. Every write of a holder \
                carries its fencing token; every request that changes something is named by an id, and repeating \
                it after a lost answer has no further effect. Moments are RFC 3339 in UTC, spans are milliseconds.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{}, { "bearer": [] }],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
        },
    })
}

struct Pages {
    paths: BTreeMap<&'static str, Value>,
    requests: Schemas,
    answers: Schemas,
}

impl Visitor for Pages {
    fn visit<O: Operation>(&mut self) {
        let mut parameters = self.parameters::<O::Path>("path");
        parameters.extend(self.parameters::<O::Query>("query"));
        let answer = self.answers.component::<O::Answer>();
        let mut codes: Vec<&str> = ALWAYS.iter().chain(O::PROBLEMS).copied().collect();
        let mut operation = json!({
            "operationId": O::ID,
            "tags": [O::TAG],
            "summary": O::SUMMARY,
            "parameters": parameters,
        });
        if O::VERB.has_body() {
            codes.extend(WITH_BODY);
            let schema = sent(self.requests.component::<O::Body>());
            operation["requestBody"] =
                json!({ "required": true, "content": { "application/json": { "schema": schema } } });
        }
        let mut responses = BTreeMap::new();
        responses.insert(
            "200".to_owned(),
            json!({ "description": "Done.", "content": { "application/json": { "schema": answer } } }),
        );
        responses.extend(problems(&codes));
        operation["responses"] = json!(responses);
        let page = self.paths.entry(O::PATH).or_insert_with(|| json!({}));
        page[O::VERB.key()] = operation;
    }
}

impl Pages {
    fn parameters<P: JsonSchema>(&mut self, place: &str) -> Vec<Value> {
        let mut schema = self.requests.alone::<P>();
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

/// The problems that are documented, by status.
fn problems(codes: &[&str]) -> BTreeMap<String, Value> {
    let mut by_status: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for code in codes {
        let of_status = by_status.entry(status_of(code).as_u16().to_string()).or_default();
        if !of_status.contains(code) {
            of_status.push(code);
        }
    }
    let response = |(status, codes): (String, Vec<&str>)| {
        let problem = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        let content = json!({ "application/problem+json": problem });
        (status, json!({ "description": format!("`{}`", codes.join("`, `")), "content": content }))
    };
    by_status.into_iter().map(response).collect()
}

fn problem_schema() -> Value {
    json!({
        "type": "object",
        "description": "Why something was not done (RFC 9457). `code` is stable; the fields of an error of the \
            store stand beside it.",
        "properties": {
            "type": { "type": "string", "format": "uri" },
            "title": { "type": "string" },
            "status": { "type": "integer", "minimum": 400, "maximum": 599 },
            "detail": { "type": "string" },
            "code": { "type": "string", "pattern": "^[a-z_]+$" },
        },
        "required": ["type", "title", "status", "detail", "code"],
    })
}

fn events() -> Value {
    let number = json!({ "type": "integer", "minimum": 0, "maximum": u64::MAX });
    let mut responses = problems(&ALWAYS);
    responses.insert(
        "200".to_owned(),
        json!({
            "description": "Server-sent events: the `id` is the number of the event, `event` its kind, `data` the \
                event as JSON. An event `resync` tells of events that are kept no more.",
            "content": { "text/event-stream": { "schema": { "type": "string" } } },
        }),
    );
    json!({ "get": {
        "operationId": "followEvents",
        "tags": ["streams"],
        "summary": "Everything that happens, as it happens",
        "parameters": [
            { "name": "after", "in": "query", "required": false, "schema": number,
              "description": "Begin behind this number; 0 for all that is kept. Without it, and without the header, \
                  with what happens next." },
            { "name": "goal", "in": "query", "required": false,
              "schema": { "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$" },
              "description": "Only of this goal." },
            { "name": "Last-Event-ID", "in": "header", "required": false, "schema": number,
              "description": "Go on behind this number: what browsers send by themselves." },
        ],
        "responses": responses,
    } })
}

fn plain(id: &str, summary: &str, kind: &str) -> Value {
    let mut responses = problems(&["unauthorized", "cross_origin", "foreign_host", "unavailable"]);
    let content = json!({ kind: { "schema": if kind == "text/plain" { json!({ "type": "string" }) } else { json!({ "type": "object" }) } } });
    responses.insert("200".to_owned(), json!({ "description": "Done.", "content": content }));
    json!({ "get": { "operationId": id, "tags": ["service"], "summary": summary, "responses": responses } })
}

/// What distinguishes references to schemas of what is sent until both sides are put together.
const SENT: &str = "#sent";

fn sent(mut schema: Value) -> Value {
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
fn join(schemas: &mut Map<String, Value>, requests: Map<String, Value>, paths: &mut Value) {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(object) => {
                for (name, value) in object {
                    match value {
                        Value::String(at) if name == "$ref" => found.push(at.clone()),
                        value => references(value, found),
                    }
                }
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 50);
        for at in found {
            let pointer = at.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{at}");
        }
    }

    #[test]
    fn what_is_sent_is_strict_and_what_is_answered_is_open() {
        let document = document();
        let schemas = &document["components"]["schemas"];
        assert_eq!(schemas["Claim"]["additionalProperties"], false);
        assert_eq!(schemas["Registration"].get("additionalProperties"), None);
        assert_eq!(schemas["RegistrationInput"]["additionalProperties"], false);
        let body = &document["paths"]["/v1/agents"]["post"]["requestBody"]["content"]["application/json"];
        assert_eq!(body["schema"]["$ref"], "#/components/schemas/RegistrationInput");
        assert!(schemas["Claim"]["required"].as_array().unwrap().contains(&json!("ttl_ms")));
    }

    #[test]
    fn operations_and_paths_are_named_once() {
        let document = document();
        let mut ids: Vec<&str> = Vec::new();
        for page in document["paths"].as_object().unwrap().values() {
            ids.extend(
                page.as_object()
                    .unwrap()
                    .values()
                    .map(|operation| operation["operationId"].as_str().unwrap()),
            );
        }
        let count = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!((ids.len(), count), (40, 40));
    }
}
