//! How many calls and tokens a run takes, what holds it below its ceiling, and what happens when a model
//! is at its limit: with the real prompts, on a transport that counts.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{
    Agents, Cache, CacheError, Read, Records, Streams, TaskQuery, Tasks, Topic, events_stream,
};
use downbeat_core::dag::Node;
use downbeat_core::goal::{GoalStatus, Usage};
use downbeat_core::ids::{GoalId, TaskId};
use downbeat_core::llm::{Conduct, Decompose, Execute, Llm, LlmError, Reply, Select, Summarize};
use downbeat_core::memory::MemoryCache;
use downbeat_core::state::TaskStatus;
use downbeat_core::time::Clock as _;
use downbeat_llm::transport::{Answer, Ask, AskError, Probe, Step, Transport};
use downbeat_llm::{Offline, Prompted};
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::report::all_tasks;
use downbeat_runtime::spending::{self, Ceiling};
use downbeat_runtime::why::{CauseKind, Company, why};
use downbeat_runtime::{Orchestrator, RunError, RunReport, Settings, Stop, load};
use serde_json::{Value, json};

const LAYERS: usize = 5;
const WIDTH: usize = 4;

/// Plans twenty tasks in five layers, writes each task's file, and counts. A token is four bytes.
#[derive(Debug, Default)]
struct Counting {
    asked: Mutex<Vec<(Step, Usage)>>,
    /// What goes wrong, in order, at executions.
    failures: Mutex<VecDeque<LlmError>>,
    /// So many executions are answered with what cannot be used.
    garbled: AtomicU32,
    /// The same as `failures`, at planning.
    unplanned: Mutex<VecDeque<LlmError>>,
    /// What every call costs, in the place of what its text has; with it tokens are as many.
    flat: Option<u64>,
}

impl Counting {
    fn total(&self) -> Usage {
        self.asked.lock().unwrap().iter().fold(Usage::default(), |sum, (_, usage)| sum.plus(*usage))
    }
}

fn plan() -> Value {
    let mut nodes = Vec::new();
    let mut edges = Vec::new();
    for layer in 0..LAYERS {
        for place in 0..WIDTH {
            let id = format!("t{layer}{place}");
            nodes.push(json!({
                "id": id,
                "title": format!("Write part {place} of chapter {layer}"),
                "description": "Read what the parts before say. Write one page in plain words. ".repeat(4),
                "expected_artifacts": [format!("{id}.md")],
            }));
            if layer > 0 {
                for before in 0..WIDTH {
                    edges.push(json!({"source": format!("t{}{before}", layer - 1), "target": id}));
                }
            }
        }
    }
    json!({"nodes": nodes, "edges": edges})
}

/// What a call that times out has told of its cost until then.
const HEARD: Usage = Usage { calls: 0, input_tokens: 70, output_tokens: 5, cost_micros: 0 };

#[async_trait]
impl Transport for Counting {
    fn name(&self) -> String {
        "counting".to_owned()
    }

    async fn probe(&self) -> Probe {
        Probe { usable: true, found: String::new(), remedies: Vec::new() }
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        let answer = match ask.step {
            Step::Decompose => {
                if let Some(error) = self.unplanned.lock().unwrap().pop_front() {
                    return Err(error.into());
                }
                plan()
            }
            Step::Select => json!({"selected_task_id": null, "justification": "the first is as good"}),
            Step::Execute
                if self.garbled.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() =>
            {
                json!({"status": "who knows"})
            }
            Step::Execute => {
                if let Some(error) = self.failures.lock().unwrap().pop_front() {
                    if matches!(error, LlmError::TimedOut { .. }) {
                        ask.observer.spent(HEARD);
                    }
                    return Err(error.into());
                }
                let id = ask.prompt.split("The task is `").nth(1).unwrap().split('`').next().unwrap();
                let work = ask.work.as_ref().unwrap();
                std::fs::write(work.workspace.join(format!("{id}.md")), id).unwrap();
                ask.observer.progress("writing");
                ask.observer.output(format!("wrote {id}\n").as_bytes());
                json!({
                    "status": "done",
                    "outputs": [format!("{id}.md")],
                    "notes": "The page is written; every part before it was read. ".repeat(4),
                    "summary": "The page says what the parts before say, in plain words. ".repeat(2),
                })
            }
            Step::Summarize => json!({"summary": "The page says what the parts before say. ".repeat(3)}),
            Step::Assess => json!({"recoverable": true}),
        };
        let tokens = |bytes: usize| u64::try_from(bytes / 4).unwrap();
        let text = answer.to_string();
        let usage = match self.flat {
            Some(flat) => Usage { calls: 1, input_tokens: flat, output_tokens: 0, cost_micros: flat },
            None => Usage {
                calls: 1,
                input_tokens: tokens(ask.system.len() + ask.prompt.len()),
                output_tokens: tokens(text.len()),
                cost_micros: 1,
            },
        };
        self.asked.lock().unwrap().push((ask.step, usage));
        Ok(Answer { text, usage, model: "counting-1".to_owned(), ..Answer::default() })
    }
}

