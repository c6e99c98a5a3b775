//! The keys of an agent, in either form.

use std::ops::Range;
use std::str::FromStr;

use super::faults::Faults;
use super::field::{Field, Form, Value, recognise, slice};
use super::types::{AgentSpec, Dependency, LogLevel, Milestone, Spanned};
use crate::dag::ORCHESTRATOR_CAPABILITY;
use crate::ids::{AgentName, Capability, GroupName, IdError};
use crate::span::HumanDuration;

/// The most restarts that one may allow.
const MAX_RESTARTS: u32 = 1_000_000;
/// The greatest limit of a group.
const MAX_GROUP_LIMIT: u32 = 1_000_000;
/// The most copies of an agent.
const MAX_COPIES: u32 = 1_000;
/// The most tasks that one agent may work on at once.
const MAX_PARALLEL: u32 = 1_000;
/// The most characters of a role, a model's name or a path.
const MAX_TEXT: usize = 4_096;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// In the YAML form only; in the other the heading is the name.
    Name,
    Goal,
    Heartbeat,
    LogLevel,
    Instructions,
    Role,
    Capabilities,
    Cadence,
    DependsOn,
    MaxParallel,
    Llm,
    Groups,
    Restart,
    MaxRestarts,
    RestartWindow,
    Timeout,
    Min,
    Max,
}

/// The keys in their normal spelling; the second spellings come last, so that help names the first.
pub(super) const KEYS: &[(&str, Key)] = &[
    ("goal", Key::Goal),
    ("heartbeat", Key::Heartbeat),
    ("log level", Key::LogLevel),
    ("instructions", Key::Instructions),
    ("role", Key::Role),
    ("capabilities", Key::Capabilities),
    ("cadence", Key::Cadence),
    ("depends on", Key::DependsOn),
    ("max parallel", Key::MaxParallel),
    ("llm", Key::Llm),
    ("groups", Key::Groups),
    ("restart", Key::Restart),
    ("max restarts", Key::MaxRestarts),
    ("restart window", Key::RestartWindow),
    ("timeout", Key::Timeout),
    ("min", Key::Min),
    ("max", Key::Max),
    ("goal id", Key::Goal),
    ("cadence seconds", Key::Cadence),
];

/// Reads an agent at `place`; `None` when it has no valid name. Other faults leave a gap and are
/// reported. Without `name` a field has it.
pub(super) fn read(
    name: Option<Value>,
    place: &Range<usize>,
    fields: Vec<Field>,
    form: Form,
    faults: &mut Faults<'_>,
) -> Option<AgentSpec> {
    let mut keys = KEYS.to_vec();
    if name.is_none() {
        keys.insert(0, ("name", Key::Name));
    }
    let fields = recognise(fields, &keys, form, faults);
    let name = match name {
        Some(name) => Some(name),
        None => match fields.iter().find(|(key, _)| *key == Key::Name) {
            Some((_, field)) => field.scalar(faults),
            None => {
                faults.error_with(place, "an agent has no name", "add `name: worker`");
                None
            }
        },
    };
    let name = name.and_then(|name| id(&name, "agent", faults));
    // A stand-in while the keys are read: an agent without a valid name is not returned.
    let mut agent = AgentSpec::named(Spanned::new(AgentName::new("_").ok()?, 0..0));
    for (key, field) in fields {
        take(&mut agent, key, &field, faults);
    }
    agent.name = name?;
    Some(agent)
}

