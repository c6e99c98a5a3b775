//! `run_command`: commands that the kernel confines to the workspace.

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downbeat_process::{Confine, End, Limits, Program, Stream};
use schemars::JsonSchema;
use serde::Deserialize;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::transport::{Observer, Permissions, Work};

pub(super) const DESCRIPTION: &str = "Runs a command with `sh -c` in the workspace, and says how it ended \
    and what it wrote last. It can write in the workspace and in $TMPDIR only, and has no network unless it \
    was allowed. What it leaves running is ended with it.";

const DEFAULT_SECONDS: u32 = 120;
/// Who writes more than this is ended, in bytes.
const FLOOD: u64 = 16 * 1024 * 1024;
const LIMITS: Limits = Limits { file_size: Some(1024 * 1024 * 1024), processes: Some(256) };

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Input {
    /// The command, for a POSIX shell.
    #[schemars(length(min = 1, max = 65_536))]
    command: String,
    /// How many seconds it may take; 120 if not given.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_800))]
    timeout_seconds: Option<u32>,
}

/// How commands are run for one task.
#[derive(Debug)]
pub(crate) struct Commands {
    workspace: PathBuf,
    env: Vec<(String, String)>,
    guard: PathBuf,
    /// None: whatever the user may.
    confine: Option<Confine>,
    temporary: TempDir,
}

impl Commands {
    /// Commands below `guard`, without which nothing ends what they leave behind and nothing confines
    /// them; `readable` is what they may read beside the system and the workspace.
    pub(super) fn new(work: &Work, guard: PathBuf, readable: &[PathBuf]) -> io::Result<Self> {
        let workspace = work.workspace.canonicalize()?;
        let temporary = tempfile::Builder::new().prefix("downbeat-").tempdir()?;
        let confine = (work.permissions != Permissions::Full).then(|| {
            let mut confine = Confine::to([workspace.clone(), temporary.path().to_owned()]);
            confine.read.extend(readable.iter().cloned());
            confine
        });
        Ok(Self { workspace, env: work.env.clone(), guard, confine, temporary })
    }

    pub(super) async fn run(&self, input: &Input, observer: &Arc<dyn Observer>) -> Result<String, String> {
        let seconds = input.timeout_seconds.unwrap_or(DEFAULT_SECONDS);
        let mut program = Program::new("sh", &self.workspace).args(["-c", &input.command]);
        program.env = self.env.iter().map(|(name, value)| (name.into(), value.into())).collect();
        program.env.push(("TMPDIR".into(), self.temporary.path().into()));
        program.merge_outputs = true;
        program.timeout = Duration::from_secs(u64::from(seconds));
        program.limits = LIMITS;
        program.guard = Some(self.guard.clone());
        program.confine.clone_from(&self.confine);
        let mut written = 0_u64;
        let mut sink = |_: Stream, bytes: &[u8]| {
            observer.output(bytes);
            written = written.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
            if written > FLOOD { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        // Dropping this ends the command: who waits has the clock.
        let report = downbeat_process::run(&program, &CancellationToken::new(), &mut sink)
            .await
            .map_err(|error| format!("it could not be started: {error}"))?;
        let kept = u64::try_from(report.tail.len()).unwrap_or(u64::MAX);
        let cut = match report.written.saturating_sub(kept) {
            0 => String::new(),
            left_out => format!("[… {left_out} bytes before this were left out]\n"),
        };
        let output = if report.tail.is_empty() { "(it wrote nothing)" } else { &report.tail };
        match (report.failure(), report.end) {
            (None, _) => Ok(format!("exited with code 0\n{cut}{output}")),
            (Some(_), End::Stopped) => {
                Err(format!("was ended: it wrote more than {FLOOD} bytes\n{cut}{output}"))
            }
            (Some(failure), _) => Err(format!("{failure}\n{cut}{output}")),
        }
    }
}
