//! `key: value` as both forms have it, before anybody asks whether it means something.

use std::ops::Range;

use super::faults::Faults;

/// Which form of the file a text came from: it decides how keys are spelled back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Markdown,
    Yaml,
    /// The outermost keys of the YAML form, which have always had underscores.
    YamlTop,
}

/// A text with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) text: String,
    pub(super) span: Range<usize>,
}

impl Value {
    /// The bytes `range` of `source`, without surrounding blanks and backticks; a text over several
    /// lines becomes one line.
    pub(super) fn of(source: &str, range: Range<usize>) -> Self {
        let span = trimmed(source, range);
        let raw = slice(source, &span);
        let span = match unquoted(raw, "`") {
            Some(inner) => trimmed(source, span.start + inner.start..span.start + inner.end),
            None => span,
        };
        Self { text: one_line(slice(source, &span)), span }
    }

    /// The parts between commas; a comma at the end ends nothing.
    pub(super) fn split(&self, source: &str) -> Vec<Self> {
        if self.text.trim().is_empty() {
            return Vec::new();
        }
        let exact = slice(source, &self.span) == self.text;
        let mut parts = Vec::new();
        let mut at = 0;
        for part in self.text.split(',') {
            parts.push(if exact {
                let start = self.span.start + at;
                Self::of(source, start..start + part.len())
            } else {
                Self { text: part.trim().to_owned(), span: self.span.clone() }
            });
            at += part.len() + 1;
        }
        if parts.len() > 1 && parts.last().is_some_and(|last| last.text.is_empty()) {
            parts.pop();
        }
        parts
    }
}

/// The value of a key as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    Nothing,
    One(Value),
    Many(Vec<Value>),
    /// A mapping, or something else that no key takes.
    Else(Range<usize>),
}

/// One key with its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) key: Value,
    pub(super) content: Content,
}

/// What has a key.
pub(super) trait Keyed {
    /// The key as written.
    fn key(&self) -> &Value;
}

impl Keyed for Field {
    fn key(&self) -> &Value {
        &self.key
    }
}

impl Field {
    /// The one text of the field, which is not empty.
    pub(super) fn scalar(&self, faults: &mut Faults<'_>) -> Option<Value> {
        let key = &self.key.text;
        match &self.content {
            Content::One(value) if !value.text.trim().is_empty() => return Some(value.clone()),
            Content::One(_) | Content::Nothing => {
                faults.error_with(
                    &self.key.span,
                    format!("`{key}` has no value"),
                    "write the value, or remove the line",
                );
            }
            Content::Many(values) => {
                let span = values.first().map_or(&self.key.span, |first| &first.span);
                faults.error(span, format!("`{key}` takes one value, not a list"));
            }
            Content::Else(span) => {
                faults.error(span, format!("`{key}` takes a text"));
            }
        }
        None
    }

    /// The texts of the field, none of them empty: a list, or one text with commas.
    pub(super) fn list(&self, faults: &mut Faults<'_>) -> Vec<Value> {
        let key = &self.key.text;
        let values = match &self.content {
            Content::One(value) => value.split(faults.text()),
            Content::Many(values) => values.clone(),
            Content::Nothing => Vec::new(),
            Content::Else(span) => {
                faults.error(span, format!("`{key}` takes a list of texts"));
                return Vec::new();
            }
        };
        if values.is_empty() && !matches!(self.content, Content::Many(_)) {
            faults.error_with(
                &self.key.span,
                format!("`{key}` has no value"),
                "write the value, or remove the line",
            );
        }
        values
            .into_iter()
            .filter(|value| {
                if value.text.is_empty() {
                    faults.error(&value.span, format!("an entry of `{key}` is empty"));
                }
                !value.text.is_empty()
            })
            .collect()
    }
}

/// A key as it is compared: lower case, one blank for every run of blanks, `-` and `_`.
pub(super) fn normal(key: &str) -> String {
    key.split(|c: char| c.is_whitespace() || matches!(c, '-' | '_'))
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A normal key as the form spells it: `Log Level` or `log-level`.
pub(super) fn spelled(normal: &str, form: Form) -> String {
    match form {
        Form::Yaml => normal.replace(' ', "-"),
        Form::YamlTop => normal.replace(' ', "_"),
        Form::Markdown => normal
            .split(' ')
            .map(|word| {
                let mut letters = word.chars();
                letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
            })
            .collect::<Vec<_>>()
            .join(" "),
    }
}

/// Matches each field with one of `keys` (normal spelling, meaning); reports unknown and repeated
/// ones. Two spellings of one meaning are a repetition too.
pub(super) fn recognise<K: Copy + PartialEq, F: Keyed>(
    fields: Vec<F>,
    keys: &[(&str, K)],
    form: Form,
    faults: &mut Faults<'_>,
) -> Vec<(K, F)> {
    let mut known: Vec<(K, F)> = Vec::new();
    for field in fields {
        let word = normal(&field.key().text);
        let Some((_, key)) = keys.iter().find(|(name, _)| *name == word) else {
            let names: Vec<String> = keys.iter().map(|(name, _)| spelled(name, form)).collect();
            let firsts = || -> Vec<String> {
                let is_first = |(at, (_, key)): &(usize, &(&str, K))| {
                    keys.iter().position(|(_, other)| other == key) == Some(*at)
                };
                keys.iter().enumerate().filter(is_first).map(|(_, (name, _))| spelled(name, form)).collect()
            };
            faults.unknown(
                &field.key().span,
                format!("unknown key `{}`", field.key().text),
                &spelled(&word, form),
                names.iter().map(String::as_str),
                || format!("the keys are {}", listed(&firsts())),
            );
            continue;
        };
        if let Some((_, first)) = known.iter().find(|(other, _)| other == key) {
            faults.repeated(
                &field.key().span,
                format!("`{}` is given twice", field.key().text),
                &first.key().span,
            );
            continue;
        }
        known.push((*key, field));
    }
    known
}

/// `a`, `b` and `c`
pub(super) fn listed(names: &[String]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            text.push_str(if index + 1 == names.len() { " and " } else { ", " });
        }
        text.push('`');
        text.push_str(name);
        text.push('`');
    }
    text
}

/// The bytes `range` of `text`; nothing if they are not there.
pub(super) fn slice<'a>(text: &'a str, range: &Range<usize>) -> &'a str {
    text.get(range.clone()).unwrap_or_default()
}

/// `range` without the blanks at both ends; an empty one stays at its start.
pub(super) fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let raw = slice(text, &range);
    let start = range.start + (raw.len() - raw.trim_start().len());
    let inner = raw.trim();
    if inner.is_empty() {
        return range.start..range.start;
    }
    start..start + inner.len()
}

/// Where the text between a pair of `mark` is, if all of `raw` is between one such pair.
pub(super) fn unquoted(raw: &str, mark: &str) -> Option<Range<usize>> {
    let inner = raw.strip_prefix(mark)?.strip_suffix(mark)?;
    (!inner.is_empty() && !inner.contains(mark)).then(|| mark.len()..mark.len() + inner.len())
}

/// A text over several lines as one; a text in one line as it is.
pub(super) fn one_line(text: &str) -> String {
    if text.contains(['\n', '\r']) {
        text.lines()
            .flat_map(|line| line.split('\r'))
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect::<Vec<_>>()
            .join(" ")
    } else {
        text.to_owned()
    }
}
