//! Goals below tasks, in one process on the reference cache.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{
    Agents, Cache, CacheError, Claim, Directive, Lease, Plan, Read, Records, Settle, Settled, Steer, Streams,
    Tasks, Topic, events_stream,
};
use downbeat_core::dag::{Draft, DraftNode, Node};
use downbeat_core::event::Event;
use downbeat_core::faulty::{Fault, FaultPlan, FaultyCache};
use downbeat_core::goal::{GoalStatus, Parent, Usage};
use downbeat_core::ids::{AgentName, Capability, GoalId, Incarnation, RequestId, TaskId};
use downbeat_core::llm::{
    Assess, Assessment, CallError, Decompose, Execute, Execution, Llm, Reply, Select, Selection, Summarize,
    Summary,
};
use downbeat_core::memory::MemoryCache;
use downbeat_core::state::{Failure, Outcome, TaskStatus};
use downbeat_llm::Offline;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::{Orchestrator, RunReport, Settings, Stop, load};
use tokio::sync::Semaphore;

fn write(place: &Path, text: &str) -> std::path::PathBuf {
    let file = place.join("INSTRUCTIONS.md");
    std::fs::write(&file, text).unwrap();
    file
}

const AGENTS: &str =
    "## Agents\n\n### one\n- Capabilities: shell\n\n### two\n- Capabilities: shell\n\n## Goals\n\n";

fn settings() -> Settings {
    Settings {
        leader_ttl: Duration::from_secs(1),
        max_attempts: 1,
        kill_grace: Duration::from_millis(100),
        ..Settings::default()
    }
}

fn orchestrator(cache: &Arc<dyn Cache>, project: &load::Project) -> Orchestrator {
    let llm: Arc<dyn downbeat_core::llm::Llm> = Arc::new(Offline);
    let models = Models { default: Arc::clone(&llm), by_agent: HashMap::new(), scribe: llm };
    Orchestrator::new(Arc::clone(cache), models, Arc::new(SystemClock), settings(), project.clone())
}

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

fn goal_id(id: &str) -> GoalId {
    GoalId::new(id).unwrap()
}

