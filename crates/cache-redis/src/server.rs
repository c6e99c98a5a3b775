//! The connection: one for all verbs of a process, made anew when it breaks.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use downbeat_core::cache::CacheError;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Client, Cmd, RedisError, Value};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use crate::batch::{self, Queue};
use crate::connect::{ConnectError, check};
use crate::fault::{Fault, FaultKind};
use crate::info::Info;
use crate::keys::Keys;
use crate::link::{Link, diagnosis};
use crate::options::Options;
use crate::reply::{Reply, list, text};
use crate::scripts::{self, Script};
use crate::wait::Wait;

/// How long a verb may take before its answer counts as lost.
const RESPONSE: Duration = Duration::from_secs(10);
/// How long connecting may take.
pub(crate) const CONNECTION: Duration = Duration::from_secs(5);
/// For how long a request is sent again before it is given up.
const PATIENCE: Duration = Duration::from_secs(3);
/// For how long a server may read its data before it is given up.
const LOADING: Duration = Duration::from_secs(60);
/// The longest wait before the second attempt, and before any.
const FIRST_WAIT: Duration = Duration::from_millis(10);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// For how long replicas are waited for at most: less than what a verb may take.
const LONGEST_ACKNOWLEDGEMENT: Duration = Duration::from_secs(8);
/// How many pages of a thousand keys are looked at before a deployment is made.
const MOST_SCANS: usize = 300;
/// What replicas have to acknowledge when that is asked for.
const LASTING: [&str; 5] = ["plan", "amend", "settle", "append", "store"];

/// A Redis server.
pub(crate) struct Server {
    link: Link,
    options: Options,
    pub(crate) keys: Keys,
    /// Which one of the server's, as functions are told: nothing for the first.
    database: String,
    present: Mutex<Present>,
    pub(crate) queue: Queue,
    /// Says the number of the connection.
    renewed: watch::Sender<u64>,
    /// The greatest epoch that this process was told.
    epoch: AtomicU64,
    /// Differs between any two processes.
    seed: u64,
    writes: AtomicU64,
}

impl std::fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server")
            .field("place", &self.place())
            .field("keys", &self.keys)
            .finish_non_exhaustive()
    }
}

/// The connection that there is.
#[derive(Default)]
struct Present {
    /// Counts connections, so that only the one that broke is given up.
    number: u64,
    connected: Option<Arc<Connected>>,
    /// Why there is none, and until when no other attempt is made: callers that wait share one attempt.
    failed: Option<(Instant, Fault)>,
    wait: Duration,
}

/// A connection, and what belongs to it.
pub(crate) struct Connected {
    number: u64,
    client: Client,
    /// Where it leads.
    place: Arc<str>,
    connection: MultiplexedConnection,
    wait: Option<Arc<Wait>>,
}

/// What a command was answered, and on which connection.
pub(crate) type Tried = (Result<Value, RedisError>, Arc<Connected>);

impl Connected {
    /// Sends a command once.
    pub(crate) async fn query(self: Arc<Self>, cmd: &Cmd) -> Tried {
        (cmd.query_async(&mut self.connection.clone()).await, self)
    }
}

/// A wait of up to `most`, at random, so that not all callers come back at once.
///
/// # Source
///
/// Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog: full jitter.
pub(crate) fn jittered(most: Duration) -> Duration {
    Duration::from_micros(fastrand::u64(0..=u64::try_from(most.as_micros()).unwrap_or(u64::MAX)))
}

/// A connection on which many calls wait for their answers at once.
pub(crate) async fn multiplexed(client: &Client) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(Some(RESPONSE))
        .set_connection_timeout(Some(CONNECTION));
    client.get_multiplexed_async_connection_with_config(&config).await
}

