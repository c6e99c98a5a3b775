//! The host's clock, and the cache's as far as it is known here.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use downbeat_core::time::{Clock, Timestamp};

/// The host's wall clock. Only a cache that has no clock of its own is given it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is where the host's clock lives")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let millis = since_epoch.map_or(0, |span| span.as_millis());
        Timestamp::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
    }
}

/// A difference below this is the way of an answer, not of a clock; in milliseconds.
const CLOSE: i64 = 25;

/// The cache's clock, by the host's and by what the cache said last: deadlines of a cache on another machine
/// are waited for by it. It decides nothing.
#[derive(Debug)]
pub struct CacheClock {
    host: Arc<dyn Clock>,
    /// The cache's time less the host's, in milliseconds.
    ahead: AtomicI64,
}

impl CacheClock {
    /// The host's clock, until the cache says something.
    #[must_use]
    pub const fn new(host: Arc<dyn Clock>) -> Self {
        Self { host, ahead: AtomicI64::new(0) }
    }

    /// The cache gave something until `deadline`, `ttl` from its present moment.
    pub fn observe(&self, deadline: Timestamp, ttl: Duration) {
        let millis = |span: u64| i64::try_from(span).unwrap_or(i64::MAX);
        let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let there = millis(deadline.as_millis()).saturating_sub(ttl);
        let ahead = there.saturating_sub(millis(self.host.now().as_millis()));
        if ahead.saturating_sub(self.ahead.load(Ordering::Relaxed)).saturating_abs() > CLOSE {
            self.ahead.store(ahead, Ordering::Relaxed);
        }
    }
}

impl Clock for CacheClock {
    fn now(&self) -> Timestamp {
        let ahead = self.ahead.load(Ordering::Relaxed);
        Timestamp::from_millis(self.host.now().as_millis().saturating_add_signed(ahead))
    }
}

#[cfg(test)]
mod tests {
    use downbeat_core::time::ManualClock;

    use super::*;

    #[test]
    fn a_cache_s_clock_is_known_by_its_deadlines() {
        let host = Arc::new(ManualClock::default());
        host.advance(Duration::from_secs(1_000));
        let clock = CacheClock::new(host.clone());
        assert_eq!(clock.now(), host.now());
        for (there, ttl) in [(1_400_000, 30_000), (630_000, 30_000)] {
            clock.observe(Timestamp::from_millis(there), Duration::from_millis(ttl));
            assert_eq!(clock.now(), Timestamp::from_millis(there - ttl));
        }
        clock.observe(Timestamp::from_millis(630_010), Duration::from_millis(30_000));
        assert_eq!(clock.now(), Timestamp::from_millis(600_000), "an answer takes its time");
    }
}
