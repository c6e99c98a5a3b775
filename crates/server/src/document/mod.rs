//! The OpenAPI 3.1 document, made from the list of operations and the schemas of their types.

mod join;
mod parameters;
mod schemas;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::operation::{Operation, Visitor};
use crate::operations;
use crate::problem::status_of;
use join::{join, sent};
pub(crate) use schemas::Schemas;

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

/// The document.
pub(crate) fn document() -> Value {
    let mut pages =
        Pages { paths: BTreeMap::new(), requests: Schemas::requests(), answers: Schemas::answers() };
    operations::every(&mut pages);
    let Pages { paths, requests, answers } = pages;
    let mut paths: BTreeMap<&str, Value> =
        paths.into_iter().map(|(path, page)| (path, page.into())).collect();
    paths.insert("/v1/events", events());
    paths.insert("/metrics", plain("metrics", "Figures for Prometheus", "text/plain"));
    paths.insert("/openapi.json", plain("openapi", "This document", "application/json"));
    let mut paths = json!(paths);
    let mut schemas = answers.components();
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
    paths: BTreeMap<&'static str, Map<String, Value>>,
    requests: Schemas,
    answers: Schemas,
}

impl Visitor for Pages {
    fn visit<O: Operation>(&mut self) {
        let mut parameters = parameters::of::<O::Path>(&mut self.requests, "path");
        parameters.extend(parameters::of::<O::Query>(&mut self.requests, "query"));
        let answer = self.answers.component::<O::Answer>();
        let mut codes: Vec<&str> = ALWAYS.iter().chain(O::PROBLEMS).copied().collect();
        let mut operation = Map::new();
        let mut say = |name: &str, value: Value| operation.insert(name.to_owned(), value);
        say("operationId", json!(O::ID));
        say("tags", json!([O::TAG]));
        say("summary", json!(O::SUMMARY));
        say("parameters", json!(parameters));
        if O::VERB.has_body() {
            codes.extend(WITH_BODY);
            let schema = sent(self.requests.component::<O::Body>());
            let content = json!({ "application/json": { "schema": schema } });
            say("requestBody", json!({ "required": true, "content": content }));
        }
        let mut responses = BTreeMap::new();
        responses.insert(
            "200".to_owned(),
            json!({ "description": "Done.", "content": { "application/json": { "schema": answer } } }),
        );
        responses.extend(problems(&codes));
        say("responses", json!(responses));
        self.paths.entry(O::PATH).or_default().insert(O::VERB.key().to_owned(), operation.into());
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
        assert_eq!((ids.len(), count), (41, 41));
    }
}
