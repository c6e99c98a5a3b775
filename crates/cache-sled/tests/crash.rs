//! `kill -9` at random moments: what was acknowledged is there, nothing is half there.
//!
//! `DOWNBEAT_CRASH_RUNS` says how many kills, `DOWNBEAT_CRASH_SEED` which ones.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests are test code")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_sled::{Durability, Options, SledCache};
use downbeat_core::cache::{
    Acquire, Append, Claim, ClaimReply, Claimed, Plan, Read, Records, Settle, StoreIf, Streams, Sweep, Tasks,
};
use downbeat_core::dag::{Dag, Draft, DraftEdge, DraftNode, validate};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{GoalId, Incarnation, RequestId, StreamName, TaskId, Token};
use downbeat_core::state::{Failure, Outcome, TaskStatus};
use downbeat_core::time::{ManualClock, Timestamp};
use serde::{Deserialize, Serialize};

const DIRECTORY: &str = "DOWNBEAT_CRASH_DIRECTORY";
const RUN: &str = "DOWNBEAT_CRASH_RUN";

/// Something that a cache has answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
enum Ack {
    Opened { epoch: u64 },
    Planned { goal: GoalId, tasks: u64 },
    Claimed { task: TaskId, token: Token },
    Settled { task: TaskId, token: Token, request: RequestId, done: bool },
    Appended { stream: StreamName, last: u64, what: String },
    Stored { key: String, version: u64, length: usize },
    Held { name: String, token: Token },
}

/// Each opening takes place an hour later, so that leases from before have expired.
fn open(path: &Path, hour: u64) -> SledCache {
    let start = Timestamp::from_millis(1_793_000_000_000).after(Duration::from_secs(3_600 * hour));
    SledCache::open(Options {
        path: path.to_owned(),
        clock: Arc::new(ManualClock::at(start)),
        // Both: where answers wait for a sync, groups are decided while others are synced.
        durability: if (hour / 2).is_multiple_of(2) { Durability::Power } else { Durability::Process },
        limits: downbeat_core::cache::StreamLimits::default(),
        holder: "a crash test".to_owned(),
    })
    .unwrap()
}

// ---- the process that is killed

fn say(ack: &Ack) {
    let line = format!("ack {}\n", serde_json::to_string(ack).unwrap());
    // One write, so that no line is torn.
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

#[test]
fn killed_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let run: u64 = std::env::var(RUN).unwrap().parse().unwrap();
    println!();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let cache = open(Path::new(&directory), 2 * run);
        say(&Ack::Opened { epoch: cache.epoch() });
        let mut work = tokio::task::JoinSet::new();
        work.spawn(make_plans(cache.clone(), run));
        for agent in 0..3 {
            work.spawn(drain(cache.clone(), run, agent));
        }
        work.spawn(append_entries(cache.clone(), run));
        work.spawn(write_documents(cache.clone(), run));
        while work.join_next().await.transpose().unwrap().is_some() {}
    });
}

fn random_dag(goal: &str, random: &mut fastrand::Rng) -> Arc<Dag> {
    let id = |number: usize| format!("{goal}.t{number}");
    // Now and then one that is too large for one batch.
    let large = random.u8(..) < 6;
    let size = if large { 1_500 } else { random.usize(1..12) };
    let nodes = (0..size)
        .map(|number| DraftNode {
            id: id(number),
            title: "x".repeat(random.usize(1..if large { 20 } else { 400 })),
            description: (!large && random.bool()).then(|| "y".repeat(random.usize(1..20_000))),
            priority: random.u32(0..3),
            capabilities: (0..random.usize(0..2)).map(|_| "shell".to_owned()).collect(),
            ..DraftNode::default()
        })
        .collect();
    let mut edges = Vec::new();
    for target in 1..if large { 0 } else { size } {
        for source in 0..target {
            if random.u8(..) < 60 {
                edges.push(DraftEdge { source: id(source), target: id(target) });
            }
        }
    }
    Arc::new(validate(Draft { goal_id: goal.to_owned(), nodes, edges }).unwrap())
}

async fn make_plans(cache: SledCache, run: u64) {
    let mut random = fastrand::Rng::with_seed(run);
    for number in 0.. {
        let dag = random_dag(&format!("g{run}-{number}"), &mut random);
        let plan = Plan {
            parent: None,
            dag: Arc::clone(&dag),
            title: "a goal".to_owned(),
            request: RequestId(format!("plan-{run}-{number}")),
            max_attempts: 3,
            spent: Usage::default(),
        };
        let goal = cache.plan(&plan).await.unwrap();
        say(&Ack::Planned { goal: goal.id, tasks: goal.counts.total() });
        cache.sweep(&Sweep { limit: 5 }).await.unwrap();
        // Not more than is worked on.
        let events = downbeat_core::cache::events_stream();
        let seen =
            cache.changed(&downbeat_core::cache::Topic::Stream(events.clone()), 0, Duration::ZERO).await;
        let topic = downbeat_core::cache::Topic::Stream(events);
        cache.changed(&topic, seen.unwrap() + 20, Duration::from_millis(20)).await.unwrap();
    }
}

