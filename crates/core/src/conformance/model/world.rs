//! What a random run knows and what it asks for next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::call::{Call, Learned};
use crate::cache::{
    Acquire, Amend, Append, Beat, Claim, Departure, ExitStatus, Directive, Hold, Lease, Leave, Phase, Plan, Read,
    ReadyQuery, Registration, Remove, Renew, Settle, Steer, StoreIf, Sweep, TaskQuery,
};
use crate::conformance::kit::{agent, capabilities, goal, secs, task};
use crate::dag::{self, Dag, Draft, DraftEdge, DraftNode};
use crate::event::{EventDraft, EventKind};
use crate::goal::{Parent, Usage};
use crate::ids::{AgentName, GoalId, Incarnation, RequestId, StreamName, TaskId, Token};
use crate::state::{Artifact, Failure, Outcome, Redo, TaskStatus};

/// A request id of the run.
pub(super) fn request(text: &str) -> RequestId {
    RequestId(text.to_owned())
}

/// Draws requests. A tame run is a fleet at work with its accidents; a wild one also asks for what
/// makes no sense.
pub(super) struct World {
    random: fastrand::Rng,
    wild: bool,
    requests: u64,
    /// Revision of each planned goal.
    goals: BTreeMap<GoalId, u64>,
    leases: Vec<Lease>,
    holds: Vec<Hold>,
    versions: BTreeMap<String, u64>,
    made: Vec<Call>,
    /// Which life of each agent is the newest.
    lives: BTreeMap<AgentName, u32>,
}

impl World {
    pub(super) fn new(seed: u64, wild: bool) -> Self {
        Self {
            random: fastrand::Rng::with_seed(seed),
            wild,
            requests: 0,
            goals: BTreeMap::new(),
            leases: Vec::new(),
            holds: Vec::new(),
            versions: BTreeMap::new(),
            made: Vec::new(),
            lives: BTreeMap::new(),
        }
    }

    /// Remembers what a request brought.
    pub(super) fn learn(&mut self, call: &Call, learned: Learned) {
        self.leases.extend(learned.leases);
        self.holds.extend(learned.hold);
        match (call, learned.revision, learned.version) {
            (Call::Plan(plan), Some(revision), _) => {
                self.goals.insert(plan.dag.goal().clone(), revision);
            }
            (Call::Amend(amend), Some(revision), _) => {
                self.goals.insert(amend.dag.goal().clone(), revision);
            }
            (Call::Remove(remove), Some(revision), _) => {
                self.goals.insert(remove.goal.clone(), revision);
            }
            (Call::StoreIf(store), _, Some(version)) => {
                let version = if store.value.is_some() { version } else { 0 };
                self.versions.insert(store.key.clone(), version);
            }
            _ => {}
        }
        if call.is_repeatable() {
            self.made.push(call.clone());
        }
    }

