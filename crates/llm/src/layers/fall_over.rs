//! Asks the next provider when one cannot answer.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use tokio::time::Instant;
use tracing::warn;

use crate::transport::{Answer, Ask, AskError, Probe, Transport};

/// How long a provider is left alone that is out of reach and said nothing about when it is back.
const LEFT_ALONE: Duration = Duration::from_secs(60);

/// Several providers, the preferred one first. A question goes to the first that is not left alone;
/// when that one is unavailable, not set up, or has a limit that is reached, it goes to the next, and
/// the one that failed is left alone until it said that it can be asked again.
#[derive(Debug)]
pub struct FallingOver {
    providers: Vec<Arc<dyn Transport>>,
    /// Until when each is left alone.
    rests: Mutex<Vec<Option<Instant>>>,
}

impl FallingOver {
    /// Over `providers`, in the order of preference.
    #[must_use]
    pub fn new(providers: Vec<Arc<dyn Transport>>) -> Self {
        let rests = Mutex::new(vec![None; providers.len()]);
        Self { providers, rests }
    }

    /// Which are asked: those that are not left alone; all, when all are.
    fn turn(&self) -> Vec<usize> {
        let now = Instant::now();
        let rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = rests.iter().enumerate().filter(|(_, rest)| rest.is_none_or(|until| until <= now));
        let rested: Vec<usize> = rested.map(|(at, _)| at).collect();
        if rested.is_empty() { (0..self.providers.len()).collect() } else { rested }
    }

    fn rest(&self, at: usize, span: Duration) {
        let mut rests = self.rests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(rest) = rests.get_mut(at) {
            *rest = Instant::now().checked_add(span);
        }
    }
}

/// For how long a provider that failed so is left alone; `None` when its failure is the question's.
fn rest_after(error: &LlmError) -> Option<Duration> {
    match error {
        LlmError::Unavailable { retry_after, .. } => Some(retry_after.unwrap_or(LEFT_ALONE)),
        LlmError::BudgetSpent { until, .. } => Some(until.unwrap_or(LEFT_ALONE)),
        LlmError::Unusable { .. } => Some(LEFT_ALONE),
        _ => None,
    }
}

#[async_trait]
impl Transport for FallingOver {
    fn name(&self) -> String {
        self.providers.iter().map(|provider| provider.name()).collect::<Vec<_>>().join(",")
    }

    /// Usable when one of them is.
    async fn probe(&self) -> Probe {
        let mut all = Probe { usable: false, found: String::new(), remedies: Vec::new() };
        for provider in &self.providers {
            let probe = provider.probe().await;
            all.usable |= probe.usable;
            let comma = if all.found.is_empty() { "" } else { "; " };
            all.found = format!("{}{comma}{}: {}", all.found, provider.name(), probe.found);
            all.remedies.extend(probe.remedies);
        }
        all
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        let started = Instant::now();
        let mut spent = Usage::default();
        let mut soonest: Option<AskError> = None;
        let mut ask = ask.clone();
        let limit = ask.timeout;
        for at in self.turn() {
            let Some(provider) = self.providers.get(at) else { continue };
            ask.timeout = limit.saturating_sub(started.elapsed());
            if ask.timeout.is_zero() {
                break;
            }
            let failed = match provider.ask(&ask).await {
                Ok(mut answer) => {
                    answer.usage = spent.plus(answer.usage);
                    return Ok(answer);
                }
                Err(failed) => failed,
            };
            spent = spent.plus(failed.usage);
            let Some(rest) = rest_after(&failed.error) else {
                return Err(AskError { error: failed.error, usage: spent });
            };
            self.rest(at, rest);
            warn!(target: "llm", "{}: {}; asking the next model", provider.name(), failed.error);
            let sooner = soonest.as_ref().is_none_or(|known| order(&failed.error) < order(&known.error));
            if sooner {
                soonest = Some(failed);
            }
        }
        let error = soonest.map_or(LlmError::TimedOut { limit }, |failed| failed.error);
        Err(AskError { error, usage: spent })
    }
}

/// Of several failures the one that ends first says when to come back.
fn order(error: &LlmError) -> (u8, Duration) {
    let kind = u8::from(matches!(error, LlmError::Unusable { .. }));
    (kind, rest_after(error).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Played};

    fn spent(until: u64) -> Result<Answer, AskError> {
        let until = Some(Duration::from_secs(until));
        Err(LlmError::BudgetSpent { reason: "weekly".to_owned(), until }.into())
    }

    fn said(text: &str) -> Result<Answer, AskError> {
        Ok(Answer { text: text.to_owned(), ..Answer::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_parked_is_asked_again_when_its_time_is_over() {
        let first = Arc::new(Played::new(vec![spent(100), said("first")]));
        let second = Arc::new(Played::new(vec![said("second"), said("second again")]));
        let both = FallingOver::new(vec![Arc::<Played>::clone(&first), Arc::<Played>::clone(&second)]);
        assert_eq!(both.name(), "played,played");
        assert_eq!(both.ask(&testing::ask()).await.unwrap().text, "second");
        assert_eq!(both.ask(&testing::ask()).await.unwrap().text, "second again");
        assert_eq!(first.asked().len(), 1);
        tokio::time::advance(Duration::from_secs(101)).await;
        assert_eq!(both.ask(&testing::ask()).await.unwrap().text, "first");
    }

    #[tokio::test(start_paused = true)]
    async fn when_all_are_parked_the_soonest_says_when() {
        let usage = Usage { input_tokens: 3, ..Usage::default() };
        let unusable = LlmError::Unusable { reason: "not installed".to_owned() };
        let one = Arc::new(Played::new(vec![Err(AskError { error: unusable, usage })]));
        let two = Arc::new(Played::new(vec![spent(100)]));
        let three = Arc::new(Played::new(vec![spent(50)]));
        let failed = FallingOver::new(vec![one, two, three]).ask(&testing::ask()).await.unwrap_err();
        assert!(
            matches!(failed.error, LlmError::BudgetSpent { until: Some(until), .. } if until.as_secs() == 50)
        );
        assert_eq!(failed.usage, usage);
    }

    #[tokio::test]
    async fn a_refusal_is_an_answer_and_not_an_outage() {
        let refusal = LlmError::Refused { reason: "no".to_owned() };
        let one = Arc::new(Played::new(vec![Err(refusal.clone().into())]));
        let two = Arc::new(Played::new(vec![said("yes")]));
        let both = FallingOver::new(vec![one, two]);
        assert_eq!(both.ask(&testing::ask()).await.unwrap_err().error, refusal);
    }
}
