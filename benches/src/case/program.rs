//! The `downbeat` command as a whole process: from its start to its first claim, and what it costs while
//! its agents have nothing to do.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use downbeat_core::time::{Clock as _, Timestamp};
use serde_json::Value;

use super::Bench;
use crate::line::Line;
use crate::subject::HostClock;

/// Where the command is.
pub(crate) fn program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("downbeat"))
}

pub(super) fn run(bench: &Bench) -> Result<Vec<Line>> {
    let program = program()?;
    if !program.exists() {
        bail!("{} is not there: build it with `cargo build --release` first", program.display());
    }
    let (starts, watched) = if bench.quick { (5, 2) } else { (20, 10) };
    let watched = Duration::from_secs(watched);
    let lines =
        vec![first_claim(&program, &bench.directory, starts)?, idle(&program, &bench.directory, watched)?];
    for line in &lines {
        bench.say(line)?;
    }
    Ok(lines)
}

pub(super) fn project(directory: &Path, tasks: &str) -> Result<PathBuf> {
    let place = tempfile::tempdir_in(directory)?.keep();
    let agents = "## Agents\n\n### one\n\n### two\n\n### three\n\n### four\n";
    std::fs::write(place.join("INSTRUCTIONS.md"), format!("{agents}\n## Goals\n\n### goal\n\n{tasks}"))?;
    Ok(place)
}

pub(super) fn command(program: &Path, place: &Path) -> Command {
    let mut command = Command::new(program);
    command.arg("--project").arg(place).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// From the start of the process to the event of its first claim. The log counts milliseconds.
fn first_claim(program: &Path, directory: &Path, starts: u32) -> Result<Line> {
    let mut spans = Vec::new();
    for _ in 0..starts {
        let tasks = "- [ ] First {#first}\n  ```sh\n  true\n  ```\n- [ ] Then {#then after=first}\n  ```sh\n  true\n  ```\n";
        let place = project(directory, tasks)?;
        let before = HostClock.now();
        let status = command(program, &place).arg("run").status()?;
        anyhow::ensure!(status.success(), "the run failed: {status}");
        let events = command(program, &place).args(["events", "--json"]).stdout(Stdio::piped()).output()?;
        let claimed = String::from_utf8(events.stdout)?
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .find(|event| event.get("kind").and_then(Value::as_str) == Some("task.claimed"))
            .and_then(|event| serde_json::from_value::<Timestamp>(event.get("at")?.clone()).ok())
            .context("nothing was claimed")?;
        spans.push(claimed.since(before));
    }
    spans.sort_unstable();
    let at = |share: usize| spans.get((spans.len() - 1) * share / 100).map(|span| span.as_secs_f64() * 1e6);
    Ok(Line {
        case: "start to first claim".to_owned(),
        cache: "sled".to_owned(),
        tasks: 2,
        agents: 4,
        p50_us: at(50),
        p99_us: at(99),
        ..Line::default()
    })
}

/// Three agents that wait for a goal that one long task blocks.
fn idle(program: &Path, directory: &Path, watched: Duration) -> Result<Line> {
    let tasks = "- [ ] Wait {#wait}\n  ```sh\n  exec sleep 60\n  ```\n- [ ] Then {#then after=wait}\n  ```sh\n  true\n  ```\n";
    let place = project(directory, tasks)?;
    let mut child = command(program, &place).arg("run").spawn()?;
    let line = watch(&child, watched);
    child.kill()?;
    child.wait()?;
    line
}

#[expect(clippy::disallowed_methods, reason = "it watches a process for a while")]
fn watch(child: &Child, watched: Duration) -> Result<Line> {
    std::thread::sleep(Duration::from_secs(2));
    let before = cpu_seconds(child.id())?;
    std::thread::sleep(watched);
    let used = cpu_seconds(child.id())? - before;
    Ok(Line {
        case: "idle, agents wait".to_owned(),
        cache: "sled".to_owned(),
        tasks: 2,
        agents: 4,
        cpu_share: Some(used / watched.as_secs_f64()),
        resident_bytes: Some(resident(child.id())?),
        ..Line::default()
    })
}

fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name may have spaces; the fields behind it do not.
    let (_, fields) = stat.rsplit_once(')').context("no fields")?;
    let ticks: Vec<f64> =
        fields.split_whitespace().skip(11).take(2).map_while(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / 100.0)
}

fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no resident memory")?;
    let kilobytes: f64 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(kilobytes * 1024.0)
}
