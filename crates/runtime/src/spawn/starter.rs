//! The thread that starts children.

use std::io;
use std::sync::mpsc;

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// Starts processes from a thread that lives as long as this does.
///
/// A parent's death, as the kernel tells it to children, is the death of the *thread* that started them,
/// and the threads of an executor come and go.
#[derive(Debug)]
pub(super) struct Starter {
    jobs: mpsc::Sender<Job>,
}

#[derive(Debug)]
struct Job {
    command: Command,
    started: oneshot::Sender<io::Result<Child>>,
}

impl Starter {
    /// Begins its thread. Only within a runtime, which will watch over the children.
    pub(super) fn new() -> io::Result<Self> {
        let (jobs, todo) = mpsc::channel::<Job>();
        let runtime = Handle::current();
        std::thread::Builder::new().name("children".to_owned()).spawn(move || {
            let _within = runtime.enter();
            for Job { mut command, started } in todo {
                let child = command.spawn();
                // The descriptors that it was given are to be the child's alone.
                drop(command);
                // One that nobody waits for is killed when it is dropped.
                let _ = started.send(child);
            }
        })?;
        Ok(Self { jobs })
    }

    pub(super) async fn start(&self, command: Command) -> io::Result<Child> {
        let (started, child) = oneshot::channel();
        let gone = || io::Error::other("the thread that starts processes is gone");
        self.jobs.send(Job { command, started }).map_err(|_| gone())?;
        child.await.map_err(|_| gone())?
    }
}
