//! Runs workers, plans work, and does to them what happens to processes, connections and servers.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{Cache, Plan, Read, Streams, Sweep, Task, TaskQuery, Tasks, Topic, events_stream};
use downbeat_core::conformance::kit::draw;
use downbeat_core::dag::Dag;
use downbeat_core::event::Event;
use downbeat_core::goal::{Goal, GoalStatus, Usage};
use downbeat_core::ids::{GoalId, RequestId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::time::Instant;

use crate::proxy::{self, Faults};
use crate::record::{Call, read_all};
use crate::throwaway::Server;
use crate::worker::{self, Kernel, TTL};

const WORKERS: usize = 8;
/// How long the workers have, once all is well again, to finish what is left.
const HEALING: Duration = Duration::from_secs(60);
/// A goal's layers, and the tasks of each.
const LAYERS: usize = 4;
const WIDTH: usize = 8;

/// All that is known of a run.
pub(crate) struct History {
    pub(crate) calls: Vec<Call>,
    pub(crate) events: Vec<Event>,
    pub(crate) trimmed: u64,
    pub(crate) goals: Vec<Goal>,
    pub(crate) tasks: Vec<Task>,
    pub(crate) dags: Vec<Arc<Dag>>,
    /// Every goal whose plan was acknowledged.
    pub(crate) planned: Vec<GoalId>,
    kills: u32,
    stops: u32,
    delays: u32,
    crashes: u32,
    cuts: u64,
}

impl History {
    fn lost(&self) -> usize {
        self.calls.iter().filter(|call| call.told == "lost").count()
    }

    pub(crate) fn summary(&self) -> String {
        format!(
            "{} goals, {} tasks, {} calls ({} unanswered, {} lost leases), {} events; workers killed {} times and \
             stopped {} times, {} delays, {} connections cut, server killed {} times",
            self.planned.len(),
            self.tasks.len(),
            self.calls.len(),
            self.calls.iter().filter(|call| call.told_at.is_none()).count(),
            self.lost(),
            self.events.len(),
            self.kills,
            self.stops,
            self.delays,
            self.cuts,
            self.crashes
        )
    }

    /// Whether enough went wrong, and enough was done all the same.
    pub(crate) fn is_a_trial(&self) -> bool {
        self.kills > 0
            && self.stops > 0
            && self.cuts > 0
            && self.crashes > 0
            && self.lost() > 0
            && self.tasks.len() > 50
    }
}

struct Process {
    child: Child,
    stopped_until: Option<Instant>,
}

impl Process {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.child.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

struct Nemesis {
    random: fastrand::Rng,
    kernel: Kernel,
    server: Server,
    records: TempDir,
    url: String,
    workers: Vec<Process>,
    lives: usize,
    faults: Arc<Faults>,
    cache: RedisCache,
    planned: Vec<GoalId>,
    strikes: usize,
    counts: [u32; 4],
}

impl Nemesis {
    fn spawn(&mut self, slot: usize) -> Process {
        self.lives += 1;
        // Every third host has the right time; the others are off by several leases.
        let skew = [0, 3_000, -3_000][slot % 3];
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["worker_process", "--exact", "--ignored", "--nocapture"])
            .env(worker::URL, &self.url)
            .env(worker::KERNEL, self.kernel.name())
            .env(worker::NAME, format!("w{slot}-{}", self.lives))
            .env(worker::RECORDS, self.records.path())
            .env(worker::SKEW, skew.to_string())
            .env(worker::SEED, self.random.u64(..).to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Process { child, stopped_until: None }
    }

    async fn plan(&mut self) {
        let goal = format!("g{}", self.planned.len());
        let mut drawing = Vec::new();
        for layer in 0..LAYERS {
            for n in 0..WIDTH {
                let mut line = format!("{goal}.{layer}.{n}: *1000");
                for _ in 0..3 {
                    if layer > 0 {
                        let on = format!(" {goal}.{}.{}", layer - 1, self.random.usize(..WIDTH));
                        if !line.contains(&on) {
                            line.push_str(&on);
                        }
                    }
                }
                drawing.push(line);
            }
        }
        let plan = Plan {
            parent: None,
            dag: draw(&goal, &drawing.join("; ")),
            title: goal.clone(),
            request: RequestId(format!("plan {goal}")),
            max_attempts: 1_000,
            spent: Usage::default(),
        };
        while self.cache.plan(&plan).await.is_err() {}
        self.planned.push(GoalId::new(&goal).unwrap());
    }

    async fn unfinished(&self) -> Option<u64> {
        Some(self.cache.goals().await.ok()?.iter().map(|goal| goal.counts.unfinished()).sum())
    }

    /// One thing goes wrong.
    fn strike(&mut self) {
        let slot = self.random.usize(..WORKERS);
        // Everything once, and then as it comes.
        let first = [95, 0, 50, 25, 75].get(self.strikes).copied();
        self.strikes += 1;
        match first.unwrap_or_else(|| self.random.u32(..100)) {
            0..25 => {
                self.workers[slot].signal(Signal::SIGKILL);
                self.workers[slot] = self.spawn(slot);
                self.counts[0] += 1;
            }
            25..50 => {
                let span = TTL.mul_f64(1.2 + 2.0 * self.random.f64());
                self.workers[slot].signal(Signal::SIGSTOP);
                self.workers[slot].stopped_until = Some(Instant::now() + span);
                self.counts[1] += 1;
            }
            50..75 => self.faults.cut_after(self.random.u16(1..3_000)),
            75..93 => {
                let longest = u64::try_from(TTL.as_millis()).unwrap();
                self.faults.delay(Duration::from_millis(self.random.u64(1..longest)));
                self.counts[2] += 1;
            }
            _ => {
                tokio::task::block_in_place(|| self.server.crash());
                self.counts[3] += 1;
            }
        }
    }

    fn wake_stopped(&mut self, all: bool) {
        for worker in &mut self.workers {
            if worker.stopped_until.is_some_and(|until| all || until <= Instant::now()) {
                worker.signal(Signal::SIGCONT);
                worker.stopped_until = None;
            }
        }
    }

    async fn torment(&mut self, span: Duration) {
        let end = Instant::now() + span;
        let mut next = Instant::now() + Duration::from_millis(500);
        let mut calm = Instant::now();
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.wake_stopped(false);
            if calm <= Instant::now() {
                self.faults.delay(Duration::ZERO);
            }
            if next <= Instant::now() {
                self.strike();
                calm = Instant::now() + Duration::from_millis(self.random.u64(200..900));
                next = Instant::now() + Duration::from_millis(self.random.u64(40..400));
            }
            if self.unfinished().await.is_some_and(|left| left < 24) {
                self.plan().await;
            }
        }
    }

    /// All is well again: the workers finish what is left.
    async fn heal(&mut self) {
        self.faults.none();
        self.wake_stopped(true);
        let end = Instant::now() + HEALING;
        let topic = Topic::Stream(events_stream());
        loop {
            let seen = self.cache.changed(&topic, u64::MAX, Duration::ZERO).await.unwrap_or(0);
            if Instant::now() >= end || self.unfinished().await == Some(0) {
                return;
            }
            let _ = self.cache.sweep(&Sweep { limit: 100 }).await;
            let _ = self.cache.changed(&topic, seen, TTL).await;
        }
    }
}

/// Lets eight workers of a kernel work for so long while things go wrong, and tells what happened.
pub(crate) async fn run(kernel: Kernel, seed: u64, span: Duration) -> History {
    let server = Server::start_with(&["--appendfsync", "always"]);
    let faults = Arc::<Faults>::default();
    let socket = server.url().trim_start_matches("redis+unix://").into();
    let port = proxy::start(socket, Arc::clone(&faults)).await;
    let cache = RedisCache::connect(Options::new(server.url())).await.unwrap();
    let mut nemesis = Nemesis {
        random: fastrand::Rng::with_seed(seed),
        kernel,
        server,
        records: tempfile::tempdir().unwrap(),
        url: format!("redis://127.0.0.1:{port}/"),
        workers: Vec::new(),
        lives: 0,
        faults,
        cache,
        planned: Vec::new(),
        strikes: 0,
        counts: [0; 4],
    };
    nemesis.plan().await;
    for slot in 0..WORKERS {
        let worker = nemesis.spawn(slot);
        nemesis.workers.push(worker);
    }
    nemesis.torment(span).await;
    nemesis.heal().await;
    nemesis.workers.clear();
    nemesis.tell().await
}

impl Nemesis {
    async fn tell(self) -> History {
        let cache: &dyn Cache = &self.cache;
        let read = Read { stream: events_stream(), after: 0, limit: usize::MAX };
        let page = cache.read(&read).await.unwrap();
        let goals = cache.goals().await.unwrap();
        let (mut tasks, mut dags) = (Vec::new(), Vec::new());
        for goal in &goals {
            let query = TaskQuery { goal: goal.id.clone(), status: None, after: None, limit: usize::MAX };
            tasks.extend(cache.tasks(&query).await.unwrap());
            dags.push(cache.dag(&goal.id).await.unwrap().unwrap());
        }
        let [kills, stops, delays, crashes] = self.counts;
        History {
            calls: read_all(self.records.path()),
            trimmed: page.trimmed,
            events: page.entries,
            goals,
            tasks,
            dags,
            planned: self.planned,
            kills,
            stops,
            delays,
            crashes,
            cuts: self.faults.cuts.load(Ordering::SeqCst),
        }
    }
}

/// Whether a goal ended as every goal should.
pub(crate) fn ended_well(goal: &Goal) -> bool {
    goal.status == GoalStatus::Complete
}
