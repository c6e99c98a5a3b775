//! Where an agent's life stands, and the moves between: one pure table.

use std::fmt;
use std::time::Duration;

/// Why a life ended that ended with its run.
pub const RUN_ENDED: &str = "the run ended";

/// Why a life ended that ended with its run, which somebody stopped.
pub const RUN_STOPPED: &str = "the run was stopped";

/// Where the life of a declared agent stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stage {
    /// For those that it depends on.
    Waiting,
    /// For a slot.
    Queued,
    /// It is brought to life.
    Starting,
    /// It lives.
    Running {
        /// It takes tasks.
        ready: bool,
    },
    /// It ended and is started again at this time, counted from when its supervisor began.
    BackingOff {
        /// When.
        until: Duration,
    },
    /// It was asked to end.
    Stopping {
        /// What becomes of it then.
        then: Then,
    },
    /// It had nothing to do and gave its slot back. It is queued again when there is something it may take.
    Resting {
        /// All that it could ever take is done, as far as is planned.
        finished: bool,
    },
    /// It ended too often, for this reason last. Only a person's word starts it again.
    Quarantined {
        /// Why.
        reason: String,
    },
    /// It is over.
    Ended {
        /// How.
        end: End,
    },
}

/// What becomes of an agent that was asked to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Then {
    /// It stays ended, for this reason.
    Stop(String),
    /// It is started anew, for this reason.
    Restart(String),
    /// It rests, finished or not.
    Rest {
        /// See [`Stage::Resting`].
        finished: bool,
    },
}

/// How it is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By itself, with nothing to complain of.
    Finished,
    /// With an error, after which it is not started again.
    Failed(String),
    /// Somebody wanted it to end.
    Stopped(String),
    /// One that it depends on cannot get there.
    Prerequisite(String),
}

/// What a stage changes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Those that it depends on are as far as they have to be.
    Released,
    /// One of them never will be.
    Blocked(String),
    /// They may get there again: a person's word set them going.
    Unblocked,
    /// It was given a slot.
    Admitted,
    /// Its life has begun.
    Began,
    /// It takes tasks.
    Ready,
    /// Its life has ended; what follows if nobody asked for that.
    Exited {
        /// Nothing went wrong.
        ok: bool,
        /// What follows.
        verdict: Verdict,
    },
    /// Its wait is over.
    Due,
    /// It is to end.
    Asked(Then),
    /// It is to run.
    Wanted,
    /// There is something that it may take.
    Work,
}

/// What follows an end that nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is started again at this time.
    Again(Duration),
    /// It ended too often.
    Quarantine(String),
    /// It is over.
    Over(End),
}

