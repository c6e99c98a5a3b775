//! `write_file`

use schemars::JsonSchema;
use serde::Deserialize;

use super::place::Place;

pub(super) const DESCRIPTION: &str = "Writes a text file of the workspace: a new one, or the whole of an \
    old one. Directories are made as needed.";

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The file, relative to the workspace.
    #[schemars(length(min = 1, max = 4096))]
    path: String,
    /// All that shall be in it.
    #[schemars(length(max = 4_194_304))]
    content: String,
}

pub(super) fn run(place: &Place, input: &Input) -> Result<String, String> {
    let path = place.locate(&input.path)?;
    place.replace(&path, input.content.as_bytes())?;
    Ok(format!("wrote {} bytes to {}", input.content.len(), path.display()))
}
