//! A program that was started, with its standard streams in hand.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ExitStatus, Stdio};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::task::JoinSet;

use crate::confine::Enforcement;
use crate::guard;
use crate::guard::wire::{self, Ending, Plan, TERMINATE};
use crate::program::{Input, Program};
use crate::report::End;

/// A program that was started. Dropping it ends the program and all that it started.
#[derive(Debug)]
pub struct Running {
    /// Writes to its standard input, when that is [`Input::Pipe`].
    pub input: Option<pipe::Sender>,
    /// Reads its standard output; both outputs, when they are merged.
    pub output: Option<pipe::Receiver>,
    /// Reads its standard error.
    pub errors: Option<pipe::Receiver>,
    child: Child,
    holder: Holder,
    /// Writes what it is to read; ends with it.
    _feeder: JoinSet<()>,
}

/// How a started program ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// How; [`End::Cancelled`] when [`Running::end`] did it.
    pub end: End,
    /// How far the kernel held up its confinement, if it had any.
    pub confined: Option<Enforcement>,
}

/// What its end is ordered through.
#[derive(Debug)]
enum Holder {
    /// A guard listens; it ends everything when this closes.
    Guard { control: tokio::net::UnixStream, said: Vec<u8> },
    /// Nobody: its process group is all that can be reached.
    Group(Group),
}

#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.0 {
            // The group may be gone already; that is what is wanted.
            let _ = killpg(group, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::SIGKILL);
    }
}

impl Running {
    /// Starts a program. Its timeout, grace and log are the caller's to keep.
    ///
    /// # Errors
    ///
    /// It could not be started. With a guard, that the program itself could not be started is heard of
    /// in [`wait`](Self::wait).
    pub fn start(program: &Program) -> io::Result<Self> {
        if !program.directory.is_dir() {
            let message = format!("there is no directory {}", program.directory.display());
            return Err(io::Error::new(io::ErrorKind::NotADirectory, message));
        }
        let mut feeder = JoinSet::new();
        let mut sender = None;
        let input: Option<OwnedFd> = match &program.input {
            Input::Nothing => None,
            Input::File(path) => Some(std::fs::File::open(path)?.into()),
            Input::Pipe => {
                let (reader, writer) = io::pipe()?;
                sender = Some(pipe::Sender::from_owned_fd(writer.into())?);
                Some(reader.into())
            }
            Input::Bytes(bytes) => {
                let (reader, writer) = io::pipe()?;
                let mut writer = pipe::Sender::from_owned_fd(writer.into())?;
                let bytes = bytes.clone();
                // That it does not read all is its own affair.
                feeder.spawn(async move { drop(writer.write_all(&bytes).await) });
                Some(reader.into())
            }
        };
        let (out_reader, out_writer) = io::pipe()?;
        let mut err_reader = None;
        let err_writer = if program.merge_outputs {
            out_writer.try_clone()?
        } else {
            let (reader, writer) = io::pipe()?;
            err_reader = Some(pipe::Receiver::from_owned_fd(reader.into())?);
            writer
        };
        let mut command = match &program.guard {
            Some(guard) => {
                let mut command = std::process::Command::new(guard);
                command.arg(guard::ARGUMENT);
                command
            }
            None => {
                if program.confine.is_some() {
                    let message = "a program can be confined only below a guard";
                    return Err(io::Error::new(io::ErrorKind::Unsupported, message));
                }
                let mut command = std::process::Command::new(&program.program);
                command.args(&program.args);
                command
            }
        };
        command.current_dir(&program.directory).env_clear().envs(program.environment());
        command.stdout(out_writer).stderr(err_writer);
        let (child, holder) = match &program.guard {
            Some(guard) => start_guard(command, guard, program, input.as_ref())?,
            None => {
                command.stdin(input.map_or_else(Stdio::null, Stdio::from));
                let child = spawn(command)?;
                let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
                (child, Holder::Group(Group(id)))
            }
        };
        Ok(Self {
            input: sender,
            output: Some(pipe::Receiver::from_owned_fd(out_reader.into())?),
            errors: err_reader,
            child,
            holder,
            _feeder: feeder,
        })
    }

    /// Asks it and all that it started to end.
    pub fn terminate(&mut self) {
        match &self.holder {
            // A guard that cannot be asked is ending already.
            Holder::Guard { control, .. } => drop(control.try_write(&[TERMINATE])),
            Holder::Group(group) => group.signal(Signal::SIGTERM),
        }
    }

    /// Ends it and all that it started; [`wait`](Self::wait) says when that is done.
    pub async fn end(&mut self) {
        match &mut self.holder {
            Holder::Guard { control, .. } => drop(control.shutdown().await),
            Holder::Group(group) => group.signal(Signal::SIGKILL),
        }
    }

    /// Waits until it ended by itself and, with a guard, nothing that it started is left. May be
    /// dropped and called again.
    ///
    /// # Errors
    ///
    /// It could not be started or waited for.
    pub async fn wait(&mut self) -> io::Result<Ended> {
        let status = self.child.wait().await?;
        match &mut self.holder {
            Holder::Guard { control, said } => {
                control.read_to_end(said).await?;
                match wire::outcome(said) {
                    Some(outcome) => outcome_of(outcome),
                    // The guard itself was ended; what it guarded goes with it.
                    None => Ok(Ended { end: end_of(status), confined: None }),
                }
            }
            Holder::Group(group) => {
                // What it left in the background goes with it.
                group.signal(Signal::SIGKILL);
                Ok(Ended { end: end_of(status), confined: None })
            }
        }
    }
}

fn start_guard(
    mut command: std::process::Command,
    guard: &Path,
    program: &Program,
    input: Option<&OwnedFd>,
) -> io::Result<(Child, Holder)> {
    let (ours, theirs) = UnixStream::pair()?;
    command.stdin(OwnedFd::from(theirs));
    let child = spawn(command).map_err(|error| {
        io::Error::new(error.kind(), format!("its guard {} cannot be started: {error}", guard.display()))
    })?;
    let words = std::iter::once(program.program.clone()).chain(program.args.iter().cloned()).collect();
    let plan = Plan { words, inner: false, limits: program.limits, confine: program.confine.clone() };
    // Arguments are shorter than what a socket takes, but for those near the system's limit, and a
    // guard reads at once.
    wire::send(&ours, input.map(AsFd::as_fd), &plan)?;
    ours.set_nonblocking(true)?;
    let control = tokio::net::UnixStream::from_std(ours)?;
    Ok((child, Holder::Guard { control, said: Vec::new() }))
}

fn spawn(command: std::process::Command) -> io::Result<Child> {
    let mut command = Command::from(command);
    // Not the terminal's group: Ctrl-C is for us.
    command.process_group(0).spawn()
}

fn outcome_of(outcome: wire::Outcome) -> io::Result<Ended> {
    let end = match outcome.ending {
        Ending::Exited(code) => End::Exited(code),
        Ending::Signalled(signal) => End::Signalled(signal),
        Ending::Ordered => End::Cancelled,
        Ending::TooMany(limit) => End::TooManyProcesses(limit),
        Ending::NotStarted { number, message } => {
            let kind =
                number.map_or(io::ErrorKind::Other, |number| io::Error::from_raw_os_error(number).kind());
            return Err(io::Error::new(kind, message));
        }
    };
    Ok(Ended { end, confined: outcome.confined })
}

fn end_of(status: ExitStatus) -> End {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => End::Exited(code),
        (None, signal) => End::Signalled(signal.unwrap_or_default()),
    }
}
