//! A request as a script knows it.

use std::path::{Path, PathBuf};

use downbeat_core::dag::Draft;
use downbeat_core::llm::{
    Assess, Assessment, Decompose, Execute, Execution, LlmError, Select, Selection, Summarize, Summary,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::canonical;
use super::kind::Kind;

/// What stands for the workspace, so that a script can be replayed in another directory.
pub(super) const WORKSPACE: &str = "$WORKSPACE";

/// One of the requests of the [`Llm`](downbeat_core::llm::Llm) trait.
pub(crate) trait Question: Clone + Serialize + DeserializeOwned {
    const KIND: Kind;
    /// What it is answered with.
    type Answer: Serialize + DeserializeOwned;

    /// Puts [`WORKSPACE`] in the place of the directory to work in; gives that directory.
    fn take_workspace(&mut self) -> Option<PathBuf> {
        None
    }
}

impl Question for Decompose {
    const KIND: Kind = Kind::Decompose;
    type Answer = Draft;
}

impl Question for Select {
    const KIND: Kind = Kind::Select;
    type Answer = Selection;
}

impl Question for Execute {
    const KIND: Kind = Kind::Execute;
    type Answer = Execution;

    fn take_workspace(&mut self) -> Option<PathBuf> {
        Some(std::mem::replace(&mut self.workspace, PathBuf::from(WORKSPACE)))
    }
}

impl Question for Summarize {
    const KIND: Kind = Kind::Summarize;
    type Answer = Summary;
}

impl Question for Assess {
    const KIND: Kind = Kind::Assess;
    type Answer = Assessment;
}

/// A request, ready to be looked up.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) kind: Kind,
    /// All of it, with its `kind`, and [`WORKSPACE`] for the directory to work in.
    pub(super) json: Value,
    /// The digest of `json`.
    pub(super) key: String,
    /// The directory to work in, if it is to be worked in one.
    pub(super) workspace: Option<PathBuf>,
}

impl Request {
    /// # Errors
    ///
    /// [`LlmError::Unusable`] for what JSON cannot say; no type of request has such a thing today.
    pub(super) fn new<Q: Question>(question: &Q) -> Result<Self, LlmError> {
        let mut question = question.clone();
        let workspace = question.take_workspace();
        let mut json = serde_json::to_value(&question)
            .map_err(|error| LlmError::Unusable { reason: format!("a request is no JSON: {error}") })?;
        if let Some(name) = workspace.as_deref().and_then(replaceable) {
            hide(&mut json, name);
        }
        if let Value::Object(members) = &mut json {
            members.shift_insert(0, "kind".to_owned(), Q::KIND.as_str().into());
        }
        Ok(Self { kind: Q::KIND, key: canonical::digest(&json), json, workspace })
    }
}

/// The path, if it is long enough to be meant wherever it stands in a text.
fn replaceable(workspace: &Path) -> Option<&str> {
    let deep = workspace.is_absolute() && workspace.components().count() > 2;
    workspace.to_str().filter(|_| deep).map(|name| name.trim_end_matches('/'))
}

/// Puts [`WORKSPACE`] in the place of `name` in all texts: messages of tools often hold full paths.
fn hide(value: &mut Value, name: &str) {
    match value {
        Value::String(text) if text.contains(name) => *text = hidden(text, name),
        Value::Array(items) => items.iter_mut().for_each(|item| hide(item, name)),
        Value::Object(members) => members.values_mut().for_each(|member| hide(member, name)),
        _ => {}
    }
}

fn hidden(text: &str, name: &str) -> String {
    let mut parts = text.split(name);
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // `/a/count` is no part of `/a/counter` or of `/b/a/count`.
        let longer = part.starts_with(|letter: char| letter.is_alphanumeric() || "-_".contains(letter))
            || out.ends_with(|letter: char| letter.is_alphanumeric() || "-_.".contains(letter));
        out.push_str(if longer { name } else { WORKSPACE });
        out.push_str(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use downbeat_core::state::Failure;

    use super::*;
    use crate::testing;

    #[test]
    fn a_request_is_the_same_in_every_workspace() {
        let in_directory = |path: &str| {
            let mut request = testing::execute("lines");
            request.workspace = PathBuf::from(path);
            request.last_error = Some(Failure::new(format!("{path}/lines.csv: no such file"), None));
            Request::new(&request).unwrap()
        };
        let (one, other) = (in_directory("/home/ada/count"), in_directory("/tmp/x"));
        assert_eq!(one.json, other.json);
        assert_eq!(one.key, other.key);
        assert_eq!(one.json["workspace"], WORKSPACE);
        assert_eq!(one.json["last_error"]["message"], "$WORKSPACE/lines.csv: no such file");
        assert_eq!(other.workspace.as_deref(), Some(Path::new("/tmp/x")));
    }

    #[test]
    fn only_the_workspace_itself_is_replaced() {
        let name = "/a/count";
        for (text, expected) in [
            ("/a/count", "$WORKSPACE"),
            ("in /a/count, /a/count/x and `/a/count`.", "in $WORKSPACE, $WORKSPACE/x and `$WORKSPACE`."),
            ("/a/counter /a/count-2", "/a/counter /a/count-2"),
            ("/b/a/count ../a/count", "/b/a/count ../a/count"),
        ] {
            assert_eq!(hidden(text, name), expected);
        }
        assert_eq!(replaceable(Path::new("/")), None);
        assert_eq!(replaceable(Path::new("/tmp")), None);
        assert_eq!(replaceable(Path::new("out/x")), None);
    }

    #[test]
    fn the_kind_is_part_of_the_key() {
        let request = Request::new(&testing::decompose("x")).unwrap();
        assert_eq!(request.json["kind"], "decompose");
        assert_eq!(request.key, canonical::digest(&request.json));
        assert_ne!(request.key, Request::new(&testing::decompose("y")).unwrap().key);
    }
}
