//! From JSON to a DAG.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::fault::{DagError, FaultKind, Faults, cut};
use super::json::{self, Unread};
use super::limits::{MAX_FAULTS, MAX_TEXT_BYTES};
use super::schema::draft_faults;
use super::validate::{check, check_sizes, validate};
use super::{Dag, Draft, DraftEdge, DraftNode};

/// How much of a parser's message is kept, in characters.
const MESSAGE: usize = 200;

/// Reads a DAG from JSON of the shape of [`draft_schema`](super::draft_schema).
///
/// A good text is read once, straight into its types. Only one that is refused is read again, to
/// find everything that is wrong with it: what the schema says, and what can be said of the rest.
///
/// # Errors
///
/// [`DagError`] has every fault, unless the text is no JSON at all, or too long: then it has that one.
pub fn parse(json: &str) -> Result<Dag, DagError> {
    if json.len() > MAX_TEXT_BYTES {
        let kind =
            FaultKind::TooLong { what: "the text", found: json.len(), limit: MAX_TEXT_BYTES, unit: "bytes" };
        return Err(DagError::one("", kind));
    }
    // Some editors begin a file with a byte order mark.
    let json = json.strip_prefix('\u{feff}').unwrap_or(json);
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let typed =
        json::object::<_, Draft>(&mut deserializer).and_then(|draft| deserializer.end().map(|()| draft));
    let refusal = match typed {
        Ok(draft) => return validate(draft),
        Err(error) => error,
    };
    let loose = match json::read(json) {
        Ok(loose) => loose,
        Err(Unread::Syntax(error)) => return Err(syntax(&error)),
        Err(Unread::TooMuch) => return Err(syntax(&refusal)),
    };
    let mut faults = Faults::default();
    if check_sizes(loose.tasks, loose.edges, &mut faults) {
        return Err(faults.into_error());
    }
    Err(explain(&loose.value, &refusal))
}

/// Reads a DAG from a value of the shape of [`draft_schema`](super::draft_schema), such as a model's
/// answer.
///
/// # Errors
///
/// As [`parse`].
pub fn from_value(value: &Value) -> Result<Dag, DagError> {
    let count = |key: &str| value.get(key).and_then(Value::as_array).map_or(0, Vec::len);
    let mut faults = Faults::default();
    if check_sizes(count("nodes"), count("edges"), &mut faults) {
        return Err(faults.into_error());
    }
    match json::object::<_, Draft>(value) {
        Ok(draft) => validate(draft),
        Err(refusal) => Err(explain(value, &refusal)),
    }
}

fn syntax(error: &serde_json::Error) -> DagError {
    let (line, column) = (error.line(), error.column());
    let text = error.to_string();
    let place = format!(" at line {line} column {column}");
    let message = match text.strip_suffix(&place).unwrap_or(&text) {
        "EOF while parsing a value" => "the text ends where a value is expected".to_owned(),
        "recursion limit exceeded" => "lists and objects are nested too deeply".to_owned(),
        said => match said.strip_prefix("EOF while parsing ") {
            Some(what) => format!("the text ends inside {what}"),
            None => cut(said, MESSAGE),
        },
    };
    DagError::one("", FaultKind::Syntax { line, column, message })
}

/// Everything that is wrong with a value that is no draft, because of `refusal` and perhaps more.
fn explain(value: &Value, refusal: &serde_json::Error) -> DagError {
    let mut faults = Faults::default();
    let draft = lenient(value, &mut faults);
    check(&draft, &mut faults);
    // What is known about a place beyond its shape says more than the schema does.
    let known: BTreeSet<String> = faults.pointers().map(str::to_owned).collect();
    let mut said: BTreeSet<String> = BTreeSet::new();
    for fault in draft_faults(value) {
        if !known.contains(&fault.pointer) {
            if said.len() < MAX_FAULTS {
                said.insert(fault.pointer.clone());
            }
            // Our own types say in words what a pattern says in letters.
            let reason = faults.unreadable.get(&fault.pointer);
            let message = reason
                .filter(|reason| !reason.is_empty() && !reason.starts_with("invalid type"))
                .filter(|reason| !reason.starts_with("invalid value"))
                .cloned()
                .unwrap_or(fault.message);
            faults.push_schema(fault.pointer, message);
        }
    }
    // The schema lets some values pass that no type takes, such as 1.0 for a whole number.
    let unsaid: Vec<(String, String)> = std::mem::take(&mut faults.unreadable)
        .into_iter()
        .filter(|(pointer, reason)| {
            let said_below =
                said.range(pointer.clone()..).next().is_some_and(|said| said.starts_with(pointer.as_str()));
            !reason.is_empty() && !said_below && said.len() < MAX_FAULTS
        })
        .collect();
    for (pointer, reason) in unsaid {
        faults.push_schema(pointer, reason);
    }
    if faults.is_empty() {
        faults.push_schema(String::new(), cut(&refusal.to_string(), MESSAGE));
    }
    faults.into_error()
}

