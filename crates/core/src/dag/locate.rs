//! From the JSON pointer of a fault to its place in the text.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::fault::{DagError, DagFault, FaultKind};
use crate::diagnostic::{Diagnostic, positions};

/// How deep lists and objects are followed, as the parser does.
const MAX_DEPTH: usize = 128;

/// Where a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    /// Its key with the quotes, in an object.
    key: Option<Range<usize>>,
    value: Range<usize>,
}

impl DagError {
    /// The faults at their places in `json`, the text that was refused, in the order of its lines.
    #[must_use]
    pub fn diagnostics(&self, json: &str) -> Vec<Diagnostic> {
        let targets: Vec<String> = self.faults.iter().map(target).collect();
        let first = |fault: &DagFault| match fault.kind {
            FaultKind::DuplicateTask { first, .. } => Some(format!("/nodes/{first}/id")),
            _ => None,
        };
        let firsts: Vec<Option<String>> = self.faults.iter().map(first).collect();
        let mut wanted: HashSet<&str> = HashSet::new();
        for pointer in targets.iter().chain(firsts.iter().flatten()) {
            wanted.extend(ancestors(pointer));
        }
        let places = locate(json, &wanted);
        // All at once: the text may be long.
        let mut starts: Vec<usize> =
            firsts.iter().flatten().filter_map(|it| Some(places.get(it.as_str())?.value.start)).collect();
        starts.sort_unstable();
        let lines: HashMap<usize, usize> =
            starts.iter().copied().zip(positions(json, starts.iter().copied()).map(|it| it.line)).collect();
        let mut all: Vec<Diagnostic> = Vec::with_capacity(self.faults.len());
        for ((fault, target), first) in self.faults.iter().zip(&targets).zip(&firsts) {
            let span = match &fault.kind {
                FaultKind::Syntax { line, column, message } => {
                    repeated(json, message, character(json, *line, *column))
                }
                kind => span(kind, target, &places).unwrap_or(0..0),
            };
            let message = match &fault.kind {
                FaultKind::Syntax { message, .. } => message.clone(),
                FaultKind::DuplicateTask { id, .. } => format!("the task id `{id}` is taken"),
                kind => kind.to_string(),
            };
            let mut diagnostic = Diagnostic::error(span, message);
            let place = first.as_ref().and_then(|first| places.get(first.as_str()));
            if let Some(line) = place.and_then(|place| lines.get(&place.value.start)) {
                diagnostic = diagnostic.help(format!("the first is on line {line}"));
            }
            all.push(diagnostic);
        }
        all.sort_by_key(|diagnostic| diagnostic.span.start);
        all
    }
}

/// The pointer to what a fault is about.
fn target(fault: &DagFault) -> String {
    let unexpected = match &fault.kind {
        FaultKind::Schema { message } => message.strip_prefix("unexpected key `"),
        _ => None,
    };
    // The schema points at the object that has the key.
    match unexpected.and_then(|rest| rest.split_once('`')) {
        Some((key, _)) => format!("{}/{}", fault.pointer, escaped(key)),
        None => fault.pointer.clone(),
    }
}

/// What to show of a fault: the nearest that is there.
fn span(kind: &FaultKind, target: &str, places: &HashMap<&str, Place>) -> Option<Range<usize>> {
    let place = ancestors(target).find_map(|pointer| places.get(pointer))?;
    let by_key = match kind {
        FaultKind::Empty | FaultKind::TooManyTasks { .. } | FaultKind::TooManyEdges { .. } => true,
        FaultKind::Schema { message } => message.starts_with("unexpected key"),
        _ => false,
    };
    Some(place.key.clone().filter(|_| by_key).unwrap_or_else(|| place.value.clone()))
}

/// A pointer and all above it, up to the whole.
fn ancestors(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |pointer| pointer.rfind('/').and_then(|at| pointer.get(..at)))
}

/// A key as it stands in a pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The key that comes twice, if that is the slip: the parser stops behind its value.
fn repeated(json: &str, message: &str, slip: Range<usize>) -> Range<usize> {
    let key = message.strip_prefix("duplicate key `").and_then(|rest| rest.strip_suffix('`'));
    let quoted = key.map(|key| format!("\"{key}\""));
    let before = json.get(..slip.start).unwrap_or_default();
    let at = quoted.and_then(|quoted| before.rfind(&quoted).map(|at| at..at + quoted.len()));
    at.unwrap_or(slip)
}

