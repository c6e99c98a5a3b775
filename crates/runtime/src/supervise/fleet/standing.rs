//! One agent of a fleet, and what follows when its life ends.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use downbeat_core::instructions::Restart;

use super::super::stage::{End, Stage, Verdict};
use super::Member;

/// One agent, as it stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What is declared.
    pub member: Member,
    /// Where its life stands.
    pub stage: Stage,
    /// How many lives it had, over all runs.
    pub generation: u64,
    /// How often it was started again by itself in this run.
    pub restarts: u64,
    /// When its present stage began.
    pub since: Duration,
    /// When its present life had nothing to do, if it has not.
    pub(super) idle_since: Option<Duration>,
    /// It has nothing to do, and yet not all is done that it may take.
    pub(super) unfinished: bool,
    /// The ends that count towards a quarantine.
    pub(super) ends: VecDeque<Duration>,
}

impl Standing {
    pub(super) const fn new(member: Member, generation: u64, since: Duration) -> Self {
        Self {
            member,
            stage: Stage::Waiting,
            generation,
            restarts: 0,
            since,
            idle_since: None,
            unfinished: false,
            ends: VecDeque::new(),
        }
    }

    /// When its present life had nothing to do any more, if it has nothing to do.
    #[must_use]
    pub const fn idle_since(&self) -> Option<Duration> {
        self.idle_since
    }

    /// What follows an end at `now` that nobody asked for.
    pub(super) fn verdict(&mut self, error: Option<String>, draw: f64, now: Duration) -> Verdict {
        let policy = self.member.policy;
        match (&error, policy.restart) {
            (None, Restart::Never | Restart::OnFailure) => return Verdict::Over(End::Finished),
            (Some(reason), Restart::Never) => return Verdict::Over(End::Failed(reason.clone())),
            (_, Restart::Always) | (Some(_), Restart::OnFailure) => {}
        }
        self.ends.push_back(now);
        while self.ends.front().is_some_and(|end| now.saturating_sub(*end) > policy.window) {
            self.ends.pop_front();
        }
        let ends = u32::try_from(self.ends.len()).unwrap_or(u32::MAX);
        if ends > policy.max_restarts {
            let reason = error.unwrap_or_else(|| "it finished".to_owned());
            let window = downbeat_core::span::HumanDuration::new(policy.window)
                .map_or_else(|| format!("{:?}", policy.window), |window| window.to_string());
            return Verdict::Quarantine(format!(
                "it ended {ends} times within {window}; the last time {reason}"
            ));
        }
        let failures = NonZeroU32::new(ends).unwrap_or(NonZeroU32::MIN);
        Verdict::Again(now + policy.backoff.delay(failures, draw))
    }
}
