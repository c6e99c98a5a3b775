//! Whole fleets: real supervisors, lives that the tests decide about.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::backoff::Backoff;
use downbeat_core::cache::{Append, Cache, Liveness, Phase, Read, Registration, Topic, events_stream};
use downbeat_core::diagnostic::Source;
use downbeat_core::event::{Event, EventDraft, EventKind};
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::memory::MemoryCache;
use serde_json::json;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::spawner::{Adopted, Exit, Hire, Life, SpawnError, Spawner};
use super::{Board, Charge, Coming, Supervisor};
use crate::clock::SystemClock;
use crate::entropy;
use crate::feed::Feed;
use crate::load::ProjectAgent;
use crate::settings::Settings;
use crate::steering::{FleetOrder, Given, Whom, give};
use crate::stop::Stop;

/// Unheard for this long a life that hangs is silent, unless it says otherwise.
const HEARD: Duration = Duration::from_millis(40);

/// What a life does.
#[derive(Debug, Clone)]
enum Does {
    /// Ends by itself after so long.
    Ends(Duration, Exit),
    /// Works until it is asked to end.
    Stays,
    /// Says nothing any more and hears nothing; it can only be killed. It is silent when unheard for so long.
    Hangs(Duration),
    /// Runs a real process.
    Process(&'static str),
}

/// Brings lives up that do as they are told, and counts them.
#[derive(Debug)]
struct Troupe {
    cache: Arc<dyn Cache>,
    script: fn(&str, u64) -> Does,
    count: Mutex<Count>,
}

#[derive(Debug, Default)]
struct Count {
    alive: HashMap<AgentName, u64>,
    most: usize,
}

#[derive(Debug)]
struct Part {
    task: JoinHandle<Exit>,
    stop: Stop,
    kill: CancellationToken,
}

#[async_trait]
impl Life for Part {
    fn process(&self) -> Option<u32> {
        None
    }

    async fn ended(&mut self) -> Exit {
        (&mut self.task).await.unwrap()
    }

    fn drain(&self) {
        self.stop.drain();
    }

    fn stop(&self) {
        self.stop.now();
    }

    fn kill(&self) {
        self.kill.cancel();
    }
}

#[derive(Debug)]
struct Stage(Arc<Troupe>);

#[async_trait]
impl Spawner for Stage {
    async fn spawn(&self, hire: &Hire) -> Result<Box<dyn Life>, SpawnError> {
        let troupe = Arc::clone(&self.0);
        let name = hire.name.clone();
        {
            let mut count = troupe.count.lock().unwrap();
            let twice = count.alive.insert(name.clone(), hire.generation);
            assert_eq!(twice, None, "{name} lives twice");
            count.most = count.most.max(count.alive.len());
        }
        let does = (troupe.script)(name.as_str(), hire.generation);
        let ttl = match does {
            Does::Hangs(heard) => heard,
            _ => Duration::from_secs(60),
        };
        let registration = Registration {
            name: name.clone(),
            incarnation: entropy::incarnation(),
            host: "here".to_owned(),
            pid: 1,
            goal: None,
            role: None,
            capabilities: Default::default(),
            max_parallel: 1,
            ttl,
            interruption_limit: 3,
            generation: hire.generation,
        };
        troupe.cache.register(&registration).await.unwrap();
        let event = |kind| EventDraft::new(kind).agent(&name).data(json!({ "generation": hire.generation }));
        let append = Append {
            stream: events_stream(),
            entries: vec![event(EventKind::AGENT_STARTED), event(EventKind::AGENT_READY)],
            request: entropy::request_id(),
        };
        troupe.cache.append(&append).await.unwrap();
        let stop = Stop::new();
        let asked = stop.clone();
        let kill = CancellationToken::new();
        let killed = kill.clone();
        let task = tokio::spawn(async move {
            let exit = match does {
                Does::Ends(after, exit) => tokio::select! {
                    () = tokio::time::sleep(after) => exit,
                    () = asked.draining() => Exit::Finished,
                },
                Does::Stays => {
                    asked.draining().await;
                    Exit::Finished
                }
                Does::Hangs(_) => {
                    killed.cancelled().await;
                    Exit::Killed { signal: 9 }
                }
                Does::Process(script) => {
                    let status = tokio::process::Command::new("sh").arg("-c").arg(script).status().await;
                    let status = status.unwrap();
                    match (status.code(), std::os::unix::process::ExitStatusExt::signal(&status)) {
                        (Some(0), _) => Exit::Finished,
                        (Some(code), _) => {
                            Exit::Failed { reason: "it ended with an error".to_owned(), code: Some(code) }
                        }
                        (None, signal) => Exit::Killed { signal: signal.unwrap() },
                    }
                }
            };
            troupe.count.lock().unwrap().alive.remove(&name);
            exit
        });
        Ok(Box::new(Part { task, stop, kill }))
    }

