//! One exchange of a script, read from JSON.

use std::time::Duration;

use downbeat_core::llm::{Assess, Decompose, Execute, Select, Summarize};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use serde_path_to_error::Segment;

use super::answer::{Answer, ScriptedError, ScriptedReply, ScriptedUsage};
use super::difference::{self, Difference};
use super::fault::Faults;
use super::files;
use super::kind::Kind;
use super::request::{Question, Request};

/// How often an exchange may be replayed.
const MAX_TIMES: u64 = 1_000_000;
/// How long a script may wait, in milliseconds: an hour.
const MAX_DELAY_MS: u64 = 3_600_000;
/// What an exchange may have.
const MEMBERS: [&str; 9] =
    ["note", "request", "match", "reply", "error", "usage", "times", "delay_ms", "files"];

/// One exchange: what it answers, and how.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Where it stands, for people: the file and a JSON pointer.
    pub(super) place: String,
    pub(super) asked: Asked,
    pub(super) answer: Answer,
    pub(super) times: u32,
    pub(super) delay: Duration,
    /// Paths and contents.
    pub(super) files: Vec<(String, String)>,
}

/// What an exchange answers.
#[derive(Debug)]
pub(super) enum Asked {
    /// This very request.
    Request(Request),
    /// Every request of this kind that has what the pattern has.
    Match(Kind, Value),
}

impl Asked {
    pub(super) fn kind(&self) -> Kind {
        match self {
            Self::Request(request) => request.kind,
            Self::Match(kind, _) => *kind,
        }
    }

    /// Where `request` is not what is answered; empty when it is.
    pub(super) fn differences(&self, request: &Request) -> Vec<Difference> {
        match self {
            Self::Request(scripted) => difference::between(&scripted.json, &request.json),
            Self::Match(_, pattern) => difference::from_pattern(pattern, &request.json),
        }
    }
}

impl Exchange {
    /// Reads the exchange at `pointer` of the present file. `None` when it has a fault, which is
    /// among `faults` then.
    pub(super) fn read(json: Value, pointer: &str, faults: &mut Faults) -> Option<Self> {
        let Value::Object(mut members) = json else {
            faults.at(pointer, "an exchange is an object");
            return None;
        };
        for key in members.keys().filter(|key| !MEMBERS.contains(&key.as_str())) {
            let message = format!("an exchange has no such member; it may have {}", MEMBERS.join(", "));
            faults.at(format!("{pointer}/{}", difference::escaped(key)), message);
        }
        let asked = asked(&mut members, pointer, faults);
        let kind = asked.as_ref().map(Asked::kind);
        let answer = answer(kind, &mut members, pointer, faults);
        let times = number(&members, "times", 1, MAX_TIMES, pointer, faults);
        let delay = number(&members, "delay_ms", 0, MAX_DELAY_MS, pointer, faults);
        let files = files_of(kind, &members, pointer, faults);
        if members.get("note").is_some_and(|note| !note.is_string()) {
            faults.at(format!("{pointer}/note"), "a note is a text");
        }
        let place =
            if pointer.is_empty() { faults.file.clone() } else { format!("{}#{pointer}", faults.file) };
        Some(Self {
            place,
            asked: asked?,
            answer: answer?,
            times: times?.map_or(Some(1), |times| u32::try_from(times).ok())?,
            delay: Duration::from_millis(delay?.unwrap_or(0)),
            files: files?,
        })
    }
}

/// What the exchange answers: `request` or `match`.
fn asked(members: &mut Map<String, Value>, pointer: &str, faults: &mut Faults) -> Option<Asked> {
    let (exact, name, json) = match (members.remove("request"), members.remove("match")) {
        (Some(json), None) => (true, "request", json),
        (None, Some(json)) => (false, "match", json),
        _ => {
            faults.at(pointer, "an exchange has either a `request` or a `match`");
            return None;
        }
    };
    let pointer = format!("{pointer}/{name}");
    let Value::Object(mut question) = json else {
        faults.at(pointer, format!("a {name} is an object"));
        return None;
    };
    let named = question.get("kind").and_then(Value::as_str).and_then(Kind::named);
    let Some(kind) = named else {
        let kinds = Kind::ALL.map(Kind::as_str).join(", ");
        faults.at(format!("{pointer}/kind"), format!("a {name} says its kind, one of {kinds}"));
        return None;
    };
    if !exact {
        return Some(Asked::Match(kind, Value::Object(question)));
    }
    question.shift_remove("kind");
    let json = Value::Object(question);
    let request = match kind {
        Kind::Decompose => request::<Decompose>(&json, &pointer, faults),
        Kind::Select => request::<Select>(&json, &pointer, faults),
        Kind::Execute => request::<Execute>(&json, &pointer, faults),
        Kind::Summarize => request::<Summarize>(&json, &pointer, faults),
        Kind::Assess => request::<Assess>(&json, &pointer, faults),
    };
    request.map(Asked::Request)
}

