//! Every promise of a cache, proved on this one, each on a server of its own.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "the fixture is test code")]

mod throwaway;

use std::sync::Arc;

use async_trait::async_trait;
use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::Cache;
use downbeat_core::conformance::{Fixture, Subject};
use downbeat_core::time::ManualClock;
use throwaway::Server;

/// Opens each cache on a server of its own.
struct TempRedis;

struct Opened {
    cache: RedisCache,
    clock: Arc<ManualClock>,
    server: Server,
}

async fn open(server: &Server, clock: &Arc<ManualClock>) -> RedisCache {
    let options = Options { clock: Some(clock.clone()), ..Options::new(server.url()) };
    RedisCache::connect(options).await.unwrap()
}

#[async_trait]
impl Fixture for TempRedis {
    async fn open(&self) -> Box<dyn Subject> {
        let server = Server::start();
        let clock = Arc::new(ManualClock::default());
        let cache = open(&server, &clock).await;
        Box::new(Opened { cache, clock, server })
    }
}

#[async_trait]
impl Subject for Opened {
    fn cache(&self) -> Arc<dyn Cache> {
        Arc::new(self.cache.clone())
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The server is killed, and another one reads what it left.
    async fn reopen(&mut self) {
        self.server.crash();
        self.cache = open(&self.server, &self.clock).await;
    }
}

downbeat_core::conformance_suite!(TempRedis);

/// On Valkey, too, where it is installed: by this very program with another server.
#[test]
fn promises_hold_on_valkey() {
    use std::io::Write as _;
    if std::env::var_os("REDIS_SERVER").is_some() {
        return;
    }
    if !throwaway::is_there("valkey-server") {
        // Past the harness, which shows what a test prints only when it fails.
        let _ = std::io::stderr().write_all(b"NOT TESTED on Valkey: valkey-server is not on the PATH\n");
        return;
    }
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .env("REDIS_SERVER", "valkey-server")
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}