fn take(agent: &mut AgentSpec, key: Key, field: &Field, faults: &mut Faults<'_>) {
    match key {
        Key::Name => {}
        Key::Goal => {
            agent.goal = field.scalar(faults).and_then(|value| id(&value, "goal", faults));
        }
        Key::Heartbeat => agent.heartbeat = text(field, faults),
        Key::Instructions => agent.instructions = text(field, faults),
        Key::Role => agent.role = text(field, faults).map(|role| role.value),
        Key::Llm => agent.llm = text(field, faults).map(|llm| llm.value),
        Key::LogLevel => {
            agent.log_level = field.scalar(faults).and_then(|value| {
                let level = value.text.parse::<LogLevel>();
                if level.is_err() {
                    faults.unknown(
                        &value.span,
                        format!("`{}` is not a log level", value.text),
                        &value.text,
                        ["trace", "debug", "info", "warn", "error", "off"],
                        || "write trace, debug, info, warn, error or off".to_owned(),
                    );
                }
                level.ok()
            });
        }
        Key::Capabilities => agent.capabilities = capabilities(field.list(faults), faults),
        Key::Cadence => {
            agent.cadence = field.scalar(faults).and_then(|value| duration(&value, faults));
        }
        Key::DependsOn => {
            for value in field.list(faults) {
                agent.depends_on.extend(dependency(&value, faults));
            }
        }
        Key::Groups => {
            for value in field.list(faults) {
                let Some((group, limit)) = group(&value, faults) else { continue };
                if let Some(limit) = limit {
                    agent.group_limits.push((group.value.clone(), limit));
                }
                if !agent.groups.iter().any(|known| known.value == group.value) {
                    agent.groups.push(group);
                }
            }
        }
        Key::Restart => {
            agent.restart = field.scalar(faults).and_then(|value| {
                let names = ["never", "on-failure", "always"];
                word(&value, "a restart policy", names, "write never, on-failure or always", faults)
            });
        }
        Key::MaxRestarts => {
            agent.max_restarts = field
                .scalar(faults)
                .and_then(|value| number(&value, &field.key.text, 0, MAX_RESTARTS, faults));
        }
        Key::RestartWindow => {
            agent.restart_window = field.scalar(faults).and_then(|value| duration(&value, faults));
        }
        Key::Timeout => {
            agent.timeout = field.scalar(faults).and_then(|value| duration(&value, faults));
        }
        Key::Min => {
            agent.min = field.scalar(faults).and_then(|value| copies(&value, &field.key.text, 0, faults));
        }
        Key::Max => {
            agent.max = field.scalar(faults).and_then(|value| copies(&value, &field.key.text, 1, faults));
        }
        Key::MaxParallel => {
            agent.max_parallel = field
                .scalar(faults)
                .and_then(|value| number(&value, &field.key.text, 1, MAX_PARALLEL, faults));
        }
    }
}

/// A number of copies, with its place.
fn copies(value: &Value, key: &str, least: u32, faults: &mut Faults<'_>) -> Option<Spanned<u32>> {
    number(value, key, least, MAX_COPIES, faults).map(|number| Spanned::new(number, value.span.clone()))
}

/// `name`, or `name (started|ready|finished)`.
fn dependency(value: &Value, faults: &mut Faults<'_>) -> Option<Dependency> {
    let (name, until) = match in_brackets(value, faults) {
        None => (value.clone(), Milestone::default()),
        Some((name, milestone)) => {
            let names = ["started", "ready", "finished"];
            let help = "write `name (started)`, `name (ready)` or `name (finished)`";
            (name, word(&milestone, "something to wait for", names, help, faults)?)
        }
    };
    Some(Dependency { agent: id(&name, "agent", faults)?, until })
}

/// `name`, or `name (2)` with how many of it may live at once.
fn group(value: &Value, faults: &mut Faults<'_>) -> Option<(Spanned<GroupName>, Option<Spanned<u32>>)> {
    let Some((name, limit)) = in_brackets(value, faults) else {
        return Some((id(value, "group", faults)?, None));
    };
    let name = id(&name, "group", faults);
    let number = limit.text.parse::<u32>().ok().filter(|number| (1..=MAX_GROUP_LIMIT).contains(number));
    let Some(number) = number else {
        let shown: String = limit.text.chars().take(60).collect();
        faults.error_with(
            &limit.span,
            format!("`{}` is no limit of a group", shown.escape_debug()),
            format!(
                "write how many of it may live at once, such as `writers (2)`: from 1 to {MAX_GROUP_LIMIT}"
            ),
        );
        return None;
    };
    Some((name?, Some(Spanned::new(number, limit.span))))
}

