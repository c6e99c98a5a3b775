//! The one task that owns the lives of all agents of an orchestrator.

mod alive;
mod changes;
mod declared;
mod ends;
mod looks;
mod orders;
mod scaling;
mod silence;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError};
use downbeat_core::event::{Event, EventDraft, EventKind};
use downbeat_core::ids::{AgentName, GroupName};
use serde_json::json;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::{error, info, warn};

use alive::Alive;
pub(crate) use declared::{Declarer, is_same};

use super::board::{self, Board};
use super::coming::Coming;
use super::fleet::{Action, Fleet, Input, Member, Policy};
use super::spawner::{Hire, Spawner};
use super::stage::{End, RUN_ENDED, RUN_STOPPED, Stage};
use super::tend::{self, Fate, Job, Press};
use crate::feed::{News, Subscription};
use crate::load::{ProjectAgent, ProjectGoal};
use crate::orchestrator::{RunError, tell};
use crate::recruit;
use crate::settings::Settings;
use crate::steering::{Order, Standing as Orders, Subject, told};
use crate::stop::Stop;

/// What a supervisor is given.
pub(crate) struct Charge {
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) settings: Arc<Settings>,
    /// Those that others depend on first.
    pub(crate) agents: Vec<Arc<ProjectAgent>>,
    pub(crate) goals: Vec<ProjectGoal>,
    pub(crate) spawner: Arc<dyn Spawner>,
    pub(crate) news: Subscription,
    pub(crate) stop: Stop,
    pub(crate) coming: Coming,
    /// Where the lives stand is shown here.
    pub(crate) board: watch::Sender<Board>,
}

/// Owns the lives of all agents of an orchestrator, from the first start to the last end.
#[derive(Debug)]
pub(crate) struct Supervisor {
    close: Option<oneshot::Sender<()>>,
    declarer: Declarer,
    /// What ends the run.
    fatal: mpsc::UnboundedReceiver<RunError>,
    task: JoinHandle<()>,
}

impl Supervisor {
    /// Begins to start agents, those first that others depend on.
    ///
    /// # Errors
    ///
    /// What the cache says about the lives before and the orders that stand.
    pub(crate) async fn start(charge: Charge) -> Result<Self, CacheError> {
        let mut generations = HashMap::new();
        for agent in charge.cache.agents().await? {
            generations.insert(agent.registration.name, agent.registration.generation);
        }
        let agents: Vec<(AgentName, Arc<ProjectAgent>)> = charge
            .agents
            .iter()
            .flat_map(|agent| agent.spec.copies().into_iter().map(move |name| (name, Arc::clone(agent))))
            .collect();
        let members = agents.iter().map(|(name, agent)| (name.clone(), member(agent, &charge.settings)));
        let mut fleet =
            Fleet::new(members.collect(), &generations, charge.settings.max_workers, charge.settings.turn);
        scaling::on_call(&mut fleet, &charge.agents);
        let (close, closing) = oneshot::channel();
        let (declarer, declared) = mpsc::unbounded_channel();
        let (fatal_sender, fatal) = mpsc::unbounded_channel();
        let (jobs, queue) = mpsc::unbounded_channel();
        let (fates_sender, fates) = mpsc::unbounded_channel();
        let beginner =
            tokio::spawn(tend::begin_all(Arc::clone(&charge.spawner), queue, fates_sender.clone()));
        let (over, ends) = oneshot::channel();
        let keeper = tokio::spawn(board::keep(Arc::clone(&charge.cache), charge.board.subscribe(), ends));
        let actor = Actor {
            agents: agents.into_iter().collect(),
            charge,
            fleet,
            began: Instant::now(),
            lives: HashMap::new(),
            jobs,
            fates,
            fates_sender,
            fatal: fatal_sender,
            obeyed: HashMap::new(),
            work_is_due: false,
            scaling: scaling::Scaling::default(),
            closed: None,
            declared,
            gone: HashSet::new(),
            limits: BTreeMap::new(),
            happened: 0,
            looked_at: None,
        };
        let task = tokio::spawn(async move {
            actor.run(closing).await;
            beginner.abort();
            drop(over);
            let _ = keeper.await;
        });
        Ok(Self { close: Some(close), declarer: Declarer(declarer), fatal, task })
    }

