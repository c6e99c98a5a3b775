//! Why an agent does nothing.

use downbeat_core::cache::{Cache, CacheError, Liveness, Phase, ReadyQuery};
use downbeat_core::ids::AgentName;
use downbeat_core::time::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::lives::Lives;
use super::{Cause, CauseKind, Company, cause};
use crate::status;

/// Why an agent does what it does, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct WhyAgent {
    /// The agent.
    pub agent: AgentName,
    /// Where its life stands, by its supervisor; see [`AgentLine`](crate::status::AgentLine). Nothing without
    /// one.
    pub stage: Option<String>,
    /// Whether it lives.
    pub liveness: Liveness,
    /// Every cause; never empty.
    pub causes: Vec<Cause>,
}

/// Finds why an agent takes no task, or at which it is.
///
/// `now` is the time by which an orchestrator's last sign of life is judged; with [`Company::Alone`] no agent
/// lives.
///
/// # Errors
///
/// What the cache says. An agent that is neither registered nor supervised is one that never lived.
pub async fn why_agent(
    cache: &dyn Cache,
    name: &AgentName,
    now: Timestamp,
    company: Company,
) -> Result<WhyAgent, CacheError> {
    let lives = Lives::load(cache, now, company).await?;
    let mut causes: Vec<Cause> = lives.bar(name).into_iter().collect();
    let known = lives.get(name);
    match (known, lives.living(name)) {
        (_, Some(agent)) => {
            let held = status::leases(cache, &cache.goals().await?).await?.remove(name).unwrap_or_default();
            causes.extend(held.iter().map(|(task, _)| {
                cause(
                    CauseKind::Lease,
                    format!("agent `{name}` works on `{task}`"),
                    format!("the attempt ends; `downbeat why {task}` says more"),
                )
            }));
            if causes.is_empty() {
                let query = ReadyQuery {
                    goal: agent.registration.goal.clone(),
                    capabilities: agent.registration.capabilities.clone(),
                    limit: 1,
                };
                causes.push(match cache.ready(&query).await?.first() {
                    Some(task) => cause(
                        CauseKind::Claimable,
                        format!("task `{}` is ready, and agent `{name}` may take it", task.node.id),
                        "it, or another agent, takes it",
                    ),
                    None => cause(
                        CauseKind::Idle,
                        format!("agent `{name}` waits: no task is ready that it may take"),
                        "one is",
                    ),
                });
            }
        }
        (Some(agent), None) if causes.is_empty() => {
            let reason = agent.end_reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            let (is, until) = match (agent.liveness, agent.phase) {
                (_, Phase::Quarantined) => ("was quarantined", "the next `downbeat run` starts it again"),
                (Liveness::Unknown, _) => {
                    ("was not heard for its ttl", "it is heard, or somebody says that its process is gone")
                }
                _ => ("does not live", "it is started (`downbeat run`, `downbeat agent`)"),
            };
            causes.push(cause(CauseKind::Ended, format!("agent `{name}` {is}{reason}"), until));
        }
        (None, None) if causes.is_empty() => causes.push(cause(
            CauseKind::Ended,
            format!("agent `{name}` was never started"),
            "it is started (`downbeat run`, `downbeat agent`)",
        )),
        _ => {}
    }
    let stage = lives.line(name).map(|line| line.stage.clone());
    let liveness = known.map_or(Liveness::Dead, |agent| agent.liveness);
    Ok(WhyAgent { agent: name.clone(), stage, liveness, causes })
}
