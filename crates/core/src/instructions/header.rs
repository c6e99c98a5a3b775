//! The first lines of a task: `Title {#id key=value} -> artifact, artifact`.

use std::ops::Range;

use super::faults::Faults;
use super::field::{Value, listed, one_line, slice, trimmed, unquoted};
use super::marks;

/// The attributes of a task.
pub(super) const ATTRIBUTES: [&str; 8] =
    ["priority", "capabilities", "after", "attempts", "timeout", "kind", "goal", "plan"];

/// How far attributes are looked for, in bytes.
const MAX_HEADER: usize = 4_096;

/// What the first lines say, not yet checked.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) title: String,
    pub(super) title_span: Range<usize>,
    pub(super) id: Option<Value>,
    /// Known attributes, none twice: name with its place, value.
    pub(super) attributes: Vec<(Value, Value)>,
    pub(super) artifacts: Vec<Value>,
    /// From the title to the artifacts.
    pub(super) span: Range<usize>,
    /// What follows in the same paragraph.
    pub(super) rest: Range<usize>,
}

/// Reads the raw text at `head`, which begins behind the checkbox.
pub(super) fn read(head: Range<usize>, faults: &mut Faults<'_>) -> Header {
    let text = faults.text();
    let head = trimmed(text, head);
    // Nobody writes attributes behind pages of text, and looking there would take long.
    let mut window = head.end.min(head.start + MAX_HEADER);
    while !text.is_char_boundary(window) {
        window -= 1;
    }
    let marks = marks::find(&(head.start..window), faults);
    let arrow = marks.arrow_after.clone().or(marks.arrow_before);
    let mut header = Header::default();

    // The title ends where the first mark begins; without any it is the whole paragraph.
    let first_mark =
        [arrow.as_ref().map(|arrow| arrow.start), marks.braces.as_ref().map(|braces| braces.start)]
            .into_iter()
            .flatten()
            .min();
    let title = trimmed(text, head.start..first_mark.unwrap_or(head.end));
    header.title = unescaped(&one_line(slice(text, &title)));
    misplaced(&title, faults);
    header.title_span = title;

    let mut end = first_mark.unwrap_or(head.end);
    if let Some(braces) = &marks.braces {
        attributes(braces.start + 1..braces.end - 1, &mut header, faults);
        end = end.max(braces.end);
    }
    if let Some(arrow) = &arrow {
        let stop = match &marks.braces {
            Some(braces) if braces.start > arrow.start => braces.start,
            _ => line_end_after_commas(text, arrow.end, head.end),
        };
        artifacts(arrow, stop, &mut header, faults);
        end = end.max(stop);
    }
    if first_mark.is_some() {
        let line_end = line_end(text, end, head.end);
        let extra = trimmed(text, end..line_end);
        if !extra.is_empty() {
            if slice(text, &extra).starts_with('{') {
                faults.error_with(
                    &extra,
                    "a task has one pair of braces",
                    "put all attributes into the first pair",
                );
            } else if !misplaced(&extra, faults) {
                faults.error_with(
                    &extra,
                    format!("`{}` stands behind the task's attributes", slice(text, &extra)),
                    "write the title first, then `{#id …}`, then `-> artifacts`; a description goes below",
                );
            }
        }
        end = line_end;
    }
    header.span = trimmed(text, head.start..end);
    header.rest = trimmed(text, end..head.end);
    header
}

fn line_end(text: &str, from: usize, limit: usize) -> usize {
    slice(text, &(from..limit)).find('\n').map_or(limit, |at| from + at)
}

/// The end of the line, or of a later one when lines end with a comma.
fn line_end_after_commas(text: &str, from: usize, limit: usize) -> usize {
    let mut end = line_end(text, from, limit);
    while end < limit && slice(text, &(from..end)).trim_end().ends_with(',') {
        end = line_end(text, end + 1, limit);
    }
    end
}

