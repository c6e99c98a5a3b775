//! How long to wait after a failure.

use std::num::NonZeroU32;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Exponential backoff with full jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// The longest wait after the first failure, wall-clock.
    pub base: Duration,
    /// The longest wait after any, wall-clock.
    pub ceiling: Duration,
}

impl Default for Backoff {
    /// One second, doubling up to five minutes.
    fn default() -> Self {
        Self { base: Duration::from_secs(1), ceiling: Duration::from_secs(300) }
    }
}

impl Backoff {
    /// The wait after `failures` failed attempts in a row.
    ///
    /// Doubles from `base` up to `ceiling`; `draw`, a uniform random number in `0.0..=1.0`, picks the
    /// share actually waited, so that agents that failed together do not return together. It is an
    /// argument so that this function stays pure; outside its range it counts as the nearer end.
    ///
    /// # Source
    ///
    /// "Full jitter" in <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>.
    #[must_use]
    pub fn delay(&self, failures: NonZeroU32, draw: f64) -> Duration {
        let doublings = (failures.get() - 1).min(31);
        let longest = self.base.saturating_mul(1 << doublings).min(self.ceiling);
        let draw = if draw.is_nan() { 1.0 } else { draw.clamp(0.0, 1.0) };
        longest.mul_f64(draw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_to_the_ceiling_and_jitter_picks_a_share() {
        let backoff = Backoff { base: Duration::from_secs(1), ceiling: Duration::from_secs(10) };
        let after = |failures, draw| backoff.delay(NonZeroU32::new(failures).unwrap(), draw);
        assert_eq!(after(1, 1.0), Duration::from_secs(1));
        assert_eq!(after(3, 1.0), Duration::from_secs(4));
        assert_eq!(after(9, 1.0), Duration::from_secs(10));
        assert_eq!(after(u32::MAX, 0.5), Duration::from_secs(5));
        assert_eq!(after(3, 0.0), Duration::ZERO);
        assert_eq!(after(3, f64::NAN), Duration::from_secs(4));
    }
}