    /// By which it is told what is declared now.
    pub(crate) fn declarer(&self) -> Declarer {
        self.declarer.clone()
    }

    /// Waits until something makes it impossible to go on.
    pub(crate) async fn failed(&mut self) -> RunError {
        match self.fatal.recv().await {
            Some(error) => error,
            None => std::future::pending().await,
        }
    }

    /// Has all lives end as the run's [`Stop`] says, and returns when the last end is recorded.
    pub(crate) async fn close(mut self) {
        drop(self.close.take());
        if let Err(error) = self.task.await {
            warn!(target: "orchestrator", "The supervisor crashed: {error}");
        }
    }
}

/// What is declared about the life of an agent.
fn member(agent: &ProjectAgent, settings: &Settings) -> Member {
    let spec = &agent.spec;
    let own = spec.restart_window.map(|window| window.get());
    Member {
        after: spec.depends_on.iter().map(|it| (it.agent.value.clone(), it.until)).collect(),
        groups: spec.groups.iter().map(|group| group.value.clone()).collect(),
        policy: Policy {
            restart: spec.restart.unwrap_or(settings.restart.restart),
            max_restarts: spec.max_restarts.unwrap_or(settings.restart.max_restarts),
            window: own.unwrap_or(settings.restart.window),
            backoff: settings.restart.backoff,
        },
    }
}

struct Actor {
    charge: Charge,
    agents: HashMap<AgentName, Arc<ProjectAgent>>,
    fleet: Fleet,
    began: Instant,
    lives: HashMap<AgentName, Alive>,
    jobs: mpsc::UnboundedSender<Job>,
    fates: mpsc::UnboundedReceiver<Fate>,
    fates_sender: mpsc::UnboundedSender<Fate>,
    fatal: mpsc::UnboundedSender<RunError>,
    /// The orders that were carried out.
    obeyed: HashMap<Subject, Orders>,
    /// Resting agents may have something to take.
    work_is_due: bool,
    /// When the number of copies is looked at.
    scaling: scaling::Scaling,
    closed: Option<String>,
    /// What is declared now, when that changed.
    declared: mpsc::UnboundedReceiver<declared::Word>,
    /// Those that are not declared any more.
    gone: HashSet<AgentName>,
    /// How many of each group may live at once, as declared.
    limits: BTreeMap<GroupName, u32>,
    /// Counts what happened that may leave somebody without anything to do.
    happened: u64,
    /// What of that was seen when all agents were looked at.
    looked_at: Option<u64>,
}

