//! What is sent, read within bounds and held against the document.

use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use downbeat_core::schema::Validator;
use http::{HeaderMap, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::{Problem, problem, status_of};

/// The largest body in bytes: larger than any DAG, document or append that people make.
pub(crate) const MAX_BODY: usize = 32 * 1024 * 1024;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

/// Reads a body, checks it, and makes a value of it.
///
/// # Errors
///
/// Everything that is wrong with it, with JSON pointers where there are any.
pub(crate) async fn read<T: DeserializeOwned>(
    headers: &HeaderMap,
    body: Body,
    schema: &Validator,
) -> Result<T, Problem> {
    let sent = headers.get(header::CONTENT_TYPE).and_then(|text| text.to_str().ok()).unwrap_or_default();
    let kind = sent.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(problem("unsupported_media_type", "send JSON with `content-type: application/json`"));
    }
    let bytes = collect(body).await?;
    let value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| problem("malformed_json", format!("what was sent is no JSON: {error}")))?;
    let faults = schema.faults(&value);
    if !faults.is_empty() {
        let faults = faults.into_iter().map(|fault| (fault.pointer, fault.message)).collect();
        let status = status_of("schema_violation");
        return Err(Problem::faults("schema_violation", status, "not what this operation takes", faults));
    }
    serde_path_to_error::deserialize(value).map_err(|error| {
        let place = error.path().to_string();
        let fault = (place, error.into_inner().to_string());
        Problem::faults(
            "schema_violation",
            status_of("schema_violation"),
            "not what this operation takes",
            vec![fault],
        )
    })
}

async fn collect(body: Body) -> Result<Bytes, Problem> {
    let whole = tokio::time::timeout(BODY_TIME, Limited::new(body, MAX_BODY).collect()).await;
    let Ok(whole) = whole else {
        return Err(problem("request_timeout", format!("the body did not arrive within {BODY_TIME:?}")));
    };
    match whole {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(problem("body_too_large", format!("a body has at most {MAX_BODY} bytes")))
        }
        Err(error) => Err(problem("malformed_json", format!("the body broke off: {error}"))),
    }
}
