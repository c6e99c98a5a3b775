//! Acknowledgement by replicas.
//!
//! `WAIT` blocks its connection, so it has one of its own beside that of the verbs; and one `WAIT` serves all
//! callers that came before it. What makes that sound: a master sends one ordered stream to its replicas, so
//! that whoever has a later write has all earlier ones, too, whichever connection they came by.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::RedisError;
use redis::aio::MultiplexedConnection;
use tokio::sync::Mutex;

/// A connection for `WAIT`, to the same process as that of the verbs.
pub(crate) struct Wait {
    connection: MultiplexedConnection,
    /// A key that is written before each wait.
    key: String,
    replicas: u32,
    timeout: Duration,
    /// How many rounds began.
    begun: AtomicU64,
    round: Mutex<Round>,
}

/// The newest round that ended.
#[derive(Default)]
struct Round {
    number: u64,
    acknowledged: u32,
}

impl Wait {
    pub(crate) fn new(
        connection: MultiplexedConnection,
        key: String,
        replicas: u32,
        timeout: Duration,
    ) -> Self {
        Self { connection, key, replicas, timeout, begun: AtomicU64::new(0), round: Mutex::default() }
    }

    /// By how many replicas all that was answered before this call is acknowledged: as many as are asked
    /// for, or fewer when the time is over.
    pub(crate) async fn acknowledged(&self) -> Result<u32, RedisError> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut round = self.round.lock().await;
        // Somebody else's, that began after this caller came.
        if round.number > before {
            return Ok(round.acknowledged);
        }
        let number = self.begun.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let mut connection = self.connection.clone();
        let timeout = u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX);
        let (acknowledged,): (u32,) = redis::pipe()
            .cmd("SET")
            .arg(&self.key)
            .arg(number)
            .ignore()
            .cmd("WAIT")
            .arg(self.replicas)
            .arg(timeout)
            .query_async(&mut connection)
            .await?;
        *round = Round { number, acknowledged };
        Ok(acknowledged)
    }
}