impl Stage {
    /// Where it stands after `change`; `None` when that means nothing here, and nothing changes.
    #[must_use]
    pub fn after(&self, change: &Change) -> Option<Self> {
        use Change as C;
        let ended = |end| Some(Self::Ended { end });
        match (self, change) {
            (Self::Waiting, C::Released) => Some(Self::Queued),
            (Self::Queued, C::Admitted) => Some(Self::Starting),
            (Self::Starting, C::Began) => Some(Self::Running { ready: false }),
            (Self::Running { ready: false }, C::Ready) => Some(Self::Running { ready: true }),
            (Self::BackingOff { .. }, C::Due) | (Self::Resting { .. }, C::Work) => Some(Self::Waiting),
            (Self::Waiting | Self::Queued, C::Blocked(reason)) => ended(End::Prerequisite(reason.clone())),
            (Self::Ended { end: End::Prerequisite(_) }, C::Unblocked) => Some(Self::Waiting),

            (Self::Starting | Self::Running { .. }, C::Asked(then)) => {
                Some(Self::Stopping { then: then.clone() })
            }
            // A person's newest word counts; that there is nothing to do overrides nobody.
            (Self::Stopping { then }, C::Asked(other @ (Then::Stop(_) | Then::Restart(_))))
                if then != other =>
            {
                Some(Self::Stopping { then: other.clone() })
            }
            (Self::Stopping { then: Then::Stop(_) | Then::Rest { .. } }, C::Wanted) => {
                Some(Self::Stopping { then: Then::Restart("it is to run again".to_owned()) })
            }
            (
                Self::Waiting
                | Self::Queued
                | Self::BackingOff { .. }
                | Self::Resting { .. }
                | Self::Quarantined { .. },
                C::Asked(Then::Stop(by)),
            ) => ended(End::Stopped(by.clone())),
            (Self::Ended { end }, C::Asked(Then::Stop(by))) if !matches!(end, End::Stopped(_)) => {
                ended(End::Stopped(by.clone()))
            }
            (Self::Waiting | Self::Queued | Self::BackingOff { .. }, C::Asked(Then::Rest { finished })) => {
                Some(Self::Resting { finished: *finished })
            }
            (Self::Resting { finished: false }, C::Asked(Then::Rest { finished: true })) => {
                Some(Self::Resting { finished: true })
            }
            (
                Self::BackingOff { .. }
                | Self::Resting { .. }
                | Self::Quarantined { .. }
                | Self::Ended { .. },
                C::Asked(Then::Restart(_)),
            )
            | (
                Self::BackingOff { .. }
                | Self::Quarantined { .. }
                | Self::Ended { .. }
                | Self::Resting { .. },
                C::Wanted,
            ) => Some(Self::Waiting),

            (Self::Starting | Self::Running { .. }, C::Exited { verdict, .. }) => Some(verdict.stage()),
            (Self::Stopping { then }, C::Exited { ok, verdict }) => Some(match then {
                Then::Stop(by) => Self::Ended { end: End::Stopped(by.clone()) },
                Then::Restart(_) => Self::Waiting,
                // One that crashes on its way out has crashed.
                Then::Rest { .. } if !ok => verdict.stage(),
                Then::Rest { finished } => Self::Resting { finished: *finished },
            }),
            _ => None,
        }
    }

    /// Whether it holds a slot: something of it may run.
    #[must_use]
    pub const fn is_alive(&self) -> bool {
        matches!(self, Self::Starting | Self::Running { .. } | Self::Stopping { .. })
    }

    /// Whether the life that comes next is another one than the last that was heard of.
    pub(super) const fn begins_anew(&self) -> bool {
        match self {
            Self::Stopping { then } => matches!(then, Then::Restart(_)),
            Self::Waiting
            | Self::Queued
            | Self::Starting
            | Self::BackingOff { .. }
            | Self::Resting { .. } => true,
            Self::Running { .. } | Self::Quarantined { .. } | Self::Ended { .. } => false,
        }
    }

