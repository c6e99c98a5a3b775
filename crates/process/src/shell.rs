//! One shell command, the common case of a program.

use std::ffi::OsString;
use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::output::Stream;
use crate::program::{Limits, Program};

pub use crate::output::TAIL;
pub use crate::report::{End as CommandEnd, Report as CommandReport};

/// A shell command to run.
#[derive(Debug, Clone)]
pub struct ShellCommand<'a> {
    /// For `sh -c`.
    pub script: &'a str,
    /// The directory to run in.
    pub directory: &'a Path,
    /// Variables beside the standard ones.
    pub env: Vec<(String, OsString)>,
    /// Names of further variables to pass on from this process.
    pub pass_env: &'a [String],
    /// How long it may take.
    pub timeout: Duration,
    /// How much of its output is kept in the log, in bytes.
    pub max_output: u64,
    /// Between asking it to end and ending it.
    pub grace: Duration,
    /// Where its output goes; nowhere without it.
    pub log: Option<PathBuf>,
    /// See [`Program::guard`].
    pub guard: Option<&'a Path>,
}

impl ShellCommand<'_> {
    /// The same as a program, to which further bounds can be added.
    #[must_use]
    pub fn program(&self) -> Program {
        Program {
            env: self.env.iter().map(|(name, value)| (name.into(), value.clone())).collect(),
            pass_env: self.pass_env.to_vec(),
            merge_outputs: true,
            timeout: self.timeout,
            grace: self.grace,
            limits: Limits::default(),
            log: self.log.clone(),
            max_log: self.max_output,
            guard: self.guard.map(Path::to_owned),

            ..Program::new("sh", self.directory).args(["-c", self.script])
        }
    }
}

/// Runs a command to its end, or to the end of its time, or until `cancel`; see [`run`](crate::run()).
///
/// # Errors
///
/// It could not be started, or its log could not be written.
pub async fn run(command: &ShellCommand<'_>, cancel: &CancellationToken) -> io::Result<CommandReport> {
    let mut unheard = |_: Stream, _: &[u8]| ControlFlow::Continue(());
    crate::run(&command.program(), cancel, &mut unheard).await
}
