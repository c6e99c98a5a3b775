//! What a model is given to work with: six tools, all of them within one directory.
//!
//! A path is opened relative to the open directory and never leaves it, whatever links are in it or are
//! put there meanwhile (`openat2` with `RESOLVE_BENEATH` where the kernel has it, part by part
//! elsewhere). Commands are confined by the kernel; see [`run_command`].

mod clip;
mod edit_file;
mod list_files;
mod place;
mod read_file;
mod run_command;
mod search;
#[cfg(test)]
mod tests;
mod write_file;

use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use downbeat_core::llm::LlmError;
use downbeat_core::schema::{SchemaFault, Validator};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::conversation::ToolSpec;
use crate::transport::{Observer, Permissions, Work};
use place::Place;
pub(crate) use run_command::Commands;

/// What a tool does to the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Read,
    Write,
    Command,
}

/// A tool, as it is registered.
struct Tool {
    name: &'static str,
    description: &'static str,
    access: Access,
    input: LazyLock<Validator>,
}

/// All of them. To add one, write its file and a line here and in [`Toolbox::call`].
static TOOLS: [Tool; 6] = [
    Tool {
        name: "list_files",
        description: list_files::DESCRIPTION,
        access: Access::Read,
        input: LazyLock::new(Validator::for_type::<list_files::Input>),
    },
    Tool {
        name: "read_file",
        description: read_file::DESCRIPTION,
        access: Access::Read,
        input: LazyLock::new(Validator::for_type::<read_file::Input>),
    },
    Tool {
        name: "search",
        description: search::DESCRIPTION,
        access: Access::Read,
        input: LazyLock::new(Validator::for_type::<search::Input>),
    },
    Tool {
        name: "write_file",
        description: write_file::DESCRIPTION,
        access: Access::Write,
        input: LazyLock::new(Validator::for_type::<write_file::Input>),
    },
    Tool {
        name: "edit_file",
        description: edit_file::DESCRIPTION,
        access: Access::Write,
        input: LazyLock::new(Validator::for_type::<edit_file::Input>),
    },
    Tool {
        name: "run_command",
        description: run_command::DESCRIPTION,
        access: Access::Command,
        input: LazyLock::new(Validator::for_type::<run_command::Input>),
    },
];

/// The tools of one task.
#[derive(Debug)]
pub(crate) struct Toolbox {
    place: Arc<Place>,
    permissions: Permissions,
    /// None where commands cannot be bounded: then there are none.
    commands: Option<Commands>,
    observer: Arc<dyn Observer>,
}

impl Toolbox {
    /// Opens the workspace. `guard` and `readable` are as in [`Commands`].
    ///
    /// # Errors
    ///
    /// [`LlmError::Unusable`]: there is no such directory, or none for temporary files.
    pub(crate) fn open(
        work: &Work,
        guard: Option<PathBuf>,
        readable: &[PathBuf],
        observer: Arc<dyn Observer>,
    ) -> Result<Self, LlmError> {
        let unusable = |error: std::io::Error| LlmError::Unusable {
            reason: format!("the workspace {} cannot be used: {error}", work.workspace.display()),
        };
        let place = Arc::new(Place::open(&work.workspace).map_err(unusable)?);
        let commands = match guard {
            Some(guard) if work.permissions != Permissions::Plan => {
                Some(Commands::new(work, guard, readable).map_err(unusable)?)
            }
            _ => None,
        };
        Ok(Self { place, permissions: work.permissions, commands, observer })
    }

    fn tools(&self) -> impl Iterator<Item = &'static Tool> {
        let (writes, commands) = (self.permissions != Permissions::Plan, self.commands.is_some());
        TOOLS.iter().filter(move |tool| match tool.access {
            Access::Read => true,
            Access::Write => writes,
            Access::Command => commands,
        })
    }

    /// What a model is told of them.
    pub(crate) fn specs(&self) -> Vec<ToolSpec> {
        self.tools()
            .map(|tool| ToolSpec {
                name: tool.name,
                description: tool.description,
                schema: crate::schema::of(&tool.input).as_ref().clone(),
            })
            .collect()
    }

    /// Calls a tool. What it says is clipped, and says so.
    ///
    /// # Errors
    ///
    /// What was wrong, for the model to read: with the name, with the input (all of it), or in doing it.
    pub(crate) async fn call(&self, name: &str, input: Value) -> Result<String, String> {
        let Some(tool) = self.tools().find(|tool| tool.name == name) else {
            let names: Vec<&str> = self.tools().map(|tool| tool.name).collect();
            return Err(format!("there is no such tool; there are {}, and `finish`", names.join(", ")));
        };
        let faults = tool.input.faults(&input);
        if !faults.is_empty() {
            return Err(listed("the input is wrong", &faults));
        }
        let place = Arc::clone(&self.place);
        match tool.name {
            "list_files" => apart(move || list_files::run(&place, &read(input)?)).await,
            "read_file" => apart(move || read_file::run(&place, &read(input)?)).await,
            "search" => apart(move || search::run(&place, &read(input)?)).await,
            "write_file" => apart(move || write_file::run(&place, &read(input)?)).await,
            "edit_file" => apart(move || edit_file::run(&place, &read(input)?)).await,
            _ => match &self.commands {
                Some(commands) => commands.run(&read(input)?, &self.observer).await,
                None => Err("commands cannot be run here".to_owned()),
            },
        }
    }
}

/// Faults of a value, a line each.
pub(super) fn listed(what: &str, faults: &[SchemaFault]) -> String {
    let lines: Vec<String> = faults
        .iter()
        .take(50)
        .map(|fault| {
            let place = if fault.pointer.is_empty() { "as a whole" } else { &fault.pointer };
            format!("- {place}: {}", fault.message)
        })
        .collect();
    format!("{what}:\n{}", lines.join("\n"))
}

/// Reads an input that follows its schema.
fn read<T: DeserializeOwned>(input: Value) -> Result<T, String> {
    serde_json::from_value(input).map_err(|error| format!("the input is wrong: {error}"))
}

/// Files are waited for on a thread of their own.
async fn apart(work: impl FnOnce() -> Result<String, String> + Send + 'static) -> Result<String, String> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err("the tool failed".to_owned()))
}
