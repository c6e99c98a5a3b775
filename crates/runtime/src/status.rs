//! What is going on, at a glance. The shapes are what programs read: fields are added, never renamed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError, Liveness, Phase, TaskQuery};
use downbeat_core::goal::{Counts, Goal, GoalStatus};
use downbeat_core::ids::{AgentName, GoalId, GroupName, TaskId};
use downbeat_core::state::TaskStatus;
use downbeat_core::time::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::live::Versions;
use crate::nested::chain::{Chains, with_all_below};
use crate::orchestrator::leader::{ORCHESTRATOR, Said};
use crate::spending::{self, Parked, larger};
use crate::steering::{Standing, Subject};
use crate::supervise::board::{Board, Line};

/// What is going on.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Status {
    /// By id.
    pub goals: Vec<GoalLine>,
    /// By name.
    pub agents: Vec<AgentLine>,
    /// Groups of agents, by name.
    pub groups: Vec<GroupLine>,
    /// Models that are left alone, and why; nobody else is asked either while one of them is all.
    pub parked: Vec<Parked>,
    /// Who orchestrates.
    pub orchestrator: OrchestratorLine,
    /// The versions of the instructions, oldest first; what is in the files and cannot be read; what waits to
    /// be asked for.
    pub instructions: Versions,
}

/// A goal at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct GoalLine {
    /// Its id.
    pub id: GoalId,
    /// What it is called.
    pub title: String,
    /// Where it stands.
    pub status: GoalStatus,
    /// Why it does not go on, when it does not.
    pub reason: Option<String>,
    /// How many tasks stand where.
    pub counts: Counts,
    /// The task that owns it, when it is below one.
    pub parent: Option<TaskId>,
    /// From the goal above all others down to this one.
    pub chain: Vec<GoalId>,
    /// Calls of models so far, with those of all goals below it, as tokens and cost.
    pub model_calls: u64,
    /// Model tokens so far.
    pub tokens: u64,
    /// Model cost so far, in US dollars.
    pub cost_usd: f64,
}

/// An agent at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct AgentLine {
    /// Its name.
    pub name: AgentName,
    /// What it did when it was last heard.
    pub phase: Phase,
    /// Whether it lives.
    pub liveness: Liveness,
    /// It takes no tasks.
    pub paused: bool,
    /// The task it holds; of several, the one that its phase is about.
    pub task: Option<TaskId>,
    /// All that it holds.
    pub tasks: Vec<TaskId>,
    /// Until when it holds `task`.
    pub lease_expires_at: Option<Timestamp>,
    /// When it was last heard; never, when it has not registered yet.
    pub last_beat_at: Option<Timestamp>,
    /// Where its life stands, by its supervisor: `waiting`, `queued`, `starting`, `running`, `backing-off`,
    /// `stopping`, `resting`, `quarantined`, `finished`, `failed`, `stopped`, `blocked`. Nothing for one that
    /// has no supervisor.
    pub stage: Option<String>,
    /// Why, when there is more to say than the word.
    pub stage_reason: Option<String>,
    /// How many lives it had.
    pub generation: u64,
    /// How often it was started again by itself in its supervisor's run.
    pub restarts: u64,
    /// Its groups.
    pub groups: Vec<GroupName>,
}

/// A group of agents at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GroupLine {
    /// Its name.
    pub name: GroupName,
    /// Who belongs to it.
    pub agents: BTreeSet<AgentName>,
    /// How many of them live, by their supervisor.
    pub alive: usize,
    /// How many of them may live at once: as somebody ordered, or else as declared.
    pub limit: Option<u32>,
    /// How many may as declared.
    pub declared_limit: Option<u32>,
    /// Somebody ordered that they take no tasks.
    pub paused: bool,
    /// Whether somebody ordered them to run or to be stopped.
    pub run: Option<bool>,
}

/// The groups of a board, with what is ordered about them.
///
/// # Errors
///
/// What the cache says.
pub async fn groups(cache: &dyn Cache, board: &Board) -> Result<Vec<GroupLine>, CacheError> {
    let mut groups: BTreeMap<GroupName, GroupLine> = BTreeMap::new();
    for (agent, line) in &board.agents {
        for group in &line.groups {
            let found = groups.entry(group.clone()).or_insert_with(|| {
                let limit = board.limits.get(group).copied();
                GroupLine { declared_limit: limit, limit, ..GroupLine::named(group.clone()) }
            });
            found.agents.insert(agent.clone());
            found.alive += usize::from(matches!(line.stage.as_str(), "starting" | "running" | "stopping"));
        }
    }
    for (name, line) in &mut groups {
        line.obey(&Standing::load(cache, &Subject::Group(name.clone())).await?);
    }
    Ok(groups.into_values().collect())
}

impl GroupLine {
    /// A group of which nothing else is known.
    #[must_use]
    pub const fn named(name: GroupName) -> Self {
        Self {
            name,
            agents: BTreeSet::new(),
            alive: 0,
            limit: None,
            declared_limit: None,
            paused: false,
            run: None,
        }
    }

    /// Takes in what is ordered about it.
    pub fn obey(&mut self, orders: &Standing) {
        self.limit = orders.limit.or(self.declared_limit);
        self.paused = orders.paused;
        self.run = orders.run;
    }
}

