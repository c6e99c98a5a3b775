//! What whole-program tests share: a project in a directory of its own, the real command, and ways to
//! await what it does.
//!
//! Nothing here sleeps or polls: output is read by threads that hand on each line, and the end of a
//! task's processes is seen at a [`Fifo`] that they hold open.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "test code: a fault ends the test"
)]

pub mod redis;
pub mod work;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::Instant;

/// After this long a test is stuck. Nothing waits for it when all is well.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The command, built once for each test process, in the profile of the tests.
///
/// # Panics
///
/// It cannot be built.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        // target/<profile>/deps/<this test>
        let test = std::env::current_exe().unwrap();
        let deps = test.parent().unwrap();
        let profile = if deps.ends_with("deps") { deps.parent().unwrap() } else { deps };
        let name = match profile.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(name) => name,
        };
        let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--package", "downbeat-cli", "--profile", name, "--target-dir"])
            .arg(profile.parent().unwrap())
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo can be started");
        assert!(built.success(), "the command cannot be built");
        profile.join("downbeat")
    })
}

/// A project in a directory that is removed with it.
#[derive(Debug)]
pub struct Project {
    directory: TempDir,
}

impl Project {
    /// A project with these instructions.
    ///
    /// # Panics
    ///
    /// The directory cannot be written.
    pub fn new(instructions: &str) -> Self {
        let project = Self::empty();
        project.write("INSTRUCTIONS.md", instructions);
        project
    }

    /// A directory that is no project yet.
    ///
    /// # Panics
    ///
    /// It cannot be made.
    pub fn empty() -> Self {
        Self { directory: tempfile::Builder::new().prefix("downbeat-test-").tempdir().unwrap() }
    }

    /// One goal `demo` with these tasks, and one agent that may take them all.
    pub fn of_tasks(tasks: &str) -> Self {
        Self::of_tasks_and_agents(tasks, 1)
    }

    /// One goal `demo` with these tasks, and so many agents that may take them all.
    pub fn of_tasks_and_agents(tasks: &str, agents: usize) -> Self {
        Self::new(&instructions(tasks, agents))
    }

    /// A copy of the quickstart.
    ///
    /// # Panics
    ///
    /// It cannot be copied.
    pub fn quickstart() -> Self {
        let from = repository().join("examples/quickstart");
        let project = Self::empty();
        std::fs::create_dir(project.path("data")).unwrap();
        for name in ["INSTRUCTIONS.md", "data/books.csv", "data/orders.csv"] {
            std::fs::copy(from.join(name), project.path(name)).unwrap();
        }
        project
    }

    /// The project's directory.
    pub fn root(&self) -> &Path {
        self.directory.path()
    }

    /// A path in the project.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root().join(name)
    }

    /// Writes a file, and the directories above it.
    ///
    /// # Panics
    ///
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// The text of a file.
    ///
    /// # Panics
    ///
    /// It cannot be read.
    pub fn read(&self, name: &str) -> String {
        let path = self.path(name);
        std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }

    /// The lines of a file that a task appends to; none without the file.
    pub fn lines(&self, name: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    /// `downbeat` with these words, in the project's directory and an environment without surprises.
    pub fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(binary());
        command.args(words).current_dir(self.root()).env_clear().stdin(Stdio::null());
        for name in ["PATH", "HOME", "TMPDIR"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // A failure should not cost a test seconds.
        command.env("DOWNBEAT_BACKOFF_BASE", "10ms");
        command
    }

    /// Runs `downbeat` with these words to its end.
    pub fn downbeat(&self, words: &[&str]) -> Ran {
        Running::start(self.command(words)).wait()
    }

    /// Starts `downbeat` with these words.
    pub fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(words))
    }

    /// Runs `downbeat <words> --json`, which has to succeed, and reads what it printed.
    ///
    /// # Panics
    ///
    /// It fails, or does not print JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        self.downbeat(&[words, &["--json"]].concat()).code(0).json()
    }

    /// Everything that happened, oldest first.
    ///
    /// # Panics
    ///
    /// The events cannot be read.
    pub fn events(&self) -> Vec<Event> {
        let ran = self.downbeat(&["events", "--json"]).code(0);
        ran.stdout.lines().map(Event::read).collect()
    }

    /// `downbeat task show`.
    ///
    /// # Panics
    ///
    /// There is no such task.
    pub fn task(&self, id: &str) -> Value {
        self.json(&["task", "show", id])
    }
}

