//! What the machine can do, by itself.

use anyhow::Result;

use super::Bench;
use crate::line::Line;
use crate::reference;
use crate::samples::{Sample, Samples};
use crate::subject::Kind;

pub(super) async fn run(bench: &Bench) -> Result<Vec<Line>> {
    let times = if bench.quick { 1_000 } else { 10_000 };
    let [mut synced, mut pinged, mut woken] = [const { Samples::new() }; 3];
    for _ in bench.rounds.each() {
        if bench.kinds.contains(&Kind::Sled) {
            let spans = reference::sled::syncs(&bench.directory, times / 10)?;
            synced.push(Sample::steps(spans));
        }
        if bench.kinds.contains(&Kind::Redis) {
            let server = bench.redis()?;
            pinged.push(Sample::steps(reference::redis::pings(server, times).await?));
            woken.push(Sample::steps(reference::redis::wake_ups(server, times / 10).await?));
        }
    }
    let mut lines = Vec::new();
    for (case, cache, samples) in [
        ("fdatasync of 400 bytes", Kind::Sled, synced),
        ("PING", Kind::Redis, pinged),
        ("wake-up of a blocked reader", Kind::Redis, woken),
    ] {
        if samples.rounds() > 0 {
            let line = Line::of(case, cache.name(), (0, 1), &samples);
            bench.say(&line)?;
            lines.push(line);
        }
    }
    Ok(lines)
}
