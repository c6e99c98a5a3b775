//! Runs with a model, and with a cache that fails: on the in-memory cache, with real commands.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

use std::collections::HashMap;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{Cache, Directive, Read, Steer, TaskDetail, events_stream};
use downbeat_core::dag::{Draft, DraftEdge, DraftNode};
use downbeat_core::event::Event;
use downbeat_core::faulty::{Fault, FaultPlan, FaultyCache};
use downbeat_core::goal::{GoalStatus, Usage};
use downbeat_core::ids::{AgentName, TaskId};
use downbeat_core::llm::{Execution, ExecutionStatus, Llm, LlmError, MockLlm, Reply, Selection};
use downbeat_core::memory::MemoryCache;
use downbeat_core::state::TaskStatus;
use downbeat_llm::Offline;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::settings::Selection as Chooser;
use downbeat_runtime::spending;
use downbeat_runtime::{Orchestrator, RunError, RunReport, Settings, Stop, entropy, load};

const ONE_AGENT: &str = "## Agents\n\n### worker\n\n## Goals\n\n### g: A goal\n\n";

fn settings() -> Settings {
    let moment = Duration::from_millis(5);
    Settings { exclusive: true, backoff: Backoff { base: moment, ceiling: moment }, ..Settings::default() }
}

fn orchestrator(
    place: &Path,
    text: &str,
    cache: &Arc<dyn Cache>,
    llm: Arc<dyn Llm>,
    settings: Settings,
) -> Orchestrator {
    let file = place.join("INSTRUCTIONS.md");
    std::fs::write(&file, text).unwrap();
    let models = Models { default: llm, by_agent: HashMap::new(), scribe: Arc::new(Offline) };
    let project = load::load(&file).unwrap();
    Orchestrator::new(Arc::clone(cache), models, Arc::new(SystemClock), settings, project)
}

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

fn spent(input_tokens: u64) -> Usage {
    Usage { calls: 1, input_tokens, output_tokens: 1, cost_micros: 10 }
}

fn reply<T>(value: T, usage: Usage) -> Reply<T> {
    Reply { value, usage, model: "mock".to_owned(), duration: Duration::ZERO }
}

fn named() -> MockLlm {
    let mut llm = MockLlm::new();
    llm.expect_name().returning(|| "mock".to_owned());
    llm.expect_cannot_execute().returning(|_| None);
    llm
}

fn plan(edges: &[(&str, &str)]) -> Draft {
    let node = |id: &str| DraftNode { id: id.to_owned(), title: format!("do {id}"), ..DraftNode::default() };
    let edge = |(a, b): &(&str, &str)| DraftEdge { source: (*a).to_owned(), target: (*b).to_owned() };
    Draft {
        goal_id: "whatever".to_owned(),
        nodes: vec![node("a"), node("b")],
        edges: edges.iter().map(edge).collect(),
    }
}

async fn events(cache: &Arc<dyn Cache>) -> Vec<Event> {
    cache.read(&Read { stream: events_stream(), after: 0, limit: 1_000 }).await.unwrap().entries
}

async fn task(cache: &Arc<dyn Cache>, id: &str) -> TaskDetail {
    cache.task(&TaskId::new(id).unwrap()).await.unwrap().unwrap()
}

fn is_complete(report: &RunReport) -> bool {
    report.goals[0].goal.status == GoalStatus::Complete
}

