//! What a guard does, from its start to its end.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::WaitStatus;
use nix::unistd::Pid;

use super::tree;
use super::wire::{self, Ending, Outcome, Plan, TERMINATE};
use crate::confine::{self, Enforcement};
use crate::program::Limits;

/// How often processes are counted, in milliseconds.
const COUNT_EVERY: u16 = 100;

/// How long one wait for the dead is, in milliseconds; it ends early when one dies.
const WAIT_FOR_DEATH: u16 = 20;

/// Runs as a guard, on what its standard input says.
///
/// Call it before anything else in `main`, when the first argument is [`ARGUMENT`](super::ARGUMENT).
///
/// # Returns
///
/// Success when it could say what came of it; what did is told over its standard input, which is a
/// socket.
#[must_use]
pub fn main() -> ExitCode {
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn serve() -> io::Result<()> {
    let control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (input, plan) = wire::receive(&control)?;
    prctl::set_child_subreaper(true)?;
    let outcome = match Watch::start(control.try_clone()?, input, plan) {
        Ok(mut watch) => watch.outcome()?,
        Err(error) => Outcome { ending: not_started(&error), confined: None },
    };
    let mut control = control;
    // Nobody may be there to hear it.
    let _ = control.write_all(&serde_json::to_vec(&outcome)?);
    Ok(())
}

fn not_started(error: &io::Error) -> Ending {
    Ending::NotStarted { number: error.raw_os_error(), message: error.to_string() }
}

/// A child, and who may ask for its end.
struct Watch {
    control: UnixStream,
    child: Pid,
    /// To the inner guard, when the child is one.
    inner: Option<UnixStream>,
    signals: SignalFd,
    most: Option<usize>,
    confined: Option<Enforcement>,
}

impl Watch {
    fn start(control: UnixStream, input: Option<OwnedFd>, plan: Plan) -> io::Result<Self> {
        let mut confined = None;
        let mut inner = None;
        let most = if plan.inner { plan.limits.processes } else { None };
        let child = if plan.inner {
            limit(plan.limits)?;
            confined = plan.confine.as_ref().map(confine::apply).transpose()?;
            start_program(plan.words, input)?
        } else {
            let (ours, theirs) = UnixStream::pair()?;
            let child =
                Command::new("/proc/self/exe").arg(super::ARGUMENT).stdin(OwnedFd::from(theirs)).spawn()?;
            wire::send(&ours, input.as_ref().map(AsFd::as_fd), &Plan { inner: true, ..plan })?;
            inner = Some(ours);
            pid(child.id())?
        };
        // Not before the child is there, which would inherit that they are blocked.
        let mut set = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
            set.add(signal);
        }
        set.thread_block()?;
        let signals = SignalFd::with_flags(&set, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)?;
        Ok(Self { control, child, inner, signals, most, confined })
    }

    /// Waits for the child's end or somebody's wish, and then until nothing is left.
    fn outcome(&mut self) -> io::Result<Outcome> {
        let ending = self.wait();
        let signals = &self.signals;
        tree::end_all(self.child, || {
            let mut ready = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
            let _ = poll(&mut ready, PollTimeout::from(WAIT_FOR_DEATH));
            while let Ok(Some(_)) = signals.read_signal() {}
        });
        let ending = ending?;
        // What an inner guard says of the program counts more than how the guard itself ended.
        if let (Some(inner), Ending::Exited(_)) = (&mut self.inner, &ending) {
            let mut said = Vec::new();
            inner.read_to_end(&mut said)?;
            if let Some(outcome) = wire::outcome(&said) {
                return Ok(outcome);
            }
        }
        Ok(Outcome { ending, confined: self.confined })
    }

    fn wait(&mut self) -> io::Result<Ending> {
        loop {
            match tree::reap(self.child) {
                Some(WaitStatus::Exited(_, code)) => return Ok(Ending::Exited(code)),
                Some(WaitStatus::Signaled(_, signal, _)) => return Ok(Ending::Signalled(signal as i32)),
                _ => {}
            }
            let mut ready = [
                PollFd::new(self.control.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.signals.as_fd(), PollFlags::POLLIN),
            ];
            let timeout = self.most.map_or(PollTimeout::NONE, |_| PollTimeout::from(COUNT_EVERY));
            match poll(&mut ready, timeout) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
            let asked = ready.first().and_then(PollFd::any).unwrap_or_default();
            if asked && !self.listen() {
                return Ok(Ending::Ordered);
            }
            while let Ok(Some(signal)) = self.signals.read_signal() {
                match i32::try_from(signal.ssi_signo) {
                    Ok(number) if number == Signal::SIGCHLD as i32 => {}
                    // Somebody ended the guard: nothing may be left alone.
                    number => return Ok(Ending::Signalled(number.unwrap_or_default())),
                }
            }
            if let Some(most) = self.most
                && tree::descendants(most + 1).len() > most
            {
                return Ok(Ending::TooMany(most));
            }
        }
    }

    /// Hears a request; false when everything has to end.
    fn listen(&mut self) -> bool {
        let mut byte = [0];
        match self.control.read(&mut byte) {
            Ok(1) if byte == [TERMINATE] => {
                match &mut self.inner {
                    Some(inner) => {
                        let _ = inner.write_all(&byte);
                    }
                    None => tree::signal_all(Signal::SIGTERM),
                }
                true
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
            Ok(_) => false,
        }
    }
}

fn start_program(words: Vec<OsString>, input: Option<OwnedFd>) -> io::Result<Pid> {
    let mut words = words.into_iter();
    let program = words.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let input = input.map_or_else(Stdio::null, Stdio::from);
    // A group of its own: a program that signals its group must not reach its guards.
    let child = Command::new(program).args(words).stdin(input).process_group(0).spawn()?;
    pid(child.id())
}

fn pid(id: u32) -> io::Result<Pid> {
    i32::try_from(id).map(Pid::from_raw).map_err(io::Error::other)
}

/// Takes on limits that what is started from now on inherits.
fn limit(limits: Limits) -> io::Result<()> {
    // A core dump would hold what the program had in memory, keys too.
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard)?;
    if let Some(size) = limits.file_size {
        let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE)?;
        setrlimit(Resource::RLIMIT_FSIZE, size.min(hard), size.min(hard))?;
    }
    Ok(())
}
