//! What every check is handed: a cache, its time, and short words for common requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::fixture::{Fixture, Subject};
use crate::cache::{
    Amend, Append, Cache, CacheError, Claim, ClaimReply, Claimed, Directive, EVENTS, Lease, Plan, Read,
    Registration, Remove, Renew, Settle, Settled, Steer, Steered, Sweep, Swept,
};
use crate::dag::{self, Dag, Draft, DraftEdge, DraftNode};
use crate::event::{Event, EventDraft, EventKind};
use crate::goal::{Goal, Usage};
use crate::ids::{AgentName, GoalId, Incarnation, RequestId, StreamName, TaskId};
use crate::state::{Failure, Outcome, Redo, TaskState, TaskStatus};
use crate::time::Timestamp;

/// The ttl of every lease and agent that a check does not say more about.
pub const TTL: Duration = Duration::from_secs(60);

/// A cache under proof.
pub struct Kit {
    fixture: Arc<dyn Fixture>,
    subject: Box<dyn Subject>,
    /// The cache.
    pub cache: Arc<dyn Cache>,
    requests: AtomicU64,
}

impl std::fmt::Debug for Kit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kit").field("cache", &self.cache).finish_non_exhaustive()
    }
}

/// The id of a goal.
pub fn goal(id: &str) -> GoalId {
    GoalId::new(id).unwrap()
}

