//! Time spans as people write them: `500ms`, `30s`, `1h30m`, or a number of seconds.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A span of time in whole milliseconds, from 1 ms to [`HumanDuration::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HumanDuration(u64);

/// Why a text is no span of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d"
)]
pub struct DurationError {
    text: String,
}

impl HumanDuration {
    /// A year.
    pub const MAX: Self = Self(365 * 86_400_000);

    /// `None` for zero and for more than [`HumanDuration::MAX`].
    #[must_use]
    pub fn new(span: Duration) -> Option<Self> {
        let millis = u64::try_from(span.as_millis()).ok()?;
        (1..=Self::MAX.0).contains(&millis).then_some(Self(millis))
    }

    /// As the standard library counts it.
    #[must_use]
    pub const fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl FromStr for HumanDuration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let error = || DurationError { text: text.chars().take(60).collect() };
        let mut rest = text.trim();
        if let Ok(seconds) = rest.parse::<u64>() {
            return Self::new(Duration::from_secs(seconds)).ok_or_else(error);
        }
        let mut total: u64 = 0;
        let mut last_unit = u64::MAX;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(error)?;
            let (number, tail) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| error())?;
            let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(letters);
            let unit: u64 = match unit {
                "ms" => 1,
                "s" => 1_000,
                "m" | "min" => 60_000,
                "h" => 3_600_000,
                "d" => 86_400_000,
                _ => return Err(error()),
            };
            // `30s1h` and `1m1m` are slips, not spans.
            if unit >= last_unit {
                return Err(error());
            }
            last_unit = unit;
            total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or_else(error)?;
            rest = tail;
        }
        Self::new(Duration::from_millis(total)).ok_or_else(error)
    }
}

impl fmt::Display for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
            if rest >= millis {
                write!(f, "{}{unit}", rest / millis)?;
                rest %= millis;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for HumanDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for HumanDuration {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HumanDuration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = HumanDuration;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a time span such as \"30s\", or a number of seconds")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<HumanDuration, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, seconds: u64) -> Result<HumanDuration, E> {
                HumanDuration::new(Duration::from_secs(seconds))
                    .ok_or_else(|| E::custom(DurationError { text: seconds.to_string() }))
            }

            fn visit_i64<E: serde::de::Error>(self, seconds: i64) -> Result<HumanDuration, E> {
                u64::try_from(seconds)
                    .map_err(|_| E::custom(DurationError { text: seconds.to_string() }))
                    .and_then(|seconds| self.visit_u64(seconds))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for HumanDuration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // `pattern` binds texts alone and `minimum` numbers alone, so one flat schema says both and
        // a fault is reported as itself instead of as "no branch of anyOf matched".
        json_schema!({
            "type": ["string", "integer"],
            "pattern": "^\\s*([0-9]+d)?([0-9]+h)?([0-9]+m(in)?)?([0-9]+s)?([0-9]+ms)?\\s*$|^\\s*[0-9]+\\s*$",
            "minLength": 1,
            "minimum": 1,
            "maximum": 31_536_000,
            "description": "a time span such as \"500ms\", \"30s\", \"1h30m\", or a number of seconds"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (text, millis) in [
            ("500ms", 500),
            ("30s", 30_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("7", 7_000),
            ("1d2h3m4s5ms", 93_784_005),
        ] {
            assert_eq!(text.parse::<HumanDuration>().unwrap().get(), Duration::from_millis(millis), "{text}");
        }
        for text in [
            "",
            "0",
            "0s",
            "-1",
            "5 m",
            "m",
            "30s1h",
            "1m1m",
            "5x",
            "1.5s",
            "999999999d",
            "99999999999999999999",
        ] {
            assert!(text.parse::<HumanDuration>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_span_reads_back_what_it_wrote() {
        for millis in [1, 999, 1_000, 61_000, 5_400_000, 93_784_005] {
            let span = HumanDuration::new(Duration::from_millis(millis)).unwrap();
            assert_eq!(span.to_string().parse(), Ok(span));
        }
    }
}
