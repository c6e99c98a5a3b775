//! Many agents at once: with a connection each, as so many processes would, and all over one.

use anyhow::Result;

use super::{Bench, drain};
use crate::line::Line;
use crate::subject::Kind;

pub(super) async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let tasks = bench.tasks.unwrap_or(if bench.quick { 1_000 } else { 10_000 });
    let numbers = match (bench.agents, bench.quick) {
        (Some(agents), _) => vec![agents],
        (None, true) => vec![8, 64, 256],
        (None, false) => vec![1, 8, 64, 256],
    };
    let mut lines: Vec<Line> = Vec::new();
    for kind in &bench.kinds {
        let ways: &[(&str, bool)] = match kind {
            Kind::Redis => &[("contend, a connection each", true), ("contend, one connection", false)],
            _ => &[("contend", false)],
        };
        for (name, own) in ways {
            let first = lines.len();
            for agents in &numbers {
                let connections = if *own { *agents } else { 1 };
                let drained = drain::measure(bench, *kind, tasks, *agents, connections).await?;
                for mut line in drained.lines(false) {
                    line.case = line.case.replacen("drain", name, 1);
                    let eight = lines.iter().skip(first).find(|other| {
                        other.case == line.case && other.reference == line.reference && other.agents == 8
                    });
                    line.of_eight = eight.map(|eight| line.per_second / eight.per_second);
                    bench.say(&line)?;
                    lines.push(line);
                }
            }
        }
    }
    Ok(lines)
}
