//! Goals below tasks, in one process on the reference cache.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Cache, Claim, Directive, Read, Settle, Steer, Topic, events_stream};
use downbeat_core::event::Event;
use downbeat_core::goal::{GoalStatus, Usage};
use downbeat_core::ids::{AgentName, Capability, GoalId, Incarnation, RequestId, TaskId};
use downbeat_core::memory::MemoryCache;
use downbeat_core::state::{Outcome, TaskStatus};
use downbeat_llm::Offline;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::{Orchestrator, Settings, Stop, load};

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
    let claim = Claim {
        agent: AgentName::new("elsewhere").unwrap(),
        incarnation: Incarnation("elsewhere".to_owned()),
        request: RequestId("claim-1".to_owned()),
        goal: None,
        capabilities: [Capability::new("shell").unwrap()].into(),
        task: Some(task_id("top.own.bad")),
        avoid: BTreeSet::new(),
        ttl: Duration::from_secs(60),
    };
    let lease = cache.claim(&claim).await.unwrap().granted().unwrap().lease;
    let settle = Settle {
        task: lease.task,
        token: lease.token,
        request: RequestId("settle-1".to_owned()),
        outcome: Outcome::Done { summary: "did it".to_owned(), artifacts: Vec::new() },
        spent: Usage::default(),
        next: None,
    };
    cache.settle(&settle).await.unwrap();
    let part = cache.goal(&goal_id("top.own")).await.unwrap().unwrap();
    assert_eq!(part.status, GoalStatus::Complete);

    let report = orchestrator(&cache, &project).run(&Stop::new()).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    let own = cache.task(&task_id("own")).await.unwrap().unwrap().task.state;
    assert_eq!((own.status, own.attempt), (TaskStatus::Done, 2));
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