impl Server {
    pub(crate) async fn connect(options: Options) -> Result<Self, ConnectError> {
        let link = Link::new(&options)?;
        let database = match link.database() {
            0 => String::new(),
            number => format!("{number}/"),
        };
        let server = Self {
            link,
            database,
            keys: Keys::new(&options.key_prefix()),
            options,
            present: Mutex::default(),
            queue: Queue::default(),
            renewed: watch::Sender::new(0),
            epoch: AtomicU64::new(0),
            seed: RandomState::new().hash_one(std::process::id()),
            writes: AtomicU64::new(0),
        };
        let begun = Instant::now();
        loop {
            match server.connected().await {
                Ok(_) => return Ok(server),
                Err(error) if error.kind() == Some(FaultKind::Loading) && begun.elapsed() < LOADING => {
                    tokio::time::sleep(jittered(LONGEST_WAIT)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Names a write as no other.
    pub(crate) fn writer(&self) -> String {
        format!("{:016x}-{}", self.seed, self.writes.fetch_add(1, Ordering::Relaxed))
    }

    /// Where it was looked for, without a password.
    pub(crate) fn place(&self) -> &str {
        self.link.place()
    }

    /// Where the master is, as far as it is known.
    pub(crate) async fn master_place(&self) -> String {
        let present = self.present.lock().await;
        present.connected.as_ref().map_or_else(|| self.place().to_owned(), |now| now.place.to_string())
    }

    pub(crate) const fn is_sentinel(&self) -> bool {
        self.link.is_sentinel()
    }

    pub(crate) const fn wait_replicas(&self) -> u32 {
        self.options.wait_replicas
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed)
    }

    /// Says the number of the connection for verbs, when that is made anew: news may have to come from
    /// elsewhere, too.
    pub(crate) fn renewed(&self) -> watch::Receiver<u64> {
        self.renewed.subscribe()
    }

    /// A connection of its own for news.
    pub(crate) async fn news(&self) -> Result<PubSub, Fault> {
        let (client, place) = match self.connected().await {
            Ok(connected) => (connected.client.clone(), Arc::clone(&connected.place)),
            Err(ConnectError::Server(fault)) => return Err(fault),
            Err(error) => {
                let place = self.place().to_owned();
                return Err(Fault { kind: FaultKind::Other, place, said: error.to_string() });
            }
        };
        client.get_async_pubsub().await.map_err(|error| Fault::new(&place, &error))
    }

    /// Makes a connection to whoever is the master now, and takes a new epoch if that has another history
    /// than the last one had.
    async fn open(&self, number: u64) -> Result<Connected, ConnectError> {
        let client = self.link.master().await?;
        let place: Arc<str> = client.get_connection_info().addr().to_string().into();
        let failed = |error: RedisError| ConnectError::of(&place, &error);
        let mut connection = match multiplexed(&client).await {
            Ok(connection) => connection,
            Err(error) => return Err(diagnosis::of(&client, &place, &error).await.into()),
        };
        let info: String = redis::cmd("INFO").query_async(&mut connection).await.map_err(failed)?;
        check(&Info::parse(&info), &place, &self.options)?;
        self.is_not_foreign(&mut connection, &place).await?;
        self.take_epoch(&mut connection, &place).await?;
        let wait = if self.options.wait_replicas > 0 {
            let timeout = self.options.wait_timeout.min(LONGEST_ACKNOWLEDGEMENT);
            let own = multiplexed(&client).await.map_err(failed)?;
            Some(Arc::new(Wait::new(own, self.keys.waits(), self.options.wait_replicas, timeout)))
        } else {
            None
        };
        Ok(Connected { number, client, place, connection, wait })
    }

    /// Before the first key of a deployment is written: looks whether its names are somebody else's. Looks at a
    /// bounded part of a server's keys, so that one with millions of foreign ones is opened in time, too.
    async fn is_not_foreign(
        &self,
        connection: &mut MultiplexedConnection,
        place: &str,
    ) -> Result<(), ConnectError> {
        let failed = |error: RedisError| ConnectError::of(place, &error);
        let mut known = redis::cmd("EXISTS");
        known.arg(self.keys.epoch()).arg(self.keys.epoch_taken()).arg(self.keys.layout());
        if known.query_async::<u64>(connection).await.map_err(failed)? > 0 {
            return Ok(());
        }
        let mut cursor = 0_u64;
        for _ in 0..MOST_SCANS {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(self.keys.own()).arg("COUNT").arg(1000);
            let (next, found): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await.map_err(failed)?;
            let mut found = found.iter().map(|key| String::from_utf8_lossy(key).into_owned());
            if let Some(key) = found.find(|key| self.keys.is_of_tasks(key)) {
                return Err(ConnectError::Foreign { place: place.to_owned(), key });
            }
            if next == 0 {
                break;
            }
            cursor = next;
        }
        Ok(())
    }

    /// Opens the store on the process behind this connection, with the library that it may not know.
    async fn take_epoch(
        &self,
        connection: &mut MultiplexedConnection,
        place: &str,
    ) -> Result<(), ConnectError> {
        let failed = |error: RedisError| ConnectError::of(place, &error);
        let mut cmd = self.call(&scripts::OPEN);
        cmd.arg(self.epoch());
        let limits = self.options.limits;
        cmd.arg(limits.events.max(1)).arg(limits.others.max(1));
        let answer = match cmd.query_async::<Value>(connection).await {
            Err(error) if is_unknown(&error) => {
                load(connection).await.map_err(failed)?;
                cmd.query_async(connection).await.map_err(failed)?
            }
            known => known.map_err(failed)?,
        };
        let mut parts = list(answer).into_iter().filter_map(text);
        let word = parts.next().unwrap_or_default();
        if word != "opened" {
            let (first, second) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let place = place.to_owned();
            return Err(match word.as_str() {
                "older" => ConnectError::Older { place },
                "newer" => ConnectError::Newer { place, layout: first, known: second },
                _ => ConnectError::Garbage { place, key: first, what: second },
            });
        }
        let epoch = parts.next().and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
        let before = self.epoch.fetch_max(epoch, Ordering::Relaxed);
        match parts.next().as_deref() {
            None | Some("") => {}
            Some(refused) => tracing::warn!(
                place = self.place(),
                epoch,
                before,
                refused,
                "the Redis server may have lost what it acknowledged last: whoever holds a task since before \
                 is refused"
            ),
        }
        Ok(())
    }

    /// The beginning of a call: the function, its key, and when and in which database.
    pub(crate) fn call(&self, script: &Script) -> Cmd {
        self.call_of(script, 0, 0)
    }

    /// The same with room for as many more arguments, and their bytes.
    fn call_of(&self, script: &Script, arguments: usize, bytes: usize) -> Cmd {
        const BEGINNING_BYTES: usize = 128;
        let room = (arguments.saturating_add(5), bytes.saturating_add(BEGINNING_BYTES));
        let mut cmd = Cmd::with_capacity(room.0, room.1);
        cmd.arg("FCALL").arg(&script.function).arg(1).arg(self.keys.epoch());
        match &self.options.clock {
            Some(clock) => cmd.arg(clock.now().as_millis()),
            None => cmd.arg(&self.database),
        };
        cmd
    }

    /// The connection that there is, or a new one.
    async fn connected(&self) -> Result<Arc<Connected>, ConnectError> {
        let mut present = self.present.lock().await;
        if let Some(connected) = &present.connected {
            return Ok(Arc::clone(connected));
        }
        if let Some((until, fault)) = &present.failed
            && Instant::now() < *until
        {
            return Err(ConnectError::Server(fault.clone()));
        }
        let number = present.number.saturating_add(1);
        match self.open(number).await {
            Ok(connected) => {
                let connected = Arc::new(connected);
                *present = Present { number, connected: Some(Arc::clone(&connected)), ..Present::default() };
                self.renewed.send_replace(number);
                Ok(connected)
            }
            Err(error) => {
                present.wait = present.wait.saturating_mul(2).clamp(FIRST_WAIT, LONGEST_WAIT);
                if let ConnectError::Server(fault) = &error {
                    present.failed = Some((Instant::now() + jittered(present.wait), fault.clone()));
                }
                Err(error)
            }
        }
    }

    /// The connection that there is.
    pub(crate) async fn connected_now(&self) -> Option<Arc<Connected>> {
        self.present.lock().await.connected.clone()
    }

    async fn give_up(&self, number: u64) {
        let mut present = self.present.lock().await;
        if present.number == number {
            present.connected = None;
        }
    }

    /// Runs a verb. Its first argument, the time, is added here. When its answer is lost it is sent again:
    /// each verb recognises that, or does the same once more.
    pub(crate) async fn run(
        &self,
        script: &Script,
        arguments: &[impl AsRef<[u8]> + Sync],
    ) -> Result<Reply, CacheError> {
        let reply = self.send(&self.call_with(script, arguments), Some(script)).await?;
        Reply::new(script.name, reply)
    }

    /// The same for a verb that many callers use at once: those that wait at the same time go as one call.
    pub(crate) async fn run_among(
        self: &Arc<Self>,
        script: &Script,
        arguments: &[impl AsRef<[u8]> + Sync],
    ) -> Result<Reply, CacheError> {
        let cmd = Arc::new(self.call_with(script, arguments));
        let begun = Instant::now();
        let tried = batch::call(self, script, &cmd).await;
        let reply = self.send_on(&cmd, Some(script), begun, tried).await?;
        Reply::new(script.name, reply)
    }

    fn call_with(&self, script: &Script, arguments: &[impl AsRef<[u8]>]) -> Cmd {
        let bytes: usize = arguments.iter().map(|argument| argument.as_ref().len()).sum();
        let mut cmd = self.call_of(script, arguments.len(), bytes);
        for argument in arguments {
            cmd.arg(argument.as_ref());
        }
        cmd
    }

    /// Sends a command that only reads.
    pub(crate) async fn read(&self, cmd: &Cmd) -> Result<Value, CacheError> {
        self.send(cmd, None).await
    }

    /// Sends a command until it is answered, or patience ends.
    async fn send(&self, cmd: &Cmd, script: Option<&Script>) -> Result<Value, CacheError> {
        self.send_on(cmd, script, Instant::now(), None).await
    }

    /// The same for a command that may have been tried once.
    async fn send_on(
        &self,
        cmd: &Cmd,
        script: Option<&Script>,
        begun: Instant,
        mut tried: Option<Tried>,
    ) -> Result<Value, CacheError> {
        let mut wait = FIRST_WAIT;
        loop {
            let now = match tried.take() {
                Some(tried) => Ok(tried),
                None => match self.connected().await {
                    Ok(connected) => Ok(connected.query(cmd).await),
                    Err(error) => Err(error),
                },
            };
            let error = match now {
                Ok((known, connected)) => match self.opened(known, cmd, script, &connected).await {
                    Ok(value) => return self.acknowledged(value, script, &connected).await,
                    Err(ConnectError::Server(fault)) => {
                        if fault.kind.is_elsewhere() {
                            self.give_up(connected.number).await;
                        } else if !fault.kind.is_later() {
                            return Err(self.failed(fault, script));
                        }
                        ConnectError::Server(fault)
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            let error = match error {
                error if error.is_passing() => error,
                // No waiting helps.
                ConnectError::Garbage { ref key, .. } => {
                    return Err(CacheError::Corrupt { key: key.clone(), source: Some(error.into()) });
                }
                ConnectError::Newer { .. } | ConnectError::Older { .. } | ConnectError::Foreign { .. } => {
                    return Err(CacheError::Failed { reason: error.to_string() });
                }
                error => {
                    return Err(CacheError::Unavailable { reason: error.to_string(), source: None });
                }
            };
            if begun.elapsed() >= PATIENCE {
                return Err(CacheError::Unavailable { reason: error.to_string(), source: None });
            }
            tracing::debug!(place = self.place(), %error, "asking again");
            tokio::time::sleep(jittered(wait)).await;
            wait = wait.saturating_mul(2).min(LONGEST_WAIT);
        }
    }

    /// What a fault means to who called.
    fn failed(&self, mut fault: Fault, script: Option<&Script>) -> CacheError {
        if fault.kind == FaultKind::Right
            && let Some(command) = fault.line().and_then(|line| scripts::LIBRARY.command_at(line))
        {
            fault.said = format!(
                "no right to `{}` in `{}`",
                command.to_lowercase(),
                script.map_or("", |script| script.name)
            );
        }
        if matches!(fault.kind, FaultKind::WrongType | FaultKind::Corrupt) {
            let named = fault.said.split("key=`").nth(1).and_then(|rest| rest.split('`').next());
            let key = named.map_or_else(|| format!("{}*", self.keys.prefix()), str::to_owned);
            return CacheError::Corrupt { key, source: Some(fault.into()) };
        }
        CacheError::Unavailable { reason: fault.to_string(), source: None }
    }

    /// Waits until enough replicas have what a verb wrote.
    async fn acknowledged(
        &self,
        value: Value,
        script: Option<&Script>,
        connected: &Connected,
    ) -> Result<Value, CacheError> {
        let (Some(wait), Some(script)) = (&connected.wait, script) else {
            return Ok(value);
        };
        if !LASTING.contains(&script.name) {
            return Ok(value);
        }
        let asked = self.options.wait_replicas;
        let (place, name) = (&connected.place, script.name);
        let reason = match wait.acknowledged().await {
            Ok(number) if number >= asked => return Ok(value),
            Ok(number) => format!(
                "`{name}` was written on the master, but acknowledged by {number} of {asked} replicas in time; \
                 look at the replicas, and repeat the same request: it has one effect place=`{place}`"
            ),
            Err(error) => {
                self.give_up(connected.number).await;
                let fault = Fault::new(place, &error);
                format!(
                    "`{name}` was written on the master, but whether {asked} replicas have it is not known; \
                     repeat the same request: it has one effect: {fault}"
                )
            }
        };
        Err(CacheError::Unavailable { reason, source: None })
    }

    /// What a command was answered once. A process of the server that does not know the library, or answers
    /// that this store was not opened on it, is not the one that was met last, or was emptied: the epoch is
    /// looked at before the command is sent again. It changed nothing.
    async fn opened(
        &self,
        known: Result<Value, RedisError>,
        cmd: &Cmd,
        script: Option<&Script>,
        connected: &Connected,
    ) -> Result<Value, ConnectError> {
        let is_closed = match &known {
            Err(error) => is_unknown(error),
            Ok(Value::Array(reply)) => is_unopened(reply),
            Ok(_) => false,
        };
        if script.is_some() && is_closed {
            let mut connection = connected.connection.clone();
            self.take_epoch(&mut connection, &connected.place).await?;
            let again = cmd.query_async(&mut connection).await;
            return again.map_err(|error| ConnectError::of(&connected.place, &error));
        }
        known.map_err(|error| ConnectError::of(&connected.place, &error))
    }
}

/// Loads the library, unless somebody else was faster.
async fn load(connection: &mut MultiplexedConnection) -> Result<(), RedisError> {
    let mut cmd = redis::cmd("FUNCTION");
    cmd.arg("LOAD").arg(&scripts::LIBRARY.code);
    match cmd.query_async::<Value>(connection).await {
        Err(error) if !error.detail().is_some_and(|detail| detail.contains("already exists")) => Err(error),
        _ => Ok(()),
    }
}

/// Whether the server lacks the library.
fn is_unknown(error: &RedisError) -> bool {
    error.detail().is_some_and(|detail| detail.starts_with("Function not found"))
}

/// Whether the store is not open on the process behind the connection.
fn is_unopened(reply: &[Value]) -> bool {
    matches!(reply, [Value::BulkString(word)] if word.as_slice() == b"unopened")
}