/// Reads what can be read of a draft, and notes what cannot.
fn lenient(value: &Value, faults: &mut Faults) -> Draft {
    let Some(draft) = object(value, String::new(), faults) else {
        return Draft::default();
    };
    let mut this = Fields { map: draft, at: String::new(), faults };
    let goal_id = this.required("goal_id");
    let nodes = this.list("nodes", true);
    let edges = this.list("edges", false);
    Draft {
        goal_id,
        nodes: nodes
            .iter()
            .enumerate()
            .map(|(index, node)| lenient_node(node, format!("/nodes/{index}"), faults))
            .collect(),
        edges: edges
            .iter()
            .enumerate()
            .map(|(index, edge)| lenient_edge(edge, format!("/edges/{index}"), faults))
            .collect(),
    }
}

fn lenient_node(value: &Value, at: String, faults: &mut Faults) -> DraftNode {
    // Nearly all are sound: read those in one go.
    if let Ok(node) = json::object(value) {
        return node;
    }
    let Some(map) = object(value, at.clone(), faults) else {
        return DraftNode::default();
    };
    let mut this = Fields { map, at, faults };
    DraftNode {
        id: this.required("id"),
        title: this.required("title"),
        description: this.optional("description"),
        priority: this.optional("priority"),
        expected_artifacts: this.optional("expected_artifacts"),
        capabilities: this.optional("capabilities"),
        run: this.optional("run"),
        checks: this.optional("checks"),
        max_attempts: this.optional("max_attempts"),
        timeout: this.optional("timeout"),
        kind: this.optional("kind"),
        goal: this.optional("goal"),
        plan: this.optional("plan"),
        metadata: this.optional("metadata"),
    }
}

fn lenient_edge(value: &Value, at: String, faults: &mut Faults) -> DraftEdge {
    if let Ok(edge) = json::object(value) {
        return edge;
    }
    let Some(map) = object(value, at.clone(), faults) else {
        return DraftEdge::default();
    };
    let mut this = Fields { map, at, faults };
    DraftEdge { source: this.required("source"), target: this.required("target") }
}

fn object<'a>(value: &'a Value, at: String, faults: &mut Faults) -> Option<&'a Map<String, Value>> {
    let map = value.as_object();
    if map.is_none() {
        faults.unreadable.insert(at, String::new());
    }
    map
}

/// The fields of one object, each read on its own.
struct Fields<'a, 'f> {
    map: &'a Map<String, Value>,
    at: String,
    faults: &'f mut Faults,
}

impl<'a> Fields<'a, '_> {
    fn unreadable(&mut self, key: &str, reason: String) {
        let pointer = format!("{}/{key}", self.at);
        self.faults.unreadable.insert(pointer, reason);
    }

    fn required<T: Default + Deserialize<'a>>(&mut self, key: &str) -> T {
        if !self.map.contains_key(key) {
            self.unreadable(key, String::new());
        }
        self.optional(key)
    }

    fn optional<T: Default + Deserialize<'a>>(&mut self, key: &str) -> T {
        let Some(value) = self.map.get(key) else {
            return T::default();
        };
        T::deserialize(value).unwrap_or_else(|error| {
            self.unreadable(key, cut(&error.to_string(), MESSAGE));
            T::default()
        })
    }

    fn list(&mut self, key: &str, required: bool) -> &'a [Value] {
        match self.map.get(key) {
            Some(Value::Array(list)) => list,
            None if !required => &[],
            _ => {
                self.unreadable(key, String::new());
                &[]
            }
        }
    }
}
