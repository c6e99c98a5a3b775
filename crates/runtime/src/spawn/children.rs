//! The spawner whose lives are child processes.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::ids::AgentName;
use nix::sys::signal::Signal;
use tokio::process::Command;
use tokio::sync::OnceCell;
use tracing::{info, warn};

use super::launch::Launch;
use super::life::{Body, ChildLife, Known};
use super::seat::{Seat, Sitting};
use super::starter::Starter;
use super::sysg;
use crate::process;
use crate::stop::Stop;
use crate::supervise::{Adopted, Hire, Life, SpawnError, Spawner};

/// How long an earlier life of a name that nobody watches over may take to end by itself. Those whose
/// parent was killed are being killed.
const ENDING: Duration = Duration::from_secs(2);

/// How long it may take when it was killed.
const KILLED: Duration = Duration::from_secs(30);

/// What becomes of children whose parent died.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Orphans {
    /// The kernel ends them with it.
    #[default]
    End,
    /// They go on, and the next orchestrator of the project on this machine watches over them.
    Keep,
}

/// Whose children they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum By {
    /// Of this process.
    #[default]
    Us,
    /// Of systemg's supervisor, which has to supervise this process too.
    Systemg,
}

/// How children are started.
#[derive(Debug, Clone)]
pub struct How {
    /// What to call.
    pub program: PathBuf,
    /// The first words that it is called with: every user of the machine can read them, so never a secret.
    pub words: Vec<OsString>,
    /// Variables beside those of this process.
    pub env: Vec<(OsString, OsString)>,
    /// Where the [`Seat`]s are: a directory on a disk of this machine.
    pub seats: PathBuf,
    /// Where what each of them says is kept, in `<name>.log`.
    pub logs: PathBuf,
    /// What becomes of them when this process dies.
    pub orphans: Orphans,
    /// Who starts them.
    pub by: By,
    /// Between asking one to give back its work and killing it.
    pub patience: Duration,
}

/// Runs each agent as a process of its own: a program that is called with words that say who it is.
///
/// Beside [`How::words`] it is given, in this order: `--name NAME --as DECLARED [--goal GOAL]
/// --generation N --seat DIR`, and then `--log-file FILE [--parent PID]` as a child of ours, `--watched` or
/// `--apart` as one of systemg's. It calls [`begin`](super::begin) or [`begin_apart`](super::begin_apart) first of
/// all, ends when its work is done on SIGINT, and gives its work back on SIGHUP.
#[derive(Debug)]
pub struct Children {
    how: How,
    /// That of the run: it reaches every life at once.
    stop: Stop,
    /// Made when the first one is started.
    starter: OnceCell<Arc<Starter>>,
}

impl Children {
    /// Starts nothing yet. `stop` reaches all of them at once.
    #[must_use]
    pub fn new(how: How, stop: Stop) -> Self {
        Self { how, stop, starter: OnceCell::new() }
    }

    async fn starter(&self) -> io::Result<Arc<Starter>> {
        let starter = self.starter.get_or_try_init(|| async { Starter::new().map(Arc::new) }).await?;
        Ok(Arc::clone(starter))
    }

    fn log_of(&self, name: &AgentName) -> PathBuf {
        self.how.logs.join(format!("{name}.log"))
    }

    async fn begin(&self, hire: &Hire) -> io::Result<Box<dyn Life>> {
        fs::create_dir_all(&self.how.seats)?;
        fs::create_dir_all(&self.how.logs)?;
        let seat = Seat::of(&self.how.seats, &hire.name);
        let watch = match seat.watch()? {
            Some(watch) => watch,
            None => self.unwatched(&seat, &hire.name).await?,
        };
        let lock = match seat.take()? {
            Sitting::Free(lock) => lock,
            Sitting::Taken => {
                if self.how.orphans == Orphans::Keep
                    && let Some(body) = self.living(&seat)
                {
                    return self.watch_over(&hire.name, seat, watch, body).await;
                }
                self.free(&seat, &hire.name).await?
            }
        };
        seat.forget()?;
        if self.how.by == By::Systemg {
            drop(lock);
            let launch = Launch::of(&self.apart(hire))?;
            let file = self.how.seats.join(format!("{}.launch", hire.name));
            let body = sysg::start(hire, &seat, &launch, &file).await?;
            let process = body.process().unwrap_or_default();
            info!(target: "orchestrator", "Agent {} is process {process} under systemg", hire.name);
            return self.watch_over(&hire.name, seat, watch, body).await;
        }
        let log = self.log_of(&hire.name);
        let child = self.starter().await?.start(self.command(hire, lock, &log)?).await?;
        let process = child.id().unwrap_or_default();
        info!(target: "orchestrator", "Agent {} is process {process}; its log is {}", hire.name, log.display());
        self.watch_over(&hire.name, seat, watch, Body::Own(child)).await
    }