    /// The next request.
    pub(super) fn next(&mut self) -> Call {
        if self.goals.is_empty() && self.chance(90) {
            return self.plan();
        }
        // An answer that was lost: the same request again.
        if self.chance(4) && !self.made.is_empty() {
            let newest = self.made.len() - 1 - self.random.usize(..self.made.len().min(8));
            return self.made[newest].clone();
        }
        match self.random.u32(..100) {
            0..25 => Call::Claim(self.claim()),
            25..48 => Call::Settle(self.settle()),
            48..54 => self.renew(),
            54..64 => Call::Advance(self.span()),
            64..68 => Call::Sweep(Sweep { limit: self.random.usize(..5) }),
            68..70 => self.plan(),
            70..75 => self.amend(),
            75..77 => {
                let goal = self.goal();
                Call::Remove(Remove { goal, ended_at: None })
            }
            77..82 => self.steer(),
            82..89 => self.agents(),
            89..92 => self.streams(),
            92..96 => self.records(),
            _ => self.queries(),
        }
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    /// Something that makes no sense, now and then.
    fn nonsense(&mut self) -> bool {
        self.wild && self.chance(12)
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        request(&format!("r{}", self.requests))
    }

    fn span(&mut self) -> Duration {
        Duration::from_millis([1, 500, 1_000, 5_000, 20_000, 70_000][self.random.usize(..6)])
    }

    fn ttl(&mut self) -> Duration {
        if self.nonsense() { Duration::ZERO } else { secs([5, 10, 30][self.random.usize(..3)]) }
    }

    fn goal(&mut self) -> GoalId {
        goal(["g0", "g1", "g2"][self.random.usize(..3)])
    }

    fn task(&mut self) -> TaskId {
        let of = self.goal();
        self.task_of(&of)
    }

    /// A task of the goal, or in a wild run one that several goals want.
    fn task_of(&mut self, goal: &GoalId) -> TaskId {
        if self.wild && self.chance(3) {
            return task(["x0", "x1"][self.random.usize(..2)]);
        }
        task(&format!("{goal}.t{}", self.random.u32(..9)))
    }

    fn agent(&mut self) -> AgentName {
        agent(["ann", "bob", "cyd"][self.random.usize(..3)])
    }

    fn life(&mut self, name: &AgentName) -> Incarnation {
        let life = self.lives.get(name).copied().unwrap_or(1);
        let life = if self.nonsense() { life.saturating_sub(1) } else { life };
        Incarnation(format!("{name}-{life}"))
    }

    fn skills(&mut self) -> std::collections::BTreeSet<crate::ids::Capability> {
        let sets: [&[&str]; 4] = [&[], &["shell"], &["shell", "web"], &["shell", "web", "more"]];
        capabilities(sets[self.random.usize(..4)])
    }

    fn usage(&mut self) -> Usage {
        let calls = self.random.u64(..3);
        Usage { calls, input_tokens: calls * 10, output_tokens: calls, cost_micros: calls * 7 }
    }

    fn dag(&mut self, goal: &GoalId) -> Arc<Dag> {
        let mut ids: Vec<TaskId> = Vec::new();
        for _ in 0..self.random.usize(1..8) {
            let id = self.task_of(goal);
            if !ids.contains(&id) {
                ids.push(id);
            }
        }
        let mut draft = Draft { goal_id: goal.to_string(), ..Draft::default() };
        for (n, id) in ids.iter().enumerate() {
            let skilled: &[&str] = [&[][..], &[], &[], &["shell"], &["shell", "web"]][self.random.usize(..5)];
            draft.nodes.push(DraftNode {
                id: id.to_string(),
                title: format!("do {id}"),
                priority: self.random.u32(..3),
                capabilities: skilled.iter().map(|&skill| skill.to_owned()).collect(),
                max_attempts: self.chance(30).then(|| self.random.u32(1..4)),
                ..DraftNode::default()
            });
            for source in &ids[..n] {
                if self.chance(35) {
                    draft.edges.push(DraftEdge { source: source.to_string(), target: id.to_string() });
                }
            }
        }
        Arc::new(dag::validate(draft).unwrap())
    }

    fn plan(&mut self) -> Call {
        let goal = self.goal();
        let parent = Parent { goal: self.goal(), task: self.task(), root: self.goal(), declared: None };
        Call::Plan(Plan {
            dag: self.dag(&goal),
            title: format!("goal {goal}"),
            parent: self.chance(25).then_some(parent),
            request: self.request(),
            max_attempts: self.random.u32(1..4),
            spent: self.usage(),
        })
    }

    fn amend(&mut self) -> Call {
        let goal = self.goal();
        let revision = self.goals.get(&goal).copied().unwrap_or(1);
        let dag = self.dag(&goal);
        let mut redo = BTreeMap::new();
        if self.chance(60) {
            for node in dag.nodes() {
                if self.chance(40) {
                    redo.insert(node.id.clone(), if self.random.bool() { Redo::Scope } else { Redo::Inputs });
                }
            }
        }
        if self.nonsense() {
            redo.insert(self.task(), Redo::Scope);
        }
        Call::Amend(Amend {
            dag,
            redo,
            by: if self.random.bool() { "model".to_owned() } else { String::new() },
            revision: if self.nonsense() { revision + 1 } else { revision },
            request: self.request(),
            max_attempts: self.random.u32(1..4),
            spent: self.usage(),
        })
    }

    fn claim(&mut self) -> Claim {
        let name = self.agent();
        Claim {
            incarnation: self.life(&name),
            agent: name,
            request: self.request(),
            goal: self.chance(20).then(|| self.goal()),
            capabilities: self.skills(),
            task: self.chance(12).then(|| self.task()),
            avoid: if self.chance(15) { (0..3).map(|_| self.task()).collect() } else { BTreeSet::new() },
            ttl: self.ttl(),
        }
    }

    /// Mostly one of the newest leases, now and then any that ever was.
    fn lease(&mut self) -> Lease {
        let Some(newest) = self.leases.len().checked_sub(1) else {
            let task = self.task();
            return Lease {
                goal: goal("g0"),
                task,
                agent: agent("ann"),
                token: Token::from_u64(1),
                attempt: 1,
                max_attempts: 1,
                claimed_at: crate::time::Timestamp::default(),
                expires_at: crate::time::Timestamp::default(),
            };
        };
        let back = if self.chance(85) { self.random.usize(..4) } else { self.random.usize(..=newest) };
        let mut lease = self.leases[newest.saturating_sub(back)].clone();
        if self.nonsense() {
            lease.token = Token::from_u64(lease.token.as_u64() + 1);
        }
        lease
    }

    fn outcome(&mut self) -> Outcome {
        let failure = Failure::new("it broke", self.random.bool().then_some("what it printed"));
        match self.random.u32(..100) {
            0..60 => Outcome::Done {
                summary: "done".to_owned(),
                artifacts: vec![Artifact { path: "f".to_owned(), bytes: 1, sha256: "00".to_owned() }],
            },
            60..80 => Outcome::Retry { failure, after: secs(self.random.u64(..3) * 7) },
            80..87 => Outcome::Failed { failure },
            _ => Outcome::Release { reason: "not now".to_owned() },
        }
    }

    fn settle(&mut self) -> Settle {
        let lease = self.lease();
        Settle {
            task: lease.task,
            token: lease.token,
            request: self.request(),
            outcome: self.outcome(),
            spent: self.usage(),
            next: self.chance(40).then(|| self.claim()),
        }
    }

    fn renew(&mut self) -> Call {
        let lease = self.lease();
        let notes = [None, Some("a third"), Some("half")];
        Call::Renew(Renew {
            task: lease.task,
            token: lease.token,
            ttl: self.ttl(),
            progress: notes[self.random.usize(..3)].map(str::to_owned),
        })
    }

    fn steer(&mut self) -> Call {
        let directive = match self.random.u32(..10) {
            0 => Directive::Pause { agent: self.agent() },
            1 | 2 => Directive::Resume { agent: self.agent() },
            3 => Directive::DropTask { task: self.task() },
            4 => Directive::Elevate { task: self.task(), priority: self.random.u32(..9) },
            5 if self.nonsense() => Directive::Elevate { task: self.task(), priority: u32::MAX },
            5..=7 => Directive::Retry { task: self.task() },
            8 if self.chance(30) => Directive::CancelGoal { goal: self.goal() },
            8 => Directive::Cancel { task: self.task() },
            _ => Directive::FlushMemory { agent: self.agent() },
        };
        Call::Steer(Steer { directive, by: "model".to_owned(), request: self.request() })
    }

    fn agents(&mut self) -> Call {
        let name = self.agent();
        let phases = [Phase::Idle, Phase::Assigned, Phase::Reasoning, Phase::Executing, Phase::Completed];
        match self.random.u32(..10) {
            0..4 => {
                if self.chance(40) {
                    *self.lives.entry(name.clone()).or_insert(1) += 1;
                }
                Call::Register(Registration {
                    incarnation: self.life(&name),
                    name,
                    host: "here".to_owned(),
                    pid: 1,
                    goal: None,
                    role: None,
                    capabilities: self.skills(),
                    max_parallel: 1,
                    ttl: self.ttl(),
                    interruption_limit: self.random.u32(..2),
                    generation: self.random.u64(1..5),
                })
            }
            4..7 => Call::Beat(Beat {
                incarnation: self.life(&name),
                name,
                phase: phases[self.random.usize(..5)],
                task: self.chance(50).then(|| self.task()),
            }),
            7 => {
                let interruption_limit = self.random.u32(..2);
                let how = match self.random.u8(..5) {
                    0 | 1 => Leave::Stopped,
                    2 | 3 => Leave::Dead { interruption_limit },
                    _ => Leave::Quarantined { interruption_limit },
                };
                let exit = match self.random.u8(..3) {
                    0 => ExitStatus::Ok,
                    1 => ExitStatus::Error { code: self.random.bool().then_some(2) },
                    _ => ExitStatus::Signal { signal: 9 },
                };
                let incarnation = self.life(&name);
                Call::Deregister(Departure { name, incarnation, how, reason: "the end".to_owned(), exit })
            }
            8 => Call::Remember(name.clone(), self.life(&name), format!("memory {}", self.requests)),
            _ => Call::Recall(name),
        }
    }

    fn streams(&mut self) -> Call {
        let stream = StreamName::new(["events", "s0", "s1"][self.random.usize(..3)]).unwrap();
        if self.random.bool() {
            let (after, limit) = (self.random.u64(..40), self.random.usize(..9));
            return Call::Read(Read { stream, after, limit });
        }
        let entry = EventDraft::new(EventKind::new("test.note").unwrap()).reason("noted");
        let entries = vec![entry; self.random.usize(usize::from(!self.wild)..4)];
        Call::Append(Append { stream, entries, request: self.request() })
    }

    fn records(&mut self) -> Call {
        let key = ["k", "k/1", "k/2"][self.random.usize(..3)].to_owned();
        let held = (!self.holds.is_empty()).then(|| self.random.usize(..self.holds.len()));
        match (self.random.u32(..10), held.map(|at| self.holds[at].clone())) {
            (0..4, _) => {
                let expected = self.versions.get(&key).copied().unwrap_or(0);
                let expected = if self.chance(15) { expected + 1 } else { expected };
                let value = self.chance(75).then(|| format!("value {}", self.requests));
                Call::StoreIf(StoreIf { key, expected, value })
            }
            (4, _) => Call::Load(key),
            (5, _) => Call::List(["", "k", "k/"][self.random.usize(..3)].to_owned(), self.random.usize(..4)),
            (6, Some(hold)) => Call::RenewHold(hold, self.ttl()),
            (7, Some(hold)) => Call::ReleaseHold(hold),
            _ => {
                let holder = self.agent().to_string();
                Call::Acquire(Acquire { name: "leader".to_owned(), holder, ttl: self.ttl() })
            }
        }
    }

    fn queries(&mut self) -> Call {
        match self.random.u32(..8) {
            0 => Call::Goal(self.goal()),
            1 => Call::Goals,
            2 => Call::Dag(self.goal()),
            3 => Call::Task(self.task()),
            4 => Call::Tasks(TaskQuery {
                goal: self.goal(),
                status: self.random.bool().then(|| TaskStatus::ALL[self.random.usize(..6)]),
                after: self.random.bool().then(|| self.random.u64(..20)),
                limit: self.random.usize(..6),
            }),
            5 => Call::Ready(ReadyQuery {
                goal: self.random.bool().then(|| self.goal()),
                capabilities: self.skills(),
                limit: self.random.usize(..5),
            }),
            6 if self.random.bool() => Call::Errors(self.agent()),
            6 => Call::Agent(self.agent()),
            _ => Call::Agents,
        }
    }
}
