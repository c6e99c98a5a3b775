//! `list_files`

use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use schemars::JsonSchema;
use serde::Deserialize;

use super::clip::{Lines, line};
use super::place::{Place, kind, said};

pub(super) const DESCRIPTION: &str = "Lists what is in a directory of the workspace and below it, sorted, \
    with sizes in bytes. What begins with `.git` or `.downbeat` is not looked into, and links are not \
    followed.";

const ENTRIES: usize = 1_000;
/// The most entries of one directory that are looked at: sorting needs them all at once.
const IN_ONE: usize = 20_000;
const DEPTH: u32 = 16;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The directory, relative to the workspace; the workspace itself if not given.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    path: Option<String>,
    /// How many levels deep; 1 is the directory alone.
    #[serde(default)]
    #[schemars(range(min = 1, max = 16))]
    depth: Option<u32>,
}

pub(super) fn run(place: &Place, input: &Input) -> Result<String, String> {
    let path = place.locate_directory(input.path.as_deref())?;
    let dir = place.dir.open_dir(&path).map_err(|error| said(&path, &error))?;
    let mut lines = Lines::new(ENTRIES);
    let depth = input.depth.unwrap_or(3).clamp(1, DEPTH);
    let prefix = if path == Path::new(".") { PathBuf::new() } else { path };
    if list(&dir, &prefix, depth, &mut lines) {
        Ok(lines.whole("(there is nothing)"))
    } else {
        Ok(lines.cut("list a directory below, or less deep"))
    }
}

/// Whether there was room for everything.
fn list(dir: &Dir, prefix: &Path, depth: u32, lines: &mut Lines) -> bool {
    // A directory that cannot be read is one with nothing in it to a model.
    let Ok(entries) = dir.entries() else { return true };
    let mut entries: Vec<_> = entries.flatten().take(IN_ONE).collect();
    entries.sort_by_key(cap_std::fs::DirEntry::file_name);
    for entry in entries {
        let name = entry.file_name();
        let path = prefix.join(&name);
        let (Ok(file_type), shown) = (entry.file_type(), line(&path.to_string_lossy(), 1_000)) else {
            continue;
        };
        let text = if file_type.is_file() {
            let size = entry.metadata().map_or(0, |metadata| metadata.len());
            format!("{shown}  {size}")
        } else if file_type.is_dir() {
            format!("{shown}/")
        } else {
            format!("{shown}  ({})", kind(file_type))
        };
        if !lines.push(&text) {
            return false;
        }
        let looked_into = !matches!(name.to_str(), Some(".git" | ".downbeat"));
        if file_type.is_dir() && depth > 1 && looked_into {
            // The directory as it was opened, whatever its name leads to by now.
            if let Ok(inner) = entry.open_dir()
                && !list(&inner, &path, depth.saturating_sub(1), lines)
            {
                return false;
            }
        }
    }
    true
}