/// Reads what stands between the braces.
fn attributes(inner: Range<usize>, header: &mut Header, faults: &mut Faults<'_>) {
    for word in words(faults.text(), inner) {
        let raw = slice(faults.text(), &word);
        if let Some(id) = raw.strip_prefix('#') {
            let value = Value { text: id.to_owned(), span: word.start + 1..word.end };
            match &header.id {
                Some(first) => faults.repeated(&word, "a task has one id", &first.span),
                None => header.id = Some(value),
            }
            continue;
        }
        let Some((key, given)) = raw.split_once('=') else {
            if ATTRIBUTES.contains(&raw) {
                faults.error(&word, format!("`{raw}` has no value"));
                continue;
            }
            faults.error_with(
                &word,
                format!("`{raw}` is not an attribute"),
                format!("write `#{raw}` for the task's id, or `key=value`"),
            );
            continue;
        };
        let key = Value { text: key.to_owned(), span: word.start..word.start + key.len() };
        let start = word.end - given.len();
        let place = unquoted(given, "\"").unwrap_or(0..given.len());
        let span = start + place.start..start + place.end;
        let value = Value { text: one_line(slice(faults.text(), &span)), span };
        if !ATTRIBUTES.contains(&key.text.as_str()) {
            faults.unknown(
                &key.span,
                format!("unknown attribute `{}`", key.text),
                &key.text,
                ATTRIBUTES,
                || format!("the attributes are {}", listed(&ATTRIBUTES.map(str::to_owned))),
            );
        } else if let Some((first, _)) = header.attributes.iter().find(|(first, _)| first.text == key.text) {
            let first = first.span.clone();
            faults.repeated(&key.span, format!("`{}` is given twice", key.text), &first);
        } else if value.text.is_empty() || value.text == "\"\"" {
            faults.error(&key.span, format!("`{}` has no value", key.text));
        } else {
            header.attributes.push((key, value));
        }
    }
}

/// The words between blanks; quotes keep blanks together, and so does a comma at a word's end.
fn words(text: &str, inner: Range<usize>) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut start: Option<usize> = None;
    let mut quoted = false;
    let mut comma = false;
    let raw = slice(text, &inner);
    for (at, letter) in raw.char_indices() {
        let at = inner.start + at;
        if letter == '"' {
            quoted = !quoted;
        }
        if letter.is_whitespace() && !quoted {
            if !comma {
                words.extend(start.take().map(|start| start..at));
            }
        } else {
            start.get_or_insert(at);
            comma = letter == ',';
        }
    }
    words.extend(start.map(|start| trimmed(text, start..inner.end)));
    words
}

/// Reads the artifacts between the arrow and `stop`.
fn artifacts(arrow: &Range<usize>, stop: usize, header: &mut Header, faults: &mut Faults<'_>) {
    let list = trimmed(faults.text(), arrow.end..stop);
    let raw = slice(faults.text(), &list);
    if raw.is_empty() {
        faults.error_with(
            arrow,
            "no artifact stands behind the arrow",
            "write the files that the task makes, such as `-> report.md`, or remove the arrow",
        );
        return;
    }
    if misplaced(&list, faults) {
        return;
    }
    let parts: Vec<&str> = raw.split(',').collect();
    let count = parts.len();
    let mut at = list.start;
    for (index, part) in parts.into_iter().enumerate() {
        let value = Value::of(faults.text(), at..at + part.len());
        let comma = at + part.len();
        at = comma + 1;
        if !value.text.is_empty() {
            header.artifacts.push(value);
        } else if index + 1 < count {
            faults.error(&(comma..comma + 1), "an artifact's name is empty");
        }
    }
}

