//! What stands of the orders about an agent, a group, a goal or the project: kept, so that an orchestrator
//! that starts later knows it too.

use std::collections::VecDeque;

use downbeat_core::cache::{Cache, CacheError, Record, Steered};
use downbeat_core::ids::{AgentName, GoalId, GroupName, RequestId};
use serde::{Deserialize, Serialize};

use super::order::{FleetOrder, Subject};

/// How many orders about one subject are kept, to recognise a repeated one.
const KEPT: usize = 64;

/// The most subjects that are listed.
const MOST: usize = 100_000;

/// What all keys of these documents begin with.
const PREFIX: &str = "orders:";

/// What stands of the orders about one subject.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Whether it is to run, when somebody said so; as declared otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<bool>,
    /// Whether the agents of the group take no tasks.
    #[serde(default)]
    pub paused: bool,
    /// How many agents of the group may run at once, when somebody said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
    /// How many restarts were ever ordered. Whoever has carried out fewer owes the rest, as one.
    #[serde(default)]
    pub restarts: u64,
    /// How many times a new reading of the instructions was ever ordered.
    #[serde(default)]
    pub reparses: u64,
    /// How often the agent's memory was flushed.
    #[serde(default)]
    pub flushes: u64,
    /// Who gave the newest order.
    #[serde(default)]
    pub by: String,
    /// The newest orders, oldest first.
    #[serde(default, skip_serializing_if = "VecDeque::is_empty")]
    pub(super) kept: VecDeque<Kept>,
}

/// An order that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) request: RequestId,
    pub(super) answer: Steered,
    /// Its event has a greater number.
    pub(super) after: u64,
    /// Its event is known to be written.
    pub(super) told: bool,
}

impl Standing {
    /// What stands of the orders about `subject`; nothing does when none was ever given.
    ///
    /// # Errors
    ///
    /// What the cache says; [`CacheError::Corrupt`] for a document that is none of ours.
    pub async fn load(cache: &dyn Cache, subject: &Subject) -> Result<Self, CacheError> {
        Ok(read(cache, subject).await?.0)
    }

    /// All that was ever ordered, by subject.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn all(cache: &dyn Cache) -> Result<Vec<(Subject, Self)>, CacheError> {
        let mut all = Vec::new();
        for record in cache.list(PREFIX, MOST).await? {
            if let Some(subject) = Subject::of_key(&record.key) {
                all.push((subject, parse(&record)?));
            }
        }
        Ok(all)
    }

    /// The same after `order`, and what is to be said about it.
    pub(super) fn obey(&mut self, order: &FleetOrder) -> Steered {
        let subject = order.subject();
        let detail = match order {
            FleetOrder::Reparse { .. } => {
                self.reparses += 1;
                format!("the instructions of {subject} are to be read again")
            }
            FleetOrder::Start { .. } => match self.run.replace(true) {
                Some(true) => format!("{subject} was to run before"),
                _ => format!("{subject} is to run"),
            },
            FleetOrder::Stop { .. } => match self.run.replace(false) {
                Some(false) => format!("{subject} was to be stopped before"),
                _ => format!("{subject} is to be stopped"),
            },
            FleetOrder::Restart { .. } => {
                self.run = Some(true);
                self.restarts += 1;
                format!("{subject} is to be started anew")
            }
            FleetOrder::PauseGroup { .. } => match std::mem::replace(&mut self.paused, true) {
                true => "already paused".to_owned(),
                false => format!("the agents of {subject} take no more tasks"),
            },
            FleetOrder::ResumeGroup { .. } => match std::mem::replace(&mut self.paused, false) {
                true => format!("the agents of {subject} take tasks again"),
                false => "not paused".to_owned(),
            },
            FleetOrder::LimitGroup { running, .. } => {
                self.limit = *running;
                match running {
                    Some(running) => format!("at most {running} agents of {subject} run at once"),
                    None => format!("as many agents of {subject} run at once as declared"),
                }
            }
        };
        Steered { applied: true, detail }
    }

    pub(super) fn kept(&mut self, request: &RequestId) -> Option<&mut Kept> {
        self.kept.iter_mut().find(|kept| kept.request == *request)
    }

    pub(super) fn keep(&mut self, kept: Kept) {
        self.kept.push_back(kept);
        let excess = self.kept.len().saturating_sub(KEPT);
        self.kept.drain(..excess);
    }
}

/// What stands, and the version that says so.
pub(super) async fn read(cache: &dyn Cache, subject: &Subject) -> Result<(Standing, u64), CacheError> {
    match cache.load(&subject.key()).await? {
        Some(record) => Ok((parse(&record)?, record.version)),
        None => Ok((Standing::default(), 0)),
    }
}

fn parse(record: &Record) -> Result<Standing, CacheError> {
    serde_json::from_str(&record.value)
        .map_err(|error| CacheError::Corrupt { key: record.key.clone(), source: Some(Box::new(error)) })
}

impl Subject {
    /// The key of its document.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Agent(agent) => format!("{PREFIX}agent:{agent}"),
            Self::Group(group) => format!("{PREFIX}group:{group}"),
            Self::Goal(goal) => format!("{PREFIX}goal:{goal}"),
            Self::Project => format!("{PREFIX}project"),
        }
    }

    fn of_key(key: &str) -> Option<Self> {
        match key.strip_prefix(PREFIX)?.split_once(':') {
            Some(("agent", name)) => AgentName::new(name).ok().map(Self::Agent),
            Some(("group", name)) => GroupName::new(name).ok().map(Self::Group),
            Some(("goal", id)) => GoalId::new(id).ok().map(Self::Goal),
            None if key == "orders:project" => Some(Self::Project),
            _ => None,
        }
    }
}