#[tokio::test(flavor = "multi_thread")]
async fn a_models_plan_is_repaired_worked_off_and_paid_for() {
    let place = tempfile::tempdir().unwrap();
    let cache = memory();
    let mut llm = named();
    llm.expect_decompose().times(2).returning(|request| {
        assert_eq!(request.brief, "Make it so.");
        Ok(match request.faults.as_slice() {
            [] => reply(plan(&[("a", "b"), ("b", "a")]), spent(100)),
            [fault] => {
                assert!(fault.contains("`a` -> `b` -> `a`"), "{fault}");
                reply(plan(&[("a", "b")]), spent(50))
            }
            more => panic!("{more:?}"),
        })
    });
    // One of the two gives its summary with the execution; for the other the notes are enough.
    llm.expect_execute().times(2).returning(|request| {
        let summary = (request.node.id.as_str() == "b").then(|| "b is done".to_owned());
        if request.node.id.as_str() == "b" {
            assert_eq!(request.inputs[0].summary, "do a: notes.");
        }
        let notes = "notes".to_owned();
        Ok(reply(Execution { status: ExecutionStatus::Done, outputs: vec![], notes, summary }, spent(10)))
    });
    let text = format!("{ONE_AGENT}Make it so.\n");
    let orchestrator = orchestrator(place.path(), &text, &cache, Arc::new(llm), settings());
    let report = orchestrator.run(&Stop::new()).await.unwrap();
    assert!(is_complete(&report), "{report:?}");
    let usage = report.goals[0].goal.usage;
    assert_eq!((usage.calls, usage.input_tokens), (4, 170));
    // Run again: the plan is there, and nobody is asked anything.
    let again = orchestrator.run(&Stop::new()).await.unwrap();
    assert_eq!(again.goals[0].goal.usage, usage);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_never_plans_soundly_starts_nothing() {
    let place = tempfile::tempdir().unwrap();
    let cache = memory();
    let mut llm = named();
    llm.expect_decompose().times(3).returning(|_| Ok(reply(plan(&[("a", "nobody")]), spent(1))));
    let text = format!("{ONE_AGENT}Make it so.\n");
    let orchestrator = orchestrator(place.path(), &text, &cache, Arc::new(llm), settings());
    let error = orchestrator.run(&Stop::new()).await.unwrap_err();
    assert!(matches!(error, RunError::UnsoundPlan { tries: 3, .. }), "{error}");
    // Nothing but the three calls, which were paid for.
    let events = events(&cache).await;
    assert!(
        events.len() == 3 && events.iter().all(|event| event.what.kind.as_str() == "llm.call"),
        "{events:?}"
    );
    let goal = downbeat_core::ids::GoalId::new("g").unwrap();
    assert_eq!(spending::of_goal(cache.as_ref(), &goal).await.unwrap().calls, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_final_and_an_outage_is_tried_again() {
    let place = tempfile::tempdir().unwrap();
    let cache = memory();
    let mut llm = named();
    llm.expect_decompose().returning(|_| Ok(reply(plan(&[]), spent(0))));
    llm.expect_execute().times(3).returning(|request| match (request.node.id.as_str(), request.attempt) {
        ("a", _) => Err(LlmError::Refused { reason: "no".to_owned() }.into()),
        (_, 1) => Err(LlmError::Unavailable { reason: "busy".to_owned(), retry_after: None }.into()),
        _ => {
            assert!(request.last_error.as_ref().unwrap().message.contains("busy"));
            let (notes, summary) = ("n".to_owned(), Some("s".to_owned()));
            Ok(reply(Execution { status: ExecutionStatus::Done, outputs: vec![], notes, summary }, spent(1)))
        }
    });
    let text = format!("{ONE_AGENT}Make it so.\n");
    let orchestrator = orchestrator(place.path(), &text, &cache, Arc::new(llm), settings());
    let report = orchestrator.run(&Stop::new()).await.unwrap();
    assert_eq!(report.goals[0].goal.status, GoalStatus::Failed);
    assert_eq!(task(&cache, "a").await.task.state.attempt, 1);
    assert_eq!(task(&cache, "b").await.task.state.status, TaskStatus::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_chooses_only_where_it_is_asked_to_and_only_what_it_was_offered() {
    let place = tempfile::tempdir().unwrap();
    let cache = memory();
    let mut llm = named();
    // Of three the model is asked twice: a choice of one is no question.
    llm.expect_select().times(2).returning(|request| {
        let chosen = if request.ready.len() == 3 { "low" } else { "not-offered" };
        let selected_task_id = Some(TaskId::new(chosen).unwrap());
        Ok(reply(Selection { selected_task_id, justification: String::new() }, spent(1)))
    });
    let item = |id: &str, priority: u32| {
        format!("- [ ] {id} {{#{id} priority={priority}}}\n  ```sh\n  true\n  ```\n")
    };
    let text = format!("{ONE_AGENT}{}{}{}", item("high", 9), item("middle", 5), item("low", 1));
    let settings = Settings { selection: Chooser::Model, ..settings() };
    let orchestrator = orchestrator(place.path(), &text, &cache, Arc::new(llm), settings);
    assert!(is_complete(&orchestrator.run(&Stop::new()).await.unwrap()));
    let claimed: Vec<String> = events(&cache)
        .await
        .iter()
        .filter(|event| event.what.kind.as_str() == "task.claimed")
        .map(|event| event.what.task.as_ref().unwrap().to_string())
        .collect();
    assert_eq!(claimed, ["low", "high", "middle"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_settle_whose_answer_is_lost_is_repeated_and_counts_once() {
    let place = tempfile::tempdir().unwrap();
    let faults = FaultPlan::new().with("settle", 1, Fault::After).with("settle", 2, Fault::Before);
    let memory = MemoryCache::new(Arc::new(SystemClock));
    let cache: Arc<dyn Cache> = Arc::new(FaultyCache::new(memory, faults));
    let text = format!("{ONE_AGENT}- [ ] One {{#a}}\n  ```sh\n  echo run >> runs\n  ```\n");
    let orchestrator = orchestrator(place.path(), &text, &cache, Arc::new(Offline), settings());
    assert!(is_complete(&orchestrator.run(&Stop::new()).await.unwrap()));
    assert_eq!(std::fs::read_to_string(place.path().join("runs")).unwrap(), "run\n");
    let done = events(&cache).await.iter().filter(|event| event.what.kind.as_str() == "task.done").count();
    assert_eq!(done, 1);
}

/// Two tasks that have one attempt each, by one agent, while `faults` happen. Whatever was claimed without an answer
/// is worked on, and not waited for until its lease ends.
async fn both_are_done_in_one_attempt(faults: FaultPlan) {
    let place = tempfile::tempdir().unwrap();
    let memory = MemoryCache::new(Arc::new(SystemClock));
    let cache: Arc<dyn Cache> = Arc::new(FaultyCache::new(memory, faults));
    let item = |id: &str| format!("- [ ] {id} {{#{id} attempts=1}}\n  ```sh\n  true\n  ```\n");
    let text = format!("{ONE_AGENT}{}{}", item("a"), item("b"));
    let orchestrator = orchestrator(place.path(), &text, &cache, Arc::new(Offline), settings());
    assert!(is_complete(&orchestrator.run(&Stop::new()).await.unwrap()));
    let told = events(&cache).await;
    let count = |kind| told.iter().filter(|event| event.what.kind.as_str() == kind).count();
    assert_eq!((count("task.claimed"), count("task.expired"), count("task.done")), (2, 0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_is_lost_with_that_of_a_settle_is_worked_on() {
    both_are_done_in_one_attempt(FaultPlan::new().with("settle", 1, Fault::After)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_whose_answer_is_lost_is_worked_on() {
    both_are_done_in_one_attempt(FaultPlan::new().with("claim", 1, Fault::After)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_lease_ends_the_whole_process_group() {
    let place = tempfile::tempdir().unwrap();
    let fifo = place.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let cache = memory();
    // It, and what it put into the background, hold the pipe open for as long as they live.
    let text = format!(
        "{ONE_AGENT}- [ ] One {{#a}}\n  ```sh\n  exec 3> fifo\n  echo begun >&3\n  sleep 1000 &\n  sleep 1000\n  ```\n"
    );
    let settings = Settings { lease_ttl: Duration::from_millis(300), ..settings() };
    let orchestrator = Arc::new(orchestrator(place.path(), &text, &cache, Arc::new(Offline), settings));
    let stop = Stop::new();
    let run = tokio::spawn({
        let (orchestrator, stop) = (Arc::clone(&orchestrator), stop.clone());
        async move { orchestrator.run(&stop).await }
    });
    let mut pipe = tokio::task::spawn_blocking(move || {
        let mut pipe = std::fs::File::open(fifo).unwrap();
        let mut begun = [0; 6];
        pipe.read_exact(&mut begun).unwrap();
        pipe
    })
    .await
    .unwrap();

    let steer = |directive| Steer { directive, by: "test".to_owned(), request: entropy::request_id() };
    let agent = AgentName::new("worker").unwrap();
    cache.steer(&steer(Directive::Pause { agent })).await.unwrap();
    let dropped = cache.steer(&steer(Directive::DropTask { task: TaskId::new("a").unwrap() })).await.unwrap();
    assert!(dropped.applied, "{dropped:?}");

    // The end of the pipe: nobody who had it is left.
    tokio::task::spawn_blocking(move || pipe.read_to_end(&mut Vec::new()).unwrap()).await.unwrap();
    stop.now();
    run.await.unwrap().unwrap();
    let state = task(&cache, "a").await.task.state;
    assert_eq!((state.status, state.attempt), (TaskStatus::Ready, 0));
}
