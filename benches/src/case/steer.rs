//! Steering: from a line that somebody appends to a file, from the start of a command, and from a request at
//! the socket of a run, to when the order was carried out.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use downbeat_core::cache::{Cache, CacheError, Directive, Steer, Topic, events_stream};
use downbeat_core::ids::{AgentName, RequestId, TaskId};
use downbeat_core::state::TaskStatus;
use downbeat_runtime::heartbeats::{Heartbeats, SteeringFile};
use downbeat_server::{Address, HttpCache};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::task::JoinHandle;

use super::{Bench, program};
use crate::line::Line;
use crate::reference::redis::now;
use crate::samples::{Sample, Samples};
use crate::shape::Shape;
use crate::subject::Kind;
use crate::work;

pub(super) async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let orders = if bench.quick { 50 } else { 300 };
    let mut lines = Vec::new();
    for kind in &bench.kinds {
        let (mut files, mut bare) = (Samples::new(), Samples::new());
        for _ in bench.rounds.each() {
            bare.push(Sample::steps(wake_ups(&bench.directory, orders)?));
            files.push(Sample::steps(by_file(bench, *kind, orders).await?));
        }
        let line =
            Line::of("file to order", kind.name(), (orders, 1), &files).beside("bare inotify wake-up", &bare);
        bench.say(&line)?;
        lines.push(line);
    }
    if bench.kinds.contains(&Kind::Redis) && program::program()?.exists() {
        let starts = orders / 5;
        let (mut commands, mut bare) = (Samples::new(), Samples::new());
        for _ in bench.rounds.each() {
            bare.push(Sample::steps(bare_starts(starts)?));
            commands.push(Sample::steps(by_command(bench, starts).await?));
        }
        let line = Line::of("command to order", Kind::Redis.name(), (starts, 1), &commands)
            .beside("start and end of `true`", &bare);
        bench.say(&line)?;
        lines.push(line);
    }
    if bench.kinds.contains(&Kind::Sled) && program::program()?.exists() {
        let starts = orders / 5;
        let (mut requests, mut commands, mut bare) = (Samples::new(), Samples::new(), Samples::new());
        for _ in bench.rounds.each() {
            let (by_request, by_command) = beside_a_run(bench, orders, starts).await?;
            bare.push(Sample::steps(bare_starts(starts)?));
            requests.push(Sample::steps(by_request));
            commands.push(Sample::steps(by_command));
        }
        let request = Line::of("socket of a run to order", Kind::Sled.name(), (orders, 1), &requests);
        let command = Line::of("command to order, beside a run", Kind::Sled.name(), (starts, 1), &commands)
            .beside("start and end of `true`", &bare);
        for line in [request, command] {
            bench.say(&line)?;
            lines.push(line);
        }
    }
    Ok(lines)
}