const TEXT: &str = "## Agents\n\n### ada\n- Role: a writer\n\n### bob\n- Role: a writer\n\n## Goals\n\n\
                    ### book: A book\n\nWrite a book of five chapters with four parts each.\n";

struct Run {
    place: tempfile::TempDir,
    cache: Arc<dyn Cache>,
}

impl Run {
    fn new() -> Self {
        let cache = Arc::new(MemoryCache::new(Arc::new(SystemClock)));
        Self { place: tempfile::tempdir().unwrap(), cache }
    }

    async fn go(&self, transport: &Arc<Counting>, settings: Settings) -> RunReport {
        self.try_go(transport, settings).await.unwrap()
    }

    async fn try_go(&self, transport: &Arc<Counting>, settings: Settings) -> Result<RunReport, RunError> {
        let file = self.place.path().join("INSTRUCTIONS.md");
        std::fs::write(&file, TEXT).unwrap();
        let llm: Arc<dyn Llm> = Arc::new(Prompted::new(Arc::<Counting>::clone(transport)));
        let models = Models { default: llm, by_agent: HashMap::new(), scribe: Arc::new(Offline) };
        let project = load::load(&file).unwrap();
        let orchestrator =
            Orchestrator::new(Arc::clone(&self.cache), models, Arc::new(SystemClock), settings, project);
        tokio::time::timeout(Duration::from_secs(60), orchestrator.run(&Stop::new())).await.unwrap()
    }

    async fn kinds(&self, kind: &str) -> Vec<Value> {
        let read = Read { stream: events_stream(), after: 0, limit: 10_000 };
        let events = self.cache.read(&read).await.unwrap();
        let of_kind = events.iter().filter(|event| event.what.kind.as_str() == kind);
        of_kind.map(|event| serde_json::to_value(event).unwrap()).collect()
    }
}

