//! Where the lives of agents stand: what keeps one from taking tasks.

use downbeat_core::cache::{Agent, Cache, CacheError, Liveness, Phase, Task};
use downbeat_core::ids::{AgentName, GoalId, GroupName};
use downbeat_core::time::Timestamp;

use super::{Cause, CauseKind, Company, cause, is_able};
use crate::status;
use crate::steering::{Standing as Orders, Subject};
use crate::supervise::board::{Board, Line};

/// How many of a supervisor's chain of agents that depend on each other are followed.
const CHAIN: usize = 100;

/// All that is known of the agents of a cache.
pub(super) struct Lives {
    agents: Vec<Agent>,
    board: Board,
    /// Somebody orchestrates: what is on the board holds.
    supervised: bool,
    /// They hold over runs.
    orders: Vec<(Subject, Orders)>,
}

impl Lives {
    pub(super) async fn load(
        cache: &dyn Cache,
        now: Timestamp,
        company: Company,
    ) -> Result<Self, CacheError> {
        let mut agents = cache.agents().await?;
        let orders = Orders::all(cache).await?;
        let board = Board::load(cache).await?;
        let supervised = match company {
            Company::Shared => status::orchestrator_line(cache, now).await?.present,
            Company::Alone => {
                for agent in &mut agents {
                    agent.liveness = Liveness::Dead;
                }
                false
            }
        };
        Ok(Self { agents, board, supervised, orders })
    }

    /// One that registered.
    pub(super) fn get(&self, name: &AgentName) -> Option<&Agent> {
        self.agents.iter().find(|agent| agent.registration.name == *name)
    }

    /// What its supervisor says.
    pub(super) fn line(&self, name: &AgentName) -> Option<&Line> {
        self.board.agents.get(name).filter(|_| self.supervised)
    }

    /// All who could take a task, by goal and capabilities, also those that never lived.
    pub(super) fn able(&self, task: &Task, root: &GoalId) -> Vec<AgentName> {
        let registered = self.agents.iter().filter(|agent| is_able(agent, task, root));
        let mut able: Vec<AgentName> = registered.map(|agent| agent.registration.name.clone()).collect();
        let declared = self.board.agents.iter().filter(|(name, line)| {
            self.supervised
                && self.get(name).is_none()
                && line.goal.as_ref().is_none_or(|goal| goal == root)
                && task.node.capabilities.iter().all(|needed| line.capabilities.contains(needed))
        });
        able.extend(declared.map(|(name, _)| name.clone()));
        able.sort();
        able
    }

    /// An agent that lives, as far as is known; it may be paused.
    pub(super) fn living(&self, name: &AgentName) -> Option<&Agent> {
        let lives = |agent: &&Agent| {
            agent.liveness == Liveness::Alive && !matches!(agent.phase, Phase::Quarantined | Phase::Stopped)
        };
        self.get(name).filter(lives)
    }

    /// What keeps an agent from taking tasks, and what would end that. Nothing for one that could take one, and
    /// for one of which nobody knows more than whether it lives.
    pub(super) fn bar(&self, name: &AgentName) -> Option<Cause> {
        self.supervised(name).or_else(|| self.stopped(name)).or_else(|| self.paused(name))
    }

    /// What its supervisor says about it.
    fn supervised(&self, name: &AgentName) -> Option<Cause> {
        use CauseKind as K;
        let line = self.line(name)?;
        let said = line.said().unwrap_or_default();
        let colon = if said.is_empty() { String::new() } else { format!(": {said}") };
        let restart = || format!("a person runs `downbeat restart {name}`");
        Some(match line.stage.as_str() {
            "quarantined" => {
                cause(K::Quarantined, format!("agent `{name}` is quarantined{colon}"), restart())
            }
            "queued" => {
                let raise = match line.held_up_by.iter().find_map(|limit| limit.group.as_ref()) {
                    Some(group) => format!("somebody raises the limit (`downbeat group limit {group} N`)"),
                    None => "somebody raises `max_workers`".to_owned(),
                };
                let until = format!("an agent ends or has had its turn, or {raise}");
                cause(K::Queued, format!("agent `{name}` {said}"), until)
            }
            "waiting" | "blocked" => {
                let detail = match line.stage.as_str() {
                    "waiting" => {
                        let stand = line.depends_on.iter().filter_map(|other| self.stands(other));
                        let stand: Vec<String> = stand.collect();
                        let stand =
                            if stand.is_empty() { String::new() } else { format!("; {}", stand.join(", ")) };
                        format!("agent `{name}` {said}{stand}")
                    }
                    _ => format!("agent `{name}` was not started{colon}"),
                };
                cause(K::Prerequisite, detail, self.root_of(name))
            }
            "backing-off" => {
                let end = self.get(name).and_then(|agent| agent.end_reason.as_deref());
                let end = end.map(|reason| format!(": {reason}")).unwrap_or_default();
                let detail = format!("agent `{name}` ended{end}");
                cause(K::Starting, detail, "it is started again, after a wait that grows with each such end")
            }
            "starting" if self.living(name).is_none() => {
                cause(K::Starting, format!("agent `{name}` is being started"), "it takes tasks")
            }
            "stopping" if self.stop_of(name).is_none() => cause(
                K::Starting,
                format!("agent `{name}` ends when its work is done{colon}"),
                "it has ended, and is started again when it is needed",
            ),
            "failed" => cause(
                K::Ended,
                format!("agent `{name}` failed, and its restart policy says that it stays so{colon}"),
                restart(),
            ),
            "resting" | "finished" if self.living(name).is_none() && self.paused(name).is_none() => cause(
                K::Starting,
                format!("agent `{name}` gave its slot back{colon}"),
                "its supervisor sees that there is something for it to take",
            ),
            _ => return None,
        })
    }