/// Who orchestrates.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OrchestratorLine {
    /// Whether one was heard within the threshold.
    pub present: bool,
    /// Its name.
    pub name: Option<String>,
    /// Its id.
    pub id: Option<String>,
    /// When it was last heard.
    pub last_seen_at: Option<Timestamp>,
    /// Unheard for this long it counts as absent.
    pub stale_after_seconds: u64,
}

/// Who holds which tasks, and until when: what agents say of themselves may be old, or less.
pub(crate) async fn leases(
    cache: &dyn Cache,
    goals: &[Goal],
) -> Result<HashMap<AgentName, Vec<(TaskId, Timestamp)>>, CacheError> {
    let mut leases: HashMap<AgentName, Vec<(TaskId, Timestamp)>> = HashMap::new();
    for goal in goals.iter().filter(|goal| goal.counts.running > 0) {
        let query = TaskQuery {
            goal: goal.id.clone(),
            status: Some(TaskStatus::Running),
            after: None,
            limit: 10_000,
        };
        for task in cache.tasks(&query).await? {
            if let Some(holder) = task.state.holder {
                let held = (task.node.id.clone(), holder.expires_at);
                leases.entry(holder.agent).or_default().push(held);
            }
        }
    }
    Ok(leases)
}

/// Reads what is going on from a cache.
///
/// `now` is the time by which an orchestrator's last sign of life is judged.
///
/// # Errors
///
/// What the cache says.
pub async fn status(cache: &dyn Cache, now: Timestamp) -> Result<Status, CacheError> {
    let mut goals = cache.goals().await?;
    for goal in &mut goals {
        goal.usage = larger(goal.usage, spending::of_goal(cache, &goal.id).await?);
    }
    let mut leases = leases(cache, &goals).await?;
    let chains = Chains::of(&goals);
    let sums = with_all_below(&goals);
    let goals = goals
        .into_iter()
        .map(|goal| Goal { usage: sums.get(&goal.id).copied().unwrap_or(goal.usage), ..goal })
        .map(|goal| GoalLine {
            chain: chains.to(&goal.id),
            parent: goal.parent.map(|parent| parent.task),
            id: goal.id,
            title: goal.title,
            status: goal.status,
            reason: goal.reason,
            counts: goal.counts,
            model_calls: goal.usage.calls,
            tokens: goal.usage.tokens(),
            cost_usd: goal.usage.cost_usd(),
        })
        .collect();
    let mut board = Board::load(cache).await?;
    let groups = groups(cache, &board).await?;
    let mut agents: Vec<AgentLine> = cache
        .agents()
        .await?
        .into_iter()
        .map(|agent| {
            let held = leases.remove(&agent.registration.name).unwrap_or_default();
            let named = held.iter().find(|(task, _)| Some(task) == agent.task.as_ref());
            let lease = named.or(held.first()).cloned();
            let line = board.agents.remove(&agent.registration.name);
            let stage_reason = line.as_ref().and_then(Line::said);
            let (stage, restarts, groups) = match line {
                Some(line) => (Some(line.stage), line.restarts, line.groups),
                None => (None, 0, Vec::new()),
            };
            AgentLine {
                stage,
                stage_reason,
                generation: agent.registration.generation,
                restarts,
                groups,
                phase: agent.phase,
                liveness: agent.liveness,
                paused: agent.paused,
                lease_expires_at: lease.as_ref().map(|(_, until)| *until),
                task: lease.map(|(task, _)| task),
                tasks: held.into_iter().map(|(task, _)| task).collect(),
                last_beat_at: Some(agent.last_beat_at),
                name: agent.registration.name,
            }
        })
        .collect();
    // Those that are declared and were not started yet.
    agents.extend(board.agents.into_iter().map(|(name, line)| AgentLine {
        name,
        phase: Phase::Created,
        liveness: Liveness::Dead,
        paused: false,
        task: None,
        tasks: Vec::new(),
        lease_expires_at: None,
        last_beat_at: None,
        stage_reason: line.said(),
        stage: Some(line.stage),
        generation: line.generation,
        restarts: line.restarts,
        groups: line.groups,
    }));
    agents.sort_by(|one, other| one.name.cmp(&other.name));
    let parked = spending::parked(cache, now).await?;
    Ok(Status {
        goals,
        agents,
        groups,
        parked,
        instructions: Versions::load(cache).await?,
        orchestrator: orchestrator_line(cache, now).await?,
    })
}

/// Unheard for this long an orchestrator counts as absent, if it says nothing about that.
const STALE_AFTER: Duration = Duration::from_secs(30);

/// Who orchestrates, if anybody does.
pub(crate) async fn orchestrator_line(
    cache: &dyn Cache,
    now: Timestamp,
) -> Result<OrchestratorLine, CacheError> {
    let mut line = OrchestratorLine { stale_after_seconds: STALE_AFTER.as_secs(), ..Default::default() };
    if let Some(record) = cache.load(ORCHESTRATOR).await?
        && let Ok(said) = serde_json::from_str::<Said>(&record.value)
    {
        let stale = Duration::from_millis(said.stale_after_ms);
        let stale = if stale.is_zero() { STALE_AFTER } else { stale };
        line.stale_after_seconds = stale.as_secs().max(1);
        line.last_seen_at = Some(record.updated_at);
        line.present = said.present
            && now.since(record.updated_at) <= stale
            && !crate::process::has_ended(&said.process);
        line.name = Some(said.name);
        line.id = Some(said.id);
    }
    Ok(line)
}
