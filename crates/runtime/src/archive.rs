//! A goal with all that is known of it, in one file: so that it can be removed from the store.
//!
//! One JSON object a line: a header that names the goal, the goal, its DAG, each task with its attempts,
//! each event of it that the log still has, and a last line with counts and the SHA-256 of all lines
//! before it. A file without that last line is no archive.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use downbeat_core::cache::{Cache, CacheError, Read, TaskQuery, events_stream};
use downbeat_core::goal::Goal;
use downbeat_core::ids::GoalId;
use downbeat_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What the first line says that it is.
const FORMAT: &str = "downbeat goal archive";
/// The version of the format. Kinds of lines may be added to it.
const VERSION: u64 = 1;
/// How many tasks or events are read at once.
const PAGE: usize = 500;
/// The longest line that is read: a task at its bounds is shorter.
const LONGEST_LINE: u64 = 64 * 1024 * 1024;

/// What an archive has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// The goal as it was.
    pub goal: Goal,
    /// How many tasks.
    pub tasks: u64,
    /// How many events.
    pub events: u64,
    /// How many events of any goal the log had forgotten before.
    pub events_trimmed: u64,
    /// Of the lines before the last, hexadecimal.
    pub sha256: String,
}

/// Why there is no archive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The store did not answer.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// The goal changed while it was read.
    #[error("goal `{goal}` changed while it was archived; nothing was kept, try again when it rests")]
    Changed {
        /// The goal.
        goal: GoalId,
    },
    /// The file could not be written or read.
    #[error("archive path=`{path}`", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What happened.
        #[source]
        source: io::Error,
    },
    /// The file is no whole archive.
    #[error("no whole archive of a goal: line {line}: {reason} path=`{path}`", path = path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where.
        line: u64,
        /// Why.
        reason: String,
    },
}

/// The last line.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    tasks: u64,
    events: u64,
    events_trimmed: u64,
    sha256: String,
}

/// Lines on their way into a file, with their digest.
struct Lines {
    file: BufWriter<File>,
    digest: Sha256,
}

impl Lines {
    fn write(&mut self, value: &Value) -> io::Result<()> {
        let mut line = value.to_string();
        line.push('\n');
        self.digest.update(line.as_bytes());
        self.file.write_all(line.as_bytes())
    }
}

/// Writes a goal into `path`, which is there whole or not at all when this returns: it is written and
/// synced under another name, read back, and then renamed.
///
/// Reads and writes the file on the calling thread.
///
/// # Errors
///
/// [`ArchiveError`]. [`CacheError::GoalNotFound`] when there is no such goal.
pub async fn write(
    cache: &dyn Cache,
    goal: &GoalId,
    path: &Path,
    now: Timestamp,
) -> Result<Contents, ArchiveError> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let draft = PathBuf::from(draft);
    let written = write_draft(cache, goal, &draft, now).await.map_err(|error| match error {
        // Nobody asked for the draft.
        ArchiveError::File { source, .. } => ArchiveError::File { path: path.to_owned(), source },
        error => error,
    });
    let renamed = written.and_then(|()| {
        let contents = read(&draft)?;
        let renamed = std::fs::rename(&draft, path).and_then(|()| {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
        });
        renamed.map(|()| contents).map_err(|source| ArchiveError::File { path: path.to_owned(), source })
    });
    if renamed.is_err() {
        // What is left of a failure helps nobody.
        let _ = std::fs::remove_file(&draft);
    }
    renamed
}