async fn drain(cache: SledCache, run: u64, agent: u64) {
    let mut random = fastrand::Rng::with_seed(run << 8 | agent);
    let mut held: Option<Claimed> = None;
    for number in 0.. {
        let claim = Claim {
            avoid: std::collections::BTreeSet::default(),
            agent: format!("agent-{agent}").parse().unwrap(),
            incarnation: Incarnation(format!("run-{run}")),
            request: RequestId(format!("claim-{run}-{agent}-{number}")),
            goal: None,
            capabilities: ["shell".parse().unwrap()].into(),
            task: None,
            ttl: Duration::from_secs(60),
        };
        let reply = match held.take() {
            None => cache.claim(&claim).await.unwrap(),
            Some(claimed) => {
                let outcome = match random.u8(0..10) {
                    0 => Outcome::Release { reason: "for once".to_owned() },
                    1 => Outcome::Retry {
                        failure: Failure::new("f".repeat(3_000), Some(&"d".repeat(9_000))),
                        after: Duration::ZERO,
                    },
                    _ => Outcome::Done { summary: "s".repeat(random.usize(0..9_000)), artifacts: Vec::new() },
                };
                let done = matches!(outcome, Outcome::Done { .. });
                let settle = Settle {
                    task: claimed.lease.task,
                    token: claimed.lease.token,
                    request: RequestId(format!("settle-{run}-{agent}-{number}")),
                    outcome,
                    spent: Usage::default(),
                    next: Some(claim),
                };
                let settled = cache.settle(&settle).await.unwrap();
                let Settle { task, token, request, .. } = settle;
                say(&Ack::Settled { task, token, request, done });
                settled.next.unwrap()
            }
        };
        if let ClaimReply::Granted(claimed) = reply {
            say(&Ack::Claimed { task: claimed.lease.task.clone(), token: claimed.lease.token });
            held = Some(*claimed);
        } else {
            let topic = downbeat_core::cache::Topic::Ready;
            let seen = cache.changed(&topic, 0, Duration::ZERO).await.unwrap();
            cache.changed(&topic, seen, Duration::from_millis(10)).await.unwrap();
        }
    }
}

async fn append_entries(cache: SledCache, run: u64) {
    let mut random = fastrand::Rng::with_seed(run ^ 1 << 20);
    let stream: StreamName = "inbox.a".parse().unwrap();
    for number in 0.. {
        let entries: Vec<_> = (0..random.usize(1..5))
            .map(|entry| {
                let kind = EventKind::new("note").unwrap();
                let padding = "p".repeat(if random.u8(..) < 8 { 150_000 } else { 50 });
                EventDraft::new(kind).reason(format!("{run}-{number}-{entry}-{padding}"))
            })
            .collect();
        let what = entries.last().unwrap().reason.clone().unwrap();
        let request = RequestId(format!("append-{run}-{number}"));
        let append = Append { stream: stream.clone(), entries, request };
        let last = cache.append(&append).await.unwrap();
        let what = what.chars().take(40).collect();
        say(&Ack::Appended { stream: stream.clone(), last, what });
    }
}

async fn write_documents(cache: SledCache, run: u64) {
    let mut random = fastrand::Rng::with_seed(run ^ 2 << 20);
    loop {
        let key = format!("doc/{}", random.u8(0..5));
        let expected = cache.load(&key).await.unwrap().map_or(0, |record| record.version);
        let length = if random.u8(..) < 20 { 600_000 } else { random.usize(0..8_000) };
        let value = (random.u8(0..10) > 0).then(|| "v".repeat(length));
        let length = value.as_ref().map_or(usize::MAX, String::len);
        let version = cache.store_if(&StoreIf { key: key.clone(), expected, value }).await.unwrap();
        say(&Ack::Stored { key, version, length });
        let name = format!("hold-{}", random.u8(0..3));
        let holder = format!("{run}-{}", random.u8(0..2));
        let acquire = Acquire { name: name.clone(), holder, ttl: Duration::from_secs(1) };
        if let Some(hold) = cache.acquire(&acquire).await.unwrap() {
            say(&Ack::Held { name, token: hold.token });
        }
    }
}

// ---- the process that kills and looks

/// All that was acknowledged by runs on one store.
#[derive(Default)]
struct Known {
    epoch: u64,
    goals: BTreeMap<GoalId, u64>,
    tokens: BTreeMap<TaskId, Token>,
    settled: BTreeMap<TaskId, (Token, RequestId, bool)>,
    entries: BTreeMap<(StreamName, u64), String>,
    documents: BTreeMap<String, (u64, usize)>,
    holds: BTreeMap<String, Token>,
}

