//! What a person wants done about the lives of agents, one by one or by group.

use downbeat_core::cache::Cache;
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::instructions::group_limits;
use downbeat_runtime::load;
use downbeat_runtime::status::{self, GroupLine};
use downbeat_runtime::steering::{FleetOrder, Standing, Subject, Whom};
use downbeat_runtime::supervise::Board;

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

/// Lists groups.
pub(crate) async fn list(context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let board = Board::load(cache.as_ref()).await?;
    let lines = lines(cache.as_ref(), &board, context).await?;
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
            Cell::plain(limit_of(&line)),
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
    let groups = lines(cache, &board, context).await?;
    if let Some(group) = groups.iter().find(|group| group.name.as_str() == text) {
        return Ok(group.name.clone());
    }
    let known: Vec<String> = groups.iter().map(|group| group.name.to_string()).collect();
    Err(context.unknown("group", text, &known, "group list"))
}

/// How many may live, and what was declared if that was overridden.
pub(super) fn limit_of(line: &GroupLine) -> String {
    let number = |limit: Option<u32>| limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string());
    match (line.limit, line.declared_limit) {
        (None, None) => String::new(),
        (limit, declared) if declared.is_none() || limit == declared => number(limit),
        (limit, declared) => format!("{} (declared: {})", number(limit), number(declared)),
    }
}

/// Every group with its agents: those of the last run, and those that are declared now.
async fn lines(cache: &dyn Cache, board: &Board, context: &Context) -> Result<Vec<GroupLine>, CliError> {
    let mut lines = status::groups(cache, board).await?;
    if let Ok(project) = load::load(&context.place.instructions) {
        let limits = group_limits(project.agents.iter().map(|agent| &agent.spec));
        for agent in project.agents {
            for group in &agent.spec.groups {
                let name = group.value.clone();
                let line = match lines.iter_mut().find(|line| line.name == name) {
                    Some(line) => line,
                    None => {
                        let declared_limit = limits.get(&name).copied();
                        let mut line = GroupLine { declared_limit, ..GroupLine::named(name.clone()) };
                        line.obey(&Standing::load(cache, &Subject::Group(name)).await?);
                        lines.push(line);
                        let Some(line) = lines.last_mut() else { continue };
                        line
                    }
                };
                line.agents.extend(agent.spec.copies());
            }
        }
    }
    lines.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(lines)
}
