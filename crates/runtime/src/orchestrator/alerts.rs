//! Raises an alert for work that no agent offers to do: once, and again only after it was resolved. The rest
//! goes on meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::time::Duration;

use downbeat_core::cache::{Agent, Append, CacheError, Liveness, Phase, StoreIf, TaskQuery, events_stream};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::goal::Goal;
use downbeat_core::ids::{Capability, GoalId, RequestId, TaskId};
use downbeat_core::state::TaskStatus;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::time::Instant;
use tracing::{info, warn};

use super::{Orchestrator, RunError};
use crate::entropy;
use crate::feed::{Feed, News};

/// Where the alerts that are not resolved are kept, so that another orchestrator does not raise them again.
pub(crate) const ALERTS: &str = "alerts";

/// Agents of other processes come and go: one that is started again is back within this time.
const GRACE: Duration = Duration::from_secs(1);

/// How many tasks of a goal are looked at in a step.
const PAGE: usize = 500;

/// The most alerts that are kept; whoever has more sees these first.
const MOST: usize = 200;

/// An alert that is not resolved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Alert {
    /// The goal whose task waits.
    pub(crate) goal: GoalId,
    /// What that needs.
    pub(crate) capabilities: Vec<Capability>,
    /// The first task that does.
    pub(crate) task: TaskId,
    /// What it is, for a person.
    pub(crate) reason: String,
}

/// What is needed of an agent: a goal's tasks with the same needs.
type Need = (GoalId, Vec<Capability>);

/// Watches over what is offered.
#[derive(Debug)]
pub(super) struct Watchman<'o> {
    orchestrator: &'o Orchestrator,
    goals: Vec<GoalId>,
    /// By goal, of the revision, the needs of its tasks.
    needs: HashMap<GoalId, (u64, Vec<Vec<Capability>>)>,
    /// Since when nobody offers what.
    absent: HashMap<Need, Instant>,
    open: BTreeMap<String, Alert>,
    version: u64,
    loaded: bool,
    /// What is being told, and under which name: a look that is cut off and made up for tells it once.
    telling: HashMap<(String, EventKind), RequestId>,
}

impl<'o> Watchman<'o> {
    pub(super) fn new(orchestrator: &'o Orchestrator, goals: &[GoalId]) -> Self {
        Self {
            orchestrator,
            goals: goals.to_vec(),
            needs: HashMap::new(),
            absent: HashMap::new(),
            open: BTreeMap::new(),
            version: 0,
            loaded: false,
            telling: HashMap::new(),
        }
    }

    /// Looks whenever an agent came or went, or a goal changed.
    pub(super) async fn watch(&mut self, feed: &Feed) -> Result<Infallible, RunError> {
        let mut ear = feed.subscribe();
        loop {
            let again = self.look(false).await?;
            loop {
                let due = again.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
                tokio::select! {
                    () = tokio::time::sleep_until(due) => break,
                    news = ear.next() => match news {
                        Some(News::Event(event)) => {
                            let kind = &event.what.kind;
                            let is_of_agent = kind.as_str().starts_with("agent.") && *kind != EventKind::AGENT_PHASE;
                            if is_of_agent || kind.as_str().starts_with("goal.") {
                                break;
                            }
                        }
                        Some(News::Missed) => break,
                        None => std::future::pending().await,
                    },
                }
            }
        }
    }

    /// Raises what is to be raised and resolves what is resolved. Says when to look again, if time alone
    /// changes something; with `at_once` it waits for nobody.
    pub(super) async fn look(&mut self, at_once: bool) -> Result<Option<Instant>, RunError> {
        if !self.loaded {
            self.load().await?;
        }
        let cache = &self.orchestrator.cache;
        let agents = cache.agents().await?;
        let all = cache.goals().await?;
        let family: Vec<Goal> = all
            .into_iter()
            .filter(|goal| goal.counts.unfinished() > 0 && self.goals.contains(goal.root()))
            .collect();
        let grace = match at_once || !self.orchestrator.has_agents_outside() {
            true => Duration::ZERO,
            false => GRACE,
        };
        let (now, mut again, mut lacking) = (Instant::now(), None, BTreeMap::new());
        let mut absent = HashMap::new();
        for goal in &family {
            for needs in self.needs_of(goal).await? {
                if self.orchestrator.is_offered(&needs, goal.root(), &agents) {
                    continue;
                }
                let Some(task) = self.waiting(goal, &needs).await? else { continue };
                let need = (goal.id.clone(), needs);
                let since = self.absent.get(&need).copied().unwrap_or(now);
                absent.insert(need.clone(), since);
                if since + grace > now && !self.open.contains_key(&key_of(&need)) {
                    again = Some(again.map_or(since + grace, |again: Instant| again.min(since + grace)));
                    continue;
                }
                lacking.insert(key_of(&need), alert(need, task));
            }
        }
        self.absent = absent;
        self.settle(lacking).await?;
        Ok(again)
    }

    /// The needs of a goal's tasks, each set once.
    async fn needs_of(&mut self, goal: &Goal) -> Result<Vec<Vec<Capability>>, RunError> {
        if let Some((revision, needs)) = self.needs.get(&goal.id)
            && *revision == goal.revision
        {
            return Ok(needs.clone());
        }
        let mut needs: Vec<Vec<Capability>> = Vec::new();
        if let Some(dag) = self.orchestrator.cache.dag(&goal.id).await? {
            for node in dag.nodes().filter(|node| node.kind.is_task()) {
                if !needs.contains(&node.capabilities) {
                    needs.push(node.capabilities.clone());
                }
            }
        }
        self.needs.insert(goal.id.clone(), (goal.revision, needs.clone()));
        Ok(needs)
    }

