//! `read_file`

use std::io::{BufRead, BufReader};

use schemars::JsonSchema;
use serde::Deserialize;

use super::clip::{Lines, line};
use super::place::{Place, said};

pub(super) const DESCRIPTION: &str = "Reads a text file of the workspace, by lines. Long files come in \
    parts: use `offset` to read on.";

/// The longest line that is shown whole, in bytes.
const LONGEST_LINE: usize = 4_000;
const LINES: u32 = 2_000;
/// The most of a file that is looked through for the lines that are wanted, in bytes.
const LOOKED_THROUGH: u64 = 64 * 1024 * 1024;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The file, relative to the workspace.
    #[schemars(length(min = 1, max = 4096))]
    path: String,
    /// How many lines to skip.
    #[serde(default)]
    offset: Option<u32>,
    /// How many lines to read.
    #[serde(default)]
    #[schemars(range(min = 1, max = 2_000))]
    limit: Option<u32>,
}

pub(super) fn run(place: &Place, input: &Input) -> Result<String, String> {
    let path = place.locate(&input.path)?;
    let file = place.file(&path)?;
    let mut reader = BufReader::new(std::io::Read::take(file, LOOKED_THROUGH));
    let start = reader.fill_buf().map_err(|error| said(&path, &error))?;
    if start.contains(&0) {
        return Err(format!("{} is not text", path.display()));
    }
    let skip = usize::try_from(input.offset.unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = input.limit.unwrap_or(LINES).min(LINES);
    let mut lines = Lines::new(usize::try_from(limit).unwrap_or(usize::MAX));
    let mut bytes = Vec::new();
    let mut number = 0_usize;
    loop {
        bytes.clear();
        if reader.read_until(b'\n', &mut bytes).map_err(|error| said(&path, &error))? == 0 {
            let nothing = if number == 0 { "(the file is empty)" } else { "(there are no more lines)" };
            return Ok(lines.whole(nothing));
        }
        if number >= skip {
            if lines.is_full() {
                let read_on = format!("read on with offset {number}");
                return Ok(lines.cut(&read_on));
            }
            let text = String::from_utf8_lossy(&bytes);
            let shown = line(text.trim_end_matches(['\n', '\r']), LONGEST_LINE);
            if !lines.push(&shown) {
                let read_on = format!("read on with offset {number}");
                return Ok(lines.cut(&read_on));
            }
        }
        number = number.saturating_add(1);
    }
}
