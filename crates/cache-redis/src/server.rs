//! The connection: one for all verbs of a process, made anew when it breaks.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use downbeat_core::cache::{CacheError, StreamLimits};
use downbeat_core::time::Clock;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, ServerErrorKind, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::connect::{ConnectError, Info, Options};
use crate::keys::Keys;
use crate::reply::Reply;
use crate::scripts::{self, Script};

/// How long a verb may take before its answer counts as lost.
const RESPONSE: Duration = Duration::from_secs(10);
/// How long connecting may take.
const CONNECTION: Duration = Duration::from_secs(5);
/// For how long a request is sent again before it is given up.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how long a server may read its data before it is given up.
const LOADING: Duration = Duration::from_secs(60);
/// The waits between two attempts.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(500);

/// The server is there, and reads its data.
const LOADS: ErrorKind = ErrorKind::Server(ServerErrorKind::BusyLoading);

/// A Redis server.
pub(crate) struct Server {
    client: Client,
    place: String,
    allow_eviction: bool,
    limits: StreamLimits,
    clock: Option<Arc<dyn Clock>>,
    pub(crate) keys: Keys,
    present: Mutex<Present>,
    /// Differs between any two processes.
    seed: u64,
    writes: AtomicU64,
}

impl std::fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("place", &self.place).field("keys", &self.keys).finish_non_exhaustive()
    }
}

/// The connection that there is.
#[derive(Default)]
struct Present {
    /// Counts connections, so that only the one that broke is given up.
    number: u64,
    connection: Option<MultiplexedConnection>,
}

