//! What the figures of a run are held to.

use crate::line::{Line, figure};

/// What a figure is held to.
enum Bar {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// A figure, and which lines have it.
struct Rule {
    what: &'static str,
    of: fn(&Line) -> Option<f64>,
    lines: fn(&Line) -> bool,
    bar: Bar,
}

fn drains(line: &Line, cache: &str, agents: usize) -> bool {
    line.cache == cache && line.agents == agents && line.case.starts_with("drain")
}

fn one_connection(line: &Line) -> bool {
    line.cache == "redis" && line.agents == 64 && line.case.starts_with("contend, one connection")
}

fn carried(line: &Line) -> bool {
    line.case.ends_with("carried")
}

/// What is promised of each figure.
const RULES: &[Rule] = &[
    Rule {
        what: "drain 10,000 with 8 agents, of the pair",
        of: |line| line.ratio,
        lines: |line| drains(line, "redis", 8) && line.tasks == 10_000 && line.reference == "pair",
        bar: Bar::AtLeast(0.8),
    },
    Rule {
        what: "64 agents over one connection, of the pair",
        of: |line| line.ratio,
        lines: |line| one_connection(line) && !carried(line) && line.reference == "pair",
        bar: Bar::AtLeast(0.6),
    },
    Rule {
        what: "64 agents over one connection, carried, of fused",
        of: |line| line.ratio,
        lines: |line| one_connection(line) && carried(line) && line.reference == "fused",
        bar: Bar::AtLeast(0.6),
    },
    Rule {
        what: "carried claims, of our own drain without",
        of: |line| line.of_plain,
        lines: |line| drains(line, "redis", 8) && carried(line) && line.reference == "pair",
        bar: Bar::AtLeast(1.3),
    },
    Rule {
        what: "layers, of their limit",
        of: |line| line.ratio,
        lines: |line| line.cache == "redis" && line.case.starts_with("layered"),
        bar: Bar::AtLeast(0.5),
    },
    Rule {
        what: "chain, of its limit",
        of: |line| line.ratio,
        lines: |line| line.cache == "redis" && line.case.starts_with("chain"),
        bar: Bar::AtLeast(0.5),
    },
    Rule {
        what: "planning, tasks a second",
        of: |line| Some(line.per_second),
        lines: |line| line.cache == "redis" && line.case == "plan" && line.tasks >= 10_000,
        bar: Bar::AtLeast(100_000.0),
    },
    Rule {
        what: "cost of a task, times that at the smallest size",
        of: |line| line.times_smallest,
        lines: |line| drains(line, "redis", 8) && line.reference == "pair",
        bar: Bar::AtMost(1.3),
    },
    Rule {
        what: "256 agents with a connection each, of 8",
        of: |line| line.of_eight,
        lines: |line| line.cache == "redis" && line.agents == 256 && line.case.starts_with("contend, a"),
        bar: Bar::AtLeast(0.7),
    },
    Rule {
        what: "from the settle to the claim by an idle agent, p50 µs",
        of: |line| line.p50_us,
        lines: |line| line.cache == "redis" && line.case == "wake-up, from the settle",
        bar: Bar::AtMost(500.0),
    },
    Rule {
        what: "from the settle to the claim by an idle agent, p99 µs",
        of: |line| line.p99_us,
        lines: |line| line.cache == "redis" && line.case == "wake-up, from the settle",
        bar: Bar::AtMost(3_000.0),
    },
    Rule {
        what: "memory of a drained task beside its text, bytes",
        of: |line| Some(line.bytes_per_task? - f64::from(u32::try_from(line.text_bytes_per_task?).ok()?)),
        lines: |line| drains(line, "redis", 8) && line.reference == "pair" && line.tasks >= 10_000,
        bar: Bar::AtMost(1_500.0),
    },
    Rule {
        what: "synced, of a bare shared fdatasync",
        of: |line| line.ratio,
        lines: |line| line.cache == "sled" && carried(line) && line.reference == "bare shared fdatasync",
        bar: Bar::AtLeast(0.7),
    },
    Rule {
        what: "synced, 64 callers, tasks a second",
        of: |line| Some(line.per_second),
        lines: |line| {
            line.cache == "sled" && line.agents == 64 && carried(line) && line.reference == "raw sled batches"
        },
        bar: Bar::AtLeast(20_000.0),
    },
    Rule {
        what: "through the socket more than in process, p50 µs",
        of: |line| Some(line.p50_us? - line.reference_p50_us?),
        lines: |line| line.case.ends_with("through the socket") && line.agents == 1,
        bar: Bar::AtMost(300.0),
    },
    Rule {
        what: "64 clients on the socket, of 64 callers in process",
        of: |line| line.ratio,
        lines: |line| line.case.starts_with("drain through the socket"),
        bar: Bar::AtLeast(0.5),
    },
    Rule {
        what: "`status` beside a run, p50 µs",
        of: |line| line.p50_us,
        lines: |line| line.case.starts_with("`status`"),
        bar: Bar::AtMost(30_000.0),
    },
    Rule {
        what: "an order from a file, p99 µs",
        of: |line| line.p99_us,
        lines: |line| line.case == "file to order",
        bar: Bar::AtMost(100_000.0),
    },
    Rule {
        what: "an order by a request or a command, p99 µs",
        of: |line| line.p99_us,
        lines: |line| line.case.starts_with("command to order") || line.case.ends_with("run to order"),
        bar: Bar::AtMost(50_000.0),
    },
];

/// Prints each figure that is promised beside what is promised of it.
#[expect(clippy::print_stdout, reason = "this is where the program prints")]
pub(crate) fn print(lines: &[Line]) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["promise", "case", "tasks", "agents", "seen", "bar", "met"]);
    let mut rows = 0;
    for rule in RULES {
        for line in lines.iter().filter(|line| (rule.lines)(line)) {
            let Some(seen) = (rule.of)(line) else { continue };
            let (bar, met) = match rule.bar {
                Bar::AtLeast(bar) => (format!("≥ {}", shown(bar)), seen >= bar),
                Bar::AtMost(bar) => (format!("≤ {}", shown(bar)), seen <= bar),
            };
            table.add_row([
                rule.what.to_owned(),
                line.case.clone(),
                line.tasks.to_string(),
                line.agents.to_string(),
                shown(seen),
                bar,
                if met { "yes" } else { "no" }.to_owned(),
            ]);
            rows += 1;
        }
    }
    if rows > 0 {
        println!("\n{table}");
    }
}

fn shown(value: f64) -> String {
    if value < 10.0 { format!("{value:.2}") } else { figure(Some(value)) }
}
