//! `search`

use std::io::Read;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::Deserialize;

use super::clip::{Lines, line};
use super::place::{Place, open_file, said};

pub(super) const DESCRIPTION: &str = "Searches the text files of the workspace for a regular expression, \
    line by line. Says file, line number and line. `.git` and `.downbeat` are left out.";

const HITS: usize = 200;
/// Bounds of what is looked through: bytes of one file, files, and directories deep.
const LONGEST_FILE: u64 = 1024 * 1024;
const FILES: usize = 20_000;
const DEPTH: u32 = 32;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The regular expression (of Rust's `regex`); letters match in one case only, unless it begins
    /// with `(?i)`.
    #[schemars(length(min = 1, max = 1_000))]
    pattern: String,
    /// The directory to search, relative to the workspace; the workspace itself if not given.
    #[serde(default)]
    #[schemars(length(max = 4096))]
    path: Option<String>,
}

pub(super) fn run(place: &Place, input: &Input) -> Result<String, String> {
    let pattern = RegexBuilder::new(&input.pattern)
        .size_limit(1024 * 1024)
        .build()
        .map_err(|error| format!("`pattern` is no regular expression: {error}"))?;
    let path = place.locate_directory(input.path.as_deref())?;
    let dir = place.dir.open_dir(&path).map_err(|error| said(&path, &error))?;
    let mut search = Search { pattern, lines: Lines::new(HITS), files: FILES };
    let prefix = if path == Path::new(".") { PathBuf::new() } else { path };
    if search.below(&dir, &prefix, DEPTH) {
        Ok(search.lines.whole("(nothing was found)"))
    } else {
        Ok(search.lines.cut("search for less, or in a directory below"))
    }
}

struct Search {
    pattern: Regex,
    lines: Lines,
    files: usize,
}

impl Search {
    /// Whether everything was looked through.
    fn below(&mut self, dir: &Dir, prefix: &Path, depth: u32) -> bool {
        let Ok(entries) = dir.entries() else { return true };
        let mut entries: Vec<_> = entries.flatten().take(FILES).collect();
        entries.sort_by_key(cap_std::fs::DirEntry::file_name);
        for entry in entries {
            let (name, Ok(file_type)) = (entry.file_name(), entry.file_type()) else { continue };
            let path = prefix.join(&name);
            if file_type.is_file() {
                self.files = self.files.saturating_sub(1);
                if self.files == 0 || !self.file(dir, Path::new(&name), &path) {
                    return false;
                }
            } else if file_type.is_dir()
                && depth > 0
                && !matches!(name.to_str(), Some(".git" | ".downbeat"))
                && let Ok(inner) = entry.open_dir()
                && !self.below(&inner, &path, depth.saturating_sub(1))
            {
                return false;
            }
        }
        true
    }

    /// Whether there was room for all that was found.
    fn file(&mut self, dir: &Dir, name: &Path, path: &Path) -> bool {
        let mut bytes = Vec::new();
        let read = open_file(dir, name).and_then(|file| file.take(LONGEST_FILE).read_to_end(&mut bytes));
        // What cannot be read, or is no text, has nothing in it to be found.
        if read.is_err() || bytes.iter().take(8_000).any(|byte| *byte == 0) {
            return true;
        }
        let text = String::from_utf8_lossy(&bytes);
        text.lines().enumerate().filter(|(_, text)| self.pattern.is_match(text)).all(|(index, text)| {
            let number = index.saturating_add(1);
            self.lines.push(&format!(
                "{}:{number}: {}",
                line(&path.to_string_lossy(), 1_000),
                line(text, 300)
            ))
        })
    }
}
