//! The YAML form: the whole file, or a `yaml` block in a Markdown file.

use std::ops::Range;

use super::check::{Found, MAX_DECLARED};
use super::faults::Faults;
use super::field::{Content, Field, Form, Keyed, Value, normal, recognise, slice, unquoted};
use super::node::{self, Node, Placed};
use super::{agent, goal};
use crate::diagnostic::Diagnostic;
use crate::ids::{Capability, GoalId};

/// The goal of an agent that names none, in a file that declares none.
const DEFAULT_GOAL: &str = "goal-default";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Version,
    Agents,
    Goals,
}

const KEYS: &[(&str, Key)] =
    &[("instruction schema version", Key::Version), ("agents", Key::Agents), ("goals", Key::Goals)];

/// Whether a text is in the YAML form: its first line that says anything is one of the outermost
/// keys, or opens a mapping in braces that has one.
pub(super) fn looks_like(text: &str) -> bool {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut lines = text.lines().filter(|line| {
        let line = line.trim_end();
        !(line.is_empty() || line.starts_with('#') || line == "---" || line.starts_with("%YAML"))
    });
    let Some(first) = lines.next() else {
        return false;
    };
    if first.starts_with('{') {
        return text.contains("agents") || text.contains("instruction_schema_version");
    }
    // Before the first key any word may stand that is meant to be one.
    is_key(first) && (is_outermost(first) || lines.any(is_outermost))
}

/// Whether a `yaml` block declares agents.
pub(super) fn declares(block: &str) -> bool {
    block.lines().any(is_outermost)
}

fn is_key(line: &str) -> bool {
    line.split_once(':').is_some_and(|(key, rest)| {
        let key = key.trim_matches(['"', '\'']);
        !key.is_empty()
            && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'))
            && (rest.is_empty() || rest.starts_with(char::is_whitespace))
    })
}

/// A line such as `agents:` or `instruction_schema_version: 2`; prose that begins with `agents:` has
/// a word behind it.
fn is_outermost(line: &str) -> bool {
    let Some((key, rest)) = line.split_once(':') else {
        return false;
    };
    let rest = rest.trim();
    let opens = rest.is_empty() || rest.starts_with(['[', '#', '&', '*', '~']) || rest == "null";
    match normal(key.trim_end().trim_matches(['"', '\''])).as_str() {
        "instruction schema version" => !line.starts_with(char::is_whitespace),
        "agents" => opens && !line.starts_with(char::is_whitespace),
        _ => false,
    }
}

/// Reads the YAML text at `range`.
pub(super) fn read(range: &Range<usize>, found: &mut Found, faults: &mut Faults<'_>) {
    let text = faults.text();
    let mut reader = Reader { yaml: slice(text, range), text, base: range.start };
    if let Some(rest) = reader.yaml.strip_prefix('\u{feff}') {
        reader.base += reader.yaml.len() - rest.len();
        reader.yaml = rest;
    }
    found.default_goal = GoalId::new(DEFAULT_GOAL).ok();
    match node::read(reader.yaml) {
        Ok(node) => reader.file(&node, found, faults),
        Err(error) => {
            found.broken_agent = true;
            faults.push(reader.refusal(&error));
        }
    }
}

struct Reader<'a> {
    /// The whole file, the YAML in it, and where that begins.
    text: &'a str,
    yaml: &'a str,
    base: usize,
}

/// One pair of a mapping.
struct Pair<'n> {
    key: Value,
    node: &'n Placed,
}

impl Keyed for Pair<'_> {
    fn key(&self) -> &Value {
        &self.key
    }
}