    fn command(&self, hire: &Hire, lock: File, log: &Path) -> io::Result<Command> {
        let out = OpenOptions::new().append(true).create(true).open(log)?;
        let mut command = Command::from(self.words(hire));
        command.arg("--log-file").arg(log);
        if self.how.orphans == Orphans::End {
            command.arg("--parent").arg(std::process::id().to_string());
        }
        command.stdin(Stdio::from(lock)).stdout(Stdio::from(out.try_clone()?)).stderr(Stdio::from(out));
        // Not the terminal's group: Ctrl-C is for us, and we tell them.
        command.process_group(0);
        command.kill_on_drop(self.how.orphans == Orphans::End);
        Ok(command)
    }

    /// What another supervisor starts.
    fn apart(&self, hire: &Hire) -> std::process::Command {
        let mut command = self.words(hire);
        command.arg(match self.how.orphans {
            Orphans::End => "--watched",
            Orphans::Keep => "--apart",
        });
        command
    }

    /// Who it is.
    fn words(&self, hire: &Hire) -> std::process::Command {
        let mut command = std::process::Command::new(&self.how.program);
        command.args(&self.how.words).arg("--name").arg(hire.name.as_str());
        command.arg("--as").arg(hire.agent.spec.name.value.as_str());
        if let Some(goal) = &hire.goal {
            command.arg("--goal").arg(goal.as_str());
        }
        command.arg("--generation").arg(hire.generation.to_string());
        command.arg("--seat").arg(&self.how.seats);
        command.envs(self.how.env.iter().map(|(name, value)| (name, value)));
        command
    }

    async fn watch_over(
        &self,
        name: &AgentName,
        seat: Seat,
        watch: File,
        body: Body,
    ) -> io::Result<Box<dyn Life>> {
        let known = Known {
            name: name.clone(),
            seat,
            watch,
            log: self.log_of(name),
            patience: self.how.patience,
            stop: self.stop.clone(),
            starter: self.starter().await?,
        };
        Ok(Box::new(ChildLife::new(body, known)))
    }

    /// The process that sits in a seat, if it is one of ours that lives.
    fn living(&self, seat: &Seat) -> Option<Body> {
        let told = seat.told()?;
        // What it told lies in a file that others may have written: it ends nothing but our own program.
        if process::program_of(&told.process)? != self.how.program.canonicalize().ok()? {
            return None;
        }
        Body::adopt(&told.process, seat)
    }

    /// Waits until the orchestrator on this machine that watches over a name is gone.
    async fn unwatched(&self, seat: &Seat, name: &AgentName) -> io::Result<File> {
        info!(target: "orchestrator", "Another orchestrator on this machine watches over agent {name}; \
            waiting for its end");
        tokio::select! {
            unwatched = seat.unwatched() => unwatched.map_err(io::Error::other)?,
            () = self.stop.draining() => Err(io::Error::other("the run ends, and another orchestrator on \
                this machine watches over it")),
        }
    }

    /// Waits until a life that nobody watches over has ended, and ends it if it does not.
    async fn free(&self, seat: &Seat, name: &AgentName) -> io::Result<File> {
        let mut freed = seat.freed();
        if let Ok(freed) = tokio::time::timeout(ENDING, &mut freed).await {
            return freed.map_err(io::Error::other)?;
        }
        if let Some(body) = self.living(seat) {
            warn!(target: "orchestrator", "Agent {name} outlived its orchestrator; ending it");
            body.signal(Signal::SIGKILL);
        }
        match tokio::time::timeout(KILLED, freed).await {
            Ok(freed) => freed.map_err(io::Error::other)?,
            Err(_) => {
                Err(io::Error::other("an earlier life of it, or something that it started, does not end"))
            }
        }
    }

    async fn adopt_one(&self, name: AgentName) -> io::Result<Option<Adopted>> {
        let seat = Seat::of(&self.how.seats, &name);
        let Some(watch) = seat.watch()? else { return Ok(None) };
        if let Sitting::Free(_) = seat.take()? {
            return Ok(None);
        }
        let Some(body) = self.living(&seat) else { return Ok(None) };
        if self.how.orphans == Orphans::End {
            self.free(&seat, &name).await?;
            return Ok(None);
        }
        let generation = seat.told().map_or(1, |told| told.generation);
        let life = self.watch_over(&name, seat, watch, body).await?;
        info!(target: "orchestrator", "Adopted agent {name}, process {}", life.process().unwrap_or_default());
        Ok(Some(Adopted { name, generation, life }))
    }
}

#[async_trait]
impl Spawner for Children {
    async fn spawn(&self, hire: &Hire) -> Result<Box<dyn Life>, SpawnError> {
        self.begin(hire).await.map_err(|error| SpawnError::Failed { reason: error.to_string() })
    }

    /// Those that go on; with [`Orphans::End`] none, and those that go on all the same are ended.
    async fn adopt(&self) -> Vec<Adopted> {
        let mut adopted = Vec::new();
        for name in Seat::names(&self.how.seats) {
            match self.adopt_one(name.clone()).await {
                Ok(one) => adopted.extend(one),
                Err(error) => {
                    warn!(target: "orchestrator", "Whether agent {name} still lives is not known: {error}");
                }
            }
        }
        adopted
    }
}