async fn write_draft(
    cache: &dyn Cache,
    id: &GoalId,
    path: &Path,
    now: Timestamp,
) -> Result<(), ArchiveError> {
    let failed = |source| ArchiveError::File { path: path.to_owned(), source };
    let missing = || CacheError::GoalNotFound { goal: id.clone() };
    let goal = cache.goal(id).await?.ok_or_else(missing)?;
    let dag = cache.dag(id).await?.ok_or_else(missing)?;
    let mut lines =
        Lines { file: BufWriter::new(File::create(path).map_err(failed)?), digest: Sha256::new() };
    let header = json!({ "format": FORMAT, "version": VERSION, "goal_id": id, "archived_at": now });
    lines.write(&header).map_err(failed)?;
    lines.write(&json!({ "goal": goal })).map_err(failed)?;
    lines.write(&json!({ "dag": dag.to_parts() })).map_err(failed)?;

    let mut end = End { tasks: 0, events: 0, events_trimmed: 0, sha256: String::new() };
    let mut query = TaskQuery { goal: id.clone(), status: None, after: None, limit: PAGE };
    loop {
        let tasks = cache.tasks(&query).await?;
        for task in &tasks {
            let changed = || ArchiveError::Changed { goal: id.clone() };
            let detail = cache.task(&task.node.id).await?.ok_or_else(changed)?;
            lines.write(&json!({ "task": detail })).map_err(failed)?;
            end.tasks = end.tasks.saturating_add(1);
        }
        match tasks.last() {
            Some(last) if tasks.len() == PAGE => query.after = Some(last.ordinal),
            _ => break,
        }
    }
    let mut after = 0;
    loop {
        let page = cache.read(&Read { stream: events_stream(), after, limit: PAGE }).await?;
        end.events_trimmed = end.events_trimmed.saturating_add(page.trimmed);
        for event in page.iter().filter(|event| event.what.goal.as_ref() == Some(id)) {
            lines.write(&json!({ "event": event })).map_err(failed)?;
            end.events = end.events.saturating_add(1);
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = last.seq,
            _ => break,
        }
    }
    if cache.goal(id).await?.as_ref() != Some(&goal) || end.tasks != goal.counts.total() {
        return Err(ArchiveError::Changed { goal: id.clone() });
    }
    end.sha256 = hex(lines.digest.clone());
    lines.write(&json!({ "end": end })).map_err(failed)?;
    let file = lines.file.into_inner().map_err(|error| failed(error.into_error()))?;
    file.sync_all().map_err(failed)
}

fn hex(digest: Sha256) -> String {
    use std::fmt::Write as _;
    digest.finalize().iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Reads an archive through and says what is in it.
///
/// # Errors
///
/// [`ArchiveError::Damaged`]: a line is missing, cut off or altered.
pub fn read(path: &Path) -> Result<Contents, ArchiveError> {
    let failed = |source| ArchiveError::File { path: path.to_owned(), source };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let mut digest = Sha256::new();
    let (mut number, mut tasks, mut events) = (0_u64, 0_u64, 0_u64);
    let (mut goal, mut dag): (Option<Goal>, bool) = (None, false);
    loop {
        number = number.saturating_add(1);
        let damaged = |reason: String| ArchiveError::Damaged { path: path.to_owned(), line: number, reason };
        let mut line = Vec::new();
        io::Read::take(&mut file, LONGEST_LINE).read_until(b'\n', &mut line).map_err(failed)?;
        if line.last() != Some(&b'\n') {
            return Err(damaged("the file is cut off here".to_owned()));
        }
        let value: Value = serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
        if number == 1 {
            if value.get("format").and_then(Value::as_str) != Some(FORMAT) {
                return Err(damaged(format!("it does not begin with `{FORMAT}`")));
            }
            if value.get("version").and_then(Value::as_u64) != Some(VERSION) {
                return Err(damaged("another version of Downbeat wrote it".to_owned()));
            }
        } else if let Some(value) = value.get("goal") {
            goal = Some(serde_json::from_value(value.clone()).map_err(|error| damaged(error.to_string()))?);
        } else if value.get("dag").is_some() {
            dag = true;
        } else if value.get("task").is_some() {
            tasks = tasks.saturating_add(1);
        } else if value.get("event").is_some() {
            events = events.saturating_add(1);
        } else if let Some(end) = value.get("end") {
            let end: End = serde_json::from_value(end.clone()).map_err(|error| damaged(error.to_string()))?;
            let found = End { tasks, events, sha256: hex(digest), events_trimmed: end.events_trimmed };
            if found != end {
                return Err(damaged(format!("the file has {found:?} and promises {end:?}")));
            }
            let Some(goal) = goal.filter(|_| dag) else {
                return Err(damaged("it names no goal, or has no DAG".to_owned()));
            };
            if tasks != goal.counts.total() {
                return Err(damaged(format!("the goal has {} tasks, the file {tasks}", goal.counts.total())));
            }
            let End { events_trimmed, sha256, .. } = end;
            return Ok(Contents { goal, tasks, events, events_trimmed, sha256 });
        }
        digest.update(&line);
    }
}
