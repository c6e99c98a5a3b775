//! What a person wants done about the lives of agents, one by one or by group.

use std::collections::{BTreeMap, BTreeSet};

use downbeat_core::cache::Cache;
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_runtime::load;
use downbeat_runtime::steering::{FleetOrder, Standing, Subject, Whom};
use downbeat_runtime::supervise::Board;
use serde::Serialize;

use super::steer::steer;
use crate::context::Context;
use crate::error::CliError;
use crate::output::style::{FAINT, STRONG};
use crate::output::table::{Cell, Table};

/// Begins the name of a group where an agent could stand too.
pub(crate) const GROUP: &str = "group:";

/// Has an agent or a group run.
pub(crate) async fn start(whom: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let whom = found(cache.as_ref(), whom, context).await?;
    steer(cache.as_ref(), FleetOrder::Start { whom }, context).await
}

/// Has an agent or a group end and stay so.
pub(crate) async fn stop(whom: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let whom = found(cache.as_ref(), whom, context).await?;
    steer(cache.as_ref(), FleetOrder::Stop { whom }, context).await
}

/// Has an agent or a group end and begin anew.
pub(crate) async fn restart(whom: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let whom = found(cache.as_ref(), whom, context).await?;
    steer(cache.as_ref(), FleetOrder::Restart { whom }, context).await
}

/// Lets the agents of a group take no more tasks.
pub(crate) async fn pause(whom: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let group = group(cache.as_ref(), whom.trim_start_matches(GROUP), context).await?;
    steer(cache.as_ref(), FleetOrder::PauseGroup { group }, context).await
}

/// Lets the agents of a group take tasks again.
pub(crate) async fn resume(whom: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let group = group(cache.as_ref(), whom.trim_start_matches(GROUP), context).await?;
    steer(cache.as_ref(), FleetOrder::ResumeGroup { group }, context).await
}

/// Limits how many agents of a group live at once.
pub(crate) async fn limit(name: &str, running: Option<u32>, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let group = group(cache.as_ref(), name.trim_start_matches(GROUP), context).await?;
    steer(cache.as_ref(), FleetOrder::LimitGroup { group, running }, context).await
}

/// A group, for programs.
#[derive(Debug, Serialize)]
struct GroupLine {
    name: GroupName,
    agents: BTreeSet<AgentName>,
    /// How many of them live.
    alive: usize,
    limit: Option<u32>,
    paused: bool,
    /// Whether somebody ordered it to run or to be stopped.
    run: Option<bool>,
}

/// Lists groups.
pub(crate) async fn list(context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let board = Board::load(cache.as_ref()).await?;
    let mut lines = Vec::new();
    for (name, agents) in groups(&board, context) {
        let orders = Standing::load(cache.as_ref(), &Subject::Group(name.clone())).await?;
        let lives = |agent: &&AgentName| {
            let stage = board.agents.get(*agent).map(|line| line.stage.as_str());
            matches!(stage, Some("starting" | "running" | "stopping"))
        };
        let alive = agents.iter().filter(lives).count();
        let Standing { limit, paused, run, .. } = orders;
        lines.push(GroupLine { name, agents, alive, limit, paused, run });
    }
    if context.out.is_json() {
        return context.out.value(&lines);
    }
    if lines.is_empty() {
        return context.out.line("No agent names a group: `- Groups: night` below an agent does.");
    }
    let mut table = Table::new(&["GROUP", "LIVES", "LIMIT", "ORDERED", "AGENTS"]).right(&[1, 2]).shrink(&[4]);
    for line in lines {
        let agents: Vec<&str> = line.agents.iter().map(AgentName::as_str).collect();
        let mut ordered = Vec::new();
        ordered.extend(line.run.map(|run| if run { "run" } else { "stopped" }));
        ordered.extend(line.paused.then_some("paused"));
        table.row(vec![
            Cell::new(STRONG, line.name.as_str()),
            Cell::plain(format!("{}/{}", line.alive, line.agents.len())),
            Cell::plain(line.limit.map_or_else(String::new, |limit| limit.to_string())),
            Cell::plain(ordered.join(", ")),
            Cell::new(FAINT, agents.join(", ")),
        ]);
    }
    context.out.text(&table.render(0, context.out.width()))
}

/// The agent or the group that a text names.
async fn found(cache: &dyn Cache, text: &str, context: &Context) -> Result<Whom, CliError> {
    match text.strip_prefix(GROUP) {
        Some(name) => group(cache, name, context).await.map(Whom::Group),
        None => context.agent(cache, text).await.map(Whom::Agent),
    }
}

async fn group(cache: &dyn Cache, text: &str, context: &Context) -> Result<GroupName, CliError> {
    let board = Board::load(cache).await?;
    let groups = groups(&board, context);
    if let Some(name) = groups.keys().find(|name| name.as_str() == text) {
        return Ok(name.clone());
    }
    let known: Vec<String> = groups.keys().map(ToString::to_string).collect();
    Err(context.unknown("group", text, &known, "group list"))
}

/// Every group with its agents: those of the last run, and those that are declared now.
fn groups(board: &Board, context: &Context) -> BTreeMap<GroupName, BTreeSet<AgentName>> {
    let mut groups: BTreeMap<GroupName, BTreeSet<AgentName>> = BTreeMap::new();
    for (agent, line) in &board.agents {
        for group in &line.groups {
            groups.entry(group.clone()).or_default().insert(agent.clone());
        }
    }
    if let Ok(project) = load::load(&context.place.instructions) {
        for agent in project.agents {
            for group in agent.spec.groups {
                groups.entry(group.value).or_default().insert(agent.spec.name.value.clone());
            }
        }
    }
    groups
}
