//! A master with a replica, and a sentinel that watches both.

use super::{Server, until};

/// The name that the sentinel knows the master by.
pub(crate) const NAME: &str = "mymaster";

pub(crate) struct Watched {
    /// The master at first, and its replica.
    pub(crate) servers: [Server; 2],
    pub(crate) sentinel: Server,
}

/// A server that copies another.
pub(crate) fn replica_of(master: &Server, arguments: &[&str]) -> Server {
    let of = format!("127.0.0.1 {}", master.port());
    let replica =
        Server::start_tcp(&[&["--replicaof", &of, "--repl-diskless-sync-delay", "0"], arguments].concat());
    until("the replica is in step", || replica.info("master_link_status") == "up");
    replica
}

/// A master that sends its data at once to whoever asks.
pub(crate) fn master(arguments: &[&str]) -> Server {
    Server::start_tcp(&[&["--repl-diskless-sync-delay", "0"], arguments].concat())
}

impl Watched {
    pub(crate) fn start() -> Self {
        let master = master(&[]);
        let replica = replica_of(&master, &[]);
        let sentinel = Server::start_at(|port| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let watched = master.port();
            let text = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {watched} 1\n\
                 sentinel down-after-milliseconds {NAME} 300\nsentinel failover-timeout {NAME} 2000\n"
            );
            std::fs::write(file.path(), text).unwrap();
            let (_, path) = file.keep().unwrap();
            vec![path.display().to_string(), "--sentinel".to_owned()]
        });
        let watched = Self { servers: [master, replica], sentinel };
        until("the sentinel knows the replica", || {
            watched.sentinel.info("master0").contains("status=ok,")
                && watched.sentinel.info("master0").contains("slaves=1")
        });
        watched
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+sentinel://127.0.0.1:{}/{NAME}", self.sentinel.port())
    }
}