/// The two parts of `name (more)`, each at its place.
fn in_brackets(value: &Value, faults: &Faults<'_>) -> Option<(Value, Value)> {
    let (name, more) = value.text.strip_suffix(')')?.split_once('(')?;
    let name = name.trim().trim_matches('`');
    let more = Value { text: more.trim().to_owned(), span: value.span.clone() };
    // The name stands first, so its place is known.
    let span = match slice(faults.text(), &value.span).find(name) {
        Some(at) if !name.is_empty() => value.span.start + at..value.span.start + at + name.len(),
        _ => value.span.clone(),
    };
    Some((Value { text: name.to_owned(), span }, more))
}

/// One of a few words; `what` says what they are.
fn word<T: FromStr>(
    value: &Value,
    what: &str,
    words: [&str; 3],
    help: &str,
    faults: &mut Faults<'_>,
) -> Option<T> {
    let read = value.text.parse::<T>().ok();
    if read.is_none() {
        let shown: String = value.text.chars().take(60).collect();
        let message = format!("`{}` is not {what}", shown.escape_debug());
        faults.unknown(&value.span, message, &value.text, words, || help.to_owned());
    }
    read
}

/// A text as an id; `kind` says of what.
pub(super) fn id<T: FromStr<Err = IdError>>(
    value: &Value,
    kind: &str,
    faults: &mut Faults<'_>,
) -> Option<Spanned<T>> {
    match value.text.parse() {
        Ok(id) => Some(Spanned::new(id, value.span.clone())),
        Err(IdError::Empty) => {
            faults.error(&value.span, format!("the name of the {kind} is missing"));
            None
        }
        Err(error) => {
            let shown: String = value.text.chars().take(60).collect();
            let message = format!("`{}` cannot name a {kind}: {error}", shown.escape_debug());
            // "a agent" would not read.
            let message = message.replace("name a agent", "name an agent");
            match super::slug::slug(&value.text) {
                Some(slug) if slug != value.text => {
                    faults.error_with(&value.span, message, format!("write for example `{slug}`"));
                }
                _ => faults.error(&value.span, message),
            }
            None
        }
    }
}

/// Capabilities, none twice.
pub(super) fn capabilities(values: Vec<Value>, faults: &mut Faults<'_>) -> Vec<Capability> {
    let mut all: Vec<Capability> = Vec::new();
    for value in values {
        if value.text == ORCHESTRATOR_CAPABILITY {
            faults.error(&value.span, format!("capability `{}` is reserved", value.text));
        } else if let Some(capability) = id::<Capability>(&value, "capability", faults)
            && !all.contains(&capability.value)
        {
            all.push(capability.value);
        }
    }
    all
}

/// A span of time.
pub(super) fn duration(value: &Value, faults: &mut Faults<'_>) -> Option<HumanDuration> {
    value.text.parse::<HumanDuration>().map_err(|error| faults.error(&value.span, error.to_string())).ok()
}

/// A whole number from `least` to `most`.
pub(super) fn number(
    value: &Value,
    key: &str,
    least: u32,
    most: u32,
    faults: &mut Faults<'_>,
) -> Option<u32> {
    let number = value.text.parse::<u32>().ok().filter(|number| (least..=most).contains(number));
    if number.is_none() {
        faults.error(
            &value.span,
            format!(
                "`{}` is not a value of `{key}`: write a whole number from {least} to {most}",
                value.text.chars().take(60).collect::<String>()
            ),
        );
    }
    number
}

/// A text of a sensible length.
pub(super) fn text(field: &Field, faults: &mut Faults<'_>) -> Option<Spanned<String>> {
    let value = field.scalar(faults)?;
    if value.text.len() > MAX_TEXT {
        faults.error(&value.span, format!("`{}` has at most {MAX_TEXT} bytes", field.key.text));
        return None;
    }
    Some(Spanned::new(value.text, value.span))
}
