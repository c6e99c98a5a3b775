//! What a tool's complaint means: tools say in words what an API says in a status.

use std::time::Duration;

use downbeat_core::llm::LlmError;

use super::Tool;

/// Longer waits are cut to this: a wrong clock must not stop work for years.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What `text`, and the status of the vendor's answer if it is known, mean; none when they say nothing
/// that is known.
pub(crate) fn read(tool: &Tool, status: Option<u64>, text: &str) -> Option<LlmError> {
    let lower = text.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    let quoted = tool.quote(text);
    let reason = format!("`{}`: {quoted}", tool.name);
    let status = status.or_else(|| status_in(&lower));
    if says(&[
        "usage limit",
        "hit your limit",
        "reached your limit",
        "credit balance",
        "quota",
        "billing",
        "out of credits",
    ]) || status == Some(402)
    {
        return Some(LlmError::BudgetSpent { reason, until: wait(text) });
    }
    if status == Some(429)
        || says(&[
            "rate limit",
            "rate_limit",
            "too many requests",
            "resource exhausted",
            "resource_exhausted",
        ])
    {
        return Some(LlmError::Unavailable { reason, retry_after: wait(text) });
    }
    let signed_out = [
        "not logged in",
        "not signed in",
        "please run /login",
        "codex login",
        "invalid api key",
        "invalid x-api-key",
        "incorrect api key",
        "api key not valid",
        "missing api key",
        "unauthorized",
        "authentication",
        "auth method",
        "api_key_invalid",
        "login required",
        "token has expired",
        "unauthenticated",
    ];
    if matches!(status, Some(401 | 403)) || says(&signed_out) {
        return Some(tool.signed_out(&quoted));
    }
    let away = [
        "overloaded",
        "server error",
        "server_error",
        "service unavailable",
        "bad gateway",
        "gateway timeout",
        "connection",
        "econnrefused",
        "econnreset",
        "etimedout",
        "fetch failed",
        "disconnected",
        "network",
        "socket hang up",
        "failed to lookup",
        "dns",
    ];
    if status.is_some_and(|status| status >= 500) || says(&away) {
        return Some(LlmError::Unavailable { reason, retry_after: wait(text) });
    }
    if says(&["content policy", "usage policy", "violates", "safety", "refusal", "blocked by", "prohibited"])
    {
        return Some(LlmError::Refused { reason: quoted });
    }
    if matches!(status, Some(400 | 404 | 413 | 422))
        || says(&["model not found", "unknown model", "invalid model"])
    {
        return Some(LlmError::Unusable { reason });
    }
    None
}

/// A status of HTTP, where words say that it is one: `status 429`, `status: 429`, `(429)`,
/// `API Error: 500`, `"code": 503`.
fn status_in(lower: &str) -> Option<u64> {
    for mark in [
        "status code ",
        "status: ",
        "status ",
        "api error: ",
        "http ",
        "\"code\":",
        "\"code\": ",
        "rejected (",
    ] {
        for (at, _) in lower.match_indices(mark) {
            let rest = lower.get(at + mark.len()..).unwrap_or_default();
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            if digits.len() == 3
                && let Ok(status @ 400..=599) = digits.parse()
            {
                return Some(status);
            }
        }
    }
    None
}

/// How long to wait, as words say it: `try again in 3 hours 12 minutes`, `retry in 12.5s`, `resets
/// after 3h12m`, `retry-after: 30`, `limit reached|<seconds of the epoch>`.
pub(crate) fn wait(text: &str) -> Option<Duration> {
    let lower = text.to_lowercase();
    if let Some((_, behind)) = lower.split_once("limit reached|") {
        let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
        let at: i64 = digits.parse().ok()?;
        let left = u64::try_from(at.checked_sub(now())?).unwrap_or(0);
        return Some(Duration::from_secs(left).min(LONGEST));
    }
    let marks = [
        "again in ",
        "retry in ",
        "retry after ",
        "retry-after: ",
        "retry-after\":\"",
        "retry-after ",
        "reset after ",
        "resets after ",
        "resets in ",
        "reset in ",
        "retrydelay\": \"",
        "retrydelay\":\"",
        "wait ",
    ];
    marks.iter().find_map(|mark| duration(lower.split_once(mark)?.1)).map(|wait| wait.min(LONGEST))
}

/// Numbers with units, as long as they come; seconds without one.
fn duration(text: &str) -> Option<Duration> {
    let mut total = 0.0_f64;
    let mut found = false;
    let mut rest = text.trim_start();
    loop {
        let length = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let Ok(number) = rest.get(..length)?.trim_end_matches('.').parse::<f64>() else { break };
        rest = rest.get(length..)?.trim_start();
        let length = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let unit = rest.get(..length)?;
        let factor = match unit {
            "ms" | "milliseconds" => 0.001,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3_600.0,
            "d" | "day" | "days" => 86_400.0,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            _ if !found => 1.0,
            _ => break,
        };
        total += number * factor;
        found = true;
        rest = rest.get(length..)?.trim_start_matches([' ', ',']).trim_start();
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    found.then(|| Duration::try_from_secs_f64(total).ok()).flatten()
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tool names a moment, and has no clock of its own to compare"
)]
fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_read_as_tools_write_them() {
        for (text, seconds) in [
            ("You've hit your usage limit. Try again in 3 hours 12 minutes.", Some(11_520.0)),
            ("Please try again in 1 day, 2 hours and 5 minutes", Some(93_900.0)),
            ("Please retry in 12.5s.", Some(12.5)),
            ("Your quota will reset after 3h12m4s.", Some(11_524.0)),
            ("retry-after: 30", Some(30.0)),
            ("try again in 300ms", Some(0.3)),
            ("Retrying with backoff...", None),
            ("try again in a while", None),
            ("try again in 99999 days", Some(LONGEST.as_secs_f64())),
            ("Claude AI usage limit reached|1", Some(0.0)),
            ("Claude AI usage limit reached|99999999999", Some(LONGEST.as_secs_f64())),
        ] {
            assert_eq!(wait(text).map(|wait| wait.as_secs_f64()), seconds, "{text}");
        }
    }

    #[test]
    fn a_status_is_one_where_words_say_so() {
        for (text, status) in [
            ("unexpected status 401 unauthorized: x", Some(401)),
            ("exceeded retry limit, last status: 429 too many requests", Some(429)),
            ("api error: request rejected (429) · slow", Some(429)),
            ("{\"error\":{\"code\":503,", Some(503)),
            ("attempt 1 failed with status 429. retrying", Some(429)),
            ("wrote 429 lines", None),
            ("status 2000", None),
        ] {
            assert_eq!(status_in(text), status, "{text}");
        }
    }
}
