//! A Redis server for one test, on a Unix socket in a directory of its own.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

/// A running server that keeps an append-only file. It ends with this value.
#[derive(Debug)]
pub struct Redis {
    directory: TempDir,
    arguments: Vec<String>,
    process: Option<Child>,
}

impl Redis {
    /// Starts an empty one.
    ///
    /// # Panics
    ///
    /// There is no Redis server on this machine.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts an empty one with these arguments, too.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::Builder::new().prefix("downbeat-redis-").tempdir().unwrap();
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let mut server = Self { directory, arguments, process: None };
        server.begin();
        server
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Kills it with `kill -9`.
    ///
    /// # Panics
    ///
    /// It does not end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            process.wait().unwrap();
        }
    }

    /// Starts one on what the last one left.
    ///
    /// # Panics
    ///
    /// It does not answer.
    pub fn begin(&mut self) {
        let _ = std::fs::remove_file(self.socket());
        let named = std::env::var("REDIS_SERVER").ok();
        let programs =
            named.as_deref().map_or_else(|| vec!["redis-server", "valkey-server"], |one| vec![one]);
        let process = programs.iter().find_map(|program| {
            Command::new(program)
                .args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""])
                // Written before it answers, and not synced: nothing here takes the power away.
                .args(["--appendonly", "yes", "--appendfsync", "no", "--dir"])
                .arg(self.directory.path())
                .args(&self.arguments)
                .current_dir(self.directory.path())
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .ok()
        });
        let mut process =
            process.expect("a Redis server is needed: install redis-server, or name one in REDIS_SERVER");
        let end = Instant::now() + super::PATIENCE;
        while UnixStream::connect(self.socket()).is_err() {
            assert!(process.try_wait().unwrap().is_none(), "the Redis server ended");
            assert!(Instant::now() < end, "the Redis server does not answer");
            pause();
        }
        self.process = Some(process);
    }

    /// What `redis-cli` answers to a command, each value in a line.
    ///
    /// # Panics
    ///
    /// It refuses the command.
    pub fn cli(&self, words: &[&str]) -> Vec<String> {
        let cli = if which("redis-cli") { "redis-cli" } else { "valkey-cli" };
        let ran = Command::new(cli).arg("-s").arg(self.socket()).args(words).output().unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        assert!(ran.status.success() && !text.starts_with("ERR"), "{words:?}: {text}");
        // An empty answer is an empty line.
        let lines = text.lines().map(str::to_owned).collect::<Vec<_>>();
        if lines == [""] { Vec::new() } else { lines }
    }

    /// A hash as `redis-cli HGETALL` shows it.
    pub fn hash(&self, key: &str) -> std::collections::BTreeMap<String, String> {
        let lines = self.cli(&["HGETALL", key]);
        lines.chunks(2).filter_map(|pair| Some((pair.first()?.clone(), pair.get(1)?.clone()))).collect()
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

fn which(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(name).is_file())
}

#[expect(clippy::disallowed_methods, reason = "the server tells nobody that it is ready")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}
