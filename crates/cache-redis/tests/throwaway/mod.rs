//! A Redis server for one test, on a Unix socket in a directory of its own.

use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A running server. It ends with this value.
pub(crate) struct Server {
    directory: TempDir,
    process: Child,
}

impl Server {
    /// Starts an empty one that keeps an append-only file: what it acknowledged survives its process.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let process = spawn(&directory);
        let mut server = Self { directory, process };
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
        self.process = spawn(&self.directory);
        self.wait();
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn wait(&mut self) {
        let begun = Instant::now();
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

fn spawn(directory: &TempDir) -> Child {
    let named = std::env::var("REDIS_SERVER").ok();
    let programs = named.as_deref().map_or(&["redis-server", "valkey-server"][..], |_| &[]);
    for program in named.iter().map(String::as_str).chain(programs.iter().copied()) {
        let spawned = Command::new(program)
            .args(["--port", "0", "--unixsocket", "redis.sock", "--save", ""])
            // Written before it answers, and not synced: nothing here takes the power away.
            .args(["--appendonly", "yes", "--appendfsync", "no"])
            .arg("--dir")
            .arg(directory.path())
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        if let Ok(process) = spawned {
            return process;
        }
    }
    None.expect("a Redis server is needed: install redis-server, or name one in REDIS_SERVER")
}
