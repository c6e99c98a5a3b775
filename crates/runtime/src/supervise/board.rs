//! Where the life of every declared agent stands, kept where everybody can read it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError, StoreIf};
use downbeat_core::ids::{AgentName, Capability, GoalId, GroupName};
use serde::{Deserialize, Serialize};
use tokio::sync::{oneshot, watch};
use tracing::debug;

use super::fleet::{Fleet, Standing};
use super::stage::{End, Stage};

/// The document that has it.
const KEY: &str = "fleet";

/// The least time between two writes of it.
const BETWEEN: Duration = Duration::from_millis(50);

/// Every agent that is declared, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Board {
    /// Its agents.
    pub agents: BTreeMap<AgentName, Line>,
    /// How many of a group may live at once, as declared, where that is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub limits: BTreeMap<GroupName, u32>,
}

/// Where the life of an agent stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// A word for it: see [`Stage::as_str`](super::Stage::as_str).
    pub stage: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Nothing is left that it could do.
    #[serde(default)]
    pub finished: bool,
    /// How many lives it had.
    pub generation: u64,
    /// How often it was started again by itself in this run.
    pub restarts: u64,
    /// Its groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
    /// What it waits for: `name (milestone)`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waits_for: Vec<String>,
    /// The agents that it waits for, also in vain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub depends_on: Vec<AgentName>,
    /// The limits that keep it from a slot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_up_by: Vec<Limit>,
    /// What it can do, as declared: one that never lived has no registration that says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// The goal it works for; any without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<GoalId>,
    /// Where it stands in the queue for a slot, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<usize>,
}

/// A limit of how many live at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Of this group; of all agents without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupName>,
    /// How many may.
    pub most: usize,
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, most } = self;
        match group {
            Some(group) => write!(f, "at most {most} of group `{group}` may live"),
            None => write!(f, "`max_workers` is {most}"),
        }
    }
}

impl Line {
    /// Why it stands there, and for what it waits, in a line.
    #[must_use]
    pub fn said(&self) -> Option<String> {
        match (self.waits_for.is_empty(), self.place) {
            (false, _) => Some(format!("waits for {}", self.waits_for.join(", "))),
            (true, Some(place)) => {
                let held: Vec<String> = self.held_up_by.iter().map(ToString::to_string).collect();
                let held = if held.is_empty() { String::new() } else { format!(": {}", held.join(", ")) };
                Some(format!("waits for a slot, number {place} in the queue{held}"))
            }
            (true, None) => self.reason.clone(),
        }
    }
}

impl Board {
    /// As a fleet stands; what the agents can do, and for which goal, it does not know.
    #[must_use]
    pub fn of(fleet: &Fleet) -> Self {
        let line = |(name, agent): (&AgentName, &Standing)| {
            let open = fleet.waits_for(name);
            let waits = agent.stage == Stage::Waiting;
            let held_up_by = fleet.held_up_by(name).into_iter();
            let waits_for = open.iter().filter(|_| waits);
            let line = Line {
                stage: agent.stage.to_string(),
                reason: agent.stage.reason().map(str::to_owned),
                finished: matches!(
                    agent.stage,
                    Stage::Resting { finished: true } | Stage::Ended { end: End::Finished }
                ),
                generation: agent.generation,
                restarts: agent.restarts,
                groups: agent.member.groups.iter().cloned().collect(),
                waits_for: waits_for.map(|(other, until)| format!("{other} ({})", until.as_str())).collect(),
                depends_on: open.into_iter().map(|(other, _)| other).collect(),
                held_up_by: held_up_by.map(|(group, most)| Limit { group, most }).collect(),
                place: fleet.place_of(name),
                ..Line::default()
            };
            (name.clone(), line)
        };
        Self { agents: fleet.agents().map(line).collect(), limits: BTreeMap::new() }
    }

    /// What is kept in a cache; empty when no orchestrator with agents of its own ever ran.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub async fn load(cache: &dyn Cache) -> Result<Self, CacheError> {
        Ok(read(cache).await?.0)
    }
}

async fn read(cache: &dyn Cache) -> Result<(Board, u64), CacheError> {
    let Some(record) = cache.load(KEY).await? else { return Ok((Board::default(), 0)) };
    let board = serde_json::from_str(&record.value)
        .map_err(|error| CacheError::Corrupt { key: record.key.clone(), source: Some(Box::new(error)) })?;
    Ok((board, record.version))
}

/// Keeps the newest board in the cache until its supervisor is `over`.
pub(super) async fn keep(
    cache: Arc<dyn Cache>,
    mut boards: watch::Receiver<Board>,
    mut over: oneshot::Receiver<()>,
) {
    let mut ends = false;
    while !ends {
        tokio::select! {
            changed = boards.changed() => ends = changed.is_err(),
            _ = &mut over => ends = true,
        }
        let board = boards.borrow_and_update().clone();
        if let Err(error) = store(cache.as_ref(), board).await {
            // It is for people to look at: what matters is not decided by it.
            debug!(target: "orchestrator", "the fleet's board: {error}");
        }
        if !ends {
            tokio::select! {
                () = tokio::time::sleep(BETWEEN) => {}
                // The last one is not waited with.
                _ = &mut over => {
                    ends = true;
                    let board = boards.borrow_and_update().clone();
                    if let Err(error) = store(cache.as_ref(), board).await {
                        debug!(target: "orchestrator", "the fleet's board: {error}");
                    }
                }
            }
        }
    }
}

/// Writes the lines of our agents and the limits of their groups; those of others stay.
async fn store(cache: &dyn Cache, board: Board) -> Result<(), CacheError> {
    loop {
        let (mut all, expected) = read(cache).await?;
        let before = all.clone();
        let ours: BTreeSet<&GroupName> = board.agents.values().flat_map(|line| &line.groups).collect();
        all.limits.retain(|group, _| !ours.contains(group));
        all.limits.extend(board.limits.clone());
        all.agents.extend(board.agents.clone());
        if all == before {
            return Ok(());
        }
        let value = serde_json::to_string(&all).map_err(|error| CacheError::Invalid {
            reason: format!("the fleet's board cannot be written down: {error}"),
        })?;
        match cache.store_if(&StoreIf { key: KEY.to_owned(), expected, value: Some(value) }).await {
            Err(CacheError::Conflict { .. }) => {}
            stored => return stored.map(|_| ()),
        }
    }
}
