//! What is given, declared or spent in the moment in which a run starts, ends, or finds that nothing can move.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{
    Agents, Append, Cache, CacheError, Claim, Lease, Read, Records, Registration, Settle, StoreIf, Streams,
    Tasks, Topic, events_stream,
};
use downbeat_core::dag::{Draft, Node};
use downbeat_core::event::{Event, EventDraft, EventKind};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, TaskId};
use downbeat_core::llm::{
    Assess, Assessment, CallError, Decompose, Execute, Execution, Llm, Reply, Select, Selection, Summarize,
    Summary,
};
use downbeat_core::memory::MemoryCache;
use downbeat_core::state::Outcome;
use downbeat_llm::Offline;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::entropy;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::steering::{FleetOrder, Given, Scope, Whole, Whom, give};
use downbeat_runtime::supervise::{Adopted, Exit, Hire, Life, SpawnError, Spawner};
use downbeat_runtime::{Orchestrator, RunReport, Settings, Stop, load, spending};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

fn settings() -> Settings {
    let moment = Duration::from_millis(2);
    let mut settings = Settings { exclusive: true, max_attempts: 1, ..Settings::default() };
    settings.restart.backoff = Backoff { base: moment, ceiling: moment };
    settings.restart.max_restarts = 0;
    settings
}

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

fn write(place: &Path, text: &str) -> PathBuf {
    let file = place.join("INSTRUCTIONS.md");
    std::fs::write(&file, text).unwrap();
    file
}

fn orchestrator(cache: &Arc<dyn Cache>, file: &Path, llm: Arc<dyn Llm>) -> Orchestrator {
    let models = Models { default: llm, by_agent: HashMap::new(), scribe: Arc::new(Offline) };
    Orchestrator::new(Arc::clone(cache), models, Arc::new(SystemClock), settings(), load::load(file).unwrap())
}

async fn in_time<T>(it: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), it).await.unwrap()
}

async fn until(cache: &Arc<dyn Cache>, is_so: impl Fn(&Event) -> bool) {
    in_time(async {
        let mut after = 0;
        loop {
            let page = cache.read(&Read { stream: events_stream(), after, limit: 1_000 }).await.unwrap();
            if page.iter().any(&is_so) {
                return;
            }
            after = page.last().map_or(after, |event| event.seq);
            cache.changed(&Topic::Stream(events_stream()), after, Duration::from_secs(5)).await.unwrap();
        }
    })
    .await;
}

async fn order(cache: &Arc<dyn Cache>, order: FleetOrder) {
    let given = Given { order: order.into(), by: "a test".to_owned(), request: entropy::request_id() };
    assert!(give(cache.as_ref(), &given).await.unwrap().applied);
}

// ---- orders to read the instructions again

