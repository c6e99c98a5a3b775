//! The scheduling of tasks alone: counters of open dependencies and a heap of ready tasks, in memory, by
//! one thread.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::{Result, ensure};

use crate::shape::Shape;
use crate::work::Watch;

/// How many tasks a second.
pub(crate) fn schedule(shape: &Shape) -> Result<f64> {
    let mut tasks = shape.counters()?;
    let watch = Watch::start();
    let mut ready: BinaryHeap<Reverse<usize>> =
        tasks.iter().enumerate().filter(|(_, (open, _))| *open == 0).map(|(task, _)| Reverse(task)).collect();
    let mut done = 0;
    while let Some(Reverse(task)) = ready.pop() {
        done += 1;
        let dependants = tasks.get_mut(task).map(|(_, dependants)| std::mem::take(dependants));
        for dependant in dependants.unwrap_or_default() {
            let dependant = usize::try_from(dependant)?;
            let Some((open, _)) = tasks.get_mut(dependant) else { continue };
            *open -= 1;
            if *open == 0 {
                ready.push(Reverse(dependant));
            }
        }
    }
    let per_second = watch.per_second(shape.tasks);
    ensure!(done == shape.tasks, "{done} of {} tasks were scheduled", shape.tasks);
    Ok(per_second)
}