/// The repository that is tested.
///
/// # Panics
///
/// The tests do not lie in one.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Instructions with one goal `demo`, worked on in `work`.
pub fn instructions(tasks: &str, agents: usize) -> String {
    let agents: String = (1..=agents).map(|number| format!("### agent-{number}\n- Goal: demo\n")).collect();
    format!(
        "# A test\n\n## Agents\n\n{agents}\n## Goals\n\n### demo: A demonstration\n- Workspace: work\n\n{tasks}\n"
    )
}

/// A task of a checklist that runs `script`: `head` is its title with attributes and artifacts.
pub fn task(head: &str, script: &str) -> String {
    block(&format!("- [ ] {head}\n"), "sh", script)
}

/// A check below a task.
pub fn check(script: &str) -> String {
    block("", "check", script)
}

fn block(head: &str, language: &str, script: &str) -> String {
    let lines: String = script.lines().map(|line| format!("  {line}\n")).collect();
    format!("{head}  ```{language}\n{lines}  ```\n")
}

/// One line of `downbeat events --json`.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its number.
    pub seq: u64,
    /// What kind of thing happened.
    pub kind: String,
    /// The task it is about, or nothing.
    pub task: String,
    /// The agent it is about, or nothing.
    pub agent: String,
    /// The attempt's token, or 0.
    pub token: u64,
    /// The attempt, or 0.
    pub attempt: u64,
    /// Why, or nothing.
    pub reason: String,
    /// The whole.
    pub value: Value,
}

impl Event {
    /// Reads a line.
    ///
    /// # Panics
    ///
    /// It is no event.
    pub fn read(line: &str) -> Self {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        let text = |key| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = |key| value.get(key).and_then(Value::as_u64).unwrap_or_default();
        Self {
            seq: number("seq"),
            kind: text("kind"),
            task: text("task"),
            agent: text("agent"),
            token: number("token"),
            attempt: number("attempt"),
            reason: text("reason"),
            value,
        }
    }
}

/// A command that ended.
#[derive(Debug, Clone)]
pub struct Ran {
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it said beside that.
    pub stderr: String,
}

impl Ran {
    /// The same, after a look at its exit code.
    ///
    /// # Panics
    ///
    /// It is another one.
    #[track_caller]
    pub fn code(self, expected: i32) -> Self {
        let Self { status, stdout, stderr } = &self;
        assert_eq!(
            status.code(),
            Some(expected),
            "{status}\n--- standard output\n{stdout}\n--- standard error\n{stderr}"
        );
        assert!(!stderr.contains("panicked at"), "{stderr}");
        self
    }

    /// Both outputs.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// What it printed, as JSON.
    ///
    /// # Panics
    ///
    /// It is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {}", self.stdout))
    }

    /// Looks for all of `parts` in what it printed and said.
    ///
    /// # Panics
    ///
    /// One of them is not there.
    #[track_caller]
    pub fn says(&self, parts: &[&str]) {
        let text = self.text();
        for part in parts {
            assert!(text.contains(part), "`{part}` is not said in:\n{text}");
        }
    }
}

/// What a running command says.
#[derive(Debug)]
enum Said {
    Out(String),
    Err(String),
    Closed,
}

/// A command that runs. It is killed when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    said: Receiver<Said>,
    open: u8,
    stdout: String,
    stderr: String,
}

impl Running {
    /// Starts a command, and reads both its outputs.
    ///
    /// # Panics
    ///
    /// It cannot be started.
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (tell, said) = mpsc::channel();
        hand_on(child.stdout.take().unwrap(), tell.clone(), Said::Out);
        hand_on(child.stderr.take().unwrap(), tell, Said::Err);
        Self { child, said, open: 2, stdout: String::new(), stderr: String::new() }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until `end` for the next line; `None` at the end of its time or of the command.
    fn next_line(&mut self, end: Instant) -> Option<String> {
        while self.open > 0 {
            match self.said.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Said::Out(line)) => {
                    self.stdout.push_str(&line);
                    return Some(line);
                }
                Ok(Said::Err(line)) => {
                    self.stderr.push_str(&line);
                    return Some(line);
                }
                Ok(Said::Closed) => self.open -= 1,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
        None
    }

    /// Listens for so many lines, at most for so long.
    pub fn listen(&mut self, lines: usize, longest: Duration) {
        let end = Instant::now() + longest;
        for _ in 0..lines {
            if self.next_line(end).is_none() {
                return;
            }
        }
    }

