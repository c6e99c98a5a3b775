//! Who works: the lives of the declared agents, brought in line with what is declared now.

use std::collections::HashSet;
use std::sync::Arc;

use downbeat_core::cache::Cache;
use downbeat_core::ids::AgentName;
use tokio::task::JoinSet;
use tracing::{info, warn};

use crate::load::ProjectAgent;
use crate::recruit;
use crate::stop::Stop;
use crate::supervise::{Hire, Life, Spawner};

/// An agent that was started.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) hire: Hire,
    pub(crate) life: Box<dyn Life>,
}

/// The agents of an orchestrator.
#[derive(Debug, Default)]
pub(crate) struct Crew {
    pub(crate) members: Vec<Member>,
    /// Those that finish their work and leave, some of them to come back as what they are declared now.
    leaving: JoinSet<(AgentName, Option<Member>)>,
    /// Their names, which nobody else may have meanwhile.
    away: HashSet<AgentName>,
}

impl Crew {
    /// Whether nobody was ever started.
    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.leaving.is_empty()
    }

    /// Starts who is declared and does not work, and lets go who works and is not declared so any more: they
    /// finish what they hold, and what comes next they do as declared now.
    pub(crate) async fn reconcile(
        &mut self,
        wanted: Vec<Hire>,
        cache: &Arc<dyn Cache>,
        spawner: &Arc<dyn Spawner>,
        stop: &Stop,
    ) {
        let mut fresh: Vec<Hire> = Vec::new();
        let mut kept: Vec<AgentName> = Vec::new();
        let mut leaving: Vec<(Member, Option<Hire>)> = Vec::new();
        for member in std::mem::take(&mut self.members) {
            match wanted.iter().find(|hire| hire.name == member.hire.name) {
                Some(hire) if is_same(hire, &member.hire) => {
                    kept.push(hire.name.clone());
                    self.members.push(member);
                }
                hire => {
                    let next = hire.map(|hire| Hire {
                        generation: member.hire.generation.saturating_add(1),
                        ..hire.clone()
                    });
                    leaving.push((member, next));
                }
            }
        }
        for hire in wanted {
            let is_away = self.away.contains(&hire.name)
                || leaving.iter().any(|(member, _)| member.hire.name == hire.name);
            if !is_away && !kept.contains(&hire.name) {
                fresh.push(hire);
            }
        }
        for (member, next) in leaving {
            let (cache, spawner, stop) = (Arc::clone(cache), Arc::clone(spawner), stop.clone());
            let name = member.hire.name.clone();
            self.away.insert(name.clone());
            self.leaving.spawn(async move { (name, replace(member, next, &cache, &spawner, &stop).await) });
        }
        for hire in fresh {
            self.members.extend(start(hire, spawner).await);
        }
    }

    /// Waits for all that are leaving.
    pub(crate) async fn settle_all(&mut self) {
        while let Some(left) = self.leaving.join_next().await {
            self.members.extend(left.ok().and_then(|(_, member)| member));
        }
    }

    /// Takes in who came back; pends while nobody can. What is declared may be something else by then.
    pub(crate) async fn settle(&mut self) {
        match self.leaving.join_next().await {
            Some(Ok((name, member))) => {
                self.away.remove(&name);
                self.members.extend(member);
            }
            Some(Err(error)) => warn!(target: "orchestrator", "An agent was lost while it changed: {error}"),
            None => std::future::pending().await,
        }
    }
}

async fn replace(
    mut member: Member,
    next: Option<Hire>,
    cache: &Arc<dyn Cache>,
    spawner: &Arc<dyn Spawner>,
    stop: &Stop,
) -> Option<Member> {
    let name = member.hire.name.clone();
    member.life.drain();
    member.life.ended().await;
    let reason = match next {
        Some(_) => "it is declared otherwise now",
        None => "it is not declared any more",
    };
    recruit::dismiss_left(cache.as_ref(), &name, reason).await;
    info!(target: "orchestrator", "Agent {name} ended: {reason}");
    if stop.is_draining() {
        return None;
    }
    start(next?, spawner).await
}

async fn start(hire: Hire, spawner: &Arc<dyn Spawner>) -> Option<Member> {
    match spawner.spawn(&hire).await {
        Ok(life) => Some(Member { hire, life }),
        Err(error) => {
            warn!(target: "orchestrator", "Agent {} cannot start: {error}", hire.name);
            None
        }
    }
}

/// Whether two declarations of an agent say the same, wherever they stand in their file.
fn is_same(one: &Hire, other: &Hire) -> bool {
    one.goal == other.goal && shape(&one.agent) == shape(&other.agent)
}

/// What is declared, without places. Its debug form has every key that there is or will be, and only places
/// are called `span`.
fn shape(agent: &ProjectAgent) -> String {
    let text = format!("{:?}", agent.spec);
    let mut shape = String::with_capacity(text.len() + agent.instructions.len());
    for (index, part) in text.split("span: ").enumerate() {
        let rest = if index == 0 {
            part
        } else {
            part.trim_start_matches(|it: char| it.is_ascii_digit() || it == '.')
        };
        shape.push_str(rest);
    }
    shape.push_str(&agent.instructions);
    shape
}