    /// A task that is not finished and needs that.
    async fn waiting(&self, goal: &Goal, needs: &[Capability]) -> Result<Option<TaskId>, RunError> {
        for status in [TaskStatus::Ready, TaskStatus::Blocked] {
            let mut after = None;
            loop {
                let query = TaskQuery { goal: goal.id.clone(), status: Some(status), after, limit: PAGE };
                let page = match self.orchestrator.cache.tasks(&query).await {
                    Err(CacheError::GoalNotFound { .. }) => return Ok(None),
                    page => page?,
                };
                let found = page.iter().find(|task| task.node.capabilities == needs);
                if let Some(task) = found {
                    return Ok(Some(task.node.id.clone()));
                }
                after = page.last().map(|task| task.ordinal);
                if page.len() < PAGE {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Tells what is new and what is over, and keeps what is open.
    async fn settle(&mut self, mut lacking: BTreeMap<String, Alert>) -> Result<(), RunError> {
        for (key, alert) in &mut lacking {
            // The task that it names may be another by now: that is no other alert.
            if let Some(known) = self.open.get(key) {
                alert.clone_from(known);
            }
        }
        while lacking.len() > MOST {
            lacking.pop_last();
        }
        if lacking == self.open {
            return Ok(());
        }
        let mut told = Vec::new();
        for (key, alert) in lacking.iter().filter(|(key, _)| !self.open.contains_key(*key)) {
            warn!(target: "orchestrator", "{}", alert.reason);
            told.push((key.clone(), EventKind::ALERT_NO_AGENT, alert.clone(), alert.reason.clone()));
        }
        for (key, alert) in self.open.iter().filter(|(key, _)| !lacking.contains_key(*key)) {
            let reason = format!("resolved: {}", alert.reason);
            info!(target: "orchestrator", "{reason}");
            told.push((key.clone(), EventKind::ALERT_RESOLVED, alert.clone(), reason));
        }
        for (key, kind, alert, reason) in told {
            let request = self.telling.entry((key, kind.clone())).or_insert_with(entropy::request_id).clone();
            self.tell(kind, &alert, reason, request).await?;
        }
        self.telling.clear();
        self.open = lacking;
        let value = serde_json::to_string(&self.open).unwrap_or_default();
        let store = StoreIf { key: ALERTS.to_owned(), expected: self.version, value: Some(value) };
        match self.orchestrator.cache.store_if(&store).await {
            Ok(version) => self.version = version,
            // Another orchestrator led for a moment beside this one: what it said holds.
            Err(CacheError::Conflict { .. }) => self.loaded = false,
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    async fn tell(
        &self,
        kind: EventKind,
        alert: &Alert,
        reason: String,
        request: RequestId,
    ) -> Result<(), RunError> {
        let mut event = EventDraft::new(kind)
            .goal(&alert.goal)
            .reason(reason)
            .data(json!({ "alert": "no_agent", "capabilities": alert.capabilities }));
        event.task = Some(alert.task.clone());
        let append = Append { stream: events_stream(), entries: vec![event], request };
        self.orchestrator.cache.append(&append).await?;
        Ok(())
    }

    async fn load(&mut self) -> Result<(), RunError> {
        if let Some(record) = self.orchestrator.cache.load(ALERTS).await? {
            self.open = serde_json::from_str(&record.value).unwrap_or_default();
            self.version = record.version;
        }
        self.loaded = true;
        Ok(())
    }
}

fn key_of((goal, needs): &Need) -> String {
    let needs: Vec<&str> = needs.iter().map(AsRef::as_ref).collect();
    format!("{goal}:{}", needs.join(","))
}

fn alert((goal, capabilities): Need, task: TaskId) -> Alert {
    let needed: Vec<String> = capabilities.iter().map(|it| format!("`{it}`")).collect();
    let what = if needed.is_empty() { "an agent".to_owned() } else { needed.join(", ") };
    let reason = format!("task `{task}` of goal `{goal}` needs {what}, and no agent offers it");
    Alert { goal, capabilities, task, reason }
}

impl Orchestrator {
    /// Whether somebody lives, or may come, who is capable of that.
    fn is_offered(&self, needs: &[Capability], root: &GoalId, agents: &[Agent]) -> bool {
        let lives = |agent: &Agent| {
            let registration = &agent.registration;
            // Loss of contact is no death.
            agent.liveness != Liveness::Dead
                && !matches!(agent.phase, Phase::Quarantined | Phase::Stopped)
                && registration.goal.as_ref().is_none_or(|goal| goal == root)
                && needs.iter().all(|needed| registration.capabilities.contains(needed))
        };
        agents.iter().any(lives)
            || self.project().agents.iter().any(|agent| {
                self.coming.has(&agent.spec.name.value)
                    && crate::load::works_for(&agent.spec, root)
                    && needs.iter().all(|needed| agent.spec.capabilities.contains(needed))
            })
    }

    /// Whether agents of other processes may do the work.
    fn has_agents_outside(&self) -> bool {
        self.only_leads || !self.settings.exclusive
    }
}
