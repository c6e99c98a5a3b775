//! From a step of a script to a call of a tool that the client offers.

use regex::Regex;
use serde_json::{Value, json};

use crate::question::Question;
use crate::rule::Step;

const SHELL_TOOLS: [&str; 6] =
    ["Bash", "exec_command", "shell", "local_shell", "run_shell_command", "run_command"];
const WRITE_TOOLS: [&str; 2] = ["Write", "write_file"];

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) input: Value,
}

/// The name and input of the call, if the client offers a tool for it.
pub(crate) fn call(step: &Step, question: &Question) -> Option<(String, Value)> {
    match step {
        Step::Tool { tool, input } => Some((tool.clone(), input.clone())),
        Step::Shell { shell } => shell_call(shell, question),
        Step::Write { write } => match WRITE_TOOLS.iter().find(|tool| offers(question, tool)) {
            // The project's own tool takes paths inside the workspace; those of the vendors want whole ones.
            Some(&"write_file") if offers(question, "finish") => {
                Some(("write_file".to_owned(), json!({ "path": write.path, "content": write.content })))
            }
            Some(&tool) => Some((
                tool.to_owned(),
                json!({ "file_path": whole(&write.path, question), "content": write.content }),
            )),
            None => {
                let directory = write.path.rsplit_once('/').map_or(".", |(directory, _)| directory);
                let quoted = |text: &str| {
                    shlex::try_quote(text).map_or_else(|_| "''".to_owned(), std::borrow::Cow::into_owned)
                };
                let command = format!(
                    "mkdir -p {} && printf %s {} > {}",
                    quoted(directory),
                    quoted(&write.content),
                    quoted(&write.path)
                );
                shell_call(&command, question)
            }
        },
        Step::Together { .. } => None,
    }
}

fn shell_call(command: &str, question: &Question) -> Option<(String, Value)> {
    let &tool = SHELL_TOOLS.iter().find(|tool| offers(question, tool))?;
    let input = match tool {
        "exec_command" => json!({ "cmd": command }),
        "shell" | "local_shell" => json!({ "command": ["bash", "-lc", command] }),
        "run_command" => json!({ "command": command }),
        _ => json!({ "command": command, "description": "scripted step" }),
    };
    Some((tool.to_owned(), input))
}

fn offers(question: &Question, tool: &str) -> bool {
    question.tools.iter().any(|offered| offered == tool)
}

/// The path below the directory that the client says it works in, if it says so.
fn whole(path: &str, question: &Question) -> String {
    let directory = Regex::new(r"(?:working directory|CWD|cwd>?)\s*[:>]?\s*(/[^\s<]+)")
        .ok()
        .and_then(|said| Some(said.captures(&question.text)?.get(1)?.as_str().to_owned()));
    match directory {
        Some(directory) if !path.starts_with('/') => format!("{}/{path}", directory.trim_end_matches('/')),
        _ => path.to_owned(),
    }
}