    async fn adopt(&self) -> Vec<Adopted> {
        Vec::new()
    }
}

struct Scene {
    cache: Arc<dyn Cache>,
    troupe: Arc<Troupe>,
    supervisor: Supervisor,
    stop: Stop,
    board: tokio::sync::watch::Receiver<Board>,
    _feed: Feed,
}

fn memory() -> Arc<dyn Cache> {
    Arc::new(MemoryCache::new(Arc::new(SystemClock)))
}

fn settings() -> Settings {
    let mut settings = Settings::default();
    settings.restart.backoff = Backoff { base: Duration::from_millis(1), ceiling: Duration::from_millis(2) };
    // News tells; nothing here waits for the sweep.
    settings.check_interval = Duration::from_secs(600);
    settings
}

fn declared(text: &str) -> Vec<ProjectAgent> {
    let (instructions, _) = downbeat_core::instructions::parse(&Source::new("I.md", text)).unwrap();
    let agents = instructions.agents.into_iter();
    agents.map(|spec| ProjectAgent { spec, instructions: String::new() }).collect()
}

impl Scene {
    async fn begin(
        cache: &Arc<dyn Cache>,
        text: &str,
        settings: Settings,
        script: fn(&str, u64) -> Does,
    ) -> Self {
        let agents = declared(text);
        let order = crate::orchestrator::start_order(&agents).unwrap();
        let troupe = Arc::new(Troupe { cache: Arc::clone(cache), script, count: Mutex::default() });
        let feed = Feed::start(Arc::clone(cache)).await.unwrap();
        let stop = Stop::new();
        let (shown, board) = tokio::sync::watch::channel(Board::default());
        let charge = Charge {
            cache: Arc::clone(cache),
            settings: Arc::new(settings),
            agents: order.into_iter().map(|agent| Arc::new(agent.clone())).collect(),
            goals: Vec::new(),
            spawner: Arc::new(Stage(Arc::clone(&troupe))),
            news: feed.subscribe(),
            stop: stop.clone(),
            coming: Coming::default(),
            board: shown,
        };
        let supervisor = Supervisor::start(charge).await.unwrap();
        Self { cache: Arc::clone(cache), troupe, supervisor, stop, board, _feed: feed }
    }

