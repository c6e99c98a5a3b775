//! One child: asked to end, ended, and waited for until nothing of it is left.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::ids::AgentName;
use downbeat_core::text::clip;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use rustix::process::{PidfdFlags, pidfd_open, pidfd_send_signal};
use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use tracing::warn;

use super::seat::Seat;
use super::starter::Starter;
use crate::process;
use crate::stop::Stop;
use crate::supervise::{Exit, Life};

/// How long what a life started may take to end after it. Its guards need milliseconds.
const LEFTOVERS: Duration = Duration::from_secs(30);

/// How much of a log is looked at for its last line, in bytes.
const TAIL: u64 = 4 * 1024;

/// The process of a life.
#[derive(Debug)]
pub(super) enum Body {
    /// A child of this process.
    Own(Child),
    /// One that an earlier orchestrator started. The descriptor is that of the process and of none that
    /// may have its number later.
    Adopted { process: u32, handle: OwnedFd, ended: oneshot::Receiver<io::Result<File>> },
}

impl Body {
    /// Takes over the process with this identity; `None` when it has ended.
    pub(super) fn adopt(identity: &str, seat: &Seat) -> Option<Self> {
        let process = process::number_of(identity)?;
        let raw = rustix::process::Pid::from_raw(i32::try_from(process).ok()?)?;
        let handle = pidfd_open(raw, PidfdFlags::empty()).ok()?;
        // Looked at after the descriptor was had: it is this process's, and not that of a later one.
        process::lives(identity).then(|| Self::Adopted { process, handle, ended: seat.freed() })
    }

    pub(super) fn process(&self) -> Option<u32> {
        match self {
            Self::Own(child) => child.id(),
            Self::Adopted { process, .. } => Some(*process),
        }
    }

    pub(super) fn signal(&self, signal: Signal) {
        match self {
            // It has a number until it was waited for, so that it is no other's.
            Self::Own(child) => {
                if let Some(process) = child.id().and_then(|id| i32::try_from(id).ok()) {
                    let process = Pid::from_raw(process);
                    // It leads a group of its own. What it was asked to end by it passes on itself.
                    let _ = match signal {
                        Signal::SIGKILL => killpg(process, signal),
                        _ => kill(process, signal),
                    };
                }
            }
            Self::Adopted { handle, .. } => {
                let signal = match signal {
                    Signal::SIGINT => rustix::process::Signal::INT,
                    Signal::SIGHUP => rustix::process::Signal::HUP,
                    _ => rustix::process::Signal::KILL,
                };
                // It may have ended.
                let _ = pidfd_send_signal(handle, signal);
            }
        }
    }

    /// Waits for the end of the process; its status, when it is known. May be dropped and called again.
    async fn ended(&mut self) -> Option<ExitStatus> {
        match self {
            Self::Own(child) => match child.wait().await {
                Ok(status) => Some(status),
                Err(error) => {
                    warn!(target: "orchestrator", "A child cannot be waited for: {error}");
                    None
                }
            },
            Self::Adopted { ended, .. } => {
                let _ = ended.await;
                None
            }
        }
    }
}

/// What a life is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wish {
    Drain,
    Stop,
    Kill,
}

impl Wish {
    /// As an agent's process understands signals: the first is for finishing what runs, the
    /// second for giving it back.
    const fn signal(self) -> Signal {
        match self {
            Self::Drain => Signal::SIGINT,
            Self::Stop => Signal::SIGHUP,
            Self::Kill => Signal::SIGKILL,
        }
    }
}

/// What is known about a life.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: AgentName,
    pub(super) seat: Seat,
    /// Held while it is watched over.
    pub(super) watch: File,
    pub(super) log: PathBuf,
    /// Between asking it to give back its work and ending it.
    pub(super) patience: Duration,
    /// That of the run.
    pub(super) stop: Stop,
    /// Its parent's thread lives as long as it does.
    pub(super) starter: Arc<Starter>,
}

/// A child that is watched over. Dropping it kills it.
#[derive(Debug)]
pub(super) struct ChildLife {
    process: Option<u32>,
    wishes: mpsc::UnboundedSender<Wish>,
    exit: watch::Receiver<Option<Exit>>,
}