    /// As users read it.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Starting => "starting",
            Self::Running { .. } => "running",
            Self::BackingOff { .. } => "backing-off",
            Self::Stopping { .. } => "stopping",
            Self::Resting { .. } => "resting",
            Self::Quarantined { .. } => "quarantined",
            Self::Ended { end: End::Finished } => "finished",
            Self::Ended { end: End::Failed(_) } => "failed",
            Self::Ended { end: End::Stopped(_) } => "stopped",
            Self::Ended { end: End::Prerequisite(_) } => "blocked",
        }
    }

    /// Why it stands there, if there is more to say than the word.
    #[must_use]
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Queued => Some("waits for a slot"),
            Self::Resting { finished: true } => Some("its work is done"),
            Self::Resting { finished: false } => Some("had nothing to do while others waited for a slot"),
            Self::Quarantined { reason }
            | Self::Stopping { then: Then::Stop(reason) | Then::Restart(reason) }
            | Self::Ended { end: End::Failed(reason) | End::Stopped(reason) | End::Prerequisite(reason) } => {
                Some(reason)
            }
            _ => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Verdict {
    fn stage(&self) -> Stage {
        match self {
            Self::Again(until) => Stage::BackingOff { until: *until },
            Self::Quarantine(reason) => Stage::Quarantined { reason: reason.clone() },
            Self::Over(end) => Stage::Ended { end: end.clone() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stages() -> Vec<Stage> {
        let mut all = vec![
            Stage::Waiting,
            Stage::Queued,
            Stage::Starting,
            Stage::Running { ready: false },
            Stage::Running { ready: true },
            Stage::BackingOff { until: Duration::from_secs(1) },
            Stage::Resting { finished: false },
            Stage::Resting { finished: true },
            Stage::Quarantined { reason: "q".to_owned() },
        ];
        for then in thens() {
            all.push(Stage::Stopping { then });
        }
        for end in [
            End::Finished,
            End::Failed("f".to_owned()),
            End::Stopped("s".to_owned()),
            End::Prerequisite("p".to_owned()),
        ] {
            all.push(Stage::Ended { end });
        }
        all
    }

    fn thens() -> [Then; 3] {
        [Then::Stop("s".to_owned()), Then::Restart("r".to_owned()), Then::Rest { finished: false }]
    }

    fn changes() -> Vec<Change> {
        let mut all = vec![
            Change::Released,
            Change::Blocked("b".to_owned()),
            Change::Unblocked,
            Change::Admitted,
            Change::Began,
            Change::Ready,
            Change::Due,
            Change::Wanted,
            Change::Work,
        ];
        all.extend(thens().map(Change::Asked));
        for ok in [true, false] {
            for verdict in [
                Verdict::Again(Duration::from_secs(1)),
                Verdict::Quarantine("q".to_owned()),
                Verdict::Over(End::Finished),
            ] {
                all.push(Change::Exited { ok, verdict });
            }
        }
        all
    }

    #[test]
    fn a_slot_is_entered_by_admission_alone_and_left_by_an_exit_alone() {
        for stage in stages() {
            for change in changes() {
                let Some(after) = stage.after(&change) else { continue };
                assert_ne!(after, stage, "{stage:?} {change:?}: a move that changes nothing is none");
                match (stage.is_alive(), after.is_alive()) {
                    (false, true) => assert_eq!(change, Change::Admitted, "{stage:?}"),
                    (true, false) => assert!(matches!(change, Change::Exited { .. }), "{stage:?} {change:?}"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn everything_alive_ends_with_its_life() {
        for stage in stages().into_iter().filter(Stage::is_alive) {
            for change in changes().into_iter().filter(|change| matches!(change, Change::Exited { .. })) {
                assert!(!stage.after(&change).unwrap().is_alive(), "{stage:?} {change:?}");
            }
        }
    }

    #[test]
    fn a_stop_holds_until_somebody_wants_it_to_run() {
        let stopped = Stage::Ended { end: End::Stopped("s".to_owned()) };
        for change in changes() {
            let moved = stopped.after(&change).is_some();
            let wanted = matches!(change, Change::Wanted | Change::Asked(Then::Restart(_)));
            assert_eq!(moved, wanted, "{change:?}");
        }
        for stage in stages() {
            let asked = stage.after(&Change::Asked(Then::Stop("now".to_owned()))).unwrap_or(stage.clone());
            let ends = matches!(
                asked,
                Stage::Stopping { then: Then::Stop(_) } | Stage::Ended { end: End::Stopped(_) }
            );
            assert!(ends, "{stage:?}");
        }
    }

    #[test]
    fn a_quarantine_ends_by_a_persons_word_alone() {
        let quarantined = Stage::Quarantined { reason: "q".to_owned() };
        for change in changes() {
            let moved = quarantined.after(&change).is_some();
            let said = matches!(change, Change::Wanted | Change::Asked(Then::Restart(_) | Then::Stop(_)));
            assert_eq!(moved, said, "{change:?}");
        }
    }
}