/// The request that `json` is: what never could be asked is a fault and not an answer nobody gets.
fn request<Q: Question>(json: &Value, pointer: &str, faults: &mut Faults) -> Option<Request> {
    let question: Q = typed(json, pointer, faults)?;
    known_members(json, &question, pointer, faults)?;
    Request::new(&question).map_err(|error| faults.at(pointer, error.to_string())).ok()
}

/// How the exchange answers: `reply` or `error`.
fn answer(
    kind: Option<Kind>,
    members: &mut Map<String, Value>,
    pointer: &str,
    faults: &mut Faults,
) -> Option<Answer> {
    match (members.remove("reply"), members.remove("error")) {
        (Some(_), None) if members.contains_key("usage") => {
            faults.at(format!("{pointer}/usage"), "the usage of a reply stands inside of it");
            None
        }
        (Some(json), None) => {
            let pointer = format!("{pointer}/reply");
            let reply: ScriptedReply = typed(&json, &pointer, faults)?;
            let pointer = format!("{pointer}/value");
            match kind? {
                Kind::Decompose => value::<Decompose>(&reply.value, &pointer, faults),
                Kind::Select => value::<Select>(&reply.value, &pointer, faults),
                Kind::Execute => value::<Execute>(&reply.value, &pointer, faults),
                Kind::Summarize => value::<Summarize>(&reply.value, &pointer, faults),
                Kind::Assess => value::<Assess>(&reply.value, &pointer, faults),
            }?;
            Some(Answer::Reply(reply))
        }
        (None, Some(json)) => {
            let error: ScriptedError = typed(&json, &format!("{pointer}/error"), faults)?;
            let usage = match members.get("usage") {
                Some(json) => typed(json, &format!("{pointer}/usage"), faults)?,
                None => ScriptedUsage::default(),
            };
            Some(Answer::Error(error, usage))
        }
        _ => {
            faults.at(pointer, "an exchange has either a `reply` or an `error`");
            None
        }
    }
}

/// Checks that `json` has the type that the question is answered with. Bounds and sense are not
/// checked: a script may well play a model that answers nonsense.
fn value<Q: Question>(json: &Value, pointer: &str, faults: &mut Faults) -> Option<()> {
    typed::<Q::Answer>(json, pointer, faults).map(|_| ())
}

fn number(
    members: &Map<String, Value>,
    name: &str,
    least: u64,
    most: u64,
    pointer: &str,
    faults: &mut Faults,
) -> Option<Option<u64>> {
    let Some(json) = members.get(name) else {
        return Some(None);
    };
    let number = json.as_u64().filter(|number| (least..=most).contains(number));
    if number.is_none() {
        faults.at(format!("{pointer}/{name}"), format!("`{name}` is a whole number from {least} to {most}"));
    }
    number.map(Some)
}

fn files_of(
    kind: Option<Kind>,
    members: &Map<String, Value>,
    pointer: &str,
    faults: &mut Faults,
) -> Option<Vec<(String, String)>> {
    let Some(json) = members.get("files") else {
        return Some(Vec::new());
    };
    let pointer = format!("{pointer}/files");
    if kind.is_some_and(|kind| kind != Kind::Execute) {
        faults.at(pointer, "only an exchange of kind execute writes files");
        return None;
    }
    let Value::Object(entries) = json else {
        faults.at(pointer, "`files` is an object of paths and contents");
        return None;
    };
    let mut sound = Some(Vec::new());
    for (path, content) in entries {
        let fault = match (files::check(path), content) {
            (Ok(()), Value::String(content)) => {
                if let Some(files) = &mut sound {
                    files.push((path.clone(), content.clone()));
                }
                continue;
            }
            (Err(why), _) => why,
            (Ok(()), _) => "the content of a file is a text",
        };
        faults.at(format!("{pointer}/{}", difference::escaped(path)), fault);
        sound = None;
    }
    sound
}

/// `json` as a `T`, which is written as an object.
fn typed<T: DeserializeOwned>(json: &Value, pointer: &str, faults: &mut Faults) -> Option<T> {
    if !json.is_object() {
        // A derived type would also take a list of its members.
        faults.at(pointer, "an object is needed here");
        return None;
    }
    serde_path_to_error::deserialize(json)
        .map_err(|error| faults.at(below(pointer, error.path()), error.inner().to_string()))
        .ok()
}

fn below(pointer: &str, path: &serde_path_to_error::Path) -> String {
    let mut pointer = pointer.to_owned();
    for segment in path {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&format!("/{}", difference::escaped(key))),
            // A variant's name is no level of the JSON, and what is unknown ends the path.
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Reports what `json` has and the type of `understood` has not: a slip there would otherwise make
/// an exchange answer something else than it says.
fn known_members<Q: Question>(
    json: &Value,
    understood: &Q,
    pointer: &str,
    faults: &mut Faults,
) -> Option<()> {
    let written = serde_json::to_value(understood).ok()?;
    let lost = difference::lost(json, &written);
    for member in &lost {
        faults.at(format!("{pointer}{member}"), format!("a request of kind {} has no such member", Q::KIND));
    }
    lost.is_empty().then_some(())
}