/// The id of a task.
pub fn task(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

/// The name of an agent.
pub fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

/// The only life of most agents: `<name>-1`.
pub fn life(name: &str) -> Incarnation {
    Incarnation(format!("{name}-1"))
}

/// A set of capabilities.
pub fn capabilities(names: &[&str]) -> BTreeSet<crate::ids::Capability> {
    names.iter().map(|name| crate::ids::Capability::new(name).unwrap()).collect()
}

/// Seconds.
pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An attempt that went well.
pub fn done() -> Outcome {
    Outcome::Done { summary: "it is done".to_owned(), artifacts: Vec::new() }
}

/// An attempt that failed, to be repeated in so many seconds.
pub fn retry(after: u64) -> Outcome {
    Outcome::Retry { failure: Failure::new("it broke", None), after: secs(after) }
}

/// An attempt that failed for good.
pub fn failed() -> Outcome {
    Outcome::Failed { failure: Failure::new("it cannot work", None) }
}

/// An attempt that was not made.
pub fn release() -> Outcome {
    Outcome::Release { reason: "not now".to_owned() }
}

/// A DAG as it is drawn: tasks between `;`, each `id: dependencies… !priority @capability *attempts`.
///
/// ```text
/// a; b: a; c: a !5; d: b c @shell *3
/// ```
pub fn draw(goal: &str, drawing: &str) -> Arc<Dag> {
    let mut draft = Draft { goal_id: goal.to_owned(), ..Draft::default() };
    for line in drawing.split(';') {
        let mut words = line.split_whitespace();
        let id = words.next().unwrap().trim_end_matches(':').to_owned();
        let mut node = DraftNode { id: id.clone(), title: format!("do {id}"), ..DraftNode::default() };
        for word in words {
            if let Some(priority) = word.strip_prefix('!') {
                node.priority = priority.parse().unwrap();
            } else if let Some(capability) = word.strip_prefix('@') {
                node.capabilities.push(capability.to_owned());
            } else if let Some(attempts) = word.strip_prefix('*') {
                node.max_attempts = Some(attempts.parse().unwrap());
            } else {
                draft.edges.push(DraftEdge { source: word.to_owned(), target: id.clone() });
            }
        }
        draft.nodes.push(node);
    }
    Arc::new(dag::validate(draft).unwrap())
}

impl Kit {
    /// Opens a cache.
    pub async fn open(fixture: Arc<dyn Fixture>) -> Self {
        let subject = fixture.open().await;
        let cache = subject.cache();
        Self { fixture, subject, cache, requests: AtomicU64::new(0) }
    }

    /// Opens another cache of the same kind.
    pub async fn another(&self) -> Self {
        Self::open(Arc::clone(&self.fixture)).await
    }

    /// How many random runs there are: see [`Fixture::runs`].
    #[must_use]
    pub fn runs(&self) -> u64 {
        self.fixture.runs()
    }

    /// Ends the cache as a crash would and opens what it left. `false`, with a note, when it is not
    /// durable: there is nothing to prove then.
    pub async fn reopen(&mut self) -> bool {
        if !self.subject.is_durable() {
            note("not durable: nothing to prove");
            return false;
        }
        // Nothing here may keep the old one open.
        self.cache = Arc::new(crate::memory::MemoryCache::new(Arc::new(crate::time::ManualClock::default())));
        self.subject.reopen().await;
        self.cache = self.subject.cache();
        true
    }

    /// Now, by the cache's clock.
    pub fn now(&self) -> Timestamp {
        crate::time::Clock::now(self.subject.clock())
    }

    /// Moves the cache's clock on.
    pub fn advance(&self, span: Duration) {
        self.subject.clock().advance(span);
    }

    /// A request id that was never used.
    pub fn request(&self) -> RequestId {
        RequestId(format!("request-{}", self.requests.fetch_add(1, Ordering::Relaxed)))
    }

    /// A plan of what is drawn, with three attempts for each task.
    pub fn plan_of(&self, goal: &str, drawing: &str) -> Plan {
        Plan {
            dag: draw(goal, drawing),
            title: format!("the goal {goal}"),
            parent: None,
            request: self.request(),
            max_attempts: 3,
            spent: Usage::default(),
        }
    }

    /// Plans what is drawn.
    pub async fn plan(&self, goal: &str, drawing: &str) -> Goal {
        self.cache.plan(&self.plan_of(goal, drawing)).await.unwrap()
    }

    /// An amendment to what is drawn.
    pub fn amend_of(&self, goal: &str, revision: u64, drawing: &str) -> Amend {
        Amend {
            dag: draw(goal, drawing),
            revision,
            request: self.request(),
            max_attempts: 3,
            spent: Usage::default(),
            redo: BTreeMap::new(),
            by: String::new(),
        }
    }

    /// Amends to what is drawn.
    pub async fn amend(&self, goal: &str, revision: u64, drawing: &str) -> Goal {
        self.cache.amend(&self.amend_of(goal, revision, drawing)).await.unwrap()
    }

    /// Amends to what is drawn, and has tasks done again: `"x y"` because other things are to be done,
    /// `"~z"` because its inputs are made again.
    pub async fn amend_again(&self, goal: &str, revision: u64, drawing: &str, again: &str) -> Goal {
        let redo = again.split_whitespace().map(|word| match word.strip_prefix('~') {
            Some(id) => (task(id), Redo::Inputs),
            None => (task(word), Redo::Scope),
        });
        let amend =
            Amend { redo: redo.collect(), by: "test".to_owned(), ..self.amend_of(goal, revision, drawing) };
        self.cache.amend(&amend).await.unwrap()
    }

    /// A claim for any task that needs no capability.
    pub fn claim_of(&self, name: &str) -> Claim {
        Claim {
            agent: agent(name),
            incarnation: life(name),
            request: self.request(),
            goal: None,
            capabilities: BTreeSet::new(),
            task: None,
            avoid: BTreeSet::new(),
            ttl: TTL,
        }
    }

    /// A claim for one task.
    pub fn claim_for(&self, name: &str, id: &str) -> Claim {
        Claim { task: Some(task(id)), ..self.claim_of(name) }
    }

    /// Makes a claim.
    pub async fn grant(&self, claim: &Claim) -> Option<Claimed> {
        self.cache.claim(claim).await.unwrap().granted()
    }

    /// Claims any task.
    pub async fn claim(&self, name: &str) -> Option<Claimed> {
        self.grant(&self.claim_of(name)).await
    }

    /// Claims any task, and is granted one.
    pub async fn lease(&self, name: &str) -> Lease {
        self.claim(name).await.expect("a task is claimable").lease
    }

    /// Claims one task, and is granted it.
    pub async fn lease_of(&self, name: &str, id: &str) -> Lease {
        self.grant(&self.claim_for(name, id)).await.expect("the task is claimable").lease
    }

    /// Claims any task, and is granted none.
    pub async fn nothing(&self, name: &str) -> (bool, Option<Timestamp>) {
        match self.cache.claim(&self.claim_of(name)).await.unwrap() {
            ClaimReply::Nothing { paused, next_due } => (paused, next_due),
            ClaimReply::Granted(claimed) => panic!("granted `{}`", claimed.lease.task),
        }
    }

    /// A settle of a lease.
    pub fn settle_of(&self, lease: &Lease, outcome: Outcome) -> Settle {
        Settle {
            task: lease.task.clone(),
            token: lease.token,
            request: self.request(),
            outcome,
            spent: Usage::default(),
            next: None,
        }
    }

    /// Settles a lease.
    pub async fn settle(&self, lease: &Lease, outcome: Outcome) -> Result<Settled, CacheError> {
        self.cache.settle(&self.settle_of(lease, outcome)).await
    }

    /// Claims one task and settles it.
    pub async fn work(&self, name: &str, id: &str, outcome: Outcome) -> Settled {
        let lease = self.lease_of(name, id).await;
        self.settle(&lease, outcome).await.unwrap()
    }

    /// A renewal of a lease by [`TTL`].
    pub fn renew_of(lease: &Lease, progress: Option<&str>) -> Renew {
        Renew {
            task: lease.task.clone(),
            token: lease.token,
            ttl: TTL,
            progress: progress.map(str::to_owned),
        }
    }

    /// The state of a task.
    pub async fn state(&self, id: &str) -> TaskState {
        self.cache.task(&task(id)).await.unwrap().expect("the task is there").task.state
    }

    /// Where a task stands.
    pub async fn status(&self, id: &str) -> TaskStatus {
        self.state(id).await.status
    }

    /// A goal.
    pub async fn goal(&self, id: &str) -> Goal {
        self.cache.goal(&goal(id)).await.unwrap().expect("the goal is there")
    }

    /// A person's directive.
    pub async fn steer(&self, directive: Directive) -> Steered {
        let steer = Steer { directive, by: "somebody".to_owned(), request: self.request() };
        self.cache.steer(&steer).await.unwrap()
    }

    /// A request to forget a goal, whenever it ended.
    pub fn remove_of(id: &str) -> Remove {
        Remove { goal: goal(id), ended_at: None }
    }

    /// Forgets a goal. Returns how many tasks it had.
    pub async fn remove(&self, id: &str) -> u64 {
        self.cache.remove(&Self::remove_of(id)).await.unwrap().tasks
    }

    /// One pass of upkeep.
    pub async fn sweep(&self, limit: usize) -> Swept {
        self.cache.sweep(&Sweep { limit }).await.unwrap()
    }

    /// The registration of an agent.
    pub fn registration(name: &str) -> Registration {
        Registration {
            name: agent(name),
            incarnation: life(name),
            host: "here".to_owned(),
            pid: 1,
            goal: None,
            role: None,
            capabilities: BTreeSet::new(),
            max_parallel: 1,
            ttl: TTL,
            generation: 1,
            interruption_limit: 3,
        }
    }

    /// Registers an agent.
    pub async fn register(&self, name: &str) {
        self.cache.register(&Self::registration(name)).await.unwrap();
    }

    /// Everything in a stream.
    pub async fn stream(&self, name: &str) -> Vec<Event> {
        let read = Read { stream: StreamName::new(name).unwrap(), after: 0, limit: usize::MAX };
        self.cache.read(&read).await.unwrap().entries
    }

    /// The whole log.
    pub async fn events(&self) -> Vec<Event> {
        self.stream(EVENTS).await
    }

    /// How long the log is: where the next events begin.
    pub async fn mark(&self) -> usize {
        self.events().await.len()
    }

    /// What happened since: the kinds, each with what it is about.
    pub async fn told_since(&self, mark: usize) -> Vec<String> {
        let about = |what: &EventDraft| match (&what.task, &what.goal, &what.agent) {
            (Some(task), ..) => task.to_string(),
            (None, Some(goal), _) => goal.to_string(),
            (None, None, Some(agent)) => agent.to_string(),
            _ => String::new(),
        };
        let events = self.events().await;
        events[mark..].iter().map(|event| format!("{} {}", event.what.kind, about(&event.what))).collect()
    }

    /// An append of so many entries.
    pub fn append_of(&self, stream: &str, texts: &[&str]) -> Append {
        let entry = |text: &&str| EventDraft::new(EventKind::new("test.note").unwrap()).reason(*text);
        Append {
            stream: StreamName::new(stream).unwrap(),
            entries: texts.iter().map(entry).collect(),
            request: self.request(),
        }
    }
}

/// Says why a check had nothing to prove.
#[expect(clippy::print_stdout, reason = "a test says what it leaves out")]
pub fn note(text: &str) {
    println!("note: {text}");
}

/// Asserts that a call was refused, and how.
macro_rules! refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {{
        let result = $result;
        assert!(matches!(&result, Err($pattern) $(if $guard)?), "{result:?}");
    }};
}
pub(crate) use refused;