impl Actor {
    async fn run(mut self, mut closing: oneshot::Receiver<()>) {
        for adopted in self.charge.spawner.adopt().await {
            self.adopt(adopted);
        }
        self.limit_groups().await;
        if let Err(error) = self.obey_all(true).await {
            warn!(target: "orchestrator", "The orders that stand cannot be read: {error}");
        }
        self.take(Input::Begin).await;
        let mut sweep =
            tokio::time::interval(self.charge.settings.check_interval.max(Duration::from_millis(1)));
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        sweep.reset();
        let stop = self.charge.stop.clone();
        let mut pressed = false;
        let mut hears = true;
        while self.closed.is_none() || !self.lives.is_empty() {
            let due = self.fleet.next_due().map(|due| self.began + due);
            tokio::select! {
                // What has ended comes first: a slot is free.
                biased;
                Some(fate) = self.fates.recv() => self.meet(fate).await,
                () = stop.stopping(), if !pressed => {
                    pressed = true;
                    for life in self.lives.values() {
                        life.press(Press::Stop);
                    }
                }
                _ = &mut closing, if self.closed.is_none() => self.close(&stop).await,
                () = stop.draining(), if self.closed.is_none() => self.close(&stop).await,
                () = tokio::time::sleep_until(due.unwrap_or(self.began)), if due.is_some() => {
                    self.take(Input::Tick).await;
                }
                Some(word) = self.declared.recv(), if self.closed.is_none() => self.take_in(word).await,
                () = self.scaling.is_due(), if self.closed.is_none() => self.scale().await,
                news = self.charge.news.next(), if hears => match news {
                    Some(News::Event(event)) => self.hear(&event).await,
                    Some(News::Missed) => {
                        self.happened += 1;
                        self.look().await;
                    }
                    None => hears = false,
                },
                // All news is heard before: of many tasks that got ready, one look tells.
                () = std::future::ready(()), if self.work_is_due => {
                    self.work_is_due = false;
                    self.look_for_all_work().await;
                }
                _ = sweep.tick(), if self.closed.is_none() => {
                    // Of what nobody tells, nobody knows whether it happened.
                    self.happened += u64::from(!hears);
                    self.look().await;
                }
            }
        }
        if !self.agents.is_empty()
            && let Err(error) =
                tell(self.charge.cache.as_ref(), EventDraft::new(EventKind::AGENTS_ALL_TERMINATED)).await
        {
            warn!(target: "orchestrator", "{error}");
        }
    }

    async fn close(&mut self, stop: &Stop) {
        let reason = if stop.is_now() { RUN_STOPPED } else { RUN_ENDED };
        self.closed = Some(reason.to_owned());
        self.take(Input::Close(reason.to_owned())).await;
    }

    /// A life that an earlier orchestrator began.
    fn adopt(&mut self, adopted: super::spawner::Adopted) {
        let Some(agent) = self.agents.get(&adopted.name).cloned() else {
            info!(target: "orchestrator", "Agent {} is declared no more: it is ended", adopted.name);
            adopted.life.drain();
            return;
        };
        let hire = self.hire(&adopted.name, agent, adopted.generation);
        let (press, presses) = watch::channel(Press::Nothing);
        self.fleet.adopt(&adopted.name, adopted.generation);
        let alive = Alive { entered: true, ..Alive::new(adopted.generation, press) };
        self.lives.insert(adopted.name, alive);
        tend::watch(hire, adopted.life, presses, &self.fates_sender);
    }

    fn hire(&self, name: &AgentName, agent: Arc<ProjectAgent>, generation: u64) -> Hire {
        let goal = recruit::goal_of(&agent, &self.charge.goals);
        Hire { name: name.clone(), agent, goal, generation }
    }

    /// Takes in what happened, and does what is to be done about it.
    async fn take(&mut self, input: Input) {
        let actions = self.fleet.on(self.began.elapsed(), input);
        self.charge.coming.update(&mut self.fleet);
        self.happened += u64::from(!actions.is_empty());
        self.carry_out(actions).await;
    }

    async fn carry_out(&mut self, actions: Vec<Action>) {
        if actions.is_empty() {
            return;
        }
        let mut rested = Vec::new();
        for action in actions {
            match action {
                Action::Spawn { name, generation } => self.spawn(&name, generation),
                Action::Drain(name) => {
                    let asked = if self.charge.stop.is_now() { Press::Stop } else { Press::Drain };
                    if let Some(life) = self.lives.get(&name) {
                        life.press(asked);
                    }
                }
                Action::Changed { name, from } => {
                    if self.told(&name, &from).await {
                        rested.push(name);
                    }
                }
            }
        }
        self.show();
        for name in rested {
            // Something may have come while it was ending.
            Box::pin(self.look_for_work(&name)).await;
        }
    }

    /// Shows where everybody stands, and what they are declared as.
    fn show(&self) {
        let mut board = Board { limits: self.limits.clone(), ..Board::of(&self.fleet) };
        for (name, line) in &mut board.agents {
            if let Some(agent) = self.agents.get(name) {
                line.capabilities.clone_from(&agent.spec.capabilities);
                line.goal = recruit::goal_of(agent, &self.charge.goals);
            }
        }
        self.charge.board.send_if_modified(|known| {
            let changed = *known != board;
            if changed {
                *known = board;
            }
            changed
        });
    }

