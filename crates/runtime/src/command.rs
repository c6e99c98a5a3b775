//! One shell command, within bounds: of time, of output, of environment, and of what it leaves behind.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio_util::sync::CancellationToken;

/// Variables that every command is given if this process has them: what shells and tools need to
/// find programs, files and a language. Nothing that names a secret.
const STANDARD_ENV: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// A shell command to run.
#[derive(Debug, Clone)]
pub struct ShellCommand<'a> {
    /// For `sh -c`.
    pub script: &'a str,
    /// The directory to run in.
    pub directory: &'a Path,
    /// Variables beside the standard ones.
    pub env: Vec<(String, OsString)>,
    /// Names of further variables to pass on from this process.
    pub pass_env: &'a [String],
    /// How long it may take.
    pub timeout: Duration,
    /// How much of its output is kept in the log, in bytes.
    pub max_output: u64,
    /// Between asking it to end and ending it.
    pub grace: Duration,
    /// Where its output goes; nowhere without it.
    pub log: Option<PathBuf>,
    /// See [`Settings::guard`](crate::Settings::guard).
    pub guard: Option<&'a Path>,
}

/// What came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandReport {
    /// How it ended.
    pub end: CommandEnd,
    /// The end of what it wrote to both outputs, at most [`TAIL`] bytes.
    pub tail: String,
    /// How much it wrote in all, in bytes.
    pub written: u64,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandEnd {
    /// By itself, with this exit code.
    Exited(i32),
    /// By a signal that we did not send.
    Signalled(i32),
    /// We ended it: it took longer than this.
    TimedOut(Duration),
    /// We ended it: it was no longer wanted.
    Cancelled,
}

/// How much of an output's end is kept for people and models, in bytes.
pub const TAIL: usize = 16 * 1024;

impl CommandReport {
    /// Why it did not succeed; `None` when it did.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        match self.end {
            CommandEnd::Exited(0) => None,
            CommandEnd::Exited(126) => Some("exited with code 126 (not executable)".to_owned()),
            CommandEnd::Exited(127) => Some("exited with code 127 (command not found)".to_owned()),
            CommandEnd::Exited(code) => Some(format!("exited with code {code}")),
            CommandEnd::Signalled(signal) => {
                let name = Signal::try_from(signal).map_or("unknown", Signal::as_str);
                Some(format!("was killed by signal {signal} ({name})"))
            }
            CommandEnd::TimedOut(limit) => Some(format!("took longer than {limit:?} and was ended")),
            CommandEnd::Cancelled => Some("was ended because the work was stopped".to_owned()),
        }
    }
}

/// Ends the process group when dropped, whatever happened to the future that waited for it.
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

/// Runs a command to its end, or to the end of its time, or until `cancel`.
///
/// It gets a process group of its own, and nothing of the group survives its end: also not what it
/// put into the background, and with a guard also not when this process is killed.
///
/// # Errors
///
/// It could not be started, or its log could not be written.
pub async fn run(command: &ShellCommand<'_>, cancel: &CancellationToken) -> io::Result<CommandReport> {
    let (reader, writer) = io::pipe()?;
    let mut process = std::process::Command::new(command.guard.unwrap_or(Path::new("sh")));
    if command.guard.is_some() {
        process.args([crate::guard::ARGUMENT, "--", "sh"]);
    }
    process.arg("-c").arg(command.script).current_dir(command.directory);
    process.env_clear();
    let passed = STANDARD_ENV.iter().copied().chain(command.pass_env.iter().map(String::as_str));
    for name in passed {
        if let Some(value) = std::env::var_os(name) {
            process.env(name, value);
        }
    }
    process.envs(command.env.iter().map(|(name, value)| (name, value)));
    process.stdin(if command.guard.is_some() { Stdio::piped() } else { Stdio::null() });
    process.stdout(writer.try_clone()?).stderr(writer);
    let mut process = tokio::process::Command::from(process);
    process.process_group(0).kill_on_drop(true);
    let mut child = process.spawn()?;
    // Ours of the pipe's writing end must go, or its end is never seen.
    drop(process);
    let id = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let group = Group(id);
    // As long as this end is open the guard knows that we live.
    let _lifeline = child.stdin.take();

    let mut output = Output::open(command, reader.into()).await?;
    let mut forced = None;
    let status: io::Result<ExitStatus> = tokio::select! {
        status = output.copy_until(child.wait()) => status,
        () = tokio::time::sleep(command.timeout) => {
            forced = Some(CommandEnd::TimedOut(command.timeout));
            group.signal(Signal::SIGTERM);
            match tokio::time::timeout(command.grace, output.copy_until(child.wait())).await {
                Ok(status) => status,
                Err(_) => { group.signal(Signal::SIGKILL); child.wait().await }
            }
        }
        () = cancel.cancelled() => {
            forced = Some(CommandEnd::Cancelled);
            group.signal(Signal::SIGKILL);
            child.wait().await
        }
    };
    // What it left in the background goes with it; then the pipe has no writer and ends.
    group.signal(Signal::SIGKILL);
    let status = status?;
    let _ = tokio::time::timeout(command.grace, output.drain()).await;
    let (tail, written) = output.finish().await?;
    Ok(CommandReport { end: forced.unwrap_or_else(|| end_of(status)), tail, written })
}