/// The character at a line and a column in bytes, both from 1; the last that is no blank at the end.
fn character(json: &str, line: usize, column: usize) -> Range<usize> {
    let before: usize = json.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let last = json.trim_end().char_indices().next_back().map_or(0, |(at, _)| at);
    let mut start = (before + column.saturating_sub(1)).min(last);
    while !json.is_char_boundary(start) {
        start -= 1;
    }
    let len = json.get(start..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
    start..start + len
}

/// A list or an object that is being read.
struct Open {
    /// The number of the element, in a list.
    index: Option<usize>,
    /// How much of the path is the way to it.
    path: usize,
    key: Option<Range<usize>>,
    start: usize,
}

/// The places of those of `wanted`, which are pointers, that are there.
///
/// Reads as far as the text is JSON, once and without recursion.
fn locate<'p>(json: &str, wanted: &HashSet<&'p str>) -> HashMap<&'p str, Place> {
    let mut found = HashMap::with_capacity(wanted.len());
    let mut path = String::new();
    let mut open: Vec<Open> = Vec::new();
    let mut key: Option<Range<usize>> = None;
    let mut at = json.len() - json.trim_start_matches('\u{feff}').len();
    let mut keep = |path: &str, key: Option<Range<usize>>, value: Range<usize>| {
        if let Some(pointer) = wanted.get(path) {
            found.insert(*pointer, Place { key, value });
        }
    };
    loop {
        // A value begins.
        at = blanks(json, at);
        let start = at;
        let opened = match json.as_bytes().get(at) {
            Some(b'{') => Some(None),
            Some(b'[') => Some(Some(0)),
            Some(_) => None,
            None => break,
        };
        let mut empty = false;
        if let Some(index) = opened {
            if open.len() >= MAX_DEPTH {
                break;
            }
            at = blanks(json, at + 1);
            empty = matches!(json.as_bytes().get(at), Some(b']' | b'}'));
            open.push(Open { index, path: path.len(), key: key.take(), start });
        } else {
            let end = scalar(json, at);
            if end == at {
                break;
            }
            at = end;
            keep(&path, key.take(), start..at);
        }
        // It ended, and perhaps what it was the last of.
        if opened.is_none() || empty {
            loop {
                let Some(parent) = open.last_mut() else {
                    return found;
                };
                path.truncate(parent.path);
                at = blanks(json, at);
                match json.as_bytes().get(at) {
                    Some(b',') => {
                        at += 1;
                        parent.index = parent.index.map(|index| index + 1);
                        break;
                    }
                    Some(b']' | b'}') => {
                        at += 1;
                        keep(&path, parent.key.take(), parent.start..at);
                        open.pop();
                    }
                    _ => {
                        unclosed(json, &path, open, &mut keep);
                        return found;
                    }
                }
            }
        }
        // The next one has a number or a key.
        let Some(parent) = open.last() else { break };
        if let Some(index) = parent.index {
            path.push('/');
            path.push_str(&index.to_string());
        } else {
            at = blanks(json, at);
            let end = scalar(json, at);
            let Ok(word) = serde_json::from_str::<String>(json.get(at..end).unwrap_or_default()) else {
                break;
            };
            path.push('/');
            path.push_str(&escaped(&word));
            key = Some(at..end);
            at = blanks(json, end);
            if json.as_bytes().get(at) != Some(&b':') {
                break;
            }
            at += 1;
        }
    }
    unclosed(json, &path, open, &mut keep);
    found
}

/// What was open where the text stopped being JSON goes on to its end.
fn unclosed(
    json: &str,
    path: &str,
    open: Vec<Open>,
    keep: &mut impl FnMut(&str, Option<Range<usize>>, Range<usize>),
) {
    for open in open {
        keep(path.get(..open.path).unwrap_or_default(), open.key, open.start..json.len());
    }
}

fn blanks(json: &str, at: usize) -> usize {
    let rest = json.as_bytes().get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count()
}