/// The second task goes on until there is a file `go`.
fn two_tasks(command: &str) -> String {
    format!(
        "## Agents\n\n### one\n- Heartbeat: h.md\n\n### two\n\n## Goals\n\n### g: A goal\n\n- [ ] First {{#a}}\n  ```sh\n  {command}\n  ```\n\
         - [ ] Holds {{#b}}\n  ```sh\n  until test -e go; do sleep 0.005; done\n  ```\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_file_has_the_instructions_read_again_though_all_is_done_when_the_run_starts() {
    let place = tempfile::tempdir().unwrap();
    let file = write(place.path(), &two_tasks("echo one > out"));
    std::fs::write(place.path().join("go"), "").unwrap();
    let cache = memory();
    in_time(Box::pin(orchestrator(&cache, &file, Arc::new(Offline)).run(&Stop::new()))).await.unwrap();

    let file = write(place.path(), &two_tasks("echo two > out"));
    std::fs::write(place.path().join("h.md"), "REPARSE\n").unwrap();
    let report =
        in_time(Box::pin(orchestrator(&cache, &file, Arc::new(Offline)).run(&Stop::new()))).await.unwrap();

    assert!(report.is_complete(), "{report:?}");
    assert_eq!(std::fs::read_to_string(place.path().join("out")).unwrap(), "two\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_does_not_end_before_the_instructions_are_read_again_as_ordered() {
    let place = tempfile::tempdir().unwrap();
    let file = write(place.path(), &two_tasks("echo one > out"));
    // The orchestrator takes its time to carry the order out.
    let inner = memory();
    let cache: Arc<dyn Cache> = Arc::new(Slow { inner, prefix: "instructions:versions" });
    let run = orchestrator(&cache, &file, Arc::new(Offline));
    let run = tokio::spawn(async move { run.run(&Stop::new()).await });
    until(&cache, |event| event.what.kind == EventKind::TASK_DONE).await;
    write(place.path(), &two_tasks("echo two > out"));
    until(&cache, |event| event.what.kind == EventKind::INSTRUCTIONS_WAITING).await;

    order(&cache, FleetOrder::Reparse { of: Scope::Project(Whole) }).await;
    std::fs::write(place.path().join("go"), "").unwrap();
    let report = in_time(run).await.unwrap().unwrap();

    assert!(report.is_complete(), "{report:?}");
    assert_eq!(std::fs::read_to_string(place.path().join("out")).unwrap(), "two\n");
}

// ---- agents that come, in the moment in which nobody is there

/// Brings up lives that do nothing but what the test does in their place.
#[derive(Debug)]
struct Puppets {
    cache: Arc<dyn Cache>,
    /// The first life of this agent ends at once, with an error.
    breaks: Option<&'static str>,
    lives: Mutex<Vec<Puppet>>,
    begun: Semaphore,
}

#[derive(Debug, Clone)]
struct Puppet {
    registration: Registration,
    asked: CancellationToken,
    may_end: CancellationToken,
    error: bool,
}

#[derive(Debug)]
struct Stage(Arc<Puppets>);

impl Puppets {
    fn of(cache: &Arc<dyn Cache>, breaks: Option<&'static str>) -> Arc<Self> {
        let lives = Mutex::default();
        Arc::new(Self { cache: Arc::clone(cache), breaks, lives, begun: Semaphore::new(0) })
    }

    /// The next life that begins.
    async fn next(&self) -> Puppet {
        in_time(self.begun.acquire()).await.unwrap().forget();
        self.lives.lock().unwrap().remove(0)
    }
}

#[async_trait]
impl Spawner for Stage {
    async fn spawn(&self, hire: &Hire) -> Result<Box<dyn Life>, SpawnError> {
        let registration = Registration {
            name: hire.name.clone(),
            incarnation: entropy::incarnation(),
            host: "here".to_owned(),
            pid: std::process::id(),
            goal: None,
            role: None,
            capabilities: hire.agent.spec.capabilities.iter().cloned().collect(),
            max_parallel: 1,
            ttl: Duration::from_secs(60),
            interruption_limit: 3,
            generation: hire.generation,
        };
        self.0.cache.register(&registration).await.unwrap();
        let event =
            |kind| EventDraft::new(kind).agent(&hire.name).data(json!({ "generation": hire.generation }));
        let append = Append {
            stream: events_stream(),
            entries: vec![event(EventKind::AGENT_STARTED), event(EventKind::AGENT_READY)],
            request: entropy::request_id(),
        };
        self.0.cache.append(&append).await.unwrap();
        let error = self.0.breaks.is_some_and(|name| hire.name.as_str() == name) && hire.generation == 1;
        let (asked, may_end) = (CancellationToken::new(), CancellationToken::new());
        let puppet = Puppet { registration, asked, may_end, error };
        if error {
            puppet.may_end.cancel();
        } else {
            self.0.lives.lock().unwrap().push(puppet.clone());
            self.0.begun.add_permits(1);
        }
        Ok(Box::new(puppet))
    }

    async fn adopt(&self) -> Vec<Adopted> {
        Vec::new()
    }
}

#[async_trait]
impl Life for Puppet {
    fn process(&self) -> Option<u32> {
        None
    }

    async fn ended(&mut self) -> Exit {
        self.may_end.cancelled().await;
        match self.error {
            true => Exit::Failed { reason: "it broke".to_owned(), code: None },
            false => Exit::Finished,
        }
    }

    fn drain(&self) {
        self.asked.cancel();
    }

    fn stop(&self) {
        self.asked.cancel();
    }
}

impl Puppet {
    async fn claim(&self, cache: &Arc<dyn Cache>, task: &str) -> Lease {
        let claim = Claim {
            agent: self.registration.name.clone(),
            incarnation: self.registration.incarnation.clone(),
            request: entropy::request_id(),
            goal: None,
            capabilities: self.registration.capabilities.iter().cloned().collect(),
            task: Some(TaskId::new(task).unwrap()),
            avoid: BTreeSet::new(),
            ttl: Duration::from_secs(60),
        };
        cache.claim(&claim).await.unwrap().granted().unwrap().lease
    }
}

async fn settle(cache: &Arc<dyn Cache>, lease: Lease) {
    let settle = Settle {
        task: lease.task,
        token: lease.token,
        request: entropy::request_id(),
        outcome: Outcome::Done { summary: "did it".to_owned(), artifacts: Vec::new() },
        spent: Usage::default(),
        next: None,
    };
    cache.settle(&settle).await.unwrap();
}

type Run = tokio::task::JoinHandle<Result<RunReport, downbeat_runtime::RunError>>;

fn start(cache: &Arc<dyn Cache>, file: &Path, puppets: &Arc<Puppets>) -> Run {
    let run = orchestrator(cache, file, Arc::new(Offline)).spawned_by(Arc::new(Stage(Arc::clone(puppets))));
    tokio::spawn(async move { run.run(&Stop::new()).await })
}

/// That it has not ended though it had the time to.
async fn goes_on(run: &mut Run) {
    let ended = tokio::time::timeout(Duration::from_millis(300), run).await;
    assert!(ended.is_err(), "{ended:?}");
}

async fn report(run: Run, lives: &[&Puppet]) -> RunReport {
    for life in lives {
        life.may_end.cancel();
    }
    in_time(run).await.unwrap().unwrap()
}

const TWO_NEEDS: &str = "\n## Goals\n\n### g: A goal\n\n- [ ] First {#a capabilities=plain}\n  ```sh\n  true\n  ```\n- [ ] Second {#b capabilities=rare}\n  ```sh\n  true\n  ```\n";

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_begins_anew_as_it_is_declared_now_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let file = write(place.path(), &format!("## Agents\n\n### one\n- Capabilities: plain\n{TWO_NEEDS}"));
    let cache = memory();
    let puppets = Puppets::of(&cache, None);
    let mut run = start(&cache, &file, &puppets);
    let first = puppets.next().await;
    let lease = first.claim(&cache, "a").await;

    // Its task is its last before it begins anew, with what the other task needs.
    write(place.path(), &format!("## Agents\n\n### one\n- Capabilities: plain, rare\n{TWO_NEEDS}"));
    in_time(first.asked.cancelled()).await;
    settle(&cache, lease).await;
    goes_on(&mut run).await;
    first.may_end.cancel();
    let second = puppets.next().await;
    let lease = second.claim(&cache, "b").await;
    settle(&cache, lease).await;

    let report = report(run, &[&second]).await;
    assert!(report.is_complete(), "{report:?}");
}

/// A cache that takes its time with the records whose keys begin so.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn Cache>,
    prefix: &'static str,
}