    /// An order that keeps it stopped.
    fn stopped(&self, name: &AgentName) -> Option<Cause> {
        let (subject, by) = self.stop_of(name)?;
        let (what, start) = match subject {
            Subject::Group(group) => {
                (format!(" with group `{group}`"), format!("downbeat start group:{group}"))
            }
            _ => (String::new(), format!("downbeat start {name}")),
        };
        let detail = format!("agent `{name}` was stopped{what} by {by}");
        Some(cause(CauseKind::Stopped, detail, format!("a person runs `{start}`")))
    }

    fn stop_of(&self, name: &AgentName) -> Option<(&Subject, &str)> {
        // One that lives all the same has work to finish, or no supervisor that could stop it.
        if self.living(name).is_some() && self.line(name).is_none() {
            return None;
        }
        // An agent's own order is nearer than its groups'; of those the last one counts.
        let own = |subject: &Subject| *subject == Subject::Agent(name.clone());
        let nearest = self
            .about(name)
            .filter(|(_, orders)| orders.run.is_some())
            .max_by_key(|(subject, _)| own(subject));
        nearest
            .filter(|(_, orders)| orders.run == Some(false))
            .map(|(subject, orders)| (subject, orders.by.as_str()))
    }

    /// A pause, of its own or of its group.
    fn paused(&self, name: &AgentName) -> Option<Cause> {
        self.get(name).filter(|agent| agent.paused)?;
        let group = self.about(name).find_map(|(subject, orders)| match subject {
            Subject::Group(group) if orders.paused => Some((group, &orders.by)),
            _ => None,
        });
        Some(match group {
            Some((group, by)) => cause(
                CauseKind::Paused,
                format!("agent `{name}` is paused with group `{group}` by {by}"),
                format!("a person runs `downbeat resume group:{group}`"),
            ),
            None => cause(
                CauseKind::Paused,
                format!("agent `{name}` is paused"),
                format!("a person runs `downbeat resume {name}`, or its heartbeat file says RESUME"),
            ),
        })
    }

    /// The orders about an agent and its groups.
    fn about(&self, name: &AgentName) -> impl Iterator<Item = (&Subject, &Orders)> {
        self.orders.iter().map(|(subject, orders)| (subject, orders)).filter(
            move |(subject, _)| match subject {
                Subject::Agent(agent) => agent == name,
                Subject::Group(group) => self.groups_of(name).contains(group),
                Subject::Goal(_) | Subject::Project => false,
            },
        )
    }

    fn groups_of(&self, name: &AgentName) -> &[GroupName] {
        self.board.agents.get(name).map(|line| line.groups.as_slice()).unwrap_or_default()
    }

    /// How an agent stands, for who waits for it.
    fn stands(&self, name: &AgentName) -> Option<String> {
        let line = self.line(name)?;
        let reason = line.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        Some(format!("`{name}` is {}{reason}", line.stage))
    }

    /// What would end the wait of an agent: what would end that of the first one that it waits for in the end.
    fn root_of(&self, name: &AgentName) -> String {
        let mut root = name;
        for _ in 0..CHAIN {
            let Some(line) = self.line(root) else { break };
            let stuck = |other: &&AgentName| {
                self.line(other).is_some_and(|line| line.stage != "running" && line.stage != "starting")
            };
            let next = line.depends_on.iter().find(stuck).or_else(|| line.depends_on.first());
            match next {
                Some(next) => root = next,
                None => break,
            }
        }
        let own = (root != name).then(|| self.bar(root)).flatten();
        match own {
            Some(cause) => cause.unblocks_when,
            None => format!("`{root}` is as far as it has to be"),
        }
    }
}
