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
        Ok(_) => std::fs::read_to_string(path).map(Some).map_err(said),
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
        faults.push(Diagnostic::error(error.span().unwrap_or(0..0), error.message().to_owned()));
    }
    if !faults.is_empty() {
        return (entries, faults);
    }
    for (key, value) in table.get_ref() {
        let span = value.span();
        let value = match value.get_ref() {
            DeValue::Array(values) => {
                let texts: Option<Vec<String>> =
                    values.iter().map(|value| value.get_ref().as_str().map(str::to_owned)).collect();
                texts.map(Raw::Many)
            }
            value => scalar(value).map(Raw::One),
        };
        match value {
            Some(value) => {
                entries.insert(key.get_ref().to_string(), Entry { key: key.span(), value, span });
            }
            None => faults.push(Diagnostic::error(
                span,
                format!("`{}` is neither a text, a number, a truth value nor a list of texts", key.get_ref()),
            )),
        }
    }
    (entries, faults)
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Some(number.as_str().replace('_', "")),
        DeValue::Boolean(value) => Some(value.to_string()),
        _ => None,
    }
}
