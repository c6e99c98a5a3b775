//! A small process between Downbeat and a command, so that the command does not outlive Downbeat.
//!
//! A killed orchestrator cannot end its commands, and a command that goes on alone would work beside
//! the next attempt. So each command runs below a guard: the leader of its process group, which waits
//! for the command and for the end of its own standard input. That input is a pipe that Downbeat
//! holds; when Downbeat ends in any way, the kernel closes it, and the guard ends the whole group.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::getpgrp;

/// The hidden sub-command by which a program is asked to be a guard.
pub const ARGUMENT: &str = "internal-guard";

/// Runs as a guard: `command` is the program and its arguments.
///
/// Call it before anything else in `main`, when the first argument is [`ARGUMENT`].
///
/// # Returns
///
/// The command's exit code; 128 and the signal's number when a signal ended it; 127 when it could not
/// be started.
pub fn main(command: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut words = command.into_iter().skip_while(|word| word == "--");
    let Some(program) = words.next() else { return ExitCode::from(127) };
    let spawned = Command::new(program).args(words).stdin(Stdio::null()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(_) => return ExitCode::from(127),
    };
    // A command that is asked to end may take its time for it: the guard stays as long as it does, and
    // does not listen. Not before the command is there, which would inherit that.
    let mut requests = SigSet::empty();
    requests.add(Signal::SIGTERM);
    let _ = requests.thread_block();
    std::thread::spawn(|| {
        let mut lifeline = std::io::stdin();
        let mut byte = [0; 1];
        // Nothing is ever written to it: both its end and an error mean that nobody waits for us.
        while matches!(lifeline.read(&mut byte), Ok(1..)) {}
        let _ = killpg(getpgrp(), Signal::SIGKILL);
    });
    let status = child.wait();
    let code = status.map_or(127, |status| match (status.code(), status.signal()) {
        (Some(code), _) => code,
        (None, signal) => 128 + signal.unwrap_or_default(),
    });
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}
