//! The place on a machine that a name has: one life at a time sits in it, one process watches over it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use downbeat_core::ids::AgentName;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// The most bytes that are read of what a life tells.
const MOST: u64 = 4 * 1024;

/// Where a name is found on this machine.
///
/// Two locks of the kernel's hold it, which end with who holds them, however that ends:
///
/// - `<name>.lock` is held by the life *and everything that it started*, since the descriptor is inherited.
///   While it is held something of the life may still write files; when it is free nothing of it is left.
/// - `<name>.watch` is held by the orchestrator that watches over the life, and by nothing else.
///
/// The third file, `<name>.json`, says which process the life is.
#[derive(Debug, Clone)]
pub struct Seat {
    lock: PathBuf,
    watch: PathBuf,
    told: PathBuf,
}

/// What a life tells about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The identity of its process: machine, number and start.
    pub process: String,
    /// The how-manieth life of the name it is.
    pub generation: u64,
    /// It has ended by itself, with nothing to complain of.
    #[serde(default)]
    pub finished: bool,
}

/// Whether somebody sits in a seat.
#[derive(Debug)]
pub(super) enum Sitting {
    /// Nobody: it is this one's now, until the file and all that inherit it are gone.
    Free(File),
    /// A life, or something that it started.
    Taken,
}

impl Seat {
    /// The seat of `name`, in `directory`.
    #[must_use]
    pub fn of(directory: &Path, name: &AgentName) -> Self {
        let path = |ending: &str| directory.join(format!("{name}.{ending}"));
        Self { lock: path("lock"), watch: path("watch"), told: path("json") }
    }

    /// The names that have ever had a seat in `directory`.
    pub(super) fn names(directory: &Path) -> Vec<AgentName> {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names: Vec<AgentName> = entries
            .filter_map(|entry| {
                let file = entry.file_name().into_string().ok()?;
                AgentName::new(file.strip_suffix(".lock")?).ok()
            })
            .collect();
        names.sort();
        names
    }

    /// Begins to watch over it; `None` while another process does.
    pub(super) fn watch(&self) -> io::Result<Option<File>> {
        match try_lock(&self.watch)? {
            Sitting::Free(file) => Ok(Some(file)),
            Sitting::Taken => Ok(None),
        }
    }

    /// Takes it, if nobody sits in it.
    pub(super) fn take(&self) -> io::Result<Sitting> {
        try_lock(&self.lock)
    }

    /// Waits until nobody else watches over it, and begins to.
    pub(super) fn unwatched(&self) -> oneshot::Receiver<io::Result<File>> {
        when_free(self.watch.clone())
    }

    /// Waits until nobody sits in it any more, and takes it.
    pub(super) fn freed(&self) -> oneshot::Receiver<io::Result<File>> {
        when_free(self.lock.clone())
    }

    /// Waits in this thread until nobody watches over it; the watch is left free.
    pub(super) fn until_unwatched(&self) -> io::Result<()> {
        open(&self.watch)?.lock()
    }

    /// What the last life told; `None` when it told nothing, or nothing sound.
    pub(super) fn told(&self) -> Option<Told> {
        let mut text = Vec::new();
        File::open(&self.told).ok()?.take(MOST).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Forgets what the last life told.
    pub(super) fn forget(&self) -> io::Result<()> {
        match fs::remove_file(&self.told) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Tells who lives here. Readers see the old text or the new one, never a part.
    pub(super) fn tell(&self, told: &Told) -> io::Result<()> {
        let fresh = self.told.with_extension("json.new");
        fs::write(&fresh, serde_json::to_vec(told)?)?;
        fs::rename(&fresh, &self.told)
    }
}

fn try_lock(path: &Path) -> io::Result<Sitting> {
    let file = open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Sitting::Free(file)),
        Err(TryLockError::WouldBlock) => Ok(Sitting::Taken),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Waits for a lock. The kernel does, in a thread of its own, which ends with the process if it does not end
/// before.
fn when_free(path: PathBuf) -> oneshot::Receiver<io::Result<File>> {
    let (tell, free) = oneshot::channel();
    std::thread::spawn(move || {
        let locked = open(&path).and_then(|file| file.lock().map(|()| file));
        // Nobody may want to know any more; then it is free again.
        let _ = tell.send(locked);
    });
    free
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    // What inherits the descriptor shall not be able to write.
    File::open(path)
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn seat(directory: &Path) -> Seat {
        Seat::of(directory, &AgentName::new("clerk").unwrap())
    }

    #[tokio::test]
    async fn it_is_taken_until_the_last_that_inherited_it_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let seat = seat(directory.path());
        let Sitting::Free(file) = seat.take().unwrap() else { panic!("it is taken") };
        let (reader, writer) = io::pipe().unwrap();
        // What the life leaves behind reads from the pipe, and has the lock from it.
        let mut life = Command::new("sh");
        life.args(["-c", "exec 3<&0; (read line <&2) & exit 0"])
            .stdin(Stdio::from(file))
            .stderr(Stdio::from(reader));
        let mut child = life.spawn().unwrap();
        drop(life);
        child.wait().unwrap();

        assert!(matches!(seat.take().unwrap(), Sitting::Taken));
        assert_eq!(Seat::names(directory.path()), [AgentName::new("clerk").unwrap()]);
        let freed = seat.freed();
        drop(writer);
        let file = freed.await.unwrap().unwrap();
        assert!(matches!(seat.take().unwrap(), Sitting::Taken));
        drop(file);
        assert!(matches!(seat.take().unwrap(), Sitting::Free(_)));
    }
}
