//! What the attempt before left behind, when it was cut off.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use downbeat_core::cache::CacheError;
use downbeat_core::llm::Unfinished;
use downbeat_core::state::EndedAttempt;

use super::Attempt;

/// How much of the end of its output is shown, in bytes.
const TAIL: u64 = 2 * 1024;

impl Attempt<'_> {
    /// The attempt before, if it neither failed nor finished: its agent died or lost the task.
    pub(super) async fn unfinished(&self) -> Result<Option<Unfinished>, CacheError> {
        let Some(found) = self.worker.cache.task(&self.claimed.lease.task).await? else { return Ok(None) };
        let cut_off = |ended: &&EndedAttempt| {
            matches!(ended.outcome.as_str(), "expired" | "interrupted" | "dropped" | "released")
        };
        let Some(ended) = found.ended.last().filter(cut_off).cloned() else { return Ok(None) };
        let output = self.log_of(ended.attempt, ended.token);
        let read = tokio::task::spawn_blocking(move || {
            let path = output?;
            let tail = tail(&path)?;
            Some((path.canonicalize().unwrap_or(path), tail))
        });
        let (output, tail) = read.await.ok().flatten().unzip();
        Ok(Some(Unfinished {
            agent: ended.agent,
            reason: ended.error.message,
            progress: ended.error.detail,
            output,
            tail,
        }))
    }
}

/// The end of a file; `None` when it says nothing, or is none of this machine.
fn tail(path: &Path) -> Option<String> {
    let mut file = std::fs::File::open(path).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// What a command is told of it.
pub(super) fn environment(unfinished: &Unfinished) -> Vec<(&'static str, PathBuf)> {
    let mut env = Vec::new();
    if let Some(output) = &unfinished.output {
        env.push(("DOWNBEAT_UNFINISHED_OUTPUT", output.clone()));
    }
    if let Some(progress) = &unfinished.progress {
        env.push(("DOWNBEAT_UNFINISHED_PROGRESS", PathBuf::from(progress.replace('\0', ""))));
    }
    env
}
