//! A cache whose calls wait for a store that does not answer, so that a run outlives its store's restart.

use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{Agents, Cache, CacheError, Disposition, Records, Streams, Tasks};
use downbeat_core::cache_verbs;
use downbeat_core::time::{Clock, Timestamp};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use crate::entropy;
use crate::stop::Stop;

/// Between two tries.
const BETWEEN: Backoff = Backoff { base: Duration::from_millis(100), ceiling: Duration::from_secs(2) };

/// What is not waited for here. Whoever calls these has a deadline of its own, or an answer to a silent
/// store that is better than waiting.
const IMPATIENT: [&str; 8] =
    ["claim", "settle", "renew", "beat", "remember", "acquire", "renew_hold", "release_hold"];

/// A store that does not answer, as all users of it in this process see it.
#[derive(Debug)]
pub struct Outage {
    patience: Duration,
    clock: Arc<dyn Clock>,
    silence: watch::Sender<Option<Silence>>,
}

/// Since when a store has not answered, and what was said first.
#[derive(Debug, Clone)]
struct Silence {
    begun: Instant,
    at: Timestamp,
    said: String,
}

impl Outage {
    /// Since when the store has not answered; `None` while it does.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.silence.borrow().as_ref().map(|silence| silence.at)
    }

    /// Waits until the store has not answered for as long as patience lasts; says since when, and why.
    pub async fn outlasts_patience(&self) -> String {
        let mut changes = self.silence.subscribe();
        loop {
            let silence = changes.borrow_and_update().clone();
            match silence {
                None => {
                    // The sender is our own: it does not go away.
                    let _ = changes.changed().await;
                }
                Some(silence) => tokio::select! {
                    () = tokio::time::sleep_until(silence.begun + self.patience) => {
                        return format!("{} (unreachable since {})", silence.said, silence.at);
                    }
                    _ = changes.changed() => {}
                },
            }
        }
    }

    /// Whether the store is to be asked again.
    fn failed(&self, error: &CacheError) -> bool {
        let begun = self.silence.borrow().as_ref().map(|silence| silence.begun);
        if let Some(begun) = begun {
            return begun.elapsed() < self.patience;
        }
        let at = self.clock.now();
        let first = self.silence.send_if_modified(|silence| {
            let first = silence.is_none();
            silence.get_or_insert_with(|| Silence { begun: Instant::now(), at, said: error.to_string() });
            first
        });
        if first {
            warn!(target: "runtime", "Store unreachable since {at}: {error}; work goes on, and the store is \
                waited for at most {:.0?}", self.patience);
        }
        !self.patience.is_zero()
    }

    fn answered(&self) {
        if self.silence.borrow().is_none() {
            return;
        }
        if let Some(silence) = self.silence.send_replace(None) {
            warn!(target: "runtime", "The store answers again, after {:.1?}", silence.begun.elapsed());
        }
    }
}

/// Any cache; a call that the store does not answer is repeated for as long as patience lasts.
///
/// Every verb may be repeated: requests are recognised by their ids, and the others do the same once more.
#[derive(Debug)]
pub struct Patient {
    inner: Arc<dyn Cache>,
    outage: Arc<Outage>,
    stop: Stop,
}

impl Patient {
    /// Waits for `inner` for `patience` at most, and not after `stop` wants all work to end.
    #[must_use]
    pub fn new(inner: Arc<dyn Cache>, patience: Duration, clock: Arc<dyn Clock>, stop: Stop) -> Self {
        let outage = Arc::new(Outage { patience, clock, silence: watch::Sender::new(None) });
        Self { inner, outage, stop }
    }

    /// What is known about the store's silence.
    #[must_use]
    pub fn outage(&self) -> Arc<Outage> {
        Arc::clone(&self.outage)
    }