impl Server {
    pub(crate) async fn connect(options: &Options) -> Result<Self, ConnectError> {
        let client = Client::open(options.url.as_str()).map_err(|source| ConnectError::Url { source })?;
        let place = client.get_connection_info().addr().to_string();
        let server = Self {
            client,
            place,
            allow_eviction: options.allow_eviction,
            limits: options.limits,
            clock: options.clock.clone(),
            keys: Keys::new(&options.prefix),
            present: Mutex::default(),
            seed: RandomState::new().hash_one(std::process::id()),
            writes: AtomicU64::new(0),
        };
        let begun = Instant::now();
        loop {
            match server.open().await {
                Ok(connection) => {
                    *server.present.lock().await = Present { number: 1, connection: Some(connection) };
                    return Ok(server);
                }
                Err(ConnectError::Unreachable { source, .. })
                    if source.kind() == LOADS && begun.elapsed() < LOADING =>
                {
                    tokio::time::sleep(FIRST_WAIT).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Names a write as no other.
    pub(crate) fn writer(&self) -> String {
        format!("{:016x}-{}", self.seed, self.writes.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// Makes a connection, and takes a new epoch if it leads to another process than the last one did.
    async fn open(&self) -> Result<MultiplexedConnection, ConnectError> {
        let unreachable = |source: RedisError| {
            let place = self.place.clone();
            match source.kind() {
                ErrorKind::AuthenticationFailed => ConnectError::Refused { place, source },
                _ if matches!(source.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM")) => {
                    ConnectError::Refused { place, source }
                }
                _ => ConnectError::Unreachable { place, source },
            }
        };
        let config = AsyncConnectionConfig::new()
            .set_response_timeout(Some(RESPONSE))
            .set_connection_timeout(Some(CONNECTION));
        let mut connection =
            self.client.get_multiplexed_async_connection_with_config(&config).await.map_err(unreachable)?;
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(unreachable)?;
        let info = Info::parse(&info);
        info.check(&self.place, self.allow_eviction)?;
        self.take_epoch(&mut connection, info.run_id()).await.map_err(unreachable)?;
        Ok(connection)
    }

    async fn take_epoch(&self, connection: &mut MultiplexedConnection, run: &str) -> Result<(), RedisError> {
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(&scripts::OPEN.code).arg(1).arg(self.keys.epoch()).arg(run);
        cmd.arg(self.limits.events.max(1)).arg(self.limits.others.max(1));
        cmd.query_async::<Value>(connection).await.map(|_| ())
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), ConnectError> {
        let mut present = self.present.lock().await;
        if let Some(connection) = &present.connection {
            return Ok((present.number, connection.clone()));
        }
        let connection = self.open().await?;
        present.number = present.number.saturating_add(1);
        present.connection = Some(connection.clone());
        Ok((present.number, connection))
    }

    async fn give_up(&self, number: u64) {
        let mut present = self.present.lock().await;
        if present.number == number {
            present.connection = None;
        }
    }

    fn unavailable(&self, error: RedisError) -> CacheError {
        CacheError::Unavailable {
            reason: format!("redis at {}: {}", self.place, error.category()),
            source: Some(error.into()),
        }
    }

    /// Runs a verb. Its first argument, the time, is added here. When its answer is lost it is sent again:
    /// each verb recognises that, or does the same once more.
    pub(crate) async fn run(
        &self,
        script: &Script,
        arguments: &[impl AsRef<[u8]> + Sync],
    ) -> Result<Reply, CacheError> {
        let mut cmd = redis::cmd("EVALSHA");
        cmd.arg(&script.sha).arg(1).arg(self.keys.epoch());
        match &self.clock {
            Some(clock) => cmd.arg(clock.now().as_millis()),
            None => cmd.arg(""),
        };
        for argument in arguments {
            cmd.arg(argument.as_ref());
        }
        let reply = self.send(&cmd, Some(script)).await?;
        Reply::new(script.name, reply)
    }

    /// Sends a command that only reads.
    pub(crate) async fn read(&self, cmd: &Cmd) -> Result<Value, CacheError> {
        self.send(cmd, None).await
    }

    async fn send(&self, cmd: &Cmd, script: Option<&Script>) -> Result<Value, CacheError> {
        let begun = Instant::now();
        let mut wait = FIRST_WAIT;
        loop {
            let error = match self.connection().await {
                Ok((number, mut connection)) => {
                    let error = match self.once(cmd, script, &mut connection).await {
                        Ok(value) => return Ok(value),
                        Err(error) => error,
                    };
                    if !is_lost(&error) {
                        return Err(self.unavailable(error));
                    }
                    self.give_up(number).await;
                    self.unavailable(error)
                }
                Err(error @ ConnectError::Unreachable { .. }) => {
                    CacheError::Unavailable { reason: error.to_string(), source: Some(error.into()) }
                }
                Err(error) => {
                    return Err(CacheError::Unavailable {
                        reason: error.to_string(),
                        source: Some(error.into()),
                    });
                }
            };
            if begun.elapsed() >= PATIENCE {
                return Err(error);
            }
            tracing::debug!(place = self.place, %error, "asking again");
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    /// Sends a command once. A script that the server does not know is loaded, after the epoch was looked
    /// at: scripts are forgotten when a server's process ends, so that one that is not known may mean
    /// that history was lost.
    async fn once(
        &self,
        cmd: &Cmd,
        script: Option<&Script>,
        connection: &mut MultiplexedConnection,
    ) -> Result<Value, RedisError> {
        let known = cmd.query_async::<Value>(connection).await;
        match (known, script) {
            (Err(error), Some(script)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.load(script, connection).await?;
                cmd.query_async(connection).await
            }
            (Ok(Value::Array(reply)), Some(_)) if is_unopened(&reply) => {
                self.load_epoch(connection).await?;
                cmd.query_async(connection).await
            }
            (known, _) => known,
        }
    }

    async fn load_epoch(&self, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let info: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
        self.take_epoch(connection, Info::parse(&info).run_id()).await
    }

    async fn load(&self, script: &Script, connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
        self.load_epoch(connection).await?;
        redis::cmd("SCRIPT").arg("LOAD").arg(&script.code).query_async::<Value>(connection).await?;
        Ok(())
    }
}

/// Whether the store was emptied under the connection.
fn is_unopened(reply: &[Value]) -> bool {
    matches!(reply, [Value::BulkString(word)] if word.as_slice() == b"unopened")
}

/// Whether another connection may do better.
fn is_lost(error: &RedisError) -> bool {
    error.is_io_error() || error.is_connection_dropped() || error.is_timeout() || is_refused_unseen(error)
}

/// Whether the server said that it did not even look at the command.
fn is_refused_unseen(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::BusyLoading | ServerErrorKind::ReadOnly | ServerErrorKind::MasterDown
        )
    ) || error.code() == Some("BUSY")
}