    /// Listens until a line contains `part`, at most for so long; whether one did.
    pub fn listen_for(&mut self, part: &str, longest: Duration) -> bool {
        let end = Instant::now() + longest;
        while let Some(line) = self.next_line(end) {
            if line.contains(part) {
                return true;
            }
        }
        false
    }

    /// Listens until a line contains `part`.
    ///
    /// # Panics
    ///
    /// It ends without such a line.
    #[track_caller]
    pub fn wait_for(&mut self, part: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.next_line(end) {
                Some(line) if line.contains(part) => return,
                Some(_) => {}
                None => panic!("`{part}` was not said in:\n{}{}", self.stdout, self.stderr),
            }
        }
    }

    /// Waits until it says a line with one of these parts; which it is.
    ///
    /// # Panics
    ///
    /// It ended, or took too long.
    #[track_caller]
    pub fn wait_for_any(&mut self, parts: &[&str]) -> usize {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.next_line(end) {
                Some(line) => {
                    if let Some(found) = parts.iter().position(|part| line.contains(part)) {
                        return found;
                    }
                }
                None => panic!("none of {parts:?} was said in:\n{}{}", self.stdout, self.stderr),
            }
        }
    }

    /// All that it said so far, as far as somebody listened.
    pub fn heard(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// It cannot be sent.
    pub fn signal(&self, signal: Signal) {
        // Nobody has waited for the child: its id is its own, also when it has ended.
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// It does not end.
    #[track_caller]
    pub fn wait(self) -> Ran {
        self.wait_within(PATIENCE)
    }

    /// Waits for its end, at most for so long.
    ///
    /// # Panics
    ///
    /// It does not end in that time.
    #[track_caller]
    pub fn wait_within(mut self, longest: Duration) -> Ran {
        let end = Instant::now() + longest;
        while self.next_line(end).is_some() {}
        if self.open > 0 {
            let _ = self.child.kill();
            panic!("it did not end within {longest:?}:\n{}{}", self.stdout, self.stderr);
        }
        let status = self.child.wait().unwrap();
        let (stdout, stderr) = (std::mem::take(&mut self.stdout), std::mem::take(&mut self.stderr));
        Ran { status, stdout, stderr }
    }

    /// Kills it with `kill -9` and waits for its end.
    pub fn kill(self) -> Ran {
        self.signal(Signal::SIGKILL);
        self.wait()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hand_on(from: impl Read + Send + 'static, tell: mpsc::Sender<Said>, as_said: fn(String) -> Said) {
    std::thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut line = Vec::new();
        while from.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            let _ = tell.send(as_said(String::from_utf8_lossy(&line).into_owned()));
            line.clear();
        }
        let _ = tell.send(Said::Closed);
    });
}

/// Whether a signal ended a command, and which.
pub fn signal_of(status: ExitStatus) -> Option<Signal> {
    status.signal().and_then(|signal| Signal::try_from(signal).ok())
}

/// A named pipe that tasks write to: tells when they began, and when the last process that holds it
/// has ended.
#[derive(Debug)]
pub struct Fifo {
    said: Receiver<Option<String>>,
}

impl Fifo {
    /// Makes the pipe at `path`, and listens to it.
    ///
    /// # Panics
    ///
    /// It cannot be made.
    pub fn new(path: &Path) -> Self {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let path = path.to_owned();
        let (tell, said) = mpsc::channel();
        // Opening waits for somebody who writes; the thread ends with the test process if nobody does.
        std::thread::spawn(move || {
            let Ok(pipe) = std::fs::File::open(path) else { return };
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                let _ = tell.send(Some(line));
            }
            let _ = tell.send(None);
        });
        Self { said }
    }

    /// Waits for the next line.
    ///
    /// # Panics
    ///
    /// None comes.
    #[track_caller]
    pub fn line(&self) -> String {
        match self.said.recv_timeout(PATIENCE) {
            Ok(Some(line)) => line,
            said => panic!("nobody writes to the pipe: {said:?}"),
        }
    }

    /// Waits until nobody holds the pipe any more.
    ///
    /// # Panics
    ///
    /// Somebody goes on holding it.
    #[track_caller]
    pub fn closed(&self) {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(_) => panic!("somebody holds the pipe"),
            }
        }
    }
}

/// The processes that work in `directory` or were given it in their environment: id and command line.
pub fn processes_of(directory: &Path) -> Vec<(u32, String)> {
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let name = directory.as_os_str().as_encoded_bytes();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let works_there =
            std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&directory));
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if works_there || environment.windows(name.len()).any(|part| part == name) {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((id, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}