    /// What to do with an answer: hand it on, or ask again after the wait that this makes.
    async fn judge<T>(
        &self,
        verb: &str,
        answer: Result<T, CacheError>,
        tries: &mut NonZeroU32,
    ) -> ControlFlow<Result<T, CacheError>> {
        let error = match answer {
            Err(error) if error.disposition() == Disposition::Retry => error,
            answer => {
                // A wait for news may end without a word from the store.
                if verb != "changed" {
                    self.outage.answered();
                }
                return ControlFlow::Break(answer);
            }
        };
        let patient = self.outage.failed(&error);
        if !patient || IMPATIENT.contains(&verb) || self.stop.is_now() {
            return ControlFlow::Break(Err(error));
        }
        tokio::select! {
            () = tokio::time::sleep(BETWEEN.delay(*tries, entropy::draw()).max(BETWEEN.base / 4)) => {}
            () = self.stop.stopping() => {}
        }
        *tries = tries.saturating_add(1);
        ControlFlow::Continue(())
    }
}

/// Hands each verb on, as often as [`Patient::judge`] wants.
macro_rules! through {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $family for Patient {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    let mut tries = NonZeroU32::MIN;
                    loop {
                        let answer = self.inner.$verb($($arg),*).await;
                        if let ControlFlow::Break(answer) = self.judge(stringify!($verb), answer, &mut tries).await {
                            return answer;
                        }
                    }
                })*
            }
        )*
    };
}

cache_verbs! { through }

#[cfg(test)]
mod tests {
    use downbeat_core::cache::{Agents as _, StoreIf};
    use downbeat_core::faulty::{Fault, FaultPlan, FaultyCache};
    use downbeat_core::memory::MemoryCache;

    use super::*;
    use crate::clock::SystemClock;

    fn patient(plan: FaultPlan, patience: Duration) -> (Patient, Stop) {
        let clock = Arc::new(SystemClock);
        let inner = Arc::new(FaultyCache::new(MemoryCache::new(clock.clone()), plan));
        let stop = Stop::new();
        (Patient::new(inner, patience, clock, stop.clone()), stop)
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_store_is_waited_for_and_told_of() {
        let plan = (1..=5).fold(FaultPlan::new(), |plan, nth| plan.with("agents", nth, Fault::Before));
        let (patient, _) = patient(plan, Duration::from_secs(60));
        let outage = patient.outage();
        let patient = Arc::new(patient);
        let asked = tokio::spawn({
            let patient = Arc::clone(&patient);
            async move { patient.agents().await.map(|agents| agents.len()) }
        });
        while outage.since().is_none() {
            tokio::task::yield_now().await;
        }
        assert_eq!(asked.await.unwrap().unwrap(), 0);
        assert_eq!(outage.since(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_so_does_a_run() {
        let plan = (1..=500).fold(FaultPlan::new(), |plan, nth| plan.with("agents", nth, Fault::Before));
        let (patient, stop) = patient(plan, Duration::from_secs(10));
        let begun = Instant::now();
        assert!(patient.agents().await.is_err());
        assert!(begun.elapsed() >= Duration::from_secs(10) && begun.elapsed() < Duration::from_secs(15));
        assert!(patient.outage().outlasts_patience().await.contains("a planned fault"));
        stop.now();
        let begun = Instant::now();
        assert!(patient.agents().await.is_err());
        assert!(begun.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_a_deadline_of_its_own_is_answered_at_once() {
        let plan = FaultPlan::new().with("renew_hold", 1, Fault::Before).with("store_if", 1, Fault::Before);
        let (patient, _) = patient(plan, Duration::from_secs(10));
        let hold = downbeat_core::cache::Hold {
            name: "x".to_owned(),
            holder: "y".to_owned(),
            token: downbeat_core::ids::Token::NONE,
            expires_at: Timestamp::default(),
        };
        assert!(patient.renew_hold(&hold, Duration::from_secs(1)).await.is_err());
        let store = StoreIf { key: "k".to_owned(), expected: 0, value: Some("v".to_owned()) };
        assert_eq!(patient.store_if(&store).await.unwrap(), 1);
    }
}
