//! Lives under systemg: its supervisor starts them, counts them against its limits and keeps what they say.
//!
//! What systemg starts is a child of *its* supervisor, in the supervisor's directory and environment: it
//! inherits nothing from its orchestrator. So it is started as a [launcher](super::launch) that becomes the
//! agent, it takes the lock of its seat itself, and it ends with its orchestrator because it waits for the
//! lock that this one holds.

use std::ffi::OsString;
use std::io;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use downbeat_core::text::clip;
use tokio::process::Command;

use super::launch::{self, Launch};
use super::life::Body;
use super::seat::{Seat, Told};
use crate::process;
use crate::supervise::Hire;

/// The program of systemg.
const SYSG: &str = "sysg";

/// How long systemg may take to start a process.
const STARTING: Duration = Duration::from_secs(30);

/// How long a process may take to say that it lives.
const TELLING: Duration = Duration::from_secs(30);

/// Between two looks whether it does: systemg tells nobody.
const LOOK: Duration = Duration::from_millis(5);

/// Starts `program` with `words` for a life, beside this process, and waits until the life has told who it
/// is.
///
/// # Errors
///
/// systemg is not there, does not supervise this process, or refuses; or the life ended at once.
pub(super) async fn start(hire: &Hire, seat: &Seat, launched: &Launch, file: &Path) -> io::Result<Body> {
    // The supervisor's directory is another one.
    let file = &std::path::absolute(file)?;
    launched.write(file)?;
    let started = begin(hire, seat, &launched.program, file).await;
    if started.is_err() {
        // What nobody read holds an environment, with secrets in it.
        let _ = std::fs::remove_file(file);
    }
    started
}

async fn begin(hire: &Hire, seat: &Seat, program: &Path, file: &Path) -> io::Result<Body> {
    let id = std::process::id().to_string();
    let words: [OsString; 9] = [
        "start".into(),
        "--parent-pid".into(),
        id.into(),
        "--name".into(),
        hire.name.as_str().into(),
        "--".into(),
        program.into(),
        launch::ARGUMENT.into(),
        file.into(),
    ];
    let mut command = Command::new(SYSG);
    command.args(words).stdin(Stdio::null()).kill_on_drop(true);
    let answered = tokio::time::timeout(STARTING, command.output()).await;
    let answered = answered.map_err(|_| io::Error::other("`sysg start` does not answer"))?;
    let answered = answered.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => io::Error::other("there is no program `sysg` on the PATH"),
        _ => error,
    })?;
    let said = String::from_utf8_lossy(&answered.stdout).into_owned();
    let number = said.split_whitespace().last().and_then(|word| word.parse::<u32>().ok());
    let Some(number) = number.filter(|_| answered.status.success()) else {
        let complaint = downbeat_process::plain_text(&answered.stderr);
        let complaint = complaint.lines().rev().map(str::trim).find(|line| !line.is_empty());
        let complaint = clip(complaint.unwrap_or("it says no number of a process"), 300);
        return Err(io::Error::other(format!("systemg does not start it: {complaint}")));
    };
    let told = tokio::time::timeout(TELLING, told(seat, number, hire.generation)).await;
    let told =
        told.map_err(|_| io::Error::other(format!("process {number} does not say that it lives")))??;
    let gone = || io::Error::other(format!("process {number} ended at once; `sysg logs` has what it said"));
    Body::adopt(&told.process, seat).ok_or_else(gone)
}

/// Waits until the life that is this process has told so.
async fn told(seat: &Seat, number: u32, generation: u64) -> io::Result<Told> {
    let is_it =
        |told: &Told| told.generation == generation && process::number_of(&told.process) == Some(number);
    loop {
        if let Some(told) = seat.told().filter(is_it) {
            return Ok(told);
        }
        if !Path::new(&format!("/proc/{number}")).exists() {
            let said = format!("process {number} ended at once; `sysg logs` has what it said");
            return Err(io::Error::other(said));
        }
        tokio::time::sleep(LOOK).await;
    }
}
