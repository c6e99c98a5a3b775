//! The Redis server that is measured: a throw-away one, or one that is there already.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Value};

use crate::work::Watch;

/// How long a server may take to answer first.
const START: Duration = Duration::from_secs(20);

/// Ends the server as soon as this program ends, however it ends: then its end of the pipe closes.
const GUARD: &str = r#""$@" & server=$!; read -r _; kill -9 $server; wait $server 2>/dev/null"#;

/// A Redis server with nothing in it that this program did not put there, or at least a prefix of its
/// own on one.
pub(crate) struct Redis {
    url: String,
    client: Client,
    control: MultiplexedConnection,
    guard: Option<Mutex<Child>>,
    places: AtomicU64,
}

/// A connection that waits for its answers: to empty a store of a million tasks takes seconds.
async fn connect(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    client.get_multiplexed_async_connection_with_config(&patient).await
}

impl Redis {
    /// The one at `url`, which keeps whatever else is in it.
    pub(crate) async fn at(url: &str) -> Result<Self> {
        let client = Client::open(url).context("not a URL of a Redis server")?;
        let control = connect(&client).await.context("no Redis server answers there")?;
        Ok(Self { url: url.to_owned(), client, control, guard: None, places: AtomicU64::new(0) })
    }

    /// Starts one on a Unix socket in `directory`. `None` when there is none on this machine.
    pub(crate) async fn start(directory: &Path) -> Result<Option<Self>> {
        let named = std::env::var("REDIS_SERVER").ok();
        let programs =
            named.as_deref().map_or_else(|| vec!["redis-server", "valkey-server"], |one| vec![one]);
        let there = |program: &&str| {
            let quiet = || Stdio::null();
            Command::new(program).arg("--version").stdout(quiet()).stderr(quiet()).status().is_ok()
        };
        let Some(program) = programs.into_iter().find(there) else { return Ok(None) };
        let place = directory.join("redis");
        std::fs::create_dir(&place)?;
        let guard = Command::new("sh")
            .args(["-c", GUARD, "guard", program])
            .args(["--port", "0", "--unixsocket", "redis.sock", "--pidfile", "redis.pid"])
            .args(["--logfile", "redis.log", "--save", "", "--maxclients", "4000"])
            // What Redis recommends, and what Downbeat asks for; a rewrite in the middle would be noise.
            .args(["--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0"])
            .current_dir(&place)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C is for this program; the guard hears of its end.
            .process_group(0)
            .spawn()?;
        let guard = Mutex::new(guard);
        let url = format!("redis+unix://{}", place.join("redis.sock").display());
        let client = Client::open(url.as_str())?;
        let watch = Watch::start();
        let control = loop {
            match connect(&client).await {
                Ok(connection) => break connection,
                Err(error) if watch.elapsed() > START => {
                    let log = std::fs::read_to_string(place.join("redis.log")).unwrap_or_default();
                    bail!("{program} does not answer: {error}\n{log}");
                }
                // The server tells nobody that it is ready.
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        Ok(Some(Self { url, client, control, guard: Some(guard), places: AtomicU64::new(0) }))
    }

    /// Where it is. May carry a password.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// A new connection, as `RedisCache` makes one.
    pub(crate) async fn connection(&self) -> Result<MultiplexedConnection> {
        Ok(connect(&self.client).await?)
    }

    /// The client that connections are made with.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// An empty place: what each of its keys begins with.
    pub(crate) async fn place(&self) -> Result<String> {
        if self.guard.is_some() {
            redis::cmd("FLUSHALL").exec_async(&mut self.control.clone()).await?;
            return Ok(String::new());
        }
        let number = self.places.fetch_add(1, Ordering::Relaxed);
        Ok(format!("downbeat-bench-{}-{number}:", std::process::id()))
    }

    /// Removes everything from a place.
    pub(crate) async fn clear(&self, prefix: &str) -> Result<()> {
        let mut control = self.control.clone();
        if self.guard.is_some() {
            redis::cmd("FLUSHALL").exec_async(&mut control).await?;
            return Ok(());
        }
        anyhow::ensure!(!prefix.is_empty(), "a server of others is never emptied");
        let mut cursor = 0_u64;
        loop {
            let (next, keys): (u64, Vec<Vec<u8>>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(format!("{prefix}*"))
                .arg("COUNT")
                .arg(1_000)
                .query_async(&mut control)
                .await?;
            if !keys.is_empty() {
                redis::cmd("UNLINK").arg(keys).exec_async(&mut control).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// Loads a script: its digest.
    pub(crate) async fn load(&self, code: &str) -> Result<String> {
        Ok(redis::cmd("SCRIPT").arg("LOAD").arg(code).query_async(&mut self.control.clone()).await?)
    }

    /// What it is.
    pub(crate) async fn version(&self) -> Result<String> {
        let info = self.info("server").await?;
        let of = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        Ok(of("valkey_version:")
            .map(|version| format!("Valkey {version}"))
            .or_else(|| of("redis_version:").map(|version| format!("Redis {version}")))
            .unwrap_or_default())
    }

    async fn info(&self, section: &str) -> Result<String> {
        Ok(redis::cmd("INFO").arg(section).query_async(&mut self.control.clone()).await?)
    }

    /// Bytes that the server's data takes, without what passes through.
    pub(crate) async fn used_memory(&self) -> Result<f64> {
        let info = self.info("memory").await?;
        let used = field(&info, "used_memory").context("the server does not tell its memory")?;
        let passing = ["mem_clients_normal", "mem_aof_buffer"].map(|name| field(&info, name).unwrap_or(0.0));
        Ok(used - passing.iter().sum::<f64>())
    }

    /// Processor time that the thread which carries out commands has used, in microseconds.
    pub(crate) async fn processor_us(&self) -> Result<f64> {
        let info = self.info("cpu").await?;
        let of = |user: &str, system: &str| Some(field(&info, user)? + field(&info, system)?);
        of("used_cpu_user_main_thread", "used_cpu_sys_main_thread")
            .or_else(|| of("used_cpu_user", "used_cpu_sys"))
            .map(|seconds| seconds * 1e6)
            .context("the server does not tell its processor time")
    }

    /// One PING.
    pub(crate) async fn ping(connection: &mut MultiplexedConnection) -> Result<Value> {
        Ok(redis::cmd("PING").query_async(connection).await?)
    }

    /// Ends the server, if it is a throw-away one.
    pub(crate) fn end(&self) {
        let Some(guard) = &self.guard else { return };
        let Ok(mut guard) = guard.lock() else { return };
        drop(guard.stdin.take());
        let _ = guard.wait();
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.end();
    }
}

/// A number of what INFO says.
fn field(info: &str, name: &str) -> Option<f64> {
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.trim().parse().ok()
}
