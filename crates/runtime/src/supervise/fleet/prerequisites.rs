//! Who waits for whom, and who waits in vain.

use downbeat_core::ids::AgentName;
use downbeat_core::instructions::Milestone;

use super::super::stage::{Change, End, Stage, Then};
use super::Fleet;

impl Fleet {
    /// Whom an agent waits for, and until when; also one that waits for them in vain.
    #[must_use]
    pub fn waits_for(&self, name: &AgentName) -> Vec<(AgentName, Milestone)> {
        let waits =
            |stage: &Stage| matches!(stage, Stage::Waiting | Stage::Ended { end: End::Prerequisite(_) });
        let Some(agent) = self.agents.get(name).filter(|agent| waits(&agent.stage)) else {
            return Vec::new();
        };
        let open = agent.member.after.iter().filter(|(other, until)| !self.is_reached(other, *until));
        open.cloned().collect()
    }

    /// What follows for an agent from where those stand that it depends on.
    pub(super) fn prerequisites(&self, name: &AgentName) -> Option<Change> {
        let agent = self.agents.get(name)?;
        let blocked = match &agent.stage {
            Stage::Waiting | Stage::Queued => false,
            Stage::Ended { end: End::Prerequisite(_) } => true,
            _ => return None,
        };
        let mut open = false;
        for (other, until) in &agent.member.after {
            if self.is_reached(other, *until) {
                continue;
            }
            open = true;
            if let Some(reason) = self.is_hopeless(other) {
                if blocked {
                    return None;
                }
                let until = until.as_str();
                return Some(Change::Blocked(format!("it depends on `{other}` ({until}), which {reason}")));
            }
        }
        if blocked {
            return Some(Change::Unblocked);
        }
        (!open && agent.stage == Stage::Waiting).then_some(Change::Released)
    }

    pub(super) fn is_reached(&self, name: &AgentName, until: Milestone) -> bool {
        let Some(agent) = self.agents.get(name) else { return false };
        match &agent.stage {
            Stage::Ended { end: End::Finished } | Stage::Resting { finished: true } => true,
            Stage::Resting { finished: false }
            | Stage::Stopping { then: Then::Rest { .. } }
            | Stage::Running { ready: true } => until <= Milestone::Ready,
            Stage::Running { ready: false } => until == Milestone::Started,
            _ => false,
        }
    }

    /// Why an agent gets no further by itself, if so.
    pub(super) fn is_hopeless(&self, name: &AgentName) -> Option<String> {
        match &self.agents.get(name)?.stage {
            Stage::Quarantined { reason } => Some(format!("is quarantined: {reason}")),
            Stage::Ended { end: End::Failed(reason) } => Some(format!("failed: {reason}")),
            Stage::Ended { end: End::Prerequisite(reason) } => Some(format!("was not started: {reason}")),
            // A person stopped it, and may start it again: that is waited for.
            _ => None,
        }
    }
}
