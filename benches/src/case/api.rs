//! What the API costs: the same store asked through its socket and in process, in turns, and `status` as a whole
//! process beside a run.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use downbeat_core::cache::Cache;
use downbeat_core::ids::AgentName;
use downbeat_server::{About, Address, ControlSocket, HttpCache, Server};
use tempfile::TempDir;

use super::{Bench, program};
use crate::line::Line;
use crate::samples::{Sample, Samples};
use crate::shape::Shape;
use crate::subject::{HostClock, Subject};
use crate::work::{self, Watch};

/// How many clients ask at once.
const CLIENTS: usize = 64;

pub(super) async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let mut lines = steps(bench).await?;
    lines.extend(many(bench).await?);
    for line in &lines {
        bench.say(line)?;
    }
    match status(bench) {
        Ok(line) => {
            bench.say(&line)?;
            lines.push(line);
        }
        Err(error) => crate::line::print_note(&format!("`status` beside a run is not measured: {error:#}")),
    }
    Ok(lines)
}

/// A store, served at a socket.
struct Served {
    subject: Subject,
    server: Server,
    place: TempDir,
}

impl Served {
    fn open(bench: &Bench) -> Result<Self> {
        let subject = Subject::sled(&bench.directory)?;
        let place = tempfile::tempdir_in(&bench.directory)?;
        let about = About::new("downbeat-bench", "a store");
        let server = Server::new(Arc::clone(subject.cache()?), Arc::new(HostClock), about);
        server.open_socket(ControlSocket::bind(&place.path().join("control.sock"))?);
        Ok(Self { subject, server, place })
    }

    /// A client with connections of its own, as another process would be.
    fn client(&self) -> Arc<dyn Cache> {
        Arc::new(HttpCache::new(Address::Socket(self.place.path().join("control.sock"))))
    }

    async fn end(self) -> Result<()> {
        self.server.stop().await;
        self.subject.remove().await
    }
}

/// One claim and one settle after the other, by turns in process and through the socket.
async fn steps(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.tasks.unwrap_or(if bench.quick { 1_000 } else { 4_000 });
    let served = Served::open(bench)?;
    let (direct, client) = (Arc::clone(served.subject.cache()?), served.client());
    work::plan(direct.as_ref(), Shape::independent(tasks).dags("bench")?).await?;
    let agent = AgentName::new("one")?;
    // Claims and settles, in process and through the socket.
    let mut spans = [const { Vec::<Duration>::new() }; 4];
    for number in 0..tasks {
        let through = number % 2 == 1;
        let cache = if through { &client } else { &direct };
        let watch = Watch::start();
        let granted = cache.claim(&work::claim(&agent)).await?.granted();
        let claimed = watch.elapsed();
        let settle = work::done(&granted.context("nothing is claimable")?, None);
        let watch = Watch::start();
        cache.settle(&settle).await?;
        let settled = watch.elapsed();
        // The first ones open connections and fill caches.
        if number >= tasks / 10 {
            let [direct_claim, direct_settle, claim, settle] = &mut spans;
            if through {
                claim.push(claimed);
                settle.push(settled);
            } else {
                direct_claim.push(claimed);
                direct_settle.push(settled);
            }
        }
    }
    served.end().await?;
    let [direct_claim, direct_settle, claim, settle] = spans;
    let line = |case: &str, spans, reference| {
        let (mut own, mut other) = (Samples::new(), Samples::new());
        own.push(Sample::steps(spans));
        other.push(Sample::steps(reference));
        Line::of(case, "sled", (tasks, 1), &own).beside("in process", &other)
    };
    Ok(vec![
        line("claim through the socket", claim, direct_claim),
        line("settle through the socket", settle, direct_settle),
    ])
}

/// Many clients at once, each with connections of its own, beside as many callers in process.
async fn many(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.tasks.unwrap_or(if bench.quick { 5_000 } else { 20_000 });
    let clients = bench.agents.unwrap_or(CLIENTS);
    let mut lines = Vec::new();
    for (case, carried) in [("drain through the socket", false), ("drain through the socket, carried", true)]
    {
        let (mut through, mut direct) = (Samples::new(), Samples::new());
        for _ in bench.rounds.each() {
            for (samples, socket) in [(&mut direct, false), (&mut through, true)] {
                let served = Served::open(bench)?;
                let cache = Arc::clone(served.subject.cache()?);
                work::plan(cache.as_ref(), Shape::independent(tasks).dags("bench")?).await?;
                let callers: Vec<Arc<dyn Cache>> = match socket {
                    true => (0..clients).map(|_| served.client()).collect(),
                    false => vec![cache],
                };
                let before = work::processor_us();
                let per_second = work::drain(&callers, clients, tasks, carried).await?;
                let used = work::processor_us().zip(before).map(|(now, before)| now - before);
                let cpu_us = used.map(|used| super::each(used, tasks));
                samples.push(Sample { cpu_us, ..Sample::speed(per_second) });
                drop(callers);
                served.end().await?;
            }
        }
        lines.push(Line::of(case, "sled", (tasks, clients), &through).beside("in process", &direct));
    }
    Ok(lines)
}

/// `downbeat status` from its start to its end, beside a run that holds the store.
fn status(bench: &Bench) -> Result<Line> {
    let program = program::program()?;
    if !program.exists() {
        bail!("{} is not there", program.display());
    }
    let tasks = "- [ ] Wait {#wait}\n  ```sh\n  exec sleep 600\n  ```\n";
    let place = program::project(&bench.directory, tasks)?;
    let command = |word: &str| {
        let mut command = program::command(&program, &place);
        command.arg(word);
        command
    };
    let mut run = command("run").spawn()?;
    // Whoever is asked before it holds the store would hold it himself.
    let socket = place.join(".downbeat/control.sock");
    let watch = Watch::start();
    while !socket.exists() && watch.elapsed() < Duration::from_secs(20) {
        std::thread::yield_now();
    }
    let measured = (|| {
        let mut spans = Vec::new();
        for _ in 0..if bench.quick { 20 } else { 100 } {
            let watch = Watch::start();
            let ran = command("status").stdout(Stdio::piped()).output()?;
            spans.push(watch.elapsed());
            anyhow::ensure!(ran.status.success(), "status failed: {}", ran.status);
            let said = String::from_utf8_lossy(&ran.stdout).into_owned();
            anyhow::ensure!(said.contains("is at work"), "it did not ask the run: {said}");
        }
        Ok(Sample::steps(spans))
    })();
    run.kill()?;
    run.wait()?;
    let mut samples = Samples::new();
    samples.push(measured?);
    Ok(Line::of("`status` beside a run", "sled", (1, 4), &samples))
}