fn end_of(status: ExitStatus) -> CommandEnd {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        // The guard passes a signal on as shells do.
        (Some(code), _) if code > 128 && code < 160 => CommandEnd::Signalled(code - 128),
        (Some(code), _) => CommandEnd::Exited(code),
        (None, signal) => CommandEnd::Signalled(signal.unwrap_or_default()),
    }
}

/// What a command writes: its end in memory, its beginning in a file, both bounded.
struct Output {
    pipe: pipe::Receiver,
    log: Option<tokio::fs::File>,
    tail: VecDeque<u8>,
    written: u64,
    kept: u64,
    limit: u64,
    buffer: Vec<u8>,
}

impl Output {
    async fn open(command: &ShellCommand<'_>, reader: OwnedFd) -> io::Result<Self> {
        let log = match &command.log {
            Some(path) => {
                if let Some(parent) = path.parent() {
                    tokio::fs::create_dir_all(parent).await?;
                }
                Some(tokio::fs::OpenOptions::new().create(true).append(true).open(path).await?)
            }
            None => None,
        };
        Ok(Self {
            pipe: pipe::Receiver::from_owned_fd(reader)?,
            log,
            tail: VecDeque::new(),
            written: 0,
            kept: 0,
            limit: command.max_output,
            buffer: vec![0; 16 * 1024],
        })
    }

    /// Copies what arrives until `end` does.
    async fn copy_until<T>(&mut self, end: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        tokio::pin!(end);
        loop {
            // Only the waiting is raced, so that nothing that was read can be lost.
            tokio::select! {
                biased;
                result = &mut end => return result,
                ready = self.pipe.readable() => ready?,
            }
            if !self.copy_some().await? {
                return end.await;
            }
        }
    }

    async fn drain(&mut self) -> io::Result<()> {
        loop {
            self.pipe.readable().await?;
            if !self.copy_some().await? {
                return Ok(());
            }
        }
    }

    /// Copies one piece, if there is one; false at the end.
    async fn copy_some(&mut self) -> io::Result<bool> {
        let count = match self.pipe.try_read(&mut self.buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
            Err(error) => return Err(error),
        };
        let piece = self.buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            return Ok(false);
        }
        self.written = self.written.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        self.tail.extend(piece);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        if let Some(log) = &mut self.log {
            let room = usize::try_from(self.limit.saturating_sub(self.kept)).unwrap_or(usize::MAX);
            let kept = piece.get(..room.min(count)).unwrap_or_default();
            log.write_all(kept).await?;
            self.kept = self.kept.saturating_add(u64::try_from(kept.len()).unwrap_or(u64::MAX));
        }
        Ok(true)
    }

    async fn finish(mut self) -> io::Result<(String, u64)> {
        if let Some(mut log) = self.log.take() {
            if self.written > self.kept {
                let left_out = self.written - self.kept;
                log.write_all(format!("\n[… {left_out} bytes left out]\n").as_bytes()).await?;
            }
            log.flush().await?;
        }
        let bytes: Vec<u8> = self.tail.into();
        let mut text = without_escapes(&String::from_utf8_lossy(&bytes));
        // Text goes to terminals, stores and prompts: no escape sequences, no NUL.
        text.retain(|c| c == '\n' || c == '\t' || !c.is_control());
        Ok((text, self.written))
    }
}

/// Text without the escape sequences of terminals, whole: without their first character alone, the
/// colours of a tool would stand as `[31m` in every message.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            plain.push(letter);
            continue;
        }
        match letters.next_if(|next| matches!(next, ' '..='~')) {
            // CSI: parameters, then one final byte.
            Some('[') => {
                while letters.next_if(|next| matches!(next, ' '..='?')).is_some() {}
                letters.next_if(|next| matches!(next, '@'..='~'));
            }
            // OSC and its kin: up to BEL or ESC \, on one line.
            Some(']' | 'P' | '^' | '_' | 'X') => {
                while letters.next_if(|next| !matches!(next, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
                letters.next_if_eq(&'\u{7}');
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod escapes {
    use super::without_escapes;

    #[test]
    fn escape_sequences_go_whole_and_text_stays() {
        for (written, plain) in [
            ("\u{1b}[1;31mred\u{1b}[0m and [31m", "red and [31m"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Btext", "Btext"),
            ("end\u{1b}", "end"),
            ("\u{1b}]open\nnext", "\nnext"),
            ("\u{1b}äöü", "äöü"),
        ] {
            assert_eq!(without_escapes(written), plain, "{written:?}");
        }
    }
}