/// Beside a process that runs: from before a request is sent to its socket, and from before a command is started
/// that asks it, to when another client of it is woken by what that did.
async fn beside_a_run(bench: &Bench, orders: u64, starts: u64) -> Result<(Vec<Duration>, Vec<Duration>)> {
    let program = program::program()?;
    let tasks = "- [ ] Wait {#wait}\n  ```sh\n  exec sleep 600\n  ```\n- [ ] Then {#then after=wait}\n  ```sh\n  true\n  ```\n";
    let place = program::project(&bench.directory, tasks)?;
    let socket = place.join(".downbeat/control.sock");
    let mut run = program::command(&program, &place).arg("run").spawn()?;
    let client = || -> Arc<dyn Cache> { Arc::new(HttpCache::new(Address::Socket(socket.clone()))) };
    let (asks, hears) = (client(), client());
    let measured = async {
        let wait = TaskId::new("wait")?;
        let began = now();
        // Until the run serves its socket, has planned, and works.
        while !asks
            .task(&wait)
            .await
            .is_ok_and(|found| found.is_some_and(|found| found.task.state.status == TaskStatus::Running))
        {
            ensure!(began.elapsed() < Duration::from_secs(20), "the run did not begin within 20 s");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let (mut requests, mut commands) = (Vec::new(), Vec::new());
        for number in 0..orders {
            let (seen, woken) = reader(&hears).await?;
            let priority = u32::try_from(number).unwrap_or(u32::MAX);
            let steer = Steer {
                directive: Directive::Elevate { task: TaskId::new("then")?, priority },
                by: "bench".to_owned(),
                request: RequestId(format!("{}-{number}", std::process::id())),
            };
            let sent = now();
            asks.steer(&steer).await?;
            requests.push(heard(seen, woken).await?.saturating_duration_since(sent));
        }
        for number in 0..starts {
            let (seen, woken) = reader(&hears).await?;
            let mut command = program::command(&program, &place);
            command.args(["elevate", "then", &(orders + number).to_string()]);
            let sent = now();
            let mut child = command.stdout(Stdio::null()).spawn()?;
            commands.push(heard(seen, woken).await?.saturating_duration_since(sent));
            ensure!(child.wait()?.success(), "the command did not carry out its order");
        }
        Ok((requests, commands))
    }
    .await;
    run.kill()?;
    run.wait()?;
    measured
}

/// Somebody who waits for the next event, and the number of the last one.
async fn reader(cache: &Arc<dyn Cache>) -> Result<(u64, JoinHandle<(Result<u64, CacheError>, Instant)>)> {
    let topic = Topic::Stream(events_stream());
    let seen = cache.changed(&topic, u64::MAX, Duration::ZERO).await?;
    let cache = Arc::clone(cache);
    let waits = tokio::spawn(async move {
        let told = cache.changed(&topic, seen, Duration::from_secs(10)).await;
        (told, now())
    });
    // It must be asleep, or nobody is woken.
    tokio::time::sleep(Duration::from_millis(5)).await;
    Ok((seen, waits))
}

async fn heard(seen: u64, waits: JoinHandle<(Result<u64, CacheError>, Instant)>) -> Result<Instant> {
    let (told, heard) = waits.await?;
    ensure!(told? > seen, "an order was not carried out within 10 s");
    Ok(heard)
}

/// From before a line is appended to when a reader of the events is woken by what it did.
async fn by_file(bench: &Bench, kind: Kind, orders: u64) -> Result<Vec<Duration>> {
    let subject = bench.open(kind, 2).await?;
    let cache = subject.cache()?;
    let task = one_task(cache).await?;
    let place = tempfile::tempdir_in(&bench.directory)?;
    let path = place.path().join("heartbeat.md");
    std::fs::write(&path, "")?;
    let file = SteeringFile::new(place.path(), Path::new("heartbeat.md"), AgentName::new("agent")?);
    let mut heartbeats = Heartbeats::new(cache, vec![file]);
    heartbeats.look().await;
    let follower = tokio::spawn(async move { heartbeats.run().await });
    let hears = subject.caches.last().context("a cache has a handle")?;
    let mut spans = Vec::new();
    for number in 0..orders {
        let (seen, woken) = reader(hears).await?;
        let sent = now();
        OpenOptions::new()
            .append(true)
            .open(&path)?
            .write_all(format!("ELEVATE {task} {number}\n").as_bytes())?;
        spans.push(heard(seen, woken).await?.saturating_duration_since(sent));
    }
    follower.abort();
    subject.remove().await?;
    Ok(spans)
}

/// From before the command is started to when a reader of the events is woken by what it did.
async fn by_command(bench: &Bench, starts: u64) -> Result<Vec<Duration>> {
    let subject = bench.open(Kind::Redis, 1).await?;
    let cache = subject.cache()?;
    let task = one_task(cache).await?;
    let server = bench.redis()?;
    let place = tempfile::tempdir_in(&bench.directory)?;
    std::fs::write(
        place.path().join("INSTRUCTIONS.md"),
        "## Agents\n\n### agent\n\n## Goals\n\n### bench\n\n- [ ] One\n",
    )?;
    let topic = Topic::Stream(events_stream());
    let mut spans = Vec::new();
    for number in 0..starts {
        let seen = cache.changed(&topic, u64::MAX, Duration::ZERO).await?;
        let mut command = Command::new(program::program()?);
        command.arg("--project").arg(place.path()).args(["--cache", server.url()]);
        if let Some(prefix) = subject.prefix() {
            command.args(["--redis-prefix", prefix]);
        }
        command.args(["elevate", &task, &number.to_string()]);
        let sent = now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let told = cache.changed(&topic, seen, Duration::from_secs(10)).await?;
        let heard = now();
        ensure!(child.wait()?.success() && told > seen, "the command did not carry out its order");
        spans.push(heard.saturating_duration_since(sent));
    }
    subject.remove().await?;
    Ok(spans)
}

async fn one_task(cache: &Arc<dyn Cache>) -> Result<String> {
    let dags = Shape::chain(1).dags("bench")?;
    let task = dags.first().and_then(|dag| dag.nodes().next()).context("a task")?.id.to_string();
    work::plan(cache.as_ref(), dags).await?;
    Ok(task)
}

/// From before a line is appended to when a thread that blocks on inotify is woken.
fn wake_ups(directory: &Path, count: u64) -> Result<Vec<Duration>> {
    let place = tempfile::tempdir_in(directory)?;
    let path = place.path().join("bare.md");
    std::fs::write(&path, "")?;
    let inotify = Inotify::init(InitFlags::IN_CLOEXEC)?;
    inotify.add_watch(place.path(), AddWatchFlags::IN_MODIFY)?;
    let (hand, woken) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for _ in 0..count {
            if inotify.read_events().is_err() || hand.send(now()).is_err() {
                return;
            }
        }
    });
    let mut spans = Vec::new();
    for number in 0..count {
        pause();
        let sent = now();
        OpenOptions::new().append(true).open(&path)?.write_all(format!("ELEVATE t {number}\n").as_bytes())?;
        spans.push(woken.recv()?.saturating_duration_since(sent));
    }
    let _ = reader.join();
    Ok(spans)
}

fn bare_starts(count: u64) -> Result<Vec<Duration>> {
    let mut spans = Vec::new();
    for _ in 0..count {
        let sent = now();
        ensure!(Command::new("true").status()?.success(), "`true` failed");
        spans.push(now().saturating_duration_since(sent));
    }
    Ok(spans)
}

#[expect(clippy::disallowed_methods, reason = "the reader must be asleep, or nobody is woken")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}
