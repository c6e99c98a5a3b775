//! Moments and spans. Core reads no clock: whoever opens a cache passes one in.

use std::borrow::Cow;
use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A moment in milliseconds since the Unix epoch, by the cache's clock.
///
/// Reads and writes as RFC 3339 in UTC with milliseconds, `2026-11-21T10:15:24.003Z`.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(u64);

/// The last moment that can be written with a four-digit year.
const MAX_MILLIS: u64 = 253_402_207_200_000;

impl Timestamp {
    /// The moment that lies `millis` milliseconds after the Unix epoch, at most the end of year 9999.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(if millis > MAX_MILLIS { MAX_MILLIS } else { millis })
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// This much later. Saturates.
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = i64::try_from(self.0).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_millisecond(millis) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let moment: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        u64::try_from(moment.as_millisecond())
            .map(Self::from_millis)
            .map_err(|_| serde::de::Error::custom("a moment before 1970"))
    }
}

impl JsonSchema for Timestamp {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "date-time", "pattern": "^(19[7-9]|[2-9][0-9])" })
    }
}

/// Spans as programs read them: in whole milliseconds. For `#[serde(with = ...)]` on a field whose name
/// ends in `_ms`.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes whole milliseconds; what is shorter counts as nothing.
    ///
    /// # Errors
    ///
    /// What the serializer says.
    pub fn serialize<S: Serializer>(span: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads milliseconds, and what stores of earlier versions wrote.
    ///
    /// # Errors
    ///
    /// It is neither.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Span {
            Millis(u64),
            Parts { secs: u64, nanos: u32 },
        }
        Ok(match Span::deserialize(deserializer)? {
            Span::Millis(millis) => Duration::from_millis(millis),
            Span::Parts { secs, nanos } => {
                Duration::from_secs(secs).saturating_add(Duration::from_nanos(nanos.into()))
            }
        })
    }
}

/// Where a cache gets its time from.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now. Two calls in a row never go backwards by more than the host's clock does.
    fn now(&self) -> Timestamp;
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }
}

/// A clock that stands until it is moved: for tests, which never sleep.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// Stands at `start`.
    #[must_use]
    pub fn at(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves it on.
    pub fn advance(&self, span: Duration) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.after(span);
    }
}

impl Default for ManualClock {
    /// Some day in 2026: a moment that prints like those that users see.
    fn default() -> Self {
        Self::at(Timestamp::from_millis(1_793_000_000_000))
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_reads_back_what_it_wrote() {
        let moment = Timestamp::from_millis(1_763_719_524_003);
        let text = serde_json::to_string(&moment).unwrap();
        assert_eq!(text, "\"2025-11-21T10:05:24.003Z\"");
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), moment);
    }

    #[test]
    fn far_moments_saturate_and_still_print() {
        let end = Timestamp::from_millis(u64::MAX).after(Duration::MAX);
        let text = serde_json::to_string(&end).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&text).unwrap(), end);
    }
}