impl Reader<'_> {
    fn file(&self, node: &Placed, found: &mut Found, faults: &mut Faults<'_>) {
        let start = self.base..self.base;
        found.no_agent = Some(
            Diagnostic::error(start.clone(), "no agent is declared")
                .help("add a line `agents:`, and below it an entry such as `- name: worker`"),
        );
        let Some(pairs) = self.pairs(node) else {
            found.broken_agent = true;
            faults.error_with(
                &start,
                "the file is not a mapping",
                "write `agents:` with a list of agents below it",
            );
            return;
        };
        let count = pairs.len();
        let known = recognise(pairs, KEYS, Form::YamlTop, faults);
        // The agents may be below a misspelled key.
        found.broken_agent |= known.len() < count;
        for (key, pair) in known {
            match key {
                Key::Version => self.version(&pair, faults),
                Key::Agents => self.agents(&pair, found, faults),
                Key::Goals => self.goals(&pair, found, faults),
            }
        }
    }

    fn version(&self, pair: &Pair<'_>, faults: &mut Faults<'_>) {
        match self.content(pair.node) {
            Content::One(value) if value.text.trim() == "2" => {}
            Content::One(value) => faults.error_with(
                &value.span,
                format!("instructions of version `{}` are not known", value.text),
                "write `instruction_schema_version: \"2\"`",
            ),
            _ => faults.error_with(
                &pair.key.span,
                "`instruction_schema_version` has no value",
                "write `instruction_schema_version: \"2\"`",
            ),
        }
    }

    fn agents(&self, pair: &Pair<'_>, found: &mut Found, faults: &mut Faults<'_>) {
        found.no_agent = Some(
            Diagnostic::error(pair.key.span.clone(), "no agent is declared")
                .help("add below it an entry such as `- name: worker`"),
        );
        let Some(entries) = self.entries(pair, found, faults) else {
            return;
        };
        for entry in entries {
            if let Some((place, fields)) = self.fields(entry, "an agent", faults)
                && let Some(mut agent) = agent::read(None, &place, fields, Form::Yaml, faults)
            {
                // In this form a role has always said which tasks an agent may be given.
                if agent.capabilities.is_empty()
                    && let Some(role) = agent.role.as_deref().and_then(|role| Capability::new(role).ok())
                {
                    agent.capabilities.push(role);
                }
                found.agents.push(agent);
            } else {
                found.broken_agent = true;
            }
        }
    }

    fn goals(&self, pair: &Pair<'_>, found: &mut Found, faults: &mut Faults<'_>) {
        found.goals_declared = true;
        let Some(entries) = self.entries(pair, found, faults) else {
            return;
        };
        for entry in entries {
            let Some((place, fields)) = self.fields(entry, "a goal", faults) else {
                continue;
            };
            let named = fields.iter().any(|field| normal(&field.key.text) == "id");
            if !named {
                faults.error_with(&place, "a goal has no id", "add `id: my-goal`");
            }
            found.goals.extend(goal::read(None, fields, Form::Yaml, faults));
        }
    }

    /// The entries of a list of agents or goals.
    fn entries<'n>(
        &self,
        pair: &Pair<'n>,
        found: &mut Found,
        faults: &mut Faults<'_>,
    ) -> Option<&'n [Placed]> {
        let key = &pair.key.text;
        match &pair.node.value {
            Node::Sequence(entries) => {
                if let Some(over) = entries.get(MAX_DECLARED) {
                    faults.error(&self.place(over), format!("a file has at most {MAX_DECLARED} {key}"));
                }
                return entries.get(..entries.len().min(MAX_DECLARED));
            }
            Node::Null => {}
            _ => {
                found.broken_agent = true;
                faults.error_with(
                    &self.place(pair.node),
                    format!("`{key}` is not a list"),
                    "begin each entry with `- `",
                );
            }
        }
        None
    }

    /// The fields of one agent or goal, and where it begins.
    fn fields(
        &self,
        node: &Placed,
        kind: &str,
        faults: &mut Faults<'_>,
    ) -> Option<(Range<usize>, Vec<Field>)> {
        let Some(pairs) = self.pairs(node).filter(|pairs| !pairs.is_empty()) else {
            faults.error_with(
                &self.place(node),
                format!("{kind} is not a mapping"),
                "write keys and values, such as `name: worker`",
            );
            return None;
        };
        let place = self.place(node);
        let fields =
            pairs.into_iter().map(|pair| Field { content: self.content(pair.node), key: pair.key }).collect();
        Some((place, fields))
    }

    fn pairs<'n>(&self, node: &'n Placed) -> Option<Vec<Pair<'n>>> {
        let Node::Mapping(pairs) = &node.value else {
            return None;
        };
        let pair = |(key, node): &'n (serde_saphyr::Spanned<String>, Placed)| Pair {
            key: self.value(&key.value, key.referenced),
            node,
        };
        Some(pairs.iter().map(pair).collect())
    }

    fn content(&self, node: &Placed) -> Content {
        match &node.value {
            Node::Null => Content::Nothing,
            Node::Text(text) => Content::One(self.value(text, node.referenced)),
            Node::Literal(text) => {
                let written = slice(self.text, &self.span(node.defined));
                let text = if written.is_empty() { text } else { written };
                Content::One(self.value(text, node.referenced))
            }
            Node::Sequence(entries) => {
                let mut values = Vec::with_capacity(entries.len());
                for entry in entries {
                    match self.content(entry) {
                        Content::One(value) => values.push(value),
                        Content::Nothing => values.push(self.value("", entry.referenced)),
                        Content::Many(_) | Content::Else(_) => {
                            return Content::Else(self.place(entry));
                        }
                    }
                }
                Content::Many(values)
            }
            Node::Mapping(_) => Content::Else(self.place(node)),
        }
    }

    /// A text at its place, inside the quotes if it has any.
    fn value(&self, text: &str, location: serde_saphyr::Location) -> Value {
        let mut span = self.span(location);
        let raw = slice(self.text, &span);
        let inner = unquoted(raw, "\"").or_else(|| unquoted(raw, "'"));
        if let Some(inner) = inner.filter(|inner| raw.get(inner.clone()) == Some(text)) {
            span = span.start + inner.start..span.start + inner.end;
        }
        Value { text: text.to_owned(), span }
    }

    /// Where a node begins: a mapping's first key, else the node itself.
    fn place(&self, node: &Placed) -> Range<usize> {
        match &node.value {
            Node::Mapping(pairs) => {
                pairs.first().map_or_else(|| self.span(node.referenced), |(key, _)| self.span(key.referenced))
            }
            _ => self.span(node.referenced),
        }
    }

    /// A place in the YAML as a place in the file.
    fn span(&self, location: serde_saphyr::Location) -> Range<usize> {
        let span = location.span();
        let bytes = span
            .byte_offset()
            .and_then(|start| usize::try_from(start).ok())
            .zip(span.byte_len().and_then(|len| usize::try_from(len).ok()));
        let (start, len) = bytes.unwrap_or_else(|| (self.offset(location), 1));
        let start = self.boundary(self.base + start);
        start..self.boundary(start + len)
    }

    /// The byte that a line and column are at.
    fn offset(&self, location: serde_saphyr::Location) -> usize {
        let line = usize::try_from(location.line()).unwrap_or(usize::MAX);
        let column = usize::try_from(location.column()).unwrap_or(usize::MAX);
        let mut start = 0;
        for _ in 1..line {
            match self.yaml.get(start..).and_then(|rest| rest.find('\n')) {
                Some(newline) => start += newline + 1,
                None => return self.yaml.len(),
            }
        }
        let rest = self.yaml.get(start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        start + line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at)
    }

    /// The nearest place at or before `at` that is between two characters of the YAML.
    fn boundary(&self, at: usize) -> usize {
        let mut at = at.min(self.base + self.yaml.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        at
    }

    /// What the YAML parser could not read.
    fn refusal(&self, error: &serde_saphyr::Error) -> Diagnostic {
        let said = error.without_snippet().to_string();
        let said = said.split(" at line ").next().unwrap_or_default();
        let start = error.location().map_or(self.base, |location| self.span(location).start);
        let end = slice(self.text, &(start..self.base + self.yaml.len()))
            .chars()
            .next()
            .map_or(start, |letter| start + letter.len_utf8());
        let span = start..end;
        if said.starts_with("budget breached") || said.contains("limit exceeded") {
            let fault = Diagnostic::error(span, "the YAML is too large or too deep");
            let aliases = self.yaml.contains('*');
            return if aliases { fault.help("aliases count as often as they are used") } else { fault };
        }
        if said.starts_with("multiple YAML documents") {
            let before = slice(self.text, &(self.base..span.start));
            let span = before.rfind("\n---").map_or(span, |at| self.base + at + 1..self.base + at + 4);
            return Diagnostic::error(span, "a second YAML document begins")
                .help("only one is read: remove the line `---`");
        }
        let said = said.lines().next().unwrap_or_default();
        let fault = Diagnostic::error(span, format!("the YAML cannot be read: {said}"));
        let helps = [
            ("mapping values are not allowed", "put a text that has a colon in quotes"),
            ("tabs disallowed", "indent with blanks"),
            ("unknown anchor", "put a text that begins with `*` in quotes"),
            ("block collection", "write the keys of one entry below each other, in the same column"),
            ("block mapping", "write the keys of one entry below each other, in the same column"),
        ];
        match helps.into_iter().find(|(words, _)| said.contains(words)) {
            Some((_, help)) => fault.help(help),
            None => fault,
        }
    }
}