impl Slow {
    async fn load(&self, key: &str) {
        if key.starts_with(self.prefix) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

macro_rules! slow {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $family for Slow {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    slow!(@before self, $verb, $($arg),*);
                    self.inner.$verb($($arg),*).await
                })*
            }
        )*
    };
    (@before $self:ident, load, $key:ident) => { Slow::load($self, $key).await };
    (@before $self:ident, $verb:ident, $($arg:ident),*) => {};
}

downbeat_core::cache_verbs! { slow }

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_was_just_set_going_again_is_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let agents = "## Agents\n\n### one\n- Capabilities: plain\n\n### two\n- Capabilities: rare\n";
    let file = write(place.path(), &format!("{agents}{TWO_NEEDS}"));
    let inner = memory();
    // Whoever gives the order has his own way to the store; the orchestrator is slow to hear of it.
    let cache: Arc<dyn Cache> = Arc::new(Slow { inner: Arc::clone(&inner), prefix: "orders:agent:two" });
    let puppets = Puppets::of(&cache, Some("two"));
    let mut run = start(&cache, &file, &puppets);
    let one = puppets.next().await;
    until(&inner, |event| event.what.kind == EventKind::AGENT_QUARANTINED).await;
    let lease = one.claim(&inner, "a").await;

    let whom = Whom::Agent(AgentName::new("two").unwrap());
    order(&inner, FleetOrder::Restart { whom }).await;
    settle(&inner, lease).await;
    goes_on(&mut run).await;
    assert!(!one.asked.is_cancelled(), "the run is at its end");
    let two = puppets.next().await;
    let lease = two.claim(&inner, "b").await;
    settle(&inner, lease).await;

    let report = report(run, &[&one, &two]).await;
    assert!(report.is_complete(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_that_agents_in_processes_of_their_own_reached_ends_the_run_with_the_reason() {
    let place = tempfile::tempdir().unwrap();
    let text = "## Agents\n\n### one\n\n## Goals\n\n### g: A goal\n\n- [ ] First {#a}\n";
    let file = write(place.path(), text);
    let cache = memory();
    let puppets = Puppets::of(&cache, None);
    let run = orchestrator(&cache, &file, Arc::new(Talks::default()));
    let run = run.spawned_by(Arc::new(Stage(Arc::clone(&puppets))));
    let run = tokio::spawn(async move { run.run(&Stop::new()).await });
    let one = puppets.next().await;

    // What its process writes down when a call finds no room.
    let parked = json!({ "model": null, "reason": "max_tokens = 7 leaves no room", "until": null });
    let store = StoreIf { key: "parked/".to_owned(), expected: 0, value: Some(parked.to_string()) };
    cache.store_if(&store).await.unwrap();
    let event = EventDraft::new(EventKind::LLM_BUDGET).reason("max_tokens = 7 leaves no room");
    let append = Append { stream: events_stream(), entries: vec![event], request: entropy::request_id() };
    cache.append(&append).await.unwrap();
    let report = report(run, &[&one]).await;

    assert_eq!(report.stuck, ["max_tokens = 7 leaves no room"], "{report:?}");
}

// ---- what is spent

/// Says what its call has cost so far, and never answers.
#[derive(Debug, Default)]
struct Talks {
    said: Arc<tokio::sync::Notify>,
}

#[async_trait]
impl Llm for Talks {
    fn name(&self) -> String {
        "talks".to_owned()
    }

    fn cannot_execute(&self, _: &Node) -> Option<String> {
        None
    }

    async fn decompose(&self, request: &Decompose) -> Result<Reply<Draft>, CallError> {
        Offline.decompose(request).await
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        Offline.select(request).await
    }

    async fn execute(&self, request: &Execute) -> Result<Reply<Execution>, CallError> {
        let usage = Usage { calls: 0, input_tokens: 1_000, output_tokens: 10, cost_micros: 300 };
        request.conduct.observer.spent(usage);
        self.said.notify_one();
        std::future::pending().await
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        Offline.summarize(request).await
    }

    async fn assess(&self, request: &Assess) -> Result<Reply<Assessment>, CallError> {
        Offline.assess(request).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_cost_that_the_runs_end_cut_off_is_written_down_before_the_run_ends() {
    let place = tempfile::tempdir().unwrap();
    let text = "## Agents\n\n### one\n\n## Goals\n\n### g: A goal\n\n- [ ] First {#a}\n";
    let file = write(place.path(), text);
    let inner = memory();
    let cache: Arc<dyn Cache> = Arc::new(Slow { inner: Arc::clone(&inner), prefix: "spent-" });
    let talks = Talks::default();
    let said = Arc::clone(&talks.said);
    let (run, stop) = (orchestrator(&cache, &file, Arc::new(talks)), Stop::new());
    let asked = stop.clone();
    let run = tokio::spawn(async move { run.run(&asked).await });
    in_time(said.notified()).await;

    stop.now();
    in_time(run).await.unwrap().unwrap();

    let spent = spending::of_task(inner.as_ref(), &TaskId::new("a").unwrap()).await.unwrap();
    assert_eq!((spent.calls, spent.tokens(), spent.cost_micros), (1, 1_010, 300));
    let goal = spending::of_goal(inner.as_ref(), &"g".parse().unwrap()).await.unwrap();
    assert_eq!(goal, spent);
}

// ---- runs that are asked to end

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_asked_to_end_while_nothing_runs_is_interrupted_and_not_stuck() {
    let place = tempfile::tempdir().unwrap();
    let text =
        "## Agents\n\n### one\n\n## Goals\n\n### g: A goal\n\n- [ ] Fails {#a}\n  ```sh\n  exit 1\n  ```\n";
    let file = write(place.path(), text);
    let hour = Duration::from_secs(3_600);
    let settings = Settings { max_attempts: 2, backoff: Backoff { base: hour, ceiling: hour }, ..settings() };
    // Which of the two is heard first, the word or that the agent left, is chance.
    for _ in 0..20 {
        let cache = memory();
        let llm: Arc<dyn Llm> = Arc::new(Offline);
        let models = Models { default: Arc::clone(&llm), by_agent: HashMap::new(), scribe: llm };
        let project = load::load(&file).unwrap();
        let run =
            Orchestrator::new(Arc::clone(&cache), models, Arc::new(SystemClock), settings.clone(), project);
        let stop = Stop::new();
        let run = {
            let stop = stop.clone();
            tokio::spawn(async move { run.run(&stop).await })
        };
        until(&cache, |event| event.what.kind == EventKind::TASK_RETRY).await;
        stop.drain();
        let report = in_time(run).await.unwrap().unwrap();
        assert!(report.interrupted && report.stuck.is_empty(), "{report:?}");
    }
}
