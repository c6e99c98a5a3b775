//! What a model is asked: the same for all providers.
//!
//! The texts are files in `prompts/`; here they are put together. A prompt has two parts. The
//! *system* part is the same for all questions of a step: what the step is, the rules, the schema;
//! vendors that cache prompts find the same bytes again. The *prompt* holds what is asked now: first
//! what many questions share (an agent's instructions), then what is the task's own, and what changes
//! from attempt to attempt last.
//!
//! All that comes from files, commands, people or models stands behind fences that it cannot close
//! (`fence`), each section within its bound.

mod fence;
mod template;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use downbeat_core::dag::Node;
use downbeat_core::llm::{Assess, Decompose, Execute, Input, Select, Summarize, Unfinished};
use downbeat_core::state::{Artifact, Failure};
use downbeat_core::text::clip;
use serde_json::Value;

use fence::{elide, fenced, newest, one_line};
use template::fill;

/// The version of the prompts; `prompts/CHANGELOG.md` says what changed with each.
pub const PROMPT_VERSION: u32 = 1;

/// How large each section may be, in bytes. All together stay far below any model's window.
mod limits {
    pub(super) const BRIEF: usize = 96 * 1024;
    pub(super) const AGENTS: usize = 16 * 1024;
    pub(super) const FAULTS: usize = 16 * 1024;
    pub(super) const INSTRUCTIONS: usize = 32 * 1024;
    pub(super) const TASK: usize = 72 * 1024;
    pub(super) const INPUT: usize = 6 * 1024;
    pub(super) const INPUTS: usize = 64 * 1024;
    pub(super) const MEMORY: usize = 12 * 1024;
    pub(super) const FAILURE: usize = 8 * 1024;
    pub(super) const READY: usize = 32 * 1024;
    pub(super) const NOTES: usize = 24 * 1024;
    pub(super) const ANSWER: usize = 32 * 1024;
    /// One fault.
    pub(super) const LINE: usize = 2 * 1024;
    /// How many files of one dependency are named.
    pub(super) const ARTIFACTS: usize = 40;
    /// How much of a description is shown where only a choice is asked for.
    pub(super) const SHORT: usize = 400;
}

macro_rules! prompt_file {
    ($name:literal) => {
        include_str!(concat!("../../prompts/", $name))
    };
}

/// A question in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Prompt {
    pub(crate) system: String,
    pub(crate) prompt: String,
}

/// The system part of a step.
fn system(step: &str, exception: &str, schema: &Value) -> String {
    let schema = schema.to_string();
    let rules = fill(prompt_file!("rules.md"), &[("schema", &schema), ("exception", exception)]);
    fill(step, &[("rules", &rules)])
}

pub(crate) fn decompose(request: &Decompose, schema: &Value) -> Prompt {
    let exception = ", and the block `goal`, which says what is wanted";
    let goal = format!("{}\n\n{}", one_line(&request.title), request.brief);
    let agents: Vec<String> = request
        .agents
        .iter()
        .map(|agent| {
            let role = agent.role.as_deref().map(|role| format!(": {}", one_line(role))).unwrap_or_default();
            let can: Vec<&str> = agent.capabilities.iter().map(|it| it.as_str()).collect();
            let can = if can.is_empty() { "none".to_owned() } else { can.join(", ") };
            format!("- {}{role} (capabilities: {can})", agent.name)
        })
        .collect();
    let agents = section("The agents that will do the tasks:", "agents", &agents.join("\n"), limits::AGENTS);
    let faults = section(
        "Your plan before this one could not be used. Everything that was wrong with it:",
        "faults",
        &lines(&request.faults),
        limits::FAULTS,
    );
    Prompt {
        system: system(prompt_file!("decompose.system.md"), exception, schema),
        prompt: fill(
            prompt_file!("decompose.prompt.md"),
            &[("goal", &fenced("goal", &goal, limits::BRIEF)), ("agents", &agents), ("faults", &faults)],
        ),
    }
}

pub(crate) fn select(request: &Select, schema: &Value) -> Prompt {
    let tasks: Vec<String> = request
        .ready
        .iter()
        .map(|node| {
            let about = node.description.as_deref().map(|about| clip(&one_line(about), limits::SHORT));
            let about = about.map(|about| format!(" - {about}")).unwrap_or_default();
            format!("- {} (priority {}): {}{about}", node.id, node.priority, one_line(&node.title))
        })
        .collect();
    Prompt {
        system: system(prompt_file!("select.system.md"), "", schema),
        prompt: fill(
            prompt_file!("select.prompt.md"),
            &[
                ("agent", request.agent.as_str()),
                ("goal", request.goal.as_str()),
                ("memory", &memory(&request.memory)),
                ("tasks", &fenced("tasks", &tasks.join("\n"), limits::READY)),
            ],
        ),
    }
}

pub(crate) fn execute(request: &Execute, schema: &Value) -> Prompt {
    let exception = ", and the block `task`, which says what the task is";
    // Who wrote them gives orders: they are the user's, from the user's own file.
    let instructions = elide(request.instructions.trim(), limits::INSTRUCTIONS);
    let failure = request.last_error.as_ref().map(|error| {
        let attempt = request.attempt.saturating_sub(1).max(1);
        format!(
            "This is attempt {}. Attempt {attempt} failed; do not fail the same way again. Files that it left \
             behind may still be there.\n\n{}",
            request.attempt,
            failure(error)
        )
    });
    Prompt {
        system: system(prompt_file!("execute.system.md"), exception, schema),
        prompt: fill(
            prompt_file!("execute.prompt.md"),
            &[
                ("instructions", &instructions),
                ("agent", request.agent.as_str()),
                ("goal", request.goal.as_str()),
                ("memory", &memory(&request.memory)),
                ("inputs", &inputs(&request.inputs)),
                ("task", &task(&request.node)),
                (
                    "failure",
                    &[failure, request.unfinished.as_ref().map(unfinished)]
                        .into_iter()
                        .flatten()
                        .collect::<Vec<_>>()
                        .join("\n\n"),
                ),
            ],
        ),
    }
}