    /// Says what a person or a program should know of a change. Whether the agent rests now.
    async fn told(&self, name: &AgentName, from: &Stage) -> bool {
        let Some(agent) = self.fleet.get(name) else { return false };
        match &agent.stage {
            Stage::Ended { end: End::Prerequisite(reason) } => {
                warn!(target: "orchestrator", "Agent {name} is not started: {reason}");
                let event = EventDraft::new(EventKind::AGENT_ERROR)
                    .agent(name)
                    .reason(format!("not started: {reason}"))
                    .data(json!({ "stage": agent.stage.as_str() }));
                self.say(event).await;
            }
            Stage::Quarantined { reason } => {
                error!(target: "orchestrator", "Agent {name} is quarantined: {reason}");
            }
            Stage::Queued => info!(target: "orchestrator", "Agent {name} waits for a slot"),
            Stage::BackingOff { until } => {
                let wait = until.saturating_sub(self.began.elapsed());
                info!(target: "orchestrator", "Agent {name} is started again in {wait:?}");
            }
            Stage::Resting { .. } => return from.is_alive(),
            _ => {}
        }
        false
    }

    async fn say(&self, event: EventDraft) {
        if let Err(error) = tell(self.charge.cache.as_ref(), event).await {
            warn!(target: "orchestrator", "{error}");
        }
    }

    fn spawn(&mut self, name: &AgentName, generation: u64) {
        let Some(agent) = self.agents.get(name).cloned() else { return };
        let hire = self.hire(name, agent, generation);
        let (press, presses) = watch::channel(Press::Nothing);
        self.lives.insert(name.clone(), Alive::new(generation, press));
        let _ = self.jobs.send(Job { hire, press: presses });
    }

    /// What an event means for who lives.
    async fn hear(&mut self, event: &Event) {
        let what = &event.what;
        if let Some(Order::Fleet(order)) = told(event) {
            if let Err(error) = self.obey(&order.subject(), false).await {
                warn!(target: "orchestrator", "An order cannot be read: {error}");
            }
            return;
        }
        let kind = what.kind.as_str();
        self.happened += u64::from(kind.starts_with("task.") || kind.starts_with("goal."));
        if let Some(name) = what.agent.as_ref().filter(|name| self.lives.contains_key(*name)) {
            let name = name.clone();
            if what.kind == EventKind::AGENT_STARTED {
                if let Some(life) = self.lives.get_mut(&name) {
                    let generation = what.data.get("generation").and_then(serde_json::Value::as_u64);
                    life.entered |= generation.is_none_or(|generation| generation == life.generation);
                }
            } else if self.lives.get(&name).is_some_and(|life| life.entered) {
                let idle = what.data.get("phase").and_then(serde_json::Value::as_str) == Some("idle");
                if what.kind == EventKind::AGENT_READY {
                    self.take(Input::Ready(name)).await;
                } else if what.kind == EventKind::AGENT_PHASE && idle {
                    self.take(Input::Idle(name.clone())).await;
                    self.look_for_the_end(&name).await;
                } else if what.kind == EventKind::AGENT_PHASE || what.kind == EventKind::TASK_CLAIMED {
                    self.take(Input::Busy(name)).await;
                }
            }
        }
        if what.kind == EventKind::TASK_CLAIMED {
            // What is left when the idle have taken something is for others.
            self.scaling.wake();
        }
        let more_work = matches!(kind, "task.ready" | "task.released" | "agent.resumed" | "goal.planned");
        if more_work || kind == "goal.active" || kind == "goal.amended" {
            self.work_is_due |= !self.fleet.resting().is_empty();
        } else if kind.starts_with("goal.") {
            self.look_for_all_ends().await;
        }
    }
}
