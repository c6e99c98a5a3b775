//! One measured figure, as programs and people read it.

use std::fmt::Write as _;

use anyhow::Result;
use serde::Serialize;

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
    /// Tasks a second.
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
    /// Resident memory that the case added for each task, in bytes.
    pub bytes_per_task: Option<f64>,
    /// Processor time for each task, all threads, in microseconds: what a busy machine leaves alone.
    pub cpu_us_per_task: Option<f64>,
    /// Flushes to the disk.
    pub flushes: Option<u64>,
    /// Share of one core, where a process is watched.
    pub cpu_share: Option<f64>,
    /// Resident memory in bytes, where a process is watched.
    pub resident_bytes: Option<f64>,
}

impl Line {
    /// With what was measured beside it.
    pub(crate) fn beside(mut self, reference: &str, per_second: f64) -> Self {
        reference.clone_into(&mut self.reference);
        self.reference_per_second = Some(per_second);
        self.ratio = Some(self.per_second / per_second);
        self
    }
}

#[expect(clippy::print_stdout, reason = "this is where the program prints")]
pub(crate) fn print_json(line: &Line) -> Result<()> {
    println!("{}", serde_json::to_string(line)?);
    Ok(())
}

#[expect(clippy::print_stderr, reason = "this is where the program prints")]
pub(crate) fn print_progress(line: &Line) {
    let mut said = format!("{} on {}, {} tasks:", line.case, line.cache, line.tasks);
    if line.per_second > 0.0 {
        let _ = write!(said, " {}/s", figure(Some(line.per_second)));
    }
    if let Some(p50) = line.p50_us {
        let _ = write!(said, " p50 {} µs", figure(Some(p50)));
    }
    if let (Some(cpu), Some(bytes)) = (line.cpu_share, line.resident_bytes) {
        let _ = write!(said, " {:.2} % of a core, {:.1} MB", cpu * 100.0, bytes / 1e6);
    }
    eprintln!("{said}");
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
        "ratio",
        "bytes/task",
        "cpu µs/task",
        "core",
        "memory",
    ]);
    for line in lines {
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
            line.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")),
            figure(line.bytes_per_task),
            figure(line.cpu_us_per_task),
            line.cpu_share.map_or_else(String::new, |share| format!("{:.2} %", share * 100.0)),
            line.resident_bytes.map_or_else(String::new, |bytes| format!("{:.1} MB", bytes / 1e6)),
        ]);
    }
    println!("{table}");
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(
        String::new,
        |value| if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") },
    )
}