/// What the attempt before had come to when it was cut off.
fn unfinished(attempt: &Unfinished) -> String {
    let mut said = vec![format!("It ended because: {}", one_line(&clip(&attempt.reason, limits::SHORT)))];
    if let Some(progress) = &attempt.progress {
        said.push(format!("It had said: {}", one_line(&clip(progress, limits::SHORT))));
    }
    if let Some(output) = &attempt.output {
        said.push(format!("What it had put out by then is in {}", output.display()));
    }
    if let Some(tail) = &attempt.tail {
        said.push(format!("The end of that:\n{tail}"));
    }
    format!(
        "An attempt before this one, by `{}`, was cut off and did not finish. Files that it left behind may be \
         half done: look at them before you go on from there.\n\n{}",
        attempt.agent,
        fenced("unfinished", &said.join("\n"), limits::FAILURE)
    )
}

pub(crate) fn summarize(request: &Summarize, schema: &Value) -> Prompt {
    let artifacts = section("It made:", "files", &files(&request.artifacts), limits::INPUT);
    let notes = section("What was noted or printed:", "notes", request.notes.trim(), limits::NOTES);
    Prompt {
        system: system(prompt_file!("summarize.system.md"), "", schema),
        prompt: fill(
            prompt_file!("summarize.prompt.md"),
            &[("task", &task(&request.node)), ("artifacts", &artifacts), ("notes", &notes)],
        ),
    }
}

pub(crate) fn assess(request: &Assess, schema: &Value) -> Prompt {
    Prompt {
        system: system(prompt_file!("assess.system.md"), "", schema),
        prompt: fill(
            prompt_file!("assess.prompt.md"),
            &[
                ("task", &task(&request.node)),
                ("attempt", &request.attempt.to_string()),
                ("failure", &failure(&request.failure)),
            ],
        ),
    }
}

/// What is said when an answer cannot be used.
pub(crate) fn repair(faults: &[String]) -> String {
    fill(prompt_file!("repair.md"), &[("faults", &fenced("faults", &lines(faults), limits::FAULTS))])
}

/// An answer as it is said again, so that it can be repaired.
pub(crate) fn said(answer: &str) -> String {
    if answer.trim().is_empty() { "(nothing)".to_owned() } else { elide(answer, limits::ANSWER) }
}

/// A heading and what it is about, or nothing where there is nothing.
fn section(heading: &str, name: &str, data: &str, limit: usize) -> String {
    if data.is_empty() { String::new() } else { format!("{heading}\n\n{}", fenced(name, data, limit)) }
}

fn lines(texts: &[String]) -> String {
    texts.iter().map(|text| format!("- {}\n", one_line(&clip(text, limits::LINE)))).collect()
}

fn memory(lines: &[String]) -> String {
    section("What you remember, oldest first:", "memory", &newest(lines, limits::MEMORY), limits::MEMORY + 64)
}

fn failure(failure: &Failure) -> String {
    let mut said = failure.message.clone();
    if let Some(detail) = &failure.detail {
        let _ = write!(said, "\n\n{detail}");
    }
    fenced("failure", &said, limits::FAILURE)
}

/// What the tasks that this one waited for left behind.
fn inputs(inputs: &[Input]) -> String {
    if inputs.is_empty() {
        return String::new();
    }
    let mut out = "What the tasks that this one waited for left behind:\n".to_owned();
    for (at, input) in inputs.iter().enumerate() {
        let mut data = input.summary.trim().to_owned();
        if !input.artifacts.is_empty() {
            let _ = write!(data, "\n\nIts files:\n{}", files(&input.artifacts));
        }
        let block = fenced(&format!("result of {}", input.task), &data, limits::INPUT);
        if out.len() + block.len() > limits::INPUTS {
            let _ = write!(out, "\n[… the results of {} more tasks left out …]\n", inputs.len() - at);
            break;
        }
        let _ = write!(out, "\n{block}");
    }
    out
}

/// A line for each file.
fn files(artifacts: &[Artifact]) -> String {
    let mut out = String::new();
    for artifact in artifacts.iter().take(limits::ARTIFACTS) {
        let _ = writeln!(out, "- {} ({} bytes)", one_line(&artifact.path), artifact.bytes);
    }
    if artifacts.len() > limits::ARTIFACTS {
        let _ = writeln!(out, "[… {} more files left out …]", artifacts.len() - limits::ARTIFACTS);
    }
    out
}

fn task(node: &Node) -> String {
    let mut about = format!("{}\n", one_line(&node.title));
    if let Some(description) = &node.description {
        let _ = write!(about, "\n{}\n", description.trim());
    }
    if !node.expected_artifacts.is_empty() {
        about.push_str("\nFiles that must exist when it is done:\n");
        for path in &node.expected_artifacts {
            let _ = writeln!(about, "- {}", one_line(path));
        }
    }
    if !node.checks.is_empty() {
        about.push_str("\nCommands that must succeed when it is done; they are run for you:\n");
        for check in &node.checks {
            let _ = writeln!(about, "{}", check.trim());
        }
    }
    format!("The task is `{}`:\n\n{}", node.id, fenced("task", &about, limits::TASK))
}
