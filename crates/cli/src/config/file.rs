//! `downbeat.toml`: its keys with their places.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use downbeat_core::diagnostic::{Diagnostic, Source};
use toml::de::{DeTable, DeValue};

/// The largest file of settings, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// A value as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where its key stands.
    pub(super) key: Range<usize>,
    /// The value as text: what the other places would say.
    pub(super) value: Raw,
    /// Where it stands.
    pub(super) span: Range<usize>,
}

/// A value before its meaning is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// A text, a number or a truth value, as the other places would write it.
    One(String),
    /// Several texts.
    Many(Vec<String>),
}

/// The text of the file; `None` when there is no such file.
pub(super) fn read(path: &Path) -> Result<Option<String>, String> {
    let said = |error: std::io::Error| format!("cannot read {}: {error}", path.display());
    match std::fs::metadata(path) {
        Ok(file) if !file.is_file() => Err(format!("{} is not a regular file", path.display())),
        Ok(file) if file.len() > MAX_BYTES => {
            Err(format!("{} has more than {MAX_BYTES} bytes", path.display()))
        }
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(|error| match error.kind() {
            std::io::ErrorKind::InvalidData => format!("{} is not UTF-8", path.display()),
            _ => said(error),
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(said(error)),
    }
}

/// The keys of the file, and what cannot be one.
pub(super) fn parse(source: &Source) -> (BTreeMap<String, Entry>, Vec<Diagnostic>) {
    let mut entries = BTreeMap::new();
    let mut faults = Vec::new();
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    for error in errors {
        faults.push(syntax(&source.text, &error));
    }
    if !faults.is_empty() {
        return (entries, faults);
    }
    for (key, value) in table.get_ref() {
        let span = value.span();
        let read = match value.get_ref() {
            DeValue::Array(values) => {
                let other = values.iter().find(|value| value.get_ref().as_str().is_none());
                match other {
                    None => Ok(Raw::Many(
                        values
                            .iter()
                            .filter_map(|value| value.get_ref().as_str().map(str::to_owned))
                            .collect(),
                    )),
                    Some(other) => Err(Diagnostic::error(
                        other.span(),
                        format!("an entry of `{}` is no text: put it in quotes", key.get_ref()),
                    )),
                }
            }
            DeValue::Table(_) => {
                Err(Diagnostic::error(span.clone(), format!("`{}` is a table", key.get_ref()))
                    .help("settings are keys with values, and stand in no table"))
            }
            DeValue::String(text) => Ok(Raw::One(text.to_string())),
            DeValue::Integer(number) if number.radix() == 10 => {
                Ok(Raw::One(number.as_str().replace('_', "")))
            }
            // What it is not good for is said as it is written.
            _ => Ok(Raw::One(source.text.get(span.clone()).unwrap_or_default().to_owned())),
        };
        match read {
            Ok(value) => {
                entries.insert(key.get_ref().to_string(), Entry { key: key.span(), value, span });
            }
            Err(fault) => faults.push(fault),
        }
    }
    (entries, faults)
}

/// What the parser says, in words of people where it has those of grammars.
fn syntax(text: &str, error: &toml::de::Error) -> Diagnostic {
    let span = error.span().unwrap_or(0..0);
    let written = text.get(span.clone()).unwrap_or_default();
    let said = error.message();
    if said == "duplicate key" {
        return Diagnostic::error(span, format!("`{written}` is given twice"));
    }
    let missing =
        text.get(span.start..).is_some_and(|rest| rest.starts_with(['\n', '\r']) || rest.is_empty());
    if said.starts_with("string values must be quoted") {
        return if missing {
            Diagnostic::error(span, "a value is missing")
        } else {
            Diagnostic::error(span, "this is neither a number nor a truth value").help("put texts in quotes")
        };
    }
    if missing && said.starts_with("invalid basic string") {
        return Diagnostic::error(span, "the text is not closed").help("end it with `\"`");
    }
    Diagnostic::error(span, said.to_owned())
}
