//! Why a task that is ready is not taken.

use downbeat_core::cache::{Agent, Cache, CacheError, Phase, Task};
use downbeat_core::dag::NodeKind;
use downbeat_core::ids::AgentName;
use downbeat_core::time::Timestamp;

use super::lives::Lives;
use super::{Cause, CauseKind, Company, cause};
use crate::spending;

/// How many agents that cannot take a task are named.
const NAMED: usize = 20;

pub(super) async fn ready(
    cache: &dyn Cache,
    task: &Task,
    now: Timestamp,
    company: Company,
    causes: &mut Vec<Cause>,
) -> Result<(), CacheError> {
    if task.node.run.is_none() {
        for parked in spending::parked(cache, now).await? {
            let unblocks = match parked.until {
                Some(until) => format!("it is {until}, or an agent with another model takes the task"),
                None => "somebody raises `max_tokens` or `max_cost` and runs again".to_owned(),
            };
            causes.push(cause(CauseKind::Budget, parked.reason, unblocks));
        }
    }
    if let Some(until) = task.state.not_before.filter(|until| *until > now) {
        causes.push(cause(
            CauseKind::Backoff,
            format!("waits before attempt {} of {}", task.state.attempt + 1, task.state.max_attempts),
            format!("it is {until}"),
        ));
    }
    if task.node.kind == NodeKind::Goal {
        if causes.is_empty() {
            causes.push(cause(
                CauseKind::NoAgent,
                "it owns a goal, and waits for an orchestrator that plans it",
                "one leads (`downbeat run` or `downbeat orchestrator`)",
            ));
        }
        return Ok(());
    }
    let lives = Lives::load(cache, now, company).await?;
    let root = cache.goal(&task.goal).await?.map_or_else(|| task.goal.clone(), |goal| goal.root().clone());
    who_could(&lives, task, &lives.able(task, &root), causes);
    Ok(())
}

/// Where those stand who could take a task.
fn who_could(lives: &Lives, task: &Task, able: &[AgentName], causes: &mut Vec<Cause>) {
    let needed: Vec<String> = task.node.capabilities.iter().map(|it| format!("`{it}`")).collect();
    let needs = if needed.is_empty() { String::new() } else { format!(" capable of {}", needed.join(", ")) };
    let living: Vec<&Agent> = able.iter().filter_map(|name| lives.living(name)).collect();
    let bars: Vec<(&AgentName, Cause)> =
        able.iter().filter_map(|name| Some((name, lives.bar(name)?))).collect();
    let barred = |name: &AgentName| bars.iter().any(|(other, _)| *other == name);
    let at_hand: Vec<&&Agent> = living.iter().filter(|agent| !barred(&agent.registration.name)).collect();
    if at_hand.iter().any(|agent| agent.task.is_none()) {
        if causes.is_empty() {
            causes.push(cause(CauseKind::Claimable, "it can be claimed this moment", "an agent takes it"));
        }
        return;
    }
    if living.is_empty() {
        let rest = able.iter().filter(|name| !barred(name)).map(|name| how_it_is(lives, name));
        causes.push(nobody(task, &needed, &needs, &rest.collect::<Vec<_>>(), !bars.is_empty()));
    } else if at_hand.is_empty() && living.iter().all(|agent| agent.paused) && living.len() == able.len() {
        let names: Vec<String> =
            living.iter().map(|agent| format!("`{}`", agent.registration.name)).collect();
        causes.push(cause(
            CauseKind::Paused,
            format!("every agent{needs} is paused: {}", names.join(", ")),
            "one of them is resumed",
        ));
    } else if !at_hand.is_empty() && causes.is_empty() {
        causes.push(cause(
            CauseKind::Busy,
            format!("every agent{needs} that takes tasks is at work"),
            "one of them is free",
        ));
    }
    let more = bars.len().saturating_sub(NAMED);
    causes.extend(bars.into_iter().take(NAMED).map(|(_, bar)| bar));
    if more > 0 {
        causes.push(cause(
            CauseKind::NoAgent,
            format!("{more} more agents{needs} take no tasks"),
            "`downbeat why AGENT` says more",
        ));
    }
}

/// That nobody lives who could take a task.
fn nobody(task: &Task, needed: &[String], needs: &str, rest: &[String], barred: bool) -> Cause {
    let detail = match (rest.is_empty(), barred) {
        (true, false) => format!("no agent of goal `{}`{needs} is known", task.goal),
        (true, true) => format!("no agent{needs} takes tasks"),
        (false, _) => format!("no agent{needs} lives: {}", rest.join(", ")),
    };
    let one = if barred { "what keeps one of them ends, or " } else { "" };
    let unblocks = if needed.is_empty() {
        format!("{one}an agent starts (`downbeat run`)")
    } else {
        format!(
            "{one}an agent with {} is declared and starts (`downbeat run`), or joins (`downbeat agent`)",
            needed.join(", ")
        )
    };
    cause(CauseKind::NoAgent, detail, unblocks)
}

/// An agent that does not live, and of which nobody knows more.
fn how_it_is(lives: &Lives, name: &AgentName) -> String {
    let Some(agent) = lives.get(name) else { return format!("`{name}` was never started") };
    let is = match agent.phase {
        Phase::Quarantined => "quarantined".to_owned(),
        _ => agent.liveness.to_string(),
    };
    let why = agent.end_reason.as_ref().filter(|_| agent.phase == Phase::Quarantined);
    let why = why.map(|reason| format!(": {reason}")).unwrap_or_default();
    format!("`{name}` is {is}{why}")
}
