//! Agents as processes of their own: how a parent starts them, and how a child begins and ends.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::ids::AgentName;
use downbeat_runtime::spawn::{self, By, Children, How, Orphans, Seat, Seated};
use downbeat_runtime::supervise::Spawner;
use downbeat_runtime::{Orchestrator, Stop};

use crate::args;
use crate::commands::logs_directory;
use crate::config::Spawn;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::exit;
use crate::output::Out;
use crate::signals::Terminate;

/// What a child needs to give back its work, beside the grace of its commands.
const MARGIN: Duration = Duration::from_secs(5);

/// How long an agent under another supervisor may take to give back its work when its orchestrator is gone.
const ABANDONED: Duration = Duration::from_secs(4);

/// Settings of the parent that are none of an agent's.
const OF_THE_PARENT: [&str; 5] = ["spawn", "orphans", "max_agents", "spawn_limit", "max_workers"];

/// Has the agents of an orchestrator brought to life as the settings say.
///
/// # Errors
///
/// They cannot be processes here.
pub(crate) fn with_agents(
    orchestrator: Orchestrator,
    context: &Context,
    stop: &Stop,
) -> Result<Orchestrator, CliError> {
    Ok(match context.config.spawn {
        None | Some(Spawn::InProcess) => orchestrator,
        Some(Spawn::Process) => orchestrator.spawned_by(children(context, By::Us, stop)?),
        Some(Spawn::Sysg) => orchestrator.spawned_by(children(context, By::Systemg, stop)?),
    })
}

/// What SIGTERM means to a process with the agents that the settings say.
pub(crate) fn terminate(context: &Context) -> Terminate {
    match context.config.spawn {
        Some(Spawn::Process | Spawn::Sysg) => Terminate::After(context.config.settings.drain_grace),
        None | Some(Spawn::InProcess) => Terminate::AtOnce,
    }
}

fn children(context: &Context, by: By, stop: &Stop) -> Result<Arc<dyn Spawner>, CliError> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::internal("this program cannot be found to start agents with", &error))?;
    let orphans = context.config.orphans;
    // What was said here on the command line is said there in the environment, where nobody else reads it.
    let said = context.said.iter().filter(|(key, _)| !OF_THE_PARENT.contains(key));
    let mut env: Vec<(OsString, OsString)> =
        said.map(|(key, text)| (variable(key).into(), text.into())).collect();
    env.push((variable("color").into(), "never".into()));
    if orphans == Orphans::End {
        // Its parent says when it ends.
        env.push((variable("keep_running").into(), "true".into()));
    }
    let instructions = &context.place.instructions;
    let how = How {
        program,
        words: vec![
            "agent".into(),
            instructions.canonicalize().unwrap_or_else(|_| instructions.clone()).into(),
        ],
        env,
        seats: context.place.own().join("agents"),
        logs: logs_directory(context).join("agents"),
        orphans,
        by,
        patience: context.config.settings.kill_grace + MARGIN,
    };
    Ok(Arc::new(Children::new(how, stop.clone())))
}

/// The variable of the environment that sets a setting.
fn variable(key: &str) -> String {
    format!("DOWNBEAT_{}", key.to_ascii_uppercase())
}

/// What an agent does first when an orchestrator started it; nothing else may have begun a thread.
///
/// # Errors
///
/// Its orchestrator is gone.
pub(crate) fn begin(args: &args::Agent) -> Result<Option<Seated>, CliError> {
    let Some(seats) = &args.child.seat else { return Ok(None) };
    let name = AgentName::new(args.name.as_str())?;
    let (seat, generation) = (Seat::of(seats, &name), args.child.generation);
    let begun = match args.child.apart || args.child.watched {
        true => spawn::begin_apart(seat, generation, args.child.watched.then_some(ABANDONED)),
        false => spawn::begin(seat, generation, args.child.parent),
    };
    begun
        .map(Some)
        .map_err(|error| CliError::new(Kind::Busy, format!("agent `{name}` cannot begin: {error}")))
}

/// What the end of a child's work says to its parent: that the work was stopped or did not succeed is nothing
/// that went wrong with the agent.
pub(crate) fn ended(seated: Option<Seated>, code: u8) -> Result<u8, CliError> {
    match (seated, code) {
        (Some(seated), exit::COMPLETE | exit::FAILED | exit::INTERRUPTED) => {
            let told = seated.finished();
            told.map_err(|error| CliError::internal("cannot say that this agent has finished", &error))?;
            Ok(exit::COMPLETE)
        }
        (_, code) => Ok(code),
    }
}

/// The file that the outputs of this process go to, kept within bounds.
#[derive(Debug)]
pub(crate) struct OwnLog {
    path: PathBuf,
    file: File,
    most: u64,
}

impl OwnLog {
    /// When it is as long as it may be, it becomes `<file>.1` and begins anew.
    pub(crate) fn keep_within(&self) {
        let too_long = self.file.metadata().is_ok_and(|now| now.len() > self.most);
        if too_long {
            let mut previous = self.path.clone().into_os_string();
            previous.push(".1");
            // Copied, not renamed: this process has it as its outputs. What cannot be kept is let go.
            let _ = fs::copy(&self.path, previous);
            let _ = self.file.set_len(0);
        }
    }
}

/// Keeps the log of a child within bounds.
pub(crate) fn bound_log(args: &args::Agent, context: &Context, out: &Out) {
    let Some(path) = &args.child.log_file else { return };
    if let Ok(file) = OpenOptions::new().append(true).open(path) {
        out.bound(OwnLog { path: path.clone(), file, most: context.config.settings.max_output });
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_log_that_is_long_enough_begins_anew() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log");
        let mut outputs = OpenOptions::new().append(true).create(true).open(&path).unwrap();
        let file = OpenOptions::new().append(true).open(&path).unwrap();
        let log = OwnLog { path: path.clone(), file, most: 20 };
        for line in 0..9 {
            writeln!(outputs, "line {line}").unwrap();
            log.keep_within();
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        assert_eq!(fs::read_to_string(directory.path().join("a.log.1")).unwrap(), "line 6\nline 7\nline 8\n");
    }
}
