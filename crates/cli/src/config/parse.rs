//! Values as people write them, whichever place they come from.

use std::ops::RangeInclusive;
use std::time::Duration;

use downbeat_core::span::HumanDuration;

/// A whole number within bounds.
pub(super) fn count(text: &str, bounds: &RangeInclusive<u64>) -> Result<u64, String> {
    text.trim().parse::<u64>().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
        format!("must be a whole number from {} to {}, and is `{text}`", bounds.start(), bounds.end())
    })
}

/// How many calls go on at once; 0, and what the predecessor read as that, is any number.
pub(super) fn calls(text: &str) -> Result<u64, String> {
    if text.trim().parse::<i64>().is_ok_and(|number| number < 0) {
        return Ok(0);
    }
    count(text, &(0..=10_000))
}

/// A span of time within bounds.
pub(super) fn span(text: &str, bounds: &RangeInclusive<Duration>) -> Result<Duration, String> {
    if let Ok(span) = text.parse::<HumanDuration>()
        && bounds.contains(&span.get())
    {
        return Ok(span.get());
    }
    let show = |span: &Duration| HumanDuration::new(*span).map_or_else(String::new, |span| span.to_string());
    Err(format!(
        "must be a time span such as `500ms`, `30s` or `1h30m`, from {} to {}, and is `{text}`",
        show(bounds.start()),
        show(bounds.end())
    ))
}

/// A size: a number of bytes, or with `kB`, `MB`, `GB`, `KiB`, `MiB`, `GiB`.
pub(super) fn bytes(text: &str, bounds: &RangeInclusive<u64>) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => Some(1_u64),
        "kb" => Some(1_000),
        "mb" => Some(1_000_000),
        "gb" => Some(1_000_000_000),
        "kib" => Some(1 << 10),
        "mib" => Some(1 << 20),
        "gib" => Some(1 << 30),
        _ => None,
    };
    let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit?));
    size.filter(|size| bounds.contains(size)).ok_or_else(|| {
        format!(
            "must be a size such as `64KiB` or `10MiB`, from {} bytes on, and is `{text}`",
            bounds.start()
        )
    })
}

/// A truth value.
pub(super) fn switch(text: &str) -> Result<bool, String> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Ok(true),
        "false" | "0" | "no" | "off" => Ok(false),
        _ => Err(format!("must be `true` or `false`, and is `{text}`")),
    }
}

/// US dollars in millionths, from `0.000001` to a million; a `$` before it is allowed.
pub(super) fn dollars(text: &str) -> Result<u64, String> {
    let fault =
        || format!("must be US dollars, such as `2` or `0.50`, up to 1000000, and is `{}`", text.trim());
    let number = text.trim().trim_start_matches('$');
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let sound = !whole.is_empty() && part.len() <= 6;
    if !sound || !whole.bytes().chain(part.bytes()).all(|byte| byte.is_ascii_digit()) {
        return Err(fault());
    }
    let micros = format!("{whole}{part:0<6}").parse::<u64>().map_err(|_| fault())?;
    if (1..=1_000_000_000_000).contains(&micros) { Ok(micros) } else { Err(fault()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dollars_are_exact() {
        for (text, micros) in [("2", 2_000_000), ("$0.50", 500_000), ("0.000001", 1), (" 1.25 ", 1_250_000)] {
            assert_eq!(dollars(text), Ok(micros), "{text}");
        }
        for text in ["", "0", "-1", "1e3", ".5", "1.0000001", "2000000", "1,5", "two"] {
            assert!(dollars(text).unwrap_err().contains("US dollars"), "{text}");
        }
    }
}