impl ChildLife {
    pub(super) fn new(body: Body, known: Known) -> Self {
        let process = body.process();
        let (wishes, heard) = mpsc::unbounded_channel();
        let (tell, exit) = watch::channel(None);
        tokio::spawn(async move {
            let exit = watch_over(body, heard, known).await;
            // Nobody may want to know any more.
            let _ = tell.send(Some(exit));
        });
        Self { process, wishes, exit }
    }

    fn ask(&self, wish: Wish) {
        // One that has ended is not there to hear it.
        let _ = self.wishes.send(wish);
    }
}

#[async_trait]
impl Life for ChildLife {
    fn process(&self) -> Option<u32> {
        self.process
    }

    async fn ended(&mut self) -> Exit {
        let exit = match self.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone(),
            Err(_) => None,
        };
        exit.unwrap_or_else(|| Exit::Failed {
            reason: "nobody watched over it any more".to_owned(),
            code: None,
        })
    }

    fn drain(&self) {
        self.ask(Wish::Drain);
    }

    fn stop(&self) {
        self.ask(Wish::Stop);
    }

    fn kill(&self) {
        self.ask(Wish::Kill);
    }
}

async fn watch_over(mut body: Body, mut heard: mpsc::UnboundedReceiver<Wish>, known: Known) -> Exit {
    let process = body.process().unwrap_or_default();
    let mut asked: Option<Wish> = None;
    let mut deadline: Option<Instant> = None;
    let status = loop {
        let wish = tokio::select! {
            status = body.ended() => break status,
            // Whoever could wish anything has dropped it.
            wish = heard.recv() => wish.unwrap_or(Wish::Kill),
            () = known.stop.draining(), if asked.is_none() => Wish::Drain,
            () = known.stop.stopping(), if asked < Some(Wish::Stop) => Wish::Stop,
            () = until(deadline), if asked < Some(Wish::Kill) => {
                warn!(target: "orchestrator", "Agent {} does not end; killing its process {process}", known.name);
                Wish::Kill
            }
        };
        if asked < Some(wish) {
            asked = Some(wish);
            body.signal(wish.signal());
            if wish == Wish::Stop {
                deadline = Some(Instant::now() + known.patience);
            }
        } else if heard.is_closed() {
            // It is killed: only its end is left to wait for.
            break body.ended().await;
        }
    };
    if tokio::time::timeout(LEFTOVERS, known.seat.freed()).await.is_err() {
        warn!(target: "orchestrator", "Agent {} ended, and something that it started goes on", known.name);
    }
    let Known { name: _, seat, watch, log, starter, .. } = known;
    drop((watch, starter));
    exit_of(status, asked, process, &seat, &log)
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

fn exit_of(status: Option<ExitStatus>, asked: Option<Wish>, process: u32, seat: &Seat, log: &Path) -> Exit {
    if seat.told().is_some_and(|told| told.finished) {
        return Exit::Finished;
    }
    let last = last_line(log).map(|line| format!(": {line}")).unwrap_or_default();
    let log = log.display();
    let Some(status) = status else {
        return match asked {
            Some(Wish::Kill) => Exit::Killed { signal: Signal::SIGKILL as i32 },
            Some(_) => Exit::Finished,
            None => {
                let reason = format!(
                    "its process {process} ended, how is not known since another orchestrator started it; \
                     its log is {log}{last}"
                );
                Exit::Failed { reason, code: None }
            }
        };
    };
    match (status.code(), status.signal()) {
        (Some(0), _) => Exit::Finished,
        (Some(code), _) => Exit::Failed {
            reason: format!("its process {process} failed; its log is {log}{last}"),
            code: Some(code),
        },
        // What was asked of it came before it could listen, or took too long.
        (None, Some(signal))
            if asked.is_some_and(|wish| wish.signal() as i32 == signal) && asked != Some(Wish::Kill) =>
        {
            Exit::Finished
        }
        (None, signal) => Exit::Killed { signal: signal.unwrap_or_default() },
    }
}

/// The last line of a log, for a person.
fn last_line(log: &Path) -> Option<String> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).ok()?;
    let text = downbeat_process::plain_text(&tail);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(clip(line, 300))
}
