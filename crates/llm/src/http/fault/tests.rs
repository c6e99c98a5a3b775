//! Statuses and bodies as vendors document them.

use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use rstest::rstest;
use serde_json::json;

use super::super::vendor::{ANTHROPIC, GEMINI, OLLAMA, OPENAI};
use super::*;
use crate::opening::{Environment, Opening};

fn meaning(vendor: &Vendor, status: u16, wait: Option<&'static str>, body: &Value) -> LlmError {
    let environment: Environment = [("ANTHROPIC_API_KEY", "s3cret")].into_iter().collect();
    let opening = Opening {
        name: "x:m",
        argument: Some("m"),
        base: std::path::Path::new("/"),
        environment: &environment,
    };
    let (address, _) = Address::of(&opening, vendor).unwrap();
    let key = Key::find(vendor, &environment).unwrap();
    let mut headers = HeaderMap::new();
    if let Some(wait) = wait {
        headers.insert(RETRY_AFTER, HeaderValue::from_static(wait));
    }
    let sent =
        Sent { status: StatusCode::from_u16(status).unwrap(), headers, body: body.to_string().into_bytes() };
    of_status(Whom { vendor, address: &address, model: "m", key: key.as_ref() }, &sent)
}

#[rstest]
#[case(429, Some("7"), Some(7))]
#[case(429, None, None)]
#[case(500, None, None)]
#[case(503, Some("30"), Some(30))]
#[case(529, None, None)]
fn what_passes_can_be_tried_again(
    #[case] status: u16,
    #[case] wait: Option<&'static str>,
    #[case] seconds: Option<u64>,
) {
    let body = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    match meaning(&ANTHROPIC, status, wait, &body) {
        LlmError::Unavailable { reason, retry_after } => {
            assert_eq!(retry_after, seconds.map(Duration::from_secs));
            assert!(reason.contains("Overloaded") && reason.contains(&status.to_string()), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::openai(&OPENAI, 429, json!({ "error": { "code": "insufficient_quota", "message": "You exceeded your current quota, please check your plan and billing details." } }))]
#[case::anthropic(&ANTHROPIC, 400, json!({ "error": { "type": "invalid_request_error", "message": "Your credit balance is too low to access the API." } }))]
#[case::gemini(&GEMINI, 429, json!({ "error": { "status": "RESOURCE_EXHAUSTED", "message": "quota", "details": [{ "violations": [{ "quotaId": "GenerateRequestsPerDayPerProjectPerModel" }] }, { "retryDelay": "3600s" }] } }))]
#[case::payment(&OPENAI, 402, json!({}))]
fn what_is_used_up_is_a_spent_budget(#[case] vendor: &Vendor, #[case] status: u16, #[case] body: Value) {
    let error = meaning(vendor, status, None, &body);
    assert!(matches!(error, LlmError::BudgetSpent { .. }), "{error:?}");
}

#[test]
fn a_long_wait_is_a_limit_of_use_that_says_when_it_ends() {
    let error = meaning(&ANTHROPIC, 429, Some("18000"), &json!({}));
    assert!(matches!(error, LlmError::BudgetSpent { until: Some(until), .. } if until.as_secs() == 18_000));
}

#[test]
fn a_key_that_is_not_accepted_is_named_and_not_shown() {
    for status in [401, 403] {
        let body = json!({ "error": { "type": "authentication_error", "message": "invalid x-api-key" } });
        let LlmError::Unusable { reason } = meaning(&ANTHROPIC, status, None, &body) else {
            panic!("{status}")
        };
        assert!(
            reason.contains("$ANTHROPIC_API_KEY") && reason.contains("console.anthropic.com"),
            "{reason}"
        );
        assert!(!reason.contains("s3cret"), "{reason}");
    }
    let invalid =
        json!({ "error": { "message": "API key not valid.", "details": [{ "reason": "API_KEY_INVALID" }] } });
    let LlmError::Unusable { reason } = meaning(&GEMINI, 400, None, &invalid) else { panic!() };
    assert!(reason.contains("set GEMINI_API_KEY"), "{reason}");
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let LlmError::Unusable { reason } =
        meaning(&ANTHROPIC, 404, None, &json!({ "error": { "message": "model: m" } }))
    else {
        panic!()
    };
    assert!(reason.contains("a model called `m`"), "{reason}");
    let LlmError::Unusable { reason } =
        meaning(&OLLAMA, 404, None, &json!({ "error": "model 'm' not found" }))
    else {
        panic!()
    };
    assert!(reason.contains("`ollama pull m`") && reason.contains("model 'm' not found"), "{reason}");
}

#[rstest]
#[case(400)]
#[case(413)]
#[case(422)]
fn a_request_that_is_wrong_is_not_sent_again(#[case] status: u16) {
    let error = meaning(&OPENAI, status, None, &json!({ "error": { "message": "prompt is too long" } }));
    assert!(
        matches!(&error, LlmError::Refused { reason } if reason.contains("prompt is too long")),
        "{error:?}"
    );
}

#[test]
fn a_redirect_is_not_followed() {
    let error = meaning(&OPENAI, 307, None, &json!({}));
    assert!(
        matches!(&error, LlmError::Unusable { reason } if reason.contains("correct the address")),
        "{error:?}"
    );
}

#[test]
fn what_is_shown_of_a_body_is_one_line_of_text() {
    assert_eq!(excerpt("<html>\n\u{1b}[31m<p>\u{0}Bad\r\n gateway"), "<html> [31m<p> Bad gateway");
    assert!(excerpt(&"x".repeat(100_000)).len() <= MESSAGE);
}
