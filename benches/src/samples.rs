//! A figure is the median of rounds, in which references and caches take turns, so that whatever else
//! the machine does hits both.

use std::time::Duration;

use crate::work::{Watch, percentiles};

/// How often something is measured: at most so often, and not again when that took too long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds {
    pub(crate) at_most: u32,
    pub(crate) budget: Duration,
}

impl Rounds {
    /// The rounds, counted from 1.
    pub(crate) fn each(self) -> impl Iterator<Item = u32> {
        let watch = Watch::start();
        (1..=self.at_most).take_while(move |round| *round == 1 || watch.elapsed() < self.budget)
    }
}

/// What one round measured.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sample {
    /// Tasks a second.
    pub(crate) per_second: f64,
    /// Processor time of this process for each task, in microseconds.
    pub(crate) cpu_us: Option<f64>,
    /// Processor time of the Redis server for each task, in microseconds.
    pub(crate) server_cpu_us: Option<f64>,
    /// Bytes in the store for each task.
    pub(crate) bytes: Option<f64>,
    /// Flushes of the embedded store.
    pub(crate) flushes: Option<f64>,
    /// One step, in microseconds.
    pub(crate) p50_us: Option<f64>,
    pub(crate) p99_us: Option<f64>,
}

impl Sample {
    /// Of which only the speed is known.
    pub(crate) fn speed(per_second: f64) -> Self {
        Self { per_second, ..Self::default() }
    }

    /// Of single steps.
    pub(crate) fn steps(spans: Vec<Duration>) -> Self {
        let (p50_us, p99_us) = percentiles(spans);
        // Two events may be seen in either order: then no time passed between them.
        let per_second = p50_us.filter(|p50| *p50 > 0.0).map_or(0.0, |p50| 1e6 / p50);
        Self { per_second, p50_us, p99_us, ..Self::default() }
    }
}

/// What all rounds measured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<Sample>);

impl Samples {
    pub(crate) const fn new() -> Self {
        Self(Vec::new())
    }

    pub(crate) fn push(&mut self, sample: Sample) {
        self.0.push(sample);
    }

    pub(crate) fn rounds(&self) -> usize {
        self.0.len()
    }

    /// The median of each figure by itself. `None` when nothing was measured.
    pub(crate) fn median(&self) -> Option<Sample> {
        let of = |figure: fn(&Sample) -> Option<f64>| middle(self.0.iter().filter_map(figure).collect());
        Some(Sample {
            per_second: of(|sample| Some(sample.per_second))?,
            cpu_us: of(|sample| sample.cpu_us),
            server_cpu_us: of(|sample| sample.server_cpu_us),
            bytes: of(|sample| sample.bytes),
            flushes: of(|sample| sample.flushes),
            p50_us: of(|sample| sample.p50_us),
            p99_us: of(|sample| sample.p99_us),
        })
    }
}

/// The middle one; of an even number the mean of the two in the middle.
fn middle(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = *values.get(half)?;
    let lower = if values.len().is_multiple_of(2) { *values.get(half - 1)? } else { upper };
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median() {
        let mut samples = Samples::default();
        assert!(samples.median().is_none());
        for (per_second, cpu_us) in [(1.0, Some(9.0)), (100.0, None), (3.0, Some(1.0)), (4.0, Some(2.0))] {
            samples.push(Sample { per_second, cpu_us, ..Sample::default() });
        }
        let median = samples.median().unwrap();
        assert!((median.per_second - 3.5).abs() < 1e-9);
        assert_eq!(median.cpu_us, Some(2.0));
    }

    #[test]
    fn there_is_always_one_round() {
        let rounds = Rounds { at_most: 3, budget: Duration::ZERO };
        assert_eq!(rounds.each().count(), 1);
        let rounds = Rounds { at_most: 3, budget: Duration::from_secs(60) };
        assert_eq!(rounds.each().count(), 3);
    }
}
