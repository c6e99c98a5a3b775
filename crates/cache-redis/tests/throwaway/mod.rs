//! Redis servers for one test, each in a directory of its own and on a Unix socket, or on free ports.
#![allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "each test uses a part; it is test code"
)]

pub(crate) mod cluster;
pub(crate) mod sentinel;
pub(crate) mod work;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Runs the server, and kills it when the pipe to its parent ends: also when the test is killed.
const KEEPER: &str = r#""$@" >server.log 2>&1 & echo $!; read end; kill -9 $!; wait $!"#;

/// The server's program: named by `REDIS_SERVER`, or found.
///
/// # Panics
///
/// When there is none on this machine.
pub(crate) fn program() -> String {
    if let Ok(program) = std::env::var("REDIS_SERVER") {
        return program;
    }
    let found = ["redis-server", "valkey-server"].into_iter().find(|program| is_there(program));
    found.expect("a Redis server is needed: install redis-server, or name one in REDIS_SERVER").to_owned()
}

/// Whether a program is on the `PATH`.
pub(crate) fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// A port that nobody uses, outside of the range from which outgoing connections take theirs.
pub(crate) fn free_port() -> u16 {
    loop {
        let port = fastrand::u16(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// How long a test waits for what has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Asks until it is so.
#[expect(clippy::disallowed_methods, reason = "servers tell nobody that they are ready")]
pub(crate) fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running server. It ends with this value.
pub(crate) struct Server {
    directory: TempDir,
    keeper: Option<Keeper>,
    arguments: Vec<String>,
    port: Option<u16>,
}

struct Keeper {
    shell: Child,
    pid: String,
}

impl Keeper {
    fn end(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

impl Server {
    /// Starts an empty one that keeps an append-only file: what it acknowledged survives its process.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with these arguments, too.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        Self::new(arguments.iter().map(|&argument| argument.to_owned()).collect(), None)
    }

    /// Starts one that listens at a port, too. Another server may take a free port meanwhile: then at
    /// another one.
    pub(crate) fn start_tcp(arguments: &[&str]) -> Self {
        Self::start_at(|port| {
            let mut all = vec!["--port".to_owned(), port.to_string()];
            all.extend(arguments.iter().map(|&argument| argument.to_owned()));
            all
        })
    }

    /// Starts one with the arguments that go with a free port.
    pub(crate) fn start_at(arguments: impl Fn(u16) -> Vec<String>) -> Self {
        for _ in 0..10 {
            let port = free_port();
            let mut server = Self::prepared(arguments(port), Some(port));
            if server.spawn() {
                return server;
            }
        }
        panic!("no free port")
    }

    fn new(arguments: Vec<String>, port: Option<u16>) -> Self {
        let mut server = Self::prepared(arguments, port);
        assert!(server.spawn(), "the Redis server ended: {}", server.log());
        server
    }

    fn prepared(arguments: Vec<String>, port: Option<u16>) -> Self {
        Self { directory: tempfile::tempdir().unwrap(), keeper: None, arguments, port }
    }

    /// Where its files are.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory().join("redis.sock")
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port.expect("it was started with a port")
    }

    /// What it wrote to its log.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory().join("server.log")).unwrap_or_default()
    }

    /// Kills it as `kill -9` does, and starts another one on what it left.
    pub(crate) fn crash(&mut self) {
        self.kill();
        self.again();
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut keeper) = self.keeper.take() {
            keeper.end();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts another one on what it left.
    pub(crate) fn again(&mut self) {
        assert!(self.spawn(), "the Redis server ended: {}", self.log());
    }

    /// Has the next one started with these arguments, too.
    pub(crate) fn reconfigure(&mut self, arguments: &[&str]) {
        self.arguments.extend(arguments.iter().map(|&argument| argument.to_owned()));
    }

    /// Sends it a signal, as `kill` names it.
    pub(crate) fn signal(&self, name: &str) {
        let pid = &self.keeper.as_ref().expect("it runs").pid;
        let sent = Command::new("kill").args([&format!("-{name}"), pid]).status().unwrap();
        assert!(sent.success());
    }

    /// Whether it was started.
    fn spawn(&mut self) -> bool {
        let is_sentinel = self.arguments.iter().any(|argument| argument == "--sentinel");
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "keeper", &program()]);
        if is_sentinel {
            command.args(&self.arguments);
        } else {
            let dir = self.directory().display().to_string();
            command.args(["--port", "0", "--unixsocket", "redis.sock", "--save", "", "--dir", &dir]);
            // Written before it answers, and not synced: nothing here takes the power away.
            command.args(["--appendonly", "yes", "--appendfsync", "no"]).args(&self.arguments);
        }
        command.current_dir(self.directory()).stdin(Stdio::piped()).stdout(Stdio::piped());
        // The shell tells of each process that was killed.
        command.stderr(Stdio::null());
        let mut shell = command.spawn().unwrap();
        let mut pid = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut pid).unwrap();
        self.keeper = Some(Keeper { shell, pid: pid.trim().to_owned() });
        let (socket, port, pid) = (self.socket(), self.port, pid.trim().to_owned());
        let mut started = true;
        until("the server listens", || {
            // A process that ended and that nobody waited for yet is a zombie.
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            started =
                stat.rsplit(") ").next().is_some_and(|state| !state.is_empty() && !state.starts_with('Z'));
            let listens = match port {
                Some(port) if is_sentinel => std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(),
                _ => UnixStream::connect(&socket).is_ok(),
            };
            !started || listens
        });
        if !started {
            self.kill();
        }
        started
    }

    /// Sends a command, and panics at an error.
    pub(crate) fn ask(&self, words: &[&str]) -> redis::Value {
        self.try_ask(words).unwrap()
    }

    /// Sends a command over its own connection, on the socket.
    pub(crate) fn try_ask(&self, words: &[&str]) -> redis::RedisResult<redis::Value> {
        let url =
            if self.socket().exists() { self.url() } else { format!("redis://127.0.0.1:{}", self.port()) };
        let mut connection = redis::Client::open(url)?.get_connection()?;
        let mut cmd = redis::Cmd::new();
        for word in words {
            cmd.arg(word);
        }
        cmd.query(&mut connection)
    }

    /// What a command answers, as text.
    pub(crate) fn text(&self, words: &[&str]) -> String {
        redis::from_redis_value(self.ask(words)).unwrap()
    }

    /// A field of `INFO`.
    pub(crate) fn info(&self, field: &str) -> String {
        let info = self.try_ask(&["INFO"]).ok().and_then(|info| redis::from_redis_value::<String>(info).ok());
        let info = info.unwrap_or_default();
        let found = info.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        found.unwrap_or_default().to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}
