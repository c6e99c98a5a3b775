//! A Redis server for one test, on a Unix socket in a directory of its own.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// A running server. It ends with this value.
pub(crate) struct Server {
    directory: TempDir,
    process: Child,
    arguments: Vec<String>,
}

impl Server {
    /// Starts an empty one that keeps an append-only file: what it acknowledged survives its process.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with these arguments, too.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        let process = spawn(&directory, &arguments);
        let mut server = Self { directory, process, arguments };
        server.wait();
        server
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("redis.sock")
    }

    /// Where it is.
    pub(crate) fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    /// Kills it as `kill -9` does, and starts another one on what it left.
    pub(crate) fn crash(&mut self) {
        self.end();
        let _ = std::fs::remove_file(self.socket());
        self.process = spawn(&self.directory, &self.arguments);
        self.wait();
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    #[expect(clippy::disallowed_methods, reason = "the server tells nobody that it is ready")]
    fn wait(&mut self) {
        let begun = std::time::Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            let ended = self.process.try_wait().unwrap();
            assert!(ended.is_none(), "the Redis server ended: {ended:?}");
            assert!(begun.elapsed() < Duration::from_secs(20), "the Redis server does not answer");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// # Panics
///
/// When there is no Redis server on this machine.
fn spawn(directory: &TempDir, arguments: &[String]) -> Child {
    let named = std::env::var("REDIS_SERVER").ok();
    let programs: Vec<&str> =
        named.as_deref().map_or_else(|| vec!["redis-server", "valkey-server"], |program| vec![program]);
    let spawned = programs.iter().find_map(|program| {
        Command::new(program)
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""])
            // Written before it answers, and not synced: nothing here takes the power away.
            .args(["--appendonly", "yes", "--appendfsync", "no"])
            .arg("--dir")
            .arg(directory.path())
            .args(arguments)
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()
    });
    spawned.expect("a Redis server is needed: install redis-server, or name one in REDIS_SERVER")
}
