//! `edit_file`

use schemars::JsonSchema;
use serde::Deserialize;

use super::place::{LONGEST, Place};

pub(super) const DESCRIPTION: &str = "Replaces a piece of a text file of the workspace. `old` has to be in \
    it exactly once, unless `all` is set.";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The file, relative to the workspace.
    #[schemars(length(min = 1, max = 4096))]
    path: String,
    /// What is there, letter for letter, line ends and indentation included.
    #[schemars(length(min = 1, max = 1_048_576))]
    old: String,
    /// What shall be there.
    #[schemars(length(max = 1_048_576))]
    new: String,
    /// Replace it wherever it is.
    #[serde(default)]
    all: Option<bool>,
}

pub(super) fn run(place: &Place, input: &Input) -> Result<String, String> {
    let path = place.locate(&input.path)?;
    let text = place.text(&path)?;
    let count = text.matches(&input.old).count();
    if count == 0 {
        return Err(format!("`old` is not in {}: read the file and take it from there", path.display()));
    }
    if count > 1 && input.all != Some(true) {
        return Err(format!(
            "`old` is in {} {count} times: take more of what is around it, or set `all`",
            path.display()
        ));
    }
    let grown = input.new.len().saturating_sub(input.old.len()).saturating_mul(count);
    if text.len().saturating_add(grown) > LONGEST {
        return Err(format!("{} would be longer than {LONGEST} bytes", path.display()));
    }
    place.replace(&path, text.replace(&input.old, &input.new).as_bytes())?;
    Ok(format!("replaced {count} of {count} in {}", path.display()))
}
