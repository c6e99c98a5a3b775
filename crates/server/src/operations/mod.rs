//! All operations, by what they are about. To add one, write it and enter it in [`every`].

pub(crate) mod agents;
pub(crate) mod goals;
pub(crate) mod orders;
pub(crate) mod records;
pub(crate) mod service;
pub(crate) mod streams;
pub(crate) mod tasks;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::Visitor;

/// The most of anything that one answer lists.
pub(crate) const MOST: u64 = 10_000;

/// How many of something an answer lists at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(inline, extend("maximum" = MOST))]
pub(crate) struct Limit(u64);

impl Default for Limit {
    fn default() -> Self {
        Self(100)
    }
}

impl Limit {
    /// As many as are wanted and may be asked for at once.
    pub(crate) fn up_to(wanted: usize) -> Self {
        Self(u64::try_from(wanted).unwrap_or(MOST).min(MOST))
    }

    pub(crate) fn get(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl TryFrom<u64> for Limit {
    type Error = String;

    fn try_from(limit: u64) -> Result<Self, String> {
        if limit > MOST {
            return Err(format!("a limit is at most {MOST}; ask for the rest with the end of this page"));
        }
        Ok(Self(limit))
    }
}

impl From<Limit> for u64 {
    fn from(limit: Limit) -> Self {
        limit.0
    }
}

macro_rules! operations {
    ($($operation:path,)*) => {
        /// Shows every operation to a visitor, in the order of the document.
        pub(crate) fn every(visitor: &mut impl Visitor) {
            $(visitor.visit::<$operation>();)*
        }
    };
}

operations! {
    goals::ListGoals,
    goals::PlanGoal,
    goals::GetGoal,
    goals::RemoveGoal,
    goals::GetDag,
    goals::AmendDag,
    tasks::ListTasks,
    tasks::GetTask,
    tasks::ListReady,
    tasks::ClaimTask,
    tasks::RenewLease,
    tasks::SettleTask,
    tasks::GiveDirective,
    orders::GiveOrder,
    tasks::SweepDue,
    agents::ListAgents,
    agents::RegisterAgent,
    agents::GetAgent,
    agents::BeatAgent,
    agents::DeregisterAgent,
    agents::GetMemory,
    agents::PutMemory,
    agents::ListErrors,
    streams::ReadEntries,
    streams::AppendEntries,
    streams::AwaitEntries,
    streams::AwaitReady,
    records::ListRecords,
    records::GetRecord,
    records::PutRecord,
    records::RemoveRecord,
    records::AcquireHold,
    records::RenewHold,
    records::ReleaseHold,
    service::GetStatus,
    service::GetWhy,
    service::GetAbout,
    service::GetHealth,
}