fn task_id(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

async fn events(cache: &Arc<dyn Cache>) -> Vec<Event> {
    cache.read(&Read { stream: events_stream(), after: 0, limit: 10_000 }).await.unwrap().entries
}

/// Waits for an event that is so, whenever it happened.
async fn until(cache: &Arc<dyn Cache>, is_so: impl Fn(&Event) -> bool) -> Event {
    let mut after = 0;
    tokio::time::timeout(Duration::from_secs(20), async {
        loop {
            let page = cache.read(&Read { stream: events_stream(), after, limit: 1_000 }).await.unwrap();
            if let Some(event) = page.iter().find(|event| is_so(event)) {
                return event.clone();
            }
            after = page.last().map_or(after, |event| event.seq);
            cache.changed(&Topic::Stream(events_stream()), after, Duration::from_secs(5)).await.unwrap();
        }
    })
    .await
    .unwrap()
}

async fn steer(cache: &Arc<dyn Cache>, directive: Directive) {
    static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let steer = Steer { directive, by: "a test".to_owned(), request: RequestId(format!("steer-{number}")) };
    let steered = cache.steer(&steer).await.unwrap();
    assert!(steered.applied, "{}", steered.detail);
}

fn is(event: &Event, kind: &str, about: &str) -> bool {
    let task = event.what.task.as_ref().map(TaskId::as_str);
    let goal = event.what.goal.as_ref().map(GoalId::as_str);
    event.what.kind.as_str() == kind && task.or(goal) == Some(about)
}

const THREE: &str = "### top: All of it

- [ ] First {#first capabilities=shell}
  ```sh
  echo first >> log
  ```
- [ ] The middle {#mid goal=middle after=first} -> leaf.txt
- [ ] Last {#last after=mid capabilities=shell}
  ```sh
  echo last >> log
  ```

### middle: The middle

- [ ] Prepare {#prepare capabilities=shell}
  ```sh
  echo prepare >> log
  ```
- [ ] The leaf {#low kind=goal goal=leaf after=prepare}

### leaf: The leaf

- [ ] Does it {#does capabilities=shell} -> leaf.txt
  ```sh
  echo leaf >> log; echo x > leaf.txt
  ```
";

#[tokio::test(flavor = "multi_thread")]
async fn three_levels_are_worked_off_in_order() {
    let place = tempfile::tempdir().unwrap();
    let project = load::load(&write(place.path(), &format!("{AGENTS}{THREE}"))).unwrap();
    assert_eq!(project.goals.len(), 1, "what tasks own does not start by itself");
    let cache = memory();

    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    let log = std::fs::read_to_string(place.path().join("log")).unwrap();
    assert_eq!(log, "first\nprepare\nleaf\nlast\n");
    let leaf = cache.goal(&goal_id("top.mid.low")).await.unwrap().unwrap();
    assert_eq!(leaf.status, GoalStatus::Complete);
    assert_eq!(leaf.root().as_str(), "top");
    assert!(cache.task(&task_id("top.mid.low.does")).await.unwrap().is_some());
    let mid = cache.task(&task_id("mid")).await.unwrap().unwrap().task;
    assert_eq!(mid.state.artifacts[0].path, "leaf.txt");
    assert!(mid.state.summary.unwrap().contains("2 of 2 tasks done"));
    let claimed = events(&cache).await;
    let owners: Vec<_> = claimed
        .iter()
        .filter(|event| is(event, "task.claimed", "mid") || is(event, "task.claimed", "top.mid.low"))
        .map(|event| event.what.agent.as_ref().unwrap().as_str().to_owned())
        .collect();
    assert_eq!(owners, ["nested-orchestrator", "nested-orchestrator"], "no agent is granted one");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_tasks_may_own_the_same_goal() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] One {#a goal=part}\n- [ ] Two {#b goal=part after=a}\n\n### part: Part\n\n\
        - [ ] Works {#w capabilities=shell}\n  ```sh\n  echo $DOWNBEAT_GOAL >> log\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();

    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    let log = std::fs::read_to_string(place.path().join("log")).unwrap();
    assert_eq!(log, "top.a\ntop.b\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_below_fails_the_task_with_its_reason_and_a_retry_does_only_what_failed() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n- [ ] After {#after after=own capabilities=shell}\n  ```sh\n  true\n  ```\n\n\
        ### part: Part\n\n- [ ] Good {#good capabilities=shell}\n  ```sh\n  echo good >> log\n  ```\n\
        - [ ] Bad {#bad capabilities=shell}\n  ```sh\n  test -f there || { echo not there >&2; exit 3; }\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();

    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();
    assert!(!report.is_complete());
    let own = cache.task(&task_id("own")).await.unwrap().unwrap().task.state;
    assert_eq!(own.status, TaskStatus::Failed);
    let said = own.last_error.unwrap().message;
    assert!(said.contains("goal `top.own` is failed") && said.contains("`top.own.bad` failed"), "{said}");

    std::fs::write(place.path().join("there"), "").unwrap();
    steer(&cache, Directive::Retry { task: task_id("own") }).await;
    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    assert_eq!(std::fs::read_to_string(place.path().join("log")).unwrap(), "good\n", "done work stays done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_below_carries_the_task_above_on() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n\n### part: Part\n\n- [ ] Bad {#bad capabilities=shell}\n  ```sh\n  test -f there\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();
    std::fs::write(place.path().join("there"), "").unwrap();

    steer(&cache, Directive::Retry { task: task_id("top.own.bad") }).await;
    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_below_that_is_complete_before_anybody_looks_carries_its_task_on() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n\n### part: Part\n\n- [ ] Bad {#bad capabilities=shell}\n  ```sh\n  false\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    // An agent of another process is done with it while no orchestrator is there.
    steer(&cache, Directive::Retry { task: task_id("top.own.bad") }).await;
    let claimed = cache.claim(&claim_elsewhere("top.own.bad", "claim-1")).await.unwrap();
    cache.settle(&done(&claimed.granted().unwrap().lease, "settle-1")).await.unwrap();
    let part = cache.goal(&goal_id("top.own")).await.unwrap().unwrap();
    assert_eq!(part.status, GoalStatus::Complete);

    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    let own = cache.task(&task_id("own")).await.unwrap().unwrap().task.state;
    assert_eq!((own.status, own.attempt), (TaskStatus::Done, 2));
}

fn done(lease: &Lease, request: &str) -> Settle {
    Settle {
        task: lease.task.clone(),
        token: lease.token,
        request: RequestId(request.to_owned()),
        outcome: Outcome::Done { summary: "did it".to_owned(), artifacts: Vec::new() },
        spent: Usage::default(),
        next: None,
    }
}

fn claim_elsewhere(task: &str, request: &str) -> Claim {
    Claim {
        agent: AgentName::new("elsewhere").unwrap(),
        incarnation: Incarnation("elsewhere".to_owned()),
        request: RequestId(request.to_owned()),
        goal: None,
        capabilities: [Capability::new("shell").unwrap()].into(),
        task: Some(task_id(task)),
        avoid: BTreeSet::new(),
        ttl: Duration::from_secs(60),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_levels_that_failed_go_on_when_the_lowest_is_complete_before_anybody_looks() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=middle}\n\n### middle: Middle\n\n- [ ] Owns {#low kind=goal goal=leaf}\n\n\
        ### leaf: Leaf\n\n- [ ] Bad {#bad capabilities=shell}\n  ```sh\n  false\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    steer(&cache, Directive::Retry { task: task_id("top.own.low.bad") }).await;
    let claimed = cache.claim(&claim_elsewhere("top.own.low.bad", "claim-2")).await.unwrap();
    cache.settle(&done(&claimed.granted().unwrap().lease, "settle-2")).await.unwrap();
    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
}

/// A cache in which somebody has a task below tried again, and does it, just before its failure is told above.
#[derive(Debug)]
struct Meddled {
    inner: Arc<dyn Cache>,
    happened: std::sync::atomic::AtomicBool,
}

impl Meddled {
    async fn settle(&self, request: &Settle) -> Result<Settled, CacheError> {
        let is_it = request.task.as_str() == "own" && matches!(request.outcome, Outcome::Failed { .. });
        if is_it && !self.happened.swap(true, std::sync::atomic::Ordering::SeqCst) {
            // Both agents of the run pass it by.
            for name in ["one", "two"] {
                steer(&self.inner, Directive::Pause { agent: AgentName::new(name).unwrap() }).await;
            }
            steer(&self.inner, Directive::Retry { task: task_id("top.own.bad") }).await;
            let claimed = self.inner.claim(&claim_elsewhere("top.own.bad", "claim-3")).await?;
            self.inner.settle(&done(&claimed.granted().unwrap().lease, "settle-3")).await?;
        }
        self.inner.settle(request).await
    }
}

macro_rules! meddled {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $family for Meddled {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    meddled!(@call self, $verb, $($arg),*)
                })*
            }
        )*
    };
    (@call $self:ident, settle, $settle:ident) => { Meddled::settle($self, $settle).await };
    (@call $self:ident, $verb:ident, $($arg:ident),*) => { $self.inner.$verb($($arg),*).await };
}

downbeat_core::cache_verbs! { meddled }

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_is_complete_before_its_failure_was_told_carries_its_task_on() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n\n### part: Part\n\n- [ ] Bad {#bad capabilities=shell}\n  ```sh\n  false\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let inner = memory();
    let cache: Arc<dyn Cache> = Arc::new(Meddled { inner: Arc::clone(&inner), happened: false.into() });

    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
}

/// Plans when it may, and says when it was asked and when nobody wanted the answer any more.
#[derive(Debug)]
struct Planner {
    asked: Semaphore,
    may: Semaphore,
    given_up: Arc<Semaphore>,
}

impl Planner {
    fn new() -> Arc<Self> {
        let none = || Semaphore::new(0);
        Arc::new(Self { asked: none(), may: none(), given_up: Arc::new(none()) })
    }
}

struct GivenUp(Arc<Semaphore>);

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.add_permits(1);
    }
}

#[async_trait]
impl Llm for Planner {
    fn name(&self) -> String {
        "planner".to_owned()
    }

    fn cannot_execute(&self, node: &Node) -> Option<String> {
        Offline.cannot_execute(node)
    }

    async fn decompose(&self, _: &Decompose) -> Result<Reply<Draft>, CallError> {
        self.asked.add_permits(1);
        let given_up = GivenUp(Arc::clone(&self.given_up));
        self.may.acquire().await.unwrap().forget();
        std::mem::forget(given_up);
        let node = DraftNode {
            id: "w".to_owned(),
            title: "Works".to_owned(),
            run: Some("echo planned >> log".to_owned()),
            capabilities: vec!["shell".to_owned()],
            ..DraftNode::default()
        };
        Ok(Reply::free(Draft { goal_id: "g".to_owned(), nodes: vec![node], edges: Vec::new() }, "planner"))
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        Offline.select(request).await
    }

    async fn execute(&self, request: &Execute) -> Result<Reply<Execution>, CallError> {
        Offline.execute(request).await
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        Offline.summarize(request).await
    }

    async fn assess(&self, request: &Assess) -> Result<Reply<Assessment>, CallError> {
        Offline.assess(request).await
    }
}

fn planned_by(planner: &Arc<Planner>, cache: &Arc<dyn Cache>, project: &load::Project) -> Orchestrator {
    let models = Models { default: planner.clone(), by_agent: HashMap::new(), scribe: Arc::new(Offline) };
    Orchestrator::new(Arc::clone(cache), models, Arc::new(SystemClock), settings(), project.clone())
}

async fn in_time<T>(it: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), it).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_nobody_can_do_ends_no_run_while_a_goal_is_planned_below_another() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own kind=goal}\n- [ ] Nobody {#nobody capabilities=rare}\n  ```sh\n  true\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    let planner = Planner::new();
    let run = planned_by(&planner, &cache, &project);
    let run = tokio::spawn(async move { run.run(&Stop::new()).await });
    in_time(planner.asked.acquire()).await.unwrap().forget();
    // Until somebody had every reason to look: an agent that is ready is one.
    for name in ["one", "two"] {
        until(&cache, |event| {
            event.what.agent.as_ref().is_some_and(|agent| agent.as_str() == name)
                && event.what.data.get("phase").and_then(|phase| phase.as_str()) == Some("idle")
        })
        .await;
    }
    steer(&cache, Directive::Pause { agent: AgentName::new("two").unwrap() }).await;
    until(&cache, |event| event.what.kind.as_str() == "alert.no_agent").await;
    planner.may.add_permits(1);

    let report = in_time(run).await.unwrap().unwrap();

    assert_eq!(report.stuck.len(), 1, "{report:?}");
    let own = cache.task(&task_id("own")).await.unwrap().unwrap().task.state;
    assert_eq!(own.status, TaskStatus::Done, "the rest goes on: {own:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_that_is_made_below_a_task_that_is_called_off_is_given_up() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own kind=goal}\n- [ ] Holds {#holds capabilities=shell}\n  ```sh\n  until test -e go; do sleep 0.02; done\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    let planner = Planner::new();
    let run = planned_by(&planner, &cache, &project);
    let run = tokio::spawn(async move { run.run(&Stop::new()).await });
    in_time(planner.asked.acquire()).await.unwrap().forget();

    steer(&cache, Directive::Cancel { task: task_id("own") }).await;
    in_time(planner.given_up.acquire()).await.unwrap().forget();
    std::fs::write(place.path().join("go"), "").unwrap();
    in_time(run).await.unwrap().unwrap();

    assert!(cache.goal(&goal_id("top.own")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_that_is_planned_below_a_task_after_that_was_called_off_is_called_off() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own kind=goal}\n- [ ] Holds {#holds capabilities=shell}\n  ```sh\n  until test -e go; do sleep 0.02; done\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    let planner = Planner::new();
    let run = planned_by(&planner, &cache, &project);
    let run = tokio::spawn(async move { run.run(&Stop::new()).await });
    in_time(planner.asked.acquire()).await.unwrap().forget();
    steer(&cache, Directive::Cancel { task: task_id("own") }).await;
    until(&cache, |event| is(event, "task.cancelled", "own")).await;
    // It has heard of that.
    in_time(planner.given_up.acquire()).await.unwrap().forget();

    // Another orchestrator, which led until just now, had its plan already on the way. Nobody here can do it.
    let draft = serde_json::json!({ "goal_id": "top.own",
        "nodes": [{ "id": "top.own.w", "title": "Works", "run": "true", "capabilities": ["rare"] }] });
    let parent = Parent { goal: goal_id("top"), task: task_id("own"), root: goal_id("top"), declared: None };
    let plan = Plan {
        dag: Arc::new(downbeat_core::dag::from_value(&draft).unwrap()),
        title: "Owns".to_owned(),
        parent: Some(parent),
        request: RequestId("plan".to_owned()),
        max_attempts: 1,
        spent: Usage::default(),
    };
    cache.plan(&plan).await.unwrap();
    until(&cache, |event| is(event, "goal.cancelled", "top.own")).await;
    std::fs::write(place.path().join("go"), "").unwrap();
    let report = in_time(run).await.unwrap().unwrap();

    assert!(report.stuck.is_empty(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_below_a_task_that_was_called_off_while_nobody_orchestrated_is_never_begun() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n\n### part: Part\n\n- [ ] Works {#w capabilities=rare}\n  ```sh\n  echo begun >> log\n  ```\n";
    let file = write(place.path(), &format!("{AGENTS}{text}"));
    let cache = memory();
    let report = orchestrator(&cache, &load::load(&file).unwrap()).run(&Stop::new()).await.unwrap();
    assert_eq!(report.stuck.len(), 1, "{report:?}");

    steer(&cache, Directive::Cancel { task: task_id("own") }).await;
    let able = AGENTS.replace("shell", "shell, rare");
    let file = write(place.path(), &format!("{able}{text}"));
    let report = orchestrator(&cache, &load::load(&file).unwrap()).run(&Stop::new()).await.unwrap();

    assert!(report.stuck.is_empty(), "{report:?}");
    assert!(!events(&cache).await.iter().any(|event| is(event, "task.claimed", "top.own.w")));
    assert_eq!(cache.goal(&goal_id("top.own")).await.unwrap().unwrap().status, GoalStatus::Cancelled);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_works_below_has_not_finished_before_that_is_done() {
    let place = tempfile::tempdir().unwrap();
    let agents = "## Agents\n\n### one\n- Capabilities: a\n\n### slow\n- Capabilities: b\n\n### after\n- Capabilities: c\n- Depends On: one (finished)\n\n## Goals\n\n";
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n- [ ] After {#last after=own capabilities=c}\n  ```sh\n  true\n  ```\n\n\
        ### part: Part\n\n- [ ] P {#p capabilities=a}\n  ```sh\n  true\n  ```\n- [ ] Q {#q after=p capabilities=b}\n  ```sh\n  sleep 0.3\n  ```\n- [ ] R {#r after=q capabilities=a}\n  ```sh\n  true\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{agents}{text}"))).unwrap();
    let cache = memory();

    let report = in_time(Box::pin(orchestrator(&cache, &project).run(&Stop::new()))).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    let events = events(&cache).await;
    let place = |kind: &str, about: &str| {
        events.iter().position(|event| {
            let agent = event.what.agent.as_ref().map(AgentName::as_str);
            is(event, kind, about) || (event.what.kind.as_str() == kind && agent == Some(about))
        })
    };
    assert!(place("agent.started", "after") > place("task.done", "top.own.r"), "{events:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_goal_goes_on_with_its_task_though_the_lease_of_that_ran_out_too_often() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n\n### part: Part\n\n- [ ] Holds {#w capabilities=shell}\n  ```sh\n  until test -e go; do sleep 0.02; done\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    let run = orchestrator(&cache, &project);
    let run = tokio::spawn(async move { run.run(&Stop::new()).await });
    until(&cache, |event| is(event, "task.claimed", "top.own.w")).await;

    // As by those that take its lease for one that ran out, or its holder for one that is gone.
    let claimed = until(&cache, |event| is(event, "task.claimed", "own")).await;
    let failure = Failure::new("its agent died too often", None);
    let settle = Settle {
        task: task_id("own"),
        token: claimed.what.token.unwrap(),
        request: RequestId("failed".to_owned()),
        outcome: Outcome::Failed { failure },
        spent: Usage::default(),
        next: None,
    };
    cache.settle(&settle).await.unwrap();
    until(&cache, |event| is(event, "task.failed", "own")).await;
    std::fs::write(place.path().join("go"), "").unwrap();
    let report = in_time(run).await.unwrap().unwrap();

    assert!(report.is_complete(), "{report:?}");
}

/// Waits for a process to end. The kernel tells nobody but its parent of that.
async fn gone(pid: &str) {
    let stat = Path::new("/proc").join(pid).join("stat");
    let ended = || std::fs::read_to_string(&stat).map_or(true, |stat| stat.contains(") Z "));
    let began = tokio::time::Instant::now();
    while !ended() {
        assert!(began.elapsed() < Duration::from_secs(10), "process {pid} goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

const LONG: &str = "### top: All

- [ ] Middle {#mid goal=middle}

### middle: Middle

- [ ] Low {#low goal=leaf}

### leaf: Leaf

- [ ] Long {#long capabilities=shell}
  ```sh
  echo $$ > pid; exec sleep 300
  ```
";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_called_off_at_the_top_ends_all_below_at_once() {
    let place = tempfile::tempdir().unwrap();
    let project = load::load(&write(place.path(), &format!("{AGENTS}{LONG}"))).unwrap();
    let cache = memory();
    let run = {
        let orchestrator = orchestrator(&cache, &project);
        tokio::spawn(async move { orchestrator.run(&Stop::new()).await })
    };
    until(&cache, |event| is(event, "task.claimed", "top.mid.low.long")).await;
    let pid = place.path().join("pid");
    while std::fs::read_to_string(&pid).map_or(true, |text| text.trim().is_empty()) {
        tokio::task::yield_now().await;
    }
    let pid = std::fs::read_to_string(&pid).unwrap().trim().to_owned();

    let began = tokio::time::Instant::now();
    steer(&cache, Directive::CancelGoal { goal: goal_id("top") }).await;
    let report = tokio::time::timeout(Duration::from_secs(20), run).await.unwrap().unwrap().unwrap();

    assert!(began.elapsed() < Duration::from_secs(8), "it waited for a renewal: {:?}", began.elapsed());
    assert_eq!(report.goals[0].goal.status, GoalStatus::Cancelled);
    for goal in ["top.mid", "top.mid.low"] {
        assert_eq!(
            cache.goal(&goal_id(goal)).await.unwrap().unwrap().status,
            GoalStatus::Cancelled,
            "{goal}"
        );
    }
    gone(&pid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_dropped_stops_what_runs_below_and_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n\n### part: Part\n\n- [ ] Twice {#twice capabilities=shell}\n  ```sh\n  echo x >> tries; test $(wc -l < tries) -gt 1 || exec sleep 300\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    let run = {
        let orchestrator = orchestrator(&cache, &project);
        tokio::spawn(async move { orchestrator.run(&Stop::new()).await })
    };
    until(&cache, |event| is(event, "task.claimed", "top.own.twice")).await;
    // The line, and not only the file: else the second try takes itself for the first.
    while std::fs::read_to_string(place.path().join("tries")).map_or(true, |text| text.is_empty()) {
        tokio::task::yield_now().await;
    }

    steer(&cache, Directive::DropTask { task: task_id("own") }).await;
    let report = tokio::time::timeout(Duration::from_secs(20), run).await.unwrap().unwrap().unwrap();

    assert!(report.is_complete(), "{report:?}");
    let twice = cache.task(&task_id("top.own.twice")).await.unwrap().unwrap().task.state;
    assert_eq!(twice.attempt, 1, "a drop costs no attempt");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_that_takes_over_carries_the_goal_below_on() {
    let place = tempfile::tempdir().unwrap();
    let text = LONG.replace("exec sleep 300", "true");
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    let cache = memory();
    let first = {
        let orchestrator = orchestrator(&cache, &project).without_agents();
        tokio::spawn(async move { orchestrator.run(&Stop::new()).await })
    };
    until(&cache, |event| is(event, "goal.planned", "top.mid.low")).await;
    // As a kill -9 does it: nothing is given back, nobody is told.
    first.abort();
    let _ = first.await;
    let token = cache.task(&task_id("mid")).await.unwrap().unwrap().task.state.token;

    let alone = Settings { exclusive: true, ..settings() };
    let llm: Arc<dyn downbeat_core::llm::Llm> = Arc::new(Offline);
    let models = Models { default: Arc::clone(&llm), by_agent: HashMap::new(), scribe: llm };
    let second = Orchestrator::new(Arc::clone(&cache), models, Arc::new(SystemClock), alone, project);
    let stop = Stop::new();
    let ended = tokio::time::timeout(Duration::from_secs(25), second.run(&stop)).await;
    let report = ended.unwrap().unwrap();

    assert!(report.is_complete(), "{report:?}");
    let mid = cache.task(&task_id("mid")).await.unwrap().unwrap().task.state;
    assert!(mid.token > token, "it was claimed anew");
    let events = events(&cache).await;
    let planned = events.iter().filter(|event| is(event, "goal.planned", "top.mid.low")).count();
    assert_eq!(planned, 1, "the goal below was taken over");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_that_a_store_owes_ends_a_run_with_goals_below() {
    let place = tempfile::tempdir().unwrap();
    let text = "### top: All\n\n- [ ] Owns {#own goal=part}\n- [ ] Last {#last after=own capabilities=shell}\n  ```sh\n  true\n  ```\n\n\
        ### part: Part\n\n- [ ] Works {#w capabilities=shell}\n  ```sh\n  true\n  ```\n";
    let project = load::load(&write(place.path(), &format!("{AGENTS}{text}"))).unwrap();
    for verb in ["claim", "settle", "renew"] {
        for nth in 1..=6 {
            for fault in [Fault::Before, Fault::After] {
                let said = format!("{verb} {nth}: {fault:?}");
                let plan = FaultPlan::new().with(verb, nth, fault);
                let inner = MemoryCache::new(Arc::new(SystemClock));
                let cache: Arc<dyn Cache> = Arc::new(FaultyCache::new(inner, plan));

                let report = in_time(Box::pin(orchestrator(&cache, &project).run(&Stop::new()))).await;

                assert!(report.as_ref().is_ok_and(RunReport::is_complete), "{said}: {report:?}");
            }
        }
    }
}
