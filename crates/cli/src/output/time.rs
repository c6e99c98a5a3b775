//! Moments and spans as people read them.

use std::time::Duration;

use downbeat_core::time::Timestamp;
use jiff::tz::TimeZone;

/// The zone of this machine; UTC where it has none.
fn zone() -> TimeZone {
    static ZONE: std::sync::OnceLock<TimeZone> = std::sync::OnceLock::new();
    ZONE.get_or_init(|| TimeZone::try_system().unwrap_or(TimeZone::UTC)).clone()
}

fn format(at: Timestamp, pattern: &str) -> String {
    let millis = i64::try_from(at.as_millis()).unwrap_or(i64::MAX);
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(moment) => moment.to_zoned(zone()).strftime(pattern).to_string(),
        Err(_) => at.to_string(),
    }
}

/// `2026-03-18 10:15:24`, in local time.
pub(crate) fn moment(at: Timestamp) -> String {
    format(at, "%Y-%m-%d %H:%M:%S")
}

/// `10:15:24.003`, in local time.
pub(crate) fn clock(at: Timestamp) -> String {
    format(at, "%H:%M:%S.%3f")
}

/// `850ms`, `1.2s`, `2m 05s`, `1h 02m`, `3d 04h`.
pub(crate) fn span(span: Duration) -> String {
    let millis = span.as_millis();
    let seconds = span.as_secs();
    match seconds {
        0 => format!("{millis}ms"),
        1..=59 => format!("{seconds}.{}s", millis % 1000 / 100),
        60..=3599 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3600..=86_399 => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_write_them() {
        for (millis, text) in [
            (0, "0ms"),
            (850, "850ms"),
            (1_000, "1.0s"),
            (59_990, "59.9s"),
            (125_000, "2m 05s"),
            (3_720_000, "1h 02m"),
            (273_600_000, "3d 04h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_moment_has_its_zone_s_hour() {
        let at = Timestamp::from_millis(1_773_828_924_003);
        assert!(moment(at).starts_with("2026-03-1") && moment(at).ends_with("24"), "{}", moment(at));
        assert!(clock(at).ends_with("24.003"), "{}", clock(at));
    }
}
