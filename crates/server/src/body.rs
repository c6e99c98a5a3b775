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
/// Everything that is wrong with it, with JSON pointers where there are any: 400 for what is not as the document
/// says, 422 for what is, and yet will not do.
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
    let mut value: Value = serde_json::from_slice(&bytes)
        .map_err(|error| problem("malformed_json", format!("what was sent is no JSON: {error}")))?;
    if !schema.accepts(&value) {
        let faults = schema.faults(&value).into_iter().map(|fault| (fault.pointer, fault.message)).collect();
        let status = status_of("schema_violation");
        return Err(Problem::faults("schema_violation", status, "not what this operation takes", faults));
    }
    if let Ok(read) = T::deserialize(&value) {
        return Ok(read);
    }
    // To JSON `1.0` is as whole as `1`.
    whole(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let pointer = pointer(error.path());
        let fault = (pointer, error.into_inner().to_string());
        Problem::faults("invalid_body", status_of("invalid_body"), "what was sent will not do", vec![fault])
    })
}

/// Writes whole numbers as such.
fn whole(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let exact = number.as_f64().filter(|float| number.is_f64() && float.fract() == 0.0);
            let text = exact.map(|float| format!("{float}"));
            if let Some(whole) = text.and_then(|text| text.parse::<u64>().ok()) {
                *value = whole.into();
            }
        }
        Value::Array(values) => values.iter_mut().for_each(whole),
        Value::Object(fields) => fields.values_mut().for_each(whole),
        _ => {}
    }
}

/// A place in a value as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        use serde_path_to_error::Segment;
        let part = match segment {
            Segment::Seq { index } => index.to_string(),
            Segment::Map { key } => key.replace('~', "~0").replace('/', "~1"),
            Segment::Enum { variant } => variant.clone(),
            Segment::Unknown => continue,
        };
        pointer.push('/');
        pointer.push_str(&part);
    }
    pointer
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

#[cfg(test)]
mod tests {
    use downbeat_core::cache::Sweep;
    use serde_json::json;

    use super::*;
    use crate::document::Schemas;

    async fn sent(text: &str) -> Result<Sweep, String> {
        let schema = Validator::of(Schemas::requests().alone::<Sweep>());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, "application/json; charset=utf-8".parse().unwrap());
        read(&headers, Body::from(text.to_owned()), &schema).await.map_err(|problem| problem.code)
    }

    #[tokio::test]
    async fn whole_numbers_may_be_written_with_a_point() {
        assert_eq!(sent("{\"limit\": 26.0}").await.unwrap().limit, 26);
        assert_eq!(sent("{\"limit\": 26.5}").await.unwrap_err(), "schema_violation");
        assert_eq!(sent("{\"limit\": -1.0}").await.unwrap_err(), "schema_violation");
    }

    #[test]
    fn numbers_that_are_not_whole_stay_as_they_are() {
        let mut value = json!({ "a": [1.0, 1.5, -2.0, 1e300, "1.0"] });
        whole(&mut value);
        assert_eq!(value, json!({ "a": [1, 1.5, -2.0, 1e300, "1.0"] }));
    }
}
