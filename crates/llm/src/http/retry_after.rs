//! When a vendor says to come back.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap, RETRY_AFTER};
use serde_json::Value;

/// Longer waits are cut to this: a wrong clock must not stop work for years.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// How long to wait, as the headers of an answer say, or its body.
pub(crate) fn retry_after(headers: &HeaderMap, body: &Value) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let milliseconds = || Some(Duration::from_millis(text("retry-after-ms")?.parse().ok()?));
    let standard = || {
        let value = text(RETRY_AFTER.as_str())?;
        seconds(value).or_else(|| until(date(value)?, headers))
    };
    milliseconds()
        .or_else(standard)
        .or_else(|| in_body(body))
        .or_else(|| exhausted(headers))
        .map(|wait| wait.min(LONGEST))
}

/// Seconds, with a fraction or none.
fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}

/// A date of HTTP or of RFC 3339.
fn date(text: &str) -> Option<Timestamp> {
    let of_http = || Timestamp::try_from(httpdate::parse_http_date(text).ok()?).ok();
    text.parse().ok().or_else(of_http)
}

/// The time from the answer's own date to `then`, so that our clock does not matter; from now, if the
/// answer has none.
fn until(then: Timestamp, headers: &HeaderMap) -> Option<Duration> {
    let sent = headers.get(DATE).and_then(|value| date(value.to_str().ok()?)).unwrap_or_else(now);
    Some(Duration::try_from(then.duration_since(sent)).unwrap_or(Duration::ZERO))
}

#[expect(clippy::disallowed_methods, reason = "only for servers that do not say what time it is")]
fn now() -> Timestamp {
    Timestamp::now()
}

/// Gemini's `RetryInfo`.
fn in_body(body: &Value) -> Option<Duration> {
    let details = body.pointer("/error/details")?.as_array()?;
    let delay = details.iter().find_map(|detail| detail.get("retryDelay")?.as_str())?;
    seconds(delay.strip_suffix('s')?)
}

/// The longest reset among the limits that have nothing left.
///
/// Anthropic: `anthropic-ratelimit-<what>-remaining` and `-reset`, a date; OpenAI:
/// `x-ratelimit-remaining-<what>` and `x-ratelimit-reset-<what>`, a span such as `6m0s`.
fn exhausted(headers: &HeaderMap) -> Option<Duration> {
    let resets = headers.iter().filter_map(|(name, value)| {
        let name = name.as_str();
        if value.to_str().ok()?.trim() != "0" {
            return None;
        }
        let reset = if name.starts_with("anthropic-ratelimit-") {
            format!("{}-reset", name.strip_suffix("-remaining")?)
        } else {
            format!("x-ratelimit-reset-{}", name.strip_prefix("x-ratelimit-remaining-")?)
        };
        let reset = headers.get(&reset)?.to_str().ok()?.trim();
        date(reset).and_then(|then| until(then, headers)).or_else(|| span(reset))
    });
    resets.max()
}

/// A span such as `1h6m0s`, `850ms` or `1.5s`.
fn span(text: &str) -> Option<Duration> {
    let span: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(span).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn after(headers: &[(&str, &str)], body: &Value) -> Option<Duration> {
        let headers = headers.iter().map(|(name, value)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap())
        });
        retry_after(&headers.collect(), body)
    }

    const DATED: (&str, &str) = ("date", "Sat, 21 Nov 2026 10:00:00 GMT");

    #[rstest]
    #[case::seconds(&[("retry-after", "7")], 7_000)]
    #[case::fraction(&[("retry-after", "0.5")], 500)]
    #[case::milliseconds(&[("retry-after-ms", "250"), ("retry-after", "7")], 250)]
    #[case::http_date(&[DATED, ("retry-after", "Sat, 21 Nov 2026 10:01:30 GMT")], 90_000)]
    #[case::past(&[DATED, ("retry-after", "Sat, 21 Nov 2026 09:00:00 GMT")], 0)]
    #[case::too_far(&[DATED, ("retry-after", "Sat, 21 Nov 2099 09:00:00 GMT")], 604_800_000)]
    #[case::anthropic(
        &[DATED, ("anthropic-ratelimit-tokens-remaining", "0"), ("anthropic-ratelimit-tokens-reset", "2026-11-21T10:00:20Z")],
        20_000
    )]
    #[case::openai(
        &[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6m0s"),
          ("x-ratelimit-remaining-requests", "5"), ("x-ratelimit-reset-requests", "9h")],
        360_000
    )]
    fn headers_say_when(#[case] headers: &[(&str, &str)], #[case] milliseconds: u64) {
        assert_eq!(after(headers, &Value::Null), Some(Duration::from_millis(milliseconds)));
    }

    #[test]
    fn a_body_says_when() {
        let details = json!([{ "@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s" }]);
        let body = json!({ "error": { "details": details } });
        assert_eq!(after(&[], &body), Some(Duration::from_millis(34_500)));
    }

    #[rstest]
    #[case(&[])]
    #[case(&[("retry-after", "soon")])]
    #[case(&[("retry-after", "-1")])]
    #[case(&[("retry-after", "NaN")])]
    #[case(&[("retry-after", "1e300")])]
    #[case(&[("x-ratelimit-remaining-tokens", "0")])]
    fn nonsense_says_nothing(#[case] headers: &[(&str, &str)]) {
        assert_eq!(after(headers, &Value::Null), None);
    }
}