fn settings(place: &Path) -> Settings {
    let moment = Duration::from_millis(5);
    Settings {
        exclusive: true,
        backoff: Backoff { base: moment, ceiling: moment },
        logs: Some(place.join("logs")),
        ..Settings::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_tasks_take_twenty_one_calls_and_far_fewer_tokens_than_a_call_for_each_step() {
    let run = Run::new();
    let transport = Arc::new(Counting::default());
    let report = run.go(&transport, settings(run.place.path())).await;
    assert!(report.is_complete(), "{report:?}");
    let ours = transport.total();
    // Planning included: 1.05 calls for each task; the bar is 1.2.
    assert_eq!((report.goals[0].tasks.len(), ours.calls), (20, 21));
    // What is shown is what the transport reported, for the goal and for each task.
    assert_eq!(report.goals[0].goal.usage, ours);
    let by_task: Usage = report.goals[0].usage.values().fold(Usage::default(), |sum, one| sum.plus(*one));
    assert_eq!(by_task.calls, 20);
    let calls = run.kinds("llm.call").await;
    assert_eq!(calls.len(), 21);
    assert_eq!(calls[0]["data"]["step"], "decompose");
    // What the model put out is kept with the attempt.
    let log = run.place.path().join("logs/t00");
    let log = std::fs::read_dir(log).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(log).unwrap(), "wrote t00\n");

    let theirs = one_call_per_step(&run).await;
    println!("| calls | tokens in | tokens out |\none answer: {ours:?}\na call per step: {theirs:?}");
    assert_eq!(theirs.calls, 61);
    assert!(ours.tokens() * 10 < theirs.tokens() * 7, "{ours:?} {theirs:?}");
}

/// The same plan with the same prompts, but choosing, executing and summarizing are a call each.
async fn one_call_per_step(run: &Run) -> Usage {
    let transport = Arc::new(Counting::default());
    let llm = Prompted::new(Arc::<Counting>::clone(&transport));
    let goal = GoalId::new("book").unwrap();
    let conduct = Conduct::default();
    let brief = "Write a book of five chapters with four parts each.".to_owned();
    let (title, agents, faults) = ("A book".to_owned(), Vec::new(), Vec::new());
    let request = Decompose { goal: goal.clone(), title, brief, agents, faults, conduct: conduct.clone() };
    llm.decompose(&request).await.unwrap();
    let dag = run.cache.dag(&goal).await.unwrap().unwrap();
    let agent = downbeat_core::ids::AgentName::new("ada").unwrap();
    let mut memory: Vec<String> = Vec::new();
    for task in all_tasks(run.cache.as_ref(), &goal).await.unwrap() {
        let layer: Vec<Node> = dag
            .nodes()
            .filter(|node| node.id.as_str().get(..2) == task.node.id.as_str().get(..2))
            .map(|node| node.as_ref().clone())
            .collect();
        let ready: Vec<Node> = layer.into_iter().skip_while(|node| node.id != task.node.id).collect();
        let select = Select {
            goal: goal.clone(),
            agent: agent.clone(),
            ready,
            memory: memory.clone(),
            conduct: conduct.clone(),
        };
        llm.select(&select).await.unwrap();
        let mut inputs = Vec::new();
        for before in dag.dependencies(&task.node.id) {
            let found = run.cache.task(before).await.unwrap().unwrap().task;
            inputs.push(downbeat_core::llm::Input {
                task: before.clone(),
                summary: found.state.summary.unwrap_or_default(),
                artifacts: found.state.artifacts,
            });
        }
        let execute = Execute {
            goal: goal.clone(),
            agent: agent.clone(),
            instructions: String::new(),
            node: task.node.as_ref().clone(),
            attempt: 1,
            last_error: None,
            unfinished: None,
            inputs,
            memory: memory.clone(),
            workspace: run.place.path().to_owned(),
            conduct: conduct.clone(),
        };
        let done = llm.execute(&execute).await.unwrap().value;
        let summarize = Summarize {
            goal: goal.clone(),
            agent: agent.clone(),
            node: task.node.as_ref().clone(),
            notes: done.notes,
            artifacts: task.state.artifacts.clone(),
            conduct: conduct.clone(),
        };
        let summary = llm.summarize(&summarize).await.unwrap().value.summary;
        // Two agents share the work, and each remembers its own half.
        if memory.len() < 10 {
            memory.push(format!("Completed {}: {summary}", task.node.id));
        }
    }
    transport.total()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_is_never_passed_and_the_next_run_carries_on() {
    let run = Run::new();
    let transport = Arc::new(Counting { flat: Some(100), ..Counting::default() });
    for (tokens, calls) in [(1_050, 10), (1_250, 12)] {
        let ceiling = Ceiling { tokens: Some(tokens), cost_micros: None };
        let report = run.go(&transport, Settings { ceiling, ..settings(run.place.path()) }).await;
        assert!(!report.is_complete());
        assert!(
            report.stuck[0].contains(&format!("max_tokens = {tokens} leaves no room")),
            "{:?}",
            report.stuck
        );
        let spent = transport.total();
        assert_eq!((spent.calls, report.goals[0].goal.usage), (calls, spent));
        assert!(spent.tokens() <= tokens);
    }
    // No attempt was burned, and `why` says what holds it.
    let query = TaskQuery {
        goal: GoalId::new("book").unwrap(),
        status: Some(TaskStatus::Ready),
        after: None,
        limit: 1,
    };
    let ready = run.cache.tasks(&query).await.unwrap().remove(0);
    assert_eq!(ready.state.attempt, 0);
    let causes =
        why(run.cache.as_ref(), &ready.node.id, SystemClock.now(), Company::Alone).await.unwrap().causes;
    let budget = causes.iter().find(|cause| cause.kind == CauseKind::Budget).unwrap();
    assert!(budget.detail.contains("1200 tokens"), "{budget:?}");
    assert_eq!(run.kinds("llm.budget").await.len(), 2);

    let ceiling = Ceiling { tokens: Some(1_000_000), cost_micros: Some(1_000_000) };
    let report = run.go(&transport, Settings { ceiling, ..settings(run.place.path()) }).await;
    assert!(report.is_complete(), "{report:?}");
    assert_eq!(transport.total().calls, 21);
    assert!(spending::parked(run.cache.as_ref(), SystemClock.now()).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_at_its_limit_is_asked_again_at_the_stated_time_and_no_attempt_is_burned() {
    let run = Run::new();
    let until = Duration::from_millis(400);
    let limit = LlmError::BudgetSpent { reason: "five-hour limit".to_owned(), until: Some(until) };
    let transport = Arc::new(Counting { failures: Mutex::new([limit].into()), ..Counting::default() });
    let report = run.go(&transport, settings(run.place.path())).await;
    assert_eq!(report.goals[0].goal.status, GoalStatus::Complete);
    assert!(report.duration >= until);
    assert!(report.goals[0].tasks.iter().all(|task| task.state.attempt == 1), "{report:?}");
    let parked = run.kinds("llm.parked").await;
    assert_eq!(parked.len(), 1);
    assert!(parked[0]["reason"].as_str().unwrap().contains("five-hour limit"), "{parked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_at_its_limit_plans_when_the_limit_ends_and_says_so_meanwhile() {
    let run = Run::new();
    let until = Duration::from_millis(400);
    let limit = LlmError::BudgetSpent { reason: "five-hour limit".to_owned(), until: Some(until) };
    let transport = Arc::new(Counting { unplanned: Mutex::new([limit].into()), ..Counting::default() });
    let cache = Arc::clone(&run.cache);
    let seen = tokio::spawn(async move {
        let mut seen = 0;
        loop {
            let parked = spending::parked(cache.as_ref(), SystemClock.now()).await.unwrap();
            if !parked.is_empty() {
                return parked;
            }
            seen =
                cache.changed(&Topic::Stream(events_stream()), seen, Duration::from_secs(1)).await.unwrap();
        }
    });
    let report = run.go(&transport, settings(run.place.path())).await;
    assert!(report.is_complete(), "{report:?}");
    assert!(report.duration >= until);
    assert!(seen.await.unwrap()[0].reason.ends_with("five-hour limit"));
    assert_eq!(run.kinds("llm.parked").await.len(), 1);
    assert_eq!(report.goals[0].goal.usage, transport.total());

    // A ceiling has no end: it ends the run.
    let run = Run::new();
    let transport = Arc::new(Counting { flat: Some(100), ..Counting::default() });
    let ceiling = Ceiling { tokens: Some(0), cost_micros: None };
    let failed =
        run.try_go(&transport, Settings { ceiling, ..settings(run.place.path()) }).await.unwrap_err();
    assert!(failed.to_string().contains("max_tokens = 0"), "{failed}");
    assert_eq!(transport.total().calls, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_attempts_cost_is_counted_for_their_task() {
    let run = Run::new();
    let transport = Arc::new(Counting { flat: Some(7), ..Counting::default() });
    let refusal = LlmError::Refused { reason: "no".to_owned() };
    transport.failures.lock().unwrap().push_back(refusal);
    let report = run.go(&transport, settings(run.place.path())).await;
    assert_eq!(report.goals[0].goal.status, GoalStatus::Stalled);
    assert_eq!(report.goals[0].goal.usage, transport.total());
    let done = report.goals[0].tasks.iter().find(|task| task.state.status == TaskStatus::Done).unwrap();
    let id: &TaskId = &done.node.id;
    assert_eq!(spending::of_task(run.cache.as_ref(), id).await.unwrap().input_tokens, 7);
}

/// A cache whose answers to what all goals cost are on their way for as long as the test likes.
#[derive(Debug)]
struct Late {
    inner: Arc<dyn Cache>,
    /// What was read may arrive.
    arrives: tokio::sync::watch::Sender<bool>,
    read: tokio::sync::Semaphore,
}

macro_rules! late {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $family for Late {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    let answer = self.inner.$verb($($arg),*).await;
                    if stringify!($verb) == "list" {
                        self.read.add_permits(1);
                        self.arrives.subscribe().wait_for(|arrives| *arrives).await.unwrap();
                    }
                    answer
                })*
            }
        )*
    };
}

downbeat_core::cache_verbs! { late }

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_while_the_sum_is_read_counts_for_the_next_one() {
    let inner: Arc<dyn Cache> = Arc::new(MemoryCache::new(Arc::new(SystemClock)));
    let (arrives, read) = (tokio::sync::watch::Sender::new(true), tokio::sync::Semaphore::new(0));
    let late = Arc::new(Late { inner, arrives, read });
    let ceiling = Ceiling { tokens: Some(250), cost_micros: None };
    let ledger = Arc::new(spending::Ledger::new(late.clone(), Arc::new(SystemClock), ceiling));
    let entry = || spending::Entry {
        step: "execute",
        model: "m".to_owned(),
        goal: GoalId::new("g").unwrap(),
        task: None,
        agent: None,
        attempt: None,
    };
    let usage = Usage { calls: 1, input_tokens: 100, output_tokens: 0, cost_micros: 0 };
    let answer = || Ok(Reply { value: (), usage, model: "m".to_owned(), duration: Duration::ZERO });
    ledger.admit(entry()).await.unwrap().close(&mut answer()).await;
    let second = ledger.admit(entry()).await.unwrap();

    late.arrives.send_replace(false);
    late.read.forget_permits(usize::MAX);
    let third = tokio::spawn({
        let (ledger, entry) = (Arc::clone(&ledger), entry());
        async move { ledger.admit(entry).await.map(|_| ()) }
    });
    late.read.acquire().await.unwrap().forget();
    second.close(&mut answer()).await;
    late.arrives.send_replace(true);

    let refused = third.await.unwrap().unwrap_err();
    assert!(matches!(refused.error, LlmError::BudgetSpent { .. }), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_told_before_it_timed_out_is_counted_whoever_ends_it() {
    let run = Run::new();
    let transport = Arc::new(Counting { flat: Some(7), ..Counting::default() });
    // The model's own clock is as fast as that of whoever asks it.
    transport.failures.lock().unwrap().push_back(LlmError::TimedOut { limit: Duration::from_secs(1) });
    let report = run.go(&transport, settings(run.place.path())).await;
    assert!(report.is_complete());
    let goal = &report.goals[0].goal;
    let all = transport.total().plus(HEARD).plus(Usage { calls: 1, ..Usage::default() });
    assert_eq!(spending::of_goal(run.cache.as_ref(), &goal.id).await.unwrap(), all);
    assert_eq!(goal.usage, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_cannot_be_used_count_as_the_calls_that_they_were() {
    let run = Run::new();
    // One answer, and as many repairs as there are.
    let transport = Arc::new(Counting { flat: Some(7), garbled: 3.into(), ..Counting::default() });
    let report = run.go(&transport, settings(run.place.path())).await;
    assert!(report.is_complete());
    let goal = &report.goals[0].goal;
    assert_eq!(spending::of_goal(run.cache.as_ref(), &goal.id).await.unwrap(), transport.total());
    assert_eq!(goal.usage, transport.total());
}