/// Reports `after=…` and the like outside of braces.
fn misplaced(range: &Range<usize>, faults: &mut Faults<'_>) -> bool {
    let text = faults.text();
    let mut any = false;
    for word in words(text, range.clone()) {
        let raw = slice(text, &word);
        if let Some((key, _)) = raw.split_once('=')
            && ATTRIBUTES.contains(&key)
        {
            any = true;
            faults.error_with(
                &word,
                format!("`{key}=` stands outside of braces"),
                format!(
                    "write `{{{raw}}}` behind the title, or put it in backticks if it is part of the title"
                ),
            );
        }
    }
    any
}

/// `\{` and `\->` as they are meant.
fn unescaped(title: &str) -> String {
    title.replace("\\{", "{").replace("\\}", "}").replace("\\->", "->").replace("\\→", "→")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostic::Source;

    fn parts(text: &str) -> (Header, Vec<String>) {
        let source = Source::new("t", text);
        let mut faults = Faults::new(&source);
        let header = read(0..text.len(), &mut faults);
        let messages = match faults.finish() {
            Ok(_) => Vec::new(),
            Err(report) => report.diagnostics.into_iter().map(|d| d.message).collect(),
        };
        (header, messages)
    }

    #[test]
    fn headers_come_apart() {
        for (text, title, id, attributes, artifacts, rest) in [
            ("Write it", "Write it", "", "", "", ""),
            ("Write it\n  all", "Write it all", "", "", "", ""),
            ("Write {#w} -> a.md, `b c.md`", "Write", "w", "", "a.md|b c.md", ""),
            ("Write → a.md {#w after=a,b}\n  More.", "Write", "w", "after:a,b", "a.md", "More."),
            ("Write {#w after=a, b priority=3}", "Write", "w", "after:a, b|priority:3", "", ""),
            (
                "Write {#w\n  priority=3}\n  -> a.md,\n  b.md\n  More {#x}.",
                "Write",
                "w",
                "priority:3",
                "a.md|b.md",
                "More {#x}.",
            ),
            ("Turn a -> b into `{#c}` {#w} -> c.md", "Turn a -> b into `{#c}`", "w", "", "c.md", ""),
            ("Fill {name} in \\{#a\\} {#w timeout=\"5m\"}", "Fill {name} in {#a}", "w", "timeout:5m", "", ""),
            ("x->y and `a -> b`", "x->y and `a -> b`", "", "", "", ""),
            ("Ünïcödé 数える {#w} → 結果.md", "Ünïcödé 数える", "w", "", "結果.md", ""),
        ] {
            let (header, messages) = parts(text);
            assert!(messages.is_empty(), "{text}: {messages:?}");
            assert_eq!(header.title, title, "{text}");
            assert_eq!(header.id.map(|id| id.text).unwrap_or_default(), id, "{text}");
            let given: Vec<String> =
                header.attributes.iter().map(|(key, value)| format!("{}:{}", key.text, value.text)).collect();
            assert_eq!(given.join("|"), attributes, "{text}");
            let names: Vec<String> = header.artifacts.into_iter().map(|name| name.text).collect();
            assert_eq!(names.join("|"), artifacts, "{text}");
            assert_eq!(&text[header.rest], rest, "{text}");
        }
    }

    #[test]
    fn slips_are_named() {
        for (text, message) in [
            ("a {#b", "the `{` is not closed"),
            ("a {b}", "`b` is not an attribute"),
            ("a {#b} c", "`c` stands behind the task's attributes"),
            ("a {#b} {#c}", "a task has one pair of braces"),
            ("a {#b #c}", "a task has one id"),
            ("a {prio=3}", "unknown attribute `prio`"),
            ("a {after=b after=c}", "`after` is given twice"),
            ("a {after=}", "`after` has no value"),
            ("a after=b", "`after=` stands outside of braces"),
            ("a ->", "no artifact stands behind the arrow"),
            ("a -> b,,c", "an artifact's name is empty"),
        ] {
            assert!(parts(text).1.iter().any(|m| m == message), "{text}: {:?}", parts(text).1);
        }
    }
}
