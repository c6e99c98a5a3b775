//! Every promise of a cache, proved on a sled store that is asked through a Unix socket.
#![expect(clippy::unwrap_used, reason = "the fixture is test code")]

mod place;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_cache_sled::SledCache;
use downbeat_core::cache::Cache;
use downbeat_core::conformance::{Fixture, Subject};
use downbeat_core::time::ManualClock;
use downbeat_server::{Address, HttpCache, Server};
use place::{copy, open_sled, serve_at};
use tempfile::TempDir;

/// Opens each store in a directory of its own, served at a socket of its own.
struct Served;

struct Opened {
    sled: SledCache,
    client: HttpCache,
    server: Option<Server>,
    clock: Arc<ManualClock>,
    directory: TempDir,
    sockets: TempDir,
}

#[async_trait]
impl Fixture for Served {
    async fn open(&self) -> Box<dyn Subject> {
        let (directory, sockets) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let clock = Arc::new(ManualClock::default());
        let sled = open_sled(&directory.path().join("store"), &clock);
        let socket = sockets.path().join("control.sock");
        let server = Some(serve_at(&sled, &clock, &socket));
        let client = HttpCache::new(Address::Socket(socket)).with_patience(Duration::from_secs(10));
        Box::new(Opened { sled, client, server, clock, directory, sockets })
    }

    /// The store behind the API is proved by itself.
    fn runs(&self) -> u64 {
        40
    }
}

#[async_trait]
impl Subject for Opened {
    fn cache(&self) -> Arc<dyn Cache> {
        Arc::new(self.client.clone())
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Another server serves what a kill of this one would leave, at the same socket: the client stays, and
    /// finds it.
    async fn reopen(&mut self) {
        let left = tempfile::tempdir().unwrap();
        copy(&self.directory.path().join("store"), &left.path().join("store"));
        if let Some(server) = self.server.take() {
            server.stop().await;
        }
        self.sled = open_sled(&left.path().join("store"), &self.clock);
        self.directory = left;
        self.server = Some(serve_at(&self.sled, &self.clock, &self.sockets.path().join("control.sock")));
        assert_eq!(self.sled.audit().await.unwrap(), Vec::<String>::new());
    }
}

downbeat_core::conformance_suite!(Served);
