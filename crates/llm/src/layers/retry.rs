//! Asks again when a provider is overloaded or out of reach.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::backoff::Backoff;
use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use tokio::time::Instant;
use tracing::warn;

use crate::transport::{Answer, Ask, AskError, Probe, Transport};

/// The most times a question is asked before its failure is the caller's.
const MAX_TRIES: u32 = 5;

/// Who is told to come back later than this is parked, and the task waits for nobody meanwhile.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// Waits between tries.
const WAITS: Backoff = Backoff { base: Duration::from_secs(1), ceiling: Duration::from_secs(30) };

/// Asks again, after a wait with full jitter, when the provider is [unavailable](LlmError::Unavailable):
/// never earlier than it said to come back, never beyond the question's time. All other failures are
/// the caller's at once.
///
/// A question counts as one call, however many turns a provider makes of it; each try that reached a
/// model counts.
#[derive(Debug)]
pub struct Retrying {
    inner: Arc<dyn Transport>,
    waits: Backoff,
}

impl Retrying {
    /// Around `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Transport>) -> Self {
        Self { inner, waits: WAITS }
    }
}

#[async_trait]
impl Transport for Retrying {
    fn name(&self) -> String {
        self.inner.name()
    }

    async fn probe(&self) -> Probe {
        self.inner.probe().await
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        let started = Instant::now();
        let mut spent = Usage::default();
        let mut ask = ask.clone();
        let limit = ask.timeout;
        let mut tries = NonZeroU32::MIN;
        loop {
            let error = match self.inner.ask(&ask).await {
                Ok(mut answer) => {
                    answer.usage = spent.plus(Usage { calls: 1, ..answer.usage });
                    return Ok(answer);
                }
                Err(error) => error,
            };
            spent = spent.plus(Usage { calls: error.usage.calls.min(1), ..error.usage });
            let fail = |error| Err(AskError { error, usage: spent });
            let LlmError::Unavailable { reason, retry_after } = error.error else {
                return fail(error.error);
            };
            if let Some(until) = retry_after.filter(|after| *after > LONGEST_WAIT) {
                return fail(LlmError::BudgetSpent { reason, until: Some(until) });
            }
            let wait = self.waits.delay(tries, draw()).max(retry_after.unwrap_or_default());
            let left = limit.saturating_sub(started.elapsed());
            if tries.get() >= MAX_TRIES || wait >= left {
                return fail(LlmError::Unavailable { reason, retry_after });
            }
            warn!(target: "llm", "{}: {reason}; asking again in {wait:.1?}", self.name());
            tokio::time::sleep(wait).await;
            ask.timeout = limit.saturating_sub(started.elapsed());
            tries = tries.saturating_add(1);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "this is where the jitter between calls is drawn")]
fn draw() -> f64 {
    fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Played};

    fn unavailable(retry_after: Option<Duration>) -> Result<Answer, AskError> {
        let usage = Usage { calls: 1, input_tokens: 5, ..Usage::default() };
        Err(AskError { error: LlmError::Unavailable { reason: "busy".to_owned(), retry_after }, usage })
    }

    fn answer() -> Result<Answer, AskError> {
        let usage = Usage { calls: 7, input_tokens: 100, ..Usage::default() };
        Ok(Answer { text: "x".to_owned(), usage, ..Answer::default() })
    }

    async fn outcome(answers: Vec<Result<Answer, AskError>>) -> (Result<Answer, AskError>, usize, Duration) {
        let played = Arc::new(Played::new(answers));
        let begin = Instant::now();
        let result = Retrying::new(Arc::<Played>::clone(&played)).ask(&testing::ask()).await;
        (result, played.asked().len(), begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_out_and_all_tries_are_paid_for() {
        let (result, asked, _) = outcome(vec![unavailable(None), unavailable(None), answer()]).await;
        // Seven turns of one question are one call.
        let usage = result.unwrap().usage;
        assert_eq!((usage.calls, usage.input_tokens, asked), (3, 110, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_comes_back_earlier_than_told() {
        let wait = Duration::from_secs(50);
        let (result, asked, took) = outcome(vec![unavailable(Some(wait)), answer()]).await;
        assert!(result.is_ok() && asked == 2 && took >= wait && took < wait * 2, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_that_does_not_end_is_told_with_what_it_cost() {
        let (result, asked, took) = outcome((0..9).map(|_| unavailable(None)).collect()).await;
        let failed = result.unwrap_err();
        assert_eq!((asked, failed.usage.input_tokens), (5, 25));
        assert!(matches!(failed.error, LlmError::Unavailable { .. }));
        assert!(took < testing::ask().timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_parks_and_one_beyond_the_time_is_the_callers() {
        let (result, asked, took) = outcome(vec![unavailable(Some(Duration::from_secs(3_600)))]).await;
        let until = Some(Duration::from_secs(3_600));
        assert_eq!(result.unwrap_err().error, LlmError::BudgetSpent { reason: "busy".to_owned(), until });
        assert_eq!((asked, took), (1, Duration::ZERO));

        let (result, asked, took) = outcome(vec![unavailable(Some(Duration::from_secs(110)))]).await;
        assert!(matches!(result.unwrap_err().error, LlmError::Unavailable { .. }));
        assert_eq!((asked, took), (1, Duration::ZERO));
    }

    #[tokio::test(start_paused = true)]
    async fn what_no_wait_changes_is_told_at_once() {
        for error in [
            LlmError::Refused { reason: String::new() },
            LlmError::Unusable { reason: String::new() },
            LlmError::TimedOut { limit: Duration::from_secs(1) },
        ] {
            let (result, asked, _) = outcome(vec![Err(error.clone().into()), answer()]).await;
            assert_eq!((result.unwrap_err().error, asked), (error, 1));
        }
    }
}