/// Where the text, number or word that begins at `at` ends; there, when none does.
fn scalar(json: &str, at: usize) -> usize {
    let rest = json.as_bytes().get(at..).unwrap_or_default();
    if rest.first() != Some(&b'"') {
        let ends = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b',' | b':' | b']' | b'}');
        return at + rest.iter().position(ends).unwrap_or(rest.len());
    }
    let mut escape = false;
    for (index, byte) in rest.iter().enumerate().skip(1) {
        match byte {
            _ if escape => escape = false,
            b'\\' => escape = true,
            b'"' => return at + index + 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands at a pointer: the key, if any, and the value.
    fn at<'j>(json: &'j str, pointer: &str) -> Option<(&'j str, &'j str)> {
        let place = locate(json, &HashSet::from([pointer])).remove(pointer)?;
        Some((place.key.map_or("", |key| &json[key]), &json[place.value]))
    }

    #[test]
    fn a_pointer_leads_to_its_value() {
        let json = "\u{feff} { \"a\" : [ 1 , {\"b/c~\\\"d\": \"x\\\"]}\"}, [], {} ],\n \"é\":{\"\": null}, \"a\\u0062\":-1.5e3}\n";
        for (pointer, expected) in [
            ("", Some(("", json.trim_start_matches('\u{feff}').trim()))),
            ("/a", Some(("\"a\"", "[ 1 , {\"b/c~\\\"d\": \"x\\\"]}\"}, [], {} ]"))),
            ("/a/0", Some(("", "1"))),
            ("/a/1/b~1c~0\"d", Some(("\"b/c~\\\"d\"", "\"x\\\"]}\""))),
            ("/a/2", Some(("", "[]"))),
            ("/a/3", Some(("", "{}"))),
            ("/a/4", None),
            ("/a/x", None),
            ("/é/", Some(("\"\"", "null"))),
            ("/ab", Some(("\"a\\u0062\"", "-1.5e3"))),
        ] {
            assert_eq!(at(json, pointer), expected, "{pointer}");
        }
        assert_eq!(at("7", ""), Some(("", "7")));
    }

    #[test]
    fn a_broken_text_is_read_as_far_as_it_goes() {
        for json in
            ["{\"a\": [1, 2", "{\"a\": [1, 2}", "{\"a\": [1, 2,,", "{\"a\": [1, 2, \"", "{\"a\": [1, 2 :"]
        {
            assert_eq!(at(json, "/a/1").map(|(_, value)| value), Some("2"), "{json}");
        }
        assert_eq!(at("{\"a\": [1, {\"b\"", "/a/1"), Some(("", "{\"b\"")));
        for json in ["", "   ", "{", "}", "[", ",", ":", "\"", "{\"a\"", "{a:1}", "{\"\\q\": 1}", "\u{feff}"]
        {
            assert_eq!(at(json, "/a"), None, "{json}");
        }
    }

    #[test]
    fn every_prefix_of_a_text_is_read() {
        let json = "{\"goal_id\": \"g\", \"nodes\": [{\"id\": \"ä\", \"title\": \"A\\\"\"}], \"edges\": []}";
        for (end, _) in json.char_indices() {
            let error = super::super::parse(&json[..end]).unwrap_err();
            for diagnostic in error.diagnostics(&json[..end]) {
                assert!(json[..end].get(diagnostic.span.clone()).is_some(), "{diagnostic:?}");
            }
        }
    }

    #[test]
    fn depth_and_length_are_no_danger() {
        let deep = format!("{}1{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(
            at(&deep, &"/0".repeat(MAX_DEPTH - 1)).map(|(_, value)| value.len()),
            Some(deep.len() - 127)
        );
        assert_eq!(at(&deep, &"/0".repeat(MAX_DEPTH)), None);
        let long = format!("[{}7]", "{\"a\": [1, 2, 3]}, ".repeat(100_000));
        assert_eq!(at(&long, "/100000"), Some(("", "7")));
    }

    #[test]
    fn faults_are_shown_where_they_are() {
        let json = "{\"goal_id\": \"g\", \"x\": 1, \"nodes\": [\n{\"id\": \"a\", \"titel\": \"A\"},\n{\"id\": \"a\", \"title\": \"\"}],\n\"edges\": [{\"source\": \"a\", \"target\": \"b\"}]}";
        let error = super::super::parse(json).unwrap_err();
        let shown: Vec<(&str, String)> = error
            .diagnostics(json)
            .into_iter()
            .map(|it| (&json[it.span], format!("{} {}", it.message, it.help.unwrap_or_default())))
            .collect();
        let expected = [
            ("\"x\"", "unexpected key `x` "),
            ("{\"id\": \"a\", \"titel\": \"A\"}", "the key `title` is missing "),
            ("\"titel\"", "unexpected key `titel` "),
            ("\"a\"", "the task id `a` is taken the first is on line 2"),
            ("\"\"", "the title must not be empty "),
            ("\"b\"", "no task is called `b` "),
        ];
        let shown: Vec<(&str, &str)> =
            shown.iter().map(|(text, message)| (*text, message.as_str())).collect();
        assert_eq!(shown, expected);
    }

    #[test]
    fn a_slip_of_syntax_has_a_character() {
        for (json, character) in [
            ("[1 2]", "2"),
            ("{\"a\": 1,\n", ","),
            ("", ""),
            ("[1,\n\n  é]", "é"),
            ("{\"a\": \"b", "b"),
            ("{\"a\": 1, \"a\": 2}", "\"a\""),
        ] {
            let error = super::super::parse(json).unwrap_err();
            let all = error.diagnostics(json);
            assert_eq!(&json[all[0].span.clone()], character, "{json} {all:?}");
        }
    }
}