impl Known {
    fn learn(&mut self, ack: Ack) {
        match ack {
            Ack::Opened { epoch } => {
                assert!(epoch > self.epoch, "the epoch grows: {epoch} after {}", self.epoch);
                self.epoch = epoch;
            }
            Ack::Planned { goal, tasks } => {
                self.goals.insert(goal, tasks);
            }
            Ack::Claimed { task, token } => {
                // Answers to different callers may be told in another order than they were decided.
                let newest = self.tokens.entry(task).or_default();
                *newest = token.max(*newest);
            }
            Ack::Settled { task, token, request, done } => {
                let newest = self.settled.get(&task).map_or(Token::NONE, |(newest, ..)| *newest);
                if token >= newest {
                    self.settled.insert(task, (token, request, done));
                }
            }
            Ack::Appended { stream, last, what } => {
                self.entries.insert((stream, last), what);
            }
            Ack::Stored { key, version, length } => {
                self.documents.insert(key, (version, length));
            }
            Ack::Held { name, token } => {
                self.holds.insert(name, token);
            }
        }
    }

    async fn check(&mut self, cache: &SledCache) {
        assert!(cache.epoch() > self.epoch, "the epoch grows");
        self.epoch = cache.epoch();
        assert_eq!(cache.audit().await.unwrap(), Vec::<String>::new());
        for (goal, tasks) in &self.goals {
            let found = cache.goal(goal).await.unwrap();
            assert_eq!(found.map(|goal| goal.counts.total()), Some(*tasks), "goal {goal}");
        }
        for (task, token) in &self.tokens {
            let state = cache.task(task).await.unwrap().unwrap().task.state;
            assert!(state.token >= *token, "task {task}: {} after {token}", state.token);
        }
        for (task, (token, request, done)) in &self.settled {
            let state = cache.task(task).await.unwrap().unwrap().task.state;
            assert!(!done || state.status == TaskStatus::Done, "task {task} is {}", state.status);
            let same = state.token > *token || state.settled_by.as_ref() == Some(request);
            assert!(same, "task {task}: settled by {:?} after {request}", state.settled_by);
        }
        for ((stream, seq), what) in &self.entries {
            let read = Read { stream: stream.clone(), after: seq - 1, limit: 1 };
            let event = cache.read(&read).await.unwrap().entries.pop().unwrap();
            let reason = event.what.reason.unwrap();
            assert!(event.seq == *seq && reason.starts_with(what.as_str()), "entry {seq}");
        }
        for (key, (version, length)) in &self.documents {
            let found = cache.load(key).await.unwrap();
            if let Some(record) = found {
                assert!(record.version >= *version, "document {key}");
                assert!(record.version > *version || record.value.len() == *length, "document {key}");
            } else {
                // It was removed then, or by a run that could not tell any more.
                let again = StoreIf { key: key.clone(), expected: 0, value: Some("again".to_owned()) };
                let next = cache.store_if(&again).await.unwrap();
                assert!(next > *version && (*length == usize::MAX || next > version + 1), "document {key}");
            }
        }
        for (name, token) in &self.holds {
            // A later hour: whoever had it does not any more.
            let acquire = Acquire {
                name: name.clone(),
                holder: format!("check-{}", self.epoch),
                ttl: Duration::from_millis(1),
            };
            let hold = cache.acquire(&acquire).await.unwrap().unwrap();
            assert!(hold.token > *token, "hold {name}: {} after {token}", hold.token);
        }
    }
}

/// Starts a process on the store and kills it after it has told `acks` things, or as soon as it runs.
fn run_and_kill(directory: &Path, run: u64, acks: usize) -> Vec<Ack> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "killed_process", "--nocapture"])
        .env(DIRECTORY, directory)
        .env(RUN, run.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut told = Vec::new();
    while told.len() < acks {
        let line = lines.next().expect("the process works until it is killed").unwrap();
        told.extend(line.strip_prefix("ack ").map(|ack| serde_json::from_str(ack).unwrap()));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // What it told before it was killed was acknowledged too.
    let rest = lines.map_while(Result::ok);
    told.extend(rest.filter_map(|line| serde_json::from_str(line.strip_prefix("ack ")?).ok()));
    told
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

#[test]
fn what_was_acknowledged_outlives_kills_and_nothing_is_half_there() {
    if std::env::var_os(DIRECTORY).is_some() {
        return;
    }
    let kills = setting("DOWNBEAT_CRASH_RUNS", 200);
    let seed = setting("DOWNBEAT_CRASH_SEED", fastrand::u64(..));
    println!("DOWNBEAT_CRASH_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut run, mut acks) = (0, 0);
    while run < kills {
        // A store lives through a few kills: each look at it is as long as its history.
        let directory = tempfile::tempdir().unwrap();
        let mut known = Known::default();
        for _ in 0..random.u64(1..12) {
            run += 1;
            let told = run_and_kill(directory.path(), run, random.usize(0..120));
            acks += told.len();
            told.into_iter().for_each(|ack| known.learn(ack));
            let cache = open(directory.path(), 2 * run + 1);
            runtime.block_on(known.check(&cache));
            let spilled = std::fs::read_dir(directory.path().join("sled/blobs")).unwrap().count();
            assert_eq!(spilled, 0, "files that are never synced");
        }
    }
    println!("{run} kills, {acks} acknowledgements");
}
