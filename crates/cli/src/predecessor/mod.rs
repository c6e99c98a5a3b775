//! The command line and the files of `porki`, the program that Downbeat takes the place of.
//!
//! What its users typed goes on working: `downbeat run --role orchestrator …`, `downbeat run --role agent …`,
//! `downbeat run -p …` and `downbeat instructions create|validate`. None of it shows in the help of our own
//! commands; docs/predecessor.md tells all of it. In reading order:
//! - [`spoken`]: what could be typed there; [`translate`]: what that means here, with a [`Heritage`] of what
//!   has no place in our own commands.
//! - [`role_text`]: an agent whose file is no file of instructions but its own text.
//! - [`ask`], [`create`], [`validate`]: its small commands.

mod ask;
mod create;
mod heritage;
pub(crate) mod role_text;
mod spoken;
mod translate;
mod validate;

use std::ffi::{OsStr, OsString};

use crate::args::Cli;
use crate::error::CliError;
use crate::output::Out;

pub(crate) use heritage::{Heritage, place, settle};

/// The variable of the environment that says there how many calls to models go on at once.
pub(crate) const CALLS: &str = "PORKI_LLM_MAX_CONCURRENCY";

/// What is none of our own commands.
#[derive(Debug)]
pub(crate) enum Small {
    /// Ask a model one thing, and print its answer.
    Ask(ask::Ask),
    /// Write an agent's text to fill in.
    Create(spoken::Create),
    /// Read a file of instructions, and say whether it is sound.
    Validate(spoken::Validate),
}

/// The command line in our own terms, if it is in the predecessor's.
pub(crate) fn read() -> Option<Result<Cli, clap::Error>> {
    let words: Vec<OsString> = std::env::args_os().collect();
    is_spoken(&words).then(|| translate::translate(words))
}

/// Does what is none of our own commands.
pub(crate) fn small(command: &Small, cli: &Cli, out: &Out) -> Result<u8, CliError> {
    match command {
        Small::Ask(ask) => ask::ask(ask, cli, out),
        Small::Create(create) => create::create(create, out),
        Small::Validate(validate) => validate::validate(validate, out),
    }
}

/// Whether somebody types as for the predecessor: `instructions …`, or `run` with an option that only it had.
fn is_spoken(words: &[OsString]) -> bool {
    const ONLY_THERE: [&str; 21] = [
        "--role",
        "--instructions",
        "--prompt",
        "--heartbeat",
        "--log-style",
        "--agent-name",
        "--agent-role",
        "--goal-id",
        "--loop-interval",
        "--poll-interval",
        "--heartbeat-interval",
        "--instruction-interval",
        "--idle-log-interval",
        "--llm-provider",
        "--llm-cli",
        "--llm-extra-arg",
        "--llm-use-sysg",
        "--claude-cli",
        "--claude-extra-arg",
        "--claude-use-sysg",
        "-p",
    ];
    let is_only_there = |word: &OsString| {
        let word = word.to_string_lossy();
        let name = word.split('=').next().unwrap_or_default();
        ONLY_THERE.contains(&name)
    };
    match words.get(1).map(OsString::as_os_str).and_then(OsStr::to_str) {
        Some("instructions") => true,
        Some("run") => words.iter().skip(2).take_while(|word| *word != "--").any(is_only_there),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spoken(line: &str) -> bool {
        is_spoken(&line.split(' ').map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn only_what_only_the_predecessor_had_is_taken_for_its_own() {
        for line in [
            "downbeat run --role agent",
            "downbeat run --role=orchestrator --instructions x",
            "downbeat run --json -p hello",
            "downbeat instructions validate --path x",
        ] {
            assert!(spoken(line), "{line}");
        }
        for line in [
            "downbeat",
            "downbeat run",
            "downbeat run INSTRUCTIONS.md --lease-ttl 30s --cache redis://h --color always",
            "downbeat run -- --role",
            "downbeat agent --name a --goal-id g --instructions x --heartbeat y --redis-url redis://h",
        ] {
            assert!(!spoken(line), "{line}");
        }
    }
}
