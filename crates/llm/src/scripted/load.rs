//! A script from its files.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::exchange::Exchange;
use super::fault::{Faults, Place, ScriptError};

/// The most bytes of one file.
pub const MAX_FILE_BYTES: u64 = 16 * 1024 * 1024;
/// The most files of one directory.
pub const MAX_FILES: usize = 10_000;

/// Reads the exchanges of a file, or of all `*.json` of a directory in the order of their names.
pub(super) fn load(path: &Path) -> Result<Vec<Exchange>, ScriptError> {
    let mut faults = Faults::of(path.display());
    let mut exchanges = Vec::new();
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => match names(path) {
            Ok(names) if names.len() > MAX_FILES => {
                faults.push(
                    Place::File,
                    format!("a script has at most {MAX_FILES} files, here are {}", names.len()),
                );
            }
            Ok(names) => {
                for name in names {
                    faults.file = name.display().to_string();
                    read(&name, &mut exchanges, &mut faults);
                }
                faults.file = path.display().to_string();
            }
            Err(error) => faults.push(Place::File, format!("it cannot be listed: {error}")),
        },
        Ok(_) => read(path, &mut exchanges, &mut faults),
        Err(error) => faults.push(Place::File, format!("it cannot be read: {error}")),
    }
    finish(exchanges, faults)
}

/// Reads the exchanges of a text that is called `name` in messages.
pub(super) fn parse(name: &str, text: &str) -> Result<Vec<Exchange>, ScriptError> {
    let mut faults = Faults::of(name);
    let mut exchanges = Vec::new();
    exchanges_of(text.as_bytes(), &mut exchanges, &mut faults);
    finish(exchanges, faults)
}

fn finish(exchanges: Vec<Exchange>, mut faults: Faults) -> Result<Vec<Exchange>, ScriptError> {
    if exchanges.is_empty() && faults.is_empty() {
        faults.push(Place::File, "it has no exchange");
    }
    faults.finish(exchanges)
}

/// The `*.json` of a directory, sorted by name.
fn names(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            names.push(path);
        }
    }
    names.sort_unstable();
    Ok(names)
}

fn read(path: &Path, exchanges: &mut Vec<Exchange>, faults: &mut Faults) {
    match bytes(path) {
        Ok(bytes) => exchanges_of(&bytes, exchanges, faults),
        Err(error) => faults.push(Place::File, format!("it cannot be read: {error}")),
    }
}

fn bytes(path: &Path) -> io::Result<Vec<u8>> {
    // Opening a pipe would wait for a writer.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|len| len > MAX_FILE_BYTES) {
        return Err(io::Error::other(format!("it is longer than {MAX_FILE_BYTES} bytes")));
    }
    Ok(bytes)
}

/// Reads one exchange, or a list of them.
fn exchanges_of(bytes: &[u8], exchanges: &mut Vec<Exchange>, faults: &mut Faults) {
    let mut json: Value = match serde_json::from_slice(bytes) {
        Ok(json) => json,
        Err(error) => {
            // Its message ends with the place, which stands before it here.
            let message = error.to_string();
            let message = message.split(" at line ").next().unwrap_or_default();
            faults.push(
                Place::Line(error.line(), error.column().max(1)),
                format!("this is no JSON: {message}"),
            );
            return;
        }
    };
    let Some(list) = json.get_mut("exchanges").map(Value::take) else {
        exchanges.extend(Exchange::read(json, "", faults));
        return;
    };
    let others = json.as_object().into_iter().flat_map(|members| members.keys());
    for key in others.filter(|key| !["exchanges", "note"].contains(&key.as_str())) {
        let pointer = format!("/{}", super::difference::escaped(key));
        faults.at(pointer, "a list of exchanges has no such member; it may have exchanges, note");
    }
    let Value::Array(list) = list else {
        faults.at("/exchanges", "`exchanges` is a list");
        return;
    };
    for (at, exchange) in list.into_iter().enumerate() {
        exchanges.extend(Exchange::read(exchange, &format!("/exchanges/{at}"), faults));
    }
}