    /// Waits until so many events of a kind are there.
    async fn until(&self, kind: EventKind, count: usize) -> Vec<Event> {
        let wait = async {
            let mut seen = 0;
            loop {
                let events = events(&self.cache).await;
                let found: Vec<Event> = events.into_iter().filter(|event| event.what.kind == kind).collect();
                if found.len() >= count {
                    return found;
                }
                let topic = Topic::Stream(events_stream());
                seen = self.cache.changed(&topic, seen, Duration::from_secs(60)).await.unwrap();
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(60), wait).await;
        assert!(waited.is_ok(), "{count} of {kind} never came: {:#?}", events(&self.cache).await);
        waited.unwrap()
    }

    async fn order(&self, order: FleetOrder) {
        let given = Given { order: order.into(), by: "test".to_owned(), request: entropy::request_id() };
        assert!(give(self.cache.as_ref(), &given).await.unwrap().applied);
    }

    async fn close(self) -> Vec<Event> {
        self.stop.drain();
        self.supervisor.close().await;
        assert!(self.troupe.count.lock().unwrap().alive.is_empty(), "closed before the last end");
        let events = events(&self.cache).await;
        assert_eq!(events.last().unwrap().what.kind, EventKind::AGENTS_ALL_TERMINATED);
        events
    }
}

async fn events(cache: &Arc<dyn Cache>) -> Vec<Event> {
    cache.read(&Read { stream: events_stream(), after: 0, limit: 10_000 }).await.unwrap().entries
}

fn of(events: &[Event], kind: &EventKind) -> Vec<Event> {
    events.iter().filter(|event| event.what.kind == *kind).cloned().collect()
}

fn who(events: &[Event]) -> Vec<String> {
    events.iter().filter_map(|event| event.what.agent.as_ref()).map(ToString::to_string).collect()
}

fn agent(name: &str) -> AgentName {
    AgentName::new(name).unwrap()
}

fn group(name: &str) -> GroupName {
    GroupName::new(name).unwrap()
}

async fn line(cache: &Arc<dyn Cache>, name: &str) -> super::board::Line {
    Board::load(cache.as_ref()).await.unwrap().agents[&agent(name)].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn thirty_agents_start_in_topological_order_three_at_a_time() {
    let names: Vec<String> = (0..30).map(|n| format!("a{n:02}")).collect();
    let mut text = "## Agents\n".to_owned();
    for n in (0..30).rev() {
        text += &format!("### {}\n", names[n]);
        if n > 0 {
            text += &format!("- Depends On: {} (started)\n", names[n - 1]);
        }
    }
    let settings = Settings { max_workers: Some(3), ..settings() };
    let cache = memory();
    let scene =
        Scene::begin(&cache, &text, settings, |_, _| Does::Ends(Duration::from_millis(15), Exit::Finished))
            .await;

    scene.until(EventKind::AGENT_TERMINATED, 30).await;
    let most = scene.troupe.count.lock().unwrap().most;
    let events = scene.close().await;

    assert_eq!(who(&of(&events, &EventKind::AGENT_STARTED)), names);
    assert_eq!(most, 3, "as many as may be, and never more");
    let mut alive = 0_i32;
    let mut free = std::collections::VecDeque::new();
    let mut latencies = Vec::new();
    for event in &events {
        if event.what.kind == EventKind::AGENT_REGISTERED {
            alive += 1;
            if let Some(free) = free.pop_front() {
                latencies.push(event.at.as_millis() - free);
            }
        } else if event.what.kind == EventKind::AGENT_TERMINATED {
            alive -= 1;
            free.push_back(event.at.as_millis());
        }
        assert!(alive <= 3, "{events:#?}");
    }
    assert_eq!(of(&events, &EventKind::AGENTS_ALL_TERMINATED).len(), 1);
    assert_eq!(latencies.len(), 27);
    latencies.sort_unstable();
    println!("from an end to the next start: median {} ms, most {} ms", latencies[13], latencies[26]);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_ends_leave_three_different_records() {
    let cache = memory();
    let text =
        "## Agents\n### fine\n- Restart: never\n### error\n- Restart: never\n### killed\n- Restart: never\n";
    let scene = Scene::begin(&cache, text, settings(), |name, _| {
        Does::Process(match name {
            "fine" => "exit 0",
            "error" => "exit 3",
            _ => "kill -KILL $$",
        })
    })
    .await;

    scene.until(EventKind::AGENT_TERMINATED, 3).await;
    let events = scene.close().await;

    let mut records: Vec<_> = of(&events, &EventKind::AGENT_TERMINATED)
        .into_iter()
        .map(|event| (event.what.agent.unwrap().to_string(), event.what.data, event.what.reason.unwrap()))
        .collect();
    records.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        records,
        [
            (
                "error".to_owned(),
                json!({"exit": "error", "code": 3, "generation": 1}),
                "it ended with an error (exit code 3)".to_owned()
            ),
            ("fine".to_owned(), json!({"exit": "ok", "generation": 1}), "it finished".to_owned()),
            (
                "killed".to_owned(),
                json!({"exit": "signal", "signal": 9, "generation": 1}),
                "it was killed by SIGKILL".to_owned()
            ),
        ]
    );
    assert_eq!(line(&cache, "error").await.stage, "failed");
    assert_eq!(line(&cache, "fine").await.stage, "finished");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_loop_ends_in_quarantine_and_stops_those_that_wait_for_it() {
    let cache = memory();
    let text = "## Agents\n### last\n- Depends On: middle\n### middle\n- Depends On: first (finished)\n\
        ### first\n- Max Restarts: 3\n### other\n";
    let scene = Scene::begin(&cache, text, settings(), |name, _| match name {
        "first" => Does::Ends(Duration::ZERO, Exit::Failed { reason: "no luck".to_owned(), code: None }),
        _ => Does::Stays,
    })
    .await;

    // Four ends and two that were never started.
    scene.until(EventKind::AGENT_ERROR, 6).await;
    let first = cache.agent(&agent("first")).await.unwrap().unwrap();
    assert_eq!((first.phase, first.liveness), (Phase::Quarantined, Liveness::Dead));
    assert_eq!(cache.agent(&agent("other")).await.unwrap().unwrap().liveness, Liveness::Alive);
    assert!(cache.agent(&agent("last")).await.unwrap().is_none());

    // A person's word starts it again, and with it those that waited.
    scene.order(FleetOrder::Restart { whom: Whom::Agent(agent("first")) }).await;
    scene.until(EventKind::AGENT_QUARANTINED, 2).await;
    let events = scene.close().await;

    let quarantined = of(&events, &EventKind::AGENT_QUARANTINED);
    let reason = quarantined[0].what.reason.clone().unwrap();
    assert_eq!(reason, "it ended 4 times within 10m; the last time no luck");
    let lives: Vec<_> = of(&events, &EventKind::AGENT_STARTED)
        .iter()
        .filter(|event| event.what.agent == Some(agent("first")))
        .map(|event| event.what.data["generation"].as_u64().unwrap())
        .collect();
    assert_eq!(lives, [1, 2, 3, 4, 5, 6, 7, 8]);
    let errors = of(&events, &EventKind::AGENT_ERROR);
    let of_agent = |name: &str| -> Vec<String> {
        let own = errors.iter().filter(|event| event.what.agent == Some(agent(name)));
        own.map(|event| event.what.reason.clone().unwrap()).collect()
    };
    assert_eq!(
        of_agent("middle")[0],
        format!("not started: it depends on `first` (finished), which is quarantined: {reason}")
    );
    assert!(
        of_agent("last")[0]
            .starts_with("not started: it depends on `middle` (ready), which was not started: it")
    );
    assert_eq!(line(&cache, "first").await.restarts, 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_that_is_not_heard_is_ended_and_followed_by_another() {
    let cache = memory();
    let settings = Settings { check_interval: Duration::from_millis(5), ..settings() };
    let text = "## Agents\n### mute\n### other\n";
    let scene = Scene::begin(&cache, text, settings, |name, generation| match (name, generation) {
        ("mute", 1) => Does::Hangs(HEARD),
        // Long enough for the order to come first.
        ("mute", 2) => Does::Hangs(Duration::from_secs(1)),
        _ => Does::Stays,
    })
    .await;
    scene.until(EventKind::AGENT_STARTED, 2).await;
    let registered = cache.agent(&agent("mute")).await.unwrap().unwrap().registered_at;

    // The second one is asked to end before: a person's word does not reach it either.
    scene.until(EventKind::AGENT_STARTED, 3).await;
    scene.order(FleetOrder::Restart { whom: Whom::Agent(agent("mute")) }).await;
    let started = scene.until(EventKind::AGENT_STARTED, 4).await;
    assert_eq!(who(&started[2..]), ["mute", "mute"]);
    let events = scene.close().await;

    let ended = of(&events, &EventKind::AGENT_TERMINATED);
    let of_mute: Vec<_> = ended.iter().filter(|it| it.what.agent == Some(agent("mute"))).take(2).collect();
    for ((end, generation), unheard) in of_mute.iter().zip(1..).zip(["80ms", "2s"]) {
        let reason = end.what.reason.as_deref().unwrap();
        assert!(reason.starts_with(&format!("it was not heard for {unheard} (last at ")), "{reason}");
        assert_eq!(end.what.data, json!({"exit": "signal", "signal": 9, "generation": generation}));
    }
    assert!(of_mute[0].at.since(registered) >= HEARD * 2, "its silence and a grace");
    assert_eq!(line(&cache, "mute").await.restarts, 1, "the second end was asked for");
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_restarts_make_eleven_lives_one_at_a_time() {
    let cache = memory();
    let scene = Scene::begin(&cache, "## Agents\n### a\n", settings(), |_, _| Does::Stays).await;

    for generation in 1..=10 {
        scene.until(EventKind::AGENT_STARTED, generation).await;
        scene.order(FleetOrder::Restart { whom: Whom::Agent(agent("a")) }).await;
    }
    let started = scene.until(EventKind::AGENT_STARTED, 11).await;
    let known = cache.agent(&agent("a")).await.unwrap().unwrap();
    assert_eq!((known.registration.generation, known.liveness), (11, Liveness::Alive));
    assert_eq!(scene.troupe.count.lock().unwrap().most, 1);
    scene.close().await;

    let lives: Vec<_> = started.iter().map(|event| event.what.data["generation"].as_u64().unwrap()).collect();
    assert_eq!(lives, (1..=11).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_stopped_stays_so_over_a_new_orchestrator() {
    let cache = memory();
    let text = "## Agents\n### a\n- Groups: night\n### b\n- Groups: night, day\n### c\n";
    let scene = Scene::begin(&cache, text, settings(), |_, _| Does::Stays).await;
    scene.until(EventKind::AGENT_STARTED, 3).await;
    scene.order(FleetOrder::Stop { whom: Whom::Group(group("night")) }).await;
    let ended = scene.until(EventKind::AGENT_TERMINATED, 2).await;
    let mut stopped = who(&ended);
    stopped.sort();
    assert_eq!(stopped, ["a", "b"]);
    assert_eq!(ended[0].what.reason.as_deref(), Some("group `night` was stopped by test"));
    scene.order(FleetOrder::Start { whom: Whom::Agent(agent("b")) }).await;
    scene.until(EventKind::AGENT_STARTED, 4).await;
    scene.close().await;

    // `b` was started by its own name, which is nearer than its group's.
    let scene = Scene::begin(&cache, text, settings(), |_, _| Does::Stays).await;
    let started = scene.until(EventKind::AGENT_STARTED, 6).await;
    let mut again = who(&started[4..]);
    again.sort();
    assert_eq!(again, ["b", "c"]);
    assert_eq!(line(&cache, "a").await.stage, "stopped");
    scene.order(FleetOrder::Start { whom: Whom::Group(group("night")) }).await;
    let started = scene.until(EventKind::AGENT_STARTED, 7).await;
    assert_eq!(started[6].what.data, json!({"generation": 2}));
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_limited_paused_and_resumed() {
    let cache = memory();
    let text = "## Agents\n### a\n- Groups: g\n### b\n- Groups: g\n### c\n";
    let scene = Scene::begin(&cache, text, settings(), |_, _| Does::Stays).await;
    scene.until(EventKind::AGENT_STARTED, 3).await;
    scene.order(FleetOrder::PauseGroup { group: group("g") }).await;
    let mut paused = who(&scene.until(EventKind::AGENT_PAUSED, 2).await);
    paused.sort();
    assert_eq!(paused, ["a", "b"]);
    scene.order(FleetOrder::ResumeGroup { group: group("g") }).await;
    scene.until(EventKind::AGENT_RESUMED, 2).await;

    scene.order(FleetOrder::LimitGroup { group: group("g"), running: Some(1) }).await;
    scene.order(FleetOrder::Stop { whom: Whom::Agent(agent("b")) }).await;
    scene.until(EventKind::AGENT_TERMINATED, 1).await;
    scene.order(FleetOrder::Start { whom: Whom::Agent(agent("b")) }).await;
    // It waits for the only place of its group, and has it when the other ends.
    scene.order(FleetOrder::Stop { whom: Whom::Agent(agent("a")) }).await;
    let started = scene.until(EventKind::AGENT_STARTED, 4).await;
    assert_eq!(who(&started[3..]), ["b"]);
    let ended = scene.until(EventKind::AGENT_TERMINATED, 2).await;
    assert_eq!(who(&ended), ["b", "a"]);
    assert!(ended[1].seq < started[3].seq, "only after the place was free");
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_declared_limit_of_a_group_holds_unless_an_order_says_otherwise() {
    let cache = memory();
    let text = "## Agents\n### a\n- Groups: g\n### b\n- Groups: g (1)\n### c\n- Groups: g\n";
    let scene = Scene::begin(&cache, text, settings(), |_, _| Does::Stays).await;
    scene.until(EventKind::AGENT_STARTED, 1).await;
    let limit = |running| FleetOrder::LimitGroup { group: group("g"), running };

    scene.order(limit(Some(2))).await;
    let started = scene.until(EventKind::AGENT_STARTED, 2).await;
    assert_eq!(who(&started), ["a", "b"]);
    scene.order(limit(None)).await;
    scene.order(FleetOrder::Stop { whom: Whom::Agent(agent("b")) }).await;
    scene.until(EventKind::AGENT_TERMINATED, 1).await;
    assert_eq!(scene.troupe.count.lock().unwrap().most, 2, "as ordered");
    scene.close().await;

    let held_up = line(&cache, "c").await;
    assert_eq!(held_up.generation, 0, "as declared again: one at a time");
    assert_eq!(Board::load(cache.as_ref()).await.unwrap().limits, [(group("g"), 1)].into());

    // The order is gone, and what is declared holds from the first start on.
    let scene = Scene::begin(&cache, text, settings(), |_, _| Does::Stays).await;
    scene.until(EventKind::AGENT_STARTED, 3).await;
    scene.order(FleetOrder::Stop { whom: Whom::Agent(agent("a")) }).await;
    scene.until(EventKind::AGENT_STARTED, 4).await;
    assert_eq!(scene.troupe.count.lock().unwrap().most, 1);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_declared_otherwise_is_told_by_what_and_a_new_limit_starts_nobody_anew() {
    let cache = memory();
    let text = "## Agents\n### a\n- Groups: g\n### b\n- Groups: g\n";
    let scene = Scene::begin(&cache, text, settings(), |_, _| Does::Stays).await;
    scene.until(EventKind::AGENT_STARTED, 2).await;
    let declare = |text: &str| {
        let agents = declared(text).into_iter().map(Arc::new).collect();
        scene.supervisor.declarer().declare(agents, Vec::new(), "INSTRUCTIONS.md");
    };

    declare(
        "Prose.\n\n## Agents\n### a\n- Groups: g (1)\n### b\n- Groups: g\n- Timeout: 5s\n- Role: writer\n",
    );
    let ended = scene.until(EventKind::AGENT_TERMINATED, 1).await;
    assert_eq!(who(&ended), ["b"]);
    let reason = ended[0].what.reason.as_deref();
    assert_eq!(reason, Some("INSTRUCTIONS.md declares it otherwise: Role, Timeout"));
    scene.order(FleetOrder::Restart { whom: Whom::Agent(agent("a")) }).await;
    let ended = scene.until(EventKind::AGENT_TERMINATED, 2).await;
    assert_eq!(ended[1].what.reason.as_deref(), Some("restarted by test"));
    // One of them may live now: `b` waited, and has the place.
    let started = scene.until(EventKind::AGENT_STARTED, 3).await;
    assert_eq!(who(&started[2..]), ["b"]);
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_life_that_cannot_begin_counts_as_one_that_ended() {
    #[derive(Debug)]
    struct Never;

    #[async_trait]
    impl Spawner for Never {
        async fn spawn(&self, _: &Hire) -> Result<Box<dyn Life>, SpawnError> {
            Err(SpawnError::Failed { reason: "no such program".to_owned() })
        }

        async fn adopt(&self) -> Vec<Adopted> {
            Vec::new()
        }
    }

    let cache = memory();
    let mut scene = Scene::begin(&cache, "## Agents\n### a\n", settings(), |_, _| Does::Stays).await;
    scene.until(EventKind::AGENT_STARTED, 1).await;
    scene.stop.drain();
    scene.supervisor.close().await;

    let (instructions, _) =
        downbeat_core::instructions::parse(&Source::new("I.md", "## Agents\n### never\n")).unwrap();
    let spec = instructions.agents[0].clone();
    scene.stop = Stop::new();
    let charge = Charge {
        cache: Arc::clone(&cache),
        settings: Arc::new(settings()),
        agents: vec![Arc::new(ProjectAgent { spec, instructions: String::new() })],
        goals: Vec::new(),
        spawner: Arc::new(Never),
        news: scene._feed.subscribe(),
        stop: scene.stop.clone(),
        coming: Coming::default(),
        board: tokio::sync::watch::channel(Board::default()).0,
    };
    scene.supervisor = Supervisor::start(charge).await.unwrap();
    let quarantined = scene.until(EventKind::AGENT_QUARANTINED, 1).await;
    assert_eq!(
        quarantined[0].what.reason.as_deref(),
        Some("it ended 6 times within 10m; the last time no such program")
    );
    scene.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_declared_later_stands_as_was_ordered_before() {
    let cache = memory();
    let text = "## Agents\n### a\n";
    let scene = Scene::begin(&cache, text, settings(), |_, _| Does::Stays).await;
    let declare = |text: &str| {
        let agents = declared(text).into_iter().map(Arc::new).collect();
        scene.supervisor.declarer().declare(agents, Vec::new(), "INSTRUCTIONS.md");
    };
    scene.until(EventKind::AGENT_READY, 1).await;
    scene.order(FleetOrder::Stop { whom: Whom::Agent(agent("late")) }).await;
    scene.order(FleetOrder::Stop { whom: Whom::Group(group("night")) }).await;
    scene.order(FleetOrder::Start { whom: Whom::Agent(agent("own")) }).await;
    scene.order(FleetOrder::PauseGroup { group: group("day") }).await;
    scene.supervisor.declarer().caught_up().await;

    let more = "### late\n### owl\n- Groups: night\n### own\n- Groups: night\n### lark\n- Groups: day\n";
    declare(&format!("{text}{more}"));
    scene.supervisor.declarer().caught_up().await;
    let started = scene.until(EventKind::AGENT_READY, 3).await;
    let started: BTreeSet<_> = who(&started).into_iter().collect();
    assert_eq!(
        started,
        ["a", "lark", "own"].map(str::to_owned).into(),
        "its own order is nearer than its group's"
    );
    assert!(cache.agent(&agent("lark")).await.unwrap().unwrap().paused);

    // Gone and back again, it is still stopped.
    scene.order(FleetOrder::Stop { whom: Whom::Agent(agent("own")) }).await;
    scene.until(EventKind::AGENT_TERMINATED, 1).await;
    declare(text);
    declare(&format!("{text}{more}"));
    scene.supervisor.declarer().caught_up().await;
    let stages: Vec<_> = {
        let board = scene.board.borrow();
        board.agents.iter().map(|(name, line)| format!("{name} {}", line.stage)).collect()
    };
    assert!(stages.contains(&"own stopped".to_owned()), "{stages:?}");
    assert!(stages.contains(&"late stopped".to_owned()), "{stages:?}");
    assert!(stages.contains(&"owl stopped".to_owned()), "{stages:?}");
    scene.order(FleetOrder::Start { whom: Whom::Agent(agent("late")) }).await;
    // The one that was paused began again, too.
    let all = scene.until(EventKind::AGENT_READY, 5).await;
    assert!(who(&all).contains(&"late".to_owned()));
    scene.close().await;
}
