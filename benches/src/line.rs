//! One measured figure, as programs and people read it.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

use crate::samples::{Sample, Samples};

/// One measured figure. Fields are added, never renamed.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Line {
    /// What was done.
    pub case: String,
    /// On which cache.
    pub cache: String,
    /// How many tasks.
    pub tasks: u64,
    /// How many claimed at once.
    pub agents: usize,
    /// Tasks a second; for a latency, how often a second it would fit.
    pub per_second: f64,
    /// Median of one step, where a single step is measured, in microseconds.
    pub p50_us: Option<f64>,
    /// The 99th percentile of it, in microseconds.
    pub p99_us: Option<f64>,
    /// What was measured beside it.
    pub reference: String,
    /// How often a second that could be done.
    pub reference_per_second: Option<f64>,
    /// `per_second` of `reference_per_second`.
    pub ratio: Option<f64>,
    /// Median of one step of the reference, in microseconds.
    pub reference_p50_us: Option<f64>,
    /// The 99th percentile of it, in microseconds.
    pub reference_p99_us: Option<f64>,
    /// How many connections to Redis the agents share, and the callers of the reference.
    pub connections: Option<usize>,
    /// Memory that the case added to the store for each task, in bytes: resident in this process, used
    /// by Redis, or on the disk for sled.
    pub bytes_per_task: Option<f64>,
    /// The tasks' own text in it, in bytes.
    pub text_bytes_per_task: Option<usize>,
    /// Processor time for each task, all threads of this process, in microseconds: what a busy machine
    /// leaves alone.
    pub cpu_us_per_task: Option<f64>,
    /// Processor time for each task of the Redis server, in microseconds.
    pub server_cpu_us_per_task: Option<f64>,
    /// What the reference took of it.
    pub reference_server_cpu_us_per_task: Option<f64>,
    /// The reference's processor time on the server as a share of ours.
    pub server_cpu_ratio: Option<f64>,
    /// `per_second` of the same without carried claims.
    pub of_plain: Option<f64>,
    /// `per_second` of the same with 8 agents.
    pub of_eight: Option<f64>,
    /// Cost of a task as a multiple of that at the smallest size of the run.
    pub times_smallest: Option<f64>,
    /// Flushes to the disk.
    pub flushes: Option<f64>,
    /// Of how many rounds this is the median.
    pub rounds: Option<usize>,
    /// Share of one core, where a process is watched.
    pub cpu_share: Option<f64>,
    /// Resident memory in bytes, where a process is watched.
    pub resident_bytes: Option<f64>,
}

impl Line {
    /// The medians of what was measured.
    pub(crate) fn of(case: &str, cache: &str, (tasks, agents): (u64, usize), samples: &Samples) -> Self {
        let median = samples.median().unwrap_or_default();
        Self {
            case: case.to_owned(),
            cache: cache.to_owned(),
            tasks,
            agents,
            per_second: median.per_second,
            p50_us: median.p50_us,
            p99_us: median.p99_us,
            bytes_per_task: median.bytes,
            cpu_us_per_task: median.cpu_us,
            server_cpu_us_per_task: median.server_cpu_us,
            flushes: median.flushes,
            rounds: Some(samples.rounds()),
            ..Self::default()
        }
    }

    /// With what was measured beside it.
    pub(crate) fn beside(mut self, reference: &str, samples: &Samples) -> Self {
        let Some(Sample { per_second, p50_us, p99_us, server_cpu_us, .. }) = samples.median() else {
            return self;
        };
        reference.clone_into(&mut self.reference);
        self.reference_per_second = Some(per_second);
        self.ratio = (per_second > 0.0).then(|| self.per_second / per_second);
        self.reference_p50_us = p50_us;
        self.reference_p99_us = p99_us;
        self.reference_server_cpu_us_per_task = server_cpu_us;
        let pair = server_cpu_us.zip(self.server_cpu_us_per_task);
        self.server_cpu_ratio = pair.map(|(reference, ours)| reference / ours);
        self
    }
}

#[expect(clippy::print_stdout, reason = "this is where the program prints")]
pub(crate) fn print_json(line: &Line) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "this is where the program prints")]
pub(crate) fn print_note(note: &str) {
    eprintln!("{note}");
}

pub(crate) fn print_progress(line: &Line) {
    let mut said = format!("{} on {}, {} tasks, {} agents:", line.case, line.cache, line.tasks, line.agents);
    if line.per_second > 0.0 {
        let _ = write!(said, " {}/s", figure(Some(line.per_second)));
    }
    if let Some(p50) = line.p50_us {
        let _ = write!(said, " p50 {} µs", figure(Some(p50)));
    }
    if let Some(ratio) = line.ratio {
        let _ = write!(said, ", {ratio:.2} of {}", line.reference);
    }
    if let (Some(cpu), Some(bytes)) = (line.cpu_share, line.resident_bytes) {
        let _ = write!(said, " {:.2} % of a core, {:.1} MB", cpu * 100.0, bytes / 1e6);
    }
    print_note(&said);
}

#[expect(clippy::print_stdout, reason = "this is where the program prints")]
pub(crate) fn print_table(lines: &[Line]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header([
        "case",
        "cache",
        "tasks",
        "agents",
        "per second",
        "p50 µs",
        "p99 µs",
        "reference",
        "reference/s",
        "reference p50",
        "ratio",
        "bytes/task",
        "CPU µs/task",
        "server µs/task",
        "reference's",
        "of plain",
        "of 8",
        "× smallest",
    ]);
    let ratio = |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.2}"));
    for line in lines.iter().filter(|line| line.cpu_share.is_none()) {
        table.add_row([
            line.case.clone(),
            line.cache.clone(),
            line.tasks.to_string(),
            line.agents.to_string(),
            figure((line.per_second > 0.0).then_some(line.per_second)),
            figure(line.p50_us),
            figure(line.p99_us),
            line.reference.clone(),
            figure(line.reference_per_second),
            figure(line.reference_p50_us),
            ratio(line.ratio),
            figure(line.bytes_per_task),
            figure(line.cpu_us_per_task),
            figure(line.server_cpu_us_per_task),
            figure(line.reference_server_cpu_us_per_task),
            ratio(line.of_plain),
            ratio(line.of_eight),
            ratio(line.times_smallest),
        ]);
    }
    println!("{table}");
}

pub(crate) fn figure(value: Option<f64>) -> String {
    value.map_or_else(
        String::new,
        |value| if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") },
    )
}
