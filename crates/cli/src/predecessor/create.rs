//! `downbeat instructions create`: an agent's text to fill in.

use std::path::PathBuf;

use serde_json::json;

use super::spoken;
use crate::error::CliError;
use crate::exit;
use crate::output::Out;

/// Writes `DIR/UPPER_SNAKE.md` and prints its path.
///
/// # Errors
///
/// The name has no letter or digit, the file is there, or it cannot be written.
pub(super) fn create(args: &spoken::Create, out: &Out) -> Result<u8, CliError> {
    let words: Vec<String> = args
        .name
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_uppercase)
        .collect();
    if words.is_empty() {
        return Err(CliError::bad_input("the name of an agent has a letter or a digit in it"));
    }
    let path: PathBuf = args.path.join(format!("{}.md", words.join("_")));
    if args.path.exists() && !args.path.is_dir() {
        return Err(CliError::bad_input(format!("{} is no directory", args.path.display())));
    }
    if path.exists() && !args.force {
        let error = CliError::bad_input(format!("{} exists already", path.display()));
        return Err(error.hint("`--force` overwrites it"));
    }
    let failed = |error| CliError::internal(format!("cannot write {}", path.display()), &error);
    std::fs::create_dir_all(&args.path).map_err(failed)?;
    std::fs::write(&path, text(&args.name)).map_err(failed)?;
    match out.is_json() {
        true => out.value(&json!({ "path": path }))?,
        false => out.line(path.display().to_string())?,
    }
    Ok(exit::COMPLETE)
}

fn text(name: &str) -> String {
    format!(
        "# {name}

## Role

What this agent is, in a sentence or two. The text of the agent that manages says what the whole goal is:
it is what the plan is made from.

## Working Directory

Where its files are.

## Prerequisites

- What has to be there before it begins.

## Responsibilities

- What it does.

## Deliverables

- The files that it leaves, by name.
"
    )
}
