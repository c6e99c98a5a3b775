//! Hears of what a model does for an attempt: its output goes to the attempt's log as it comes, so that
//! it is kept when the work is cut off, and what it says it is doing becomes the task's progress.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use downbeat_core::llm::Observer;
use downbeat_core::text::clip;
use tokio::sync::watch;
use tracing::warn;

/// The longest line of progress, in bytes.
const LINE: usize = 200;

/// Hears for one attempt.
#[derive(Debug)]
pub(super) struct Watch {
    log: Mutex<Option<Log>>,
    progress: watch::Sender<Option<String>>,
}

#[derive(Debug)]
struct Log {
    file: File,
    /// How much may still be written.
    room: u64,
}

impl Watch {
    /// Writes to `log`, at most `max_output` bytes, and tells `progress`.
    pub(super) fn new(log: Option<&Path>, max_output: u64, progress: watch::Sender<Option<String>>) -> Self {
        let log = log.and_then(|path| {
            let made = path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| File::create(path));
            match made {
                Ok(file) => Some(Log { file, room: max_output }),
                Err(error) => {
                    warn!(target: "runtime", "{} cannot be written: {error}", path.display());
                    None
                }
            }
        });
        Self { log: Mutex::new(log), progress }
    }
}

impl Observer for Watch {
    fn progress(&self, line: &str) {
        let line: String = line.chars().filter(|letter| !letter.is_control()).collect();
        self.progress.send_replace(Some(clip(line.trim(), LINE)));
    }

    fn output(&self, bytes: &[u8]) {
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = log.as_mut() else { return };
        let room = usize::try_from(open.room).unwrap_or(usize::MAX);
        let (now, rest) = bytes.split_at(bytes.len().min(room));
        open.room = open.room.saturating_sub(now.len() as u64);
        let mut written = open.file.write_all(now);
        if written.is_ok() && !rest.is_empty() {
            written = open.file.write_all("\n[… more was put out, and is not kept …]\n".as_bytes());
        }
        if written.is_err() || !rest.is_empty() {
            *log = None;
        }
    }
}
