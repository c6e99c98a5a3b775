//! One request, within bounds of time and size.

use std::time::Duration;

use downbeat_core::llm::LlmError;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;

use super::address::Address;
use crate::transport::MAX_ANSWER;

/// The longest body that is read, in bytes: the longest answer, with everything in it escaped.
const MAX_BODY: usize = 2 * MAX_ANSWER;
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// A connection that is silent for minutes while a model thinks must not be forgotten by the network.
const KEEP_ALIVE: Duration = Duration::from_secs(30);

/// What a server sent.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

/// Why nothing was sent, or not all.
#[derive(Debug)]
pub(crate) enum Lost {
    /// In words; without the address, which the caller knows.
    Connection(String),
    /// It was longer than it may be.
    TooLong(usize),
}

/// A client for `address`.
///
/// It follows no redirects: they would take the key along.
///
/// # Errors
///
/// [`LlmError::Unusable`]: this machine cannot make encrypted connections.
pub(crate) fn client(address: &Address) -> Result<Client, LlmError> {
    // The first library that needs one installs it; a second time is no fault.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .user_agent(concat!("downbeat/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_WITHIN)
        .tcp_keepalive(KEEP_ALIVE)
        .referer(false);
    if address.is_local {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| LlmError::Unusable {
        reason: format!("no connections can be made: {}", causes(&error)),
    })
}

/// Sends a question and reads what comes back. It takes as long as it takes: the caller has the clock.
pub(crate) async fn post(
    client: &Client,
    url: Url,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: &Value,
) -> Result<Sent, Lost> {
    let lost = |error: reqwest::Error| Lost::Connection(causes(&error.without_url()));
    let mut request = client.post(url).header(CONTENT_TYPE, "application/json").body(body.to_string());
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let mut response = request.send().await.map_err(lost)?;
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(lost)? {
        if body.len().saturating_add(piece.len()) > MAX_BODY {
            return Err(Lost::TooLong(MAX_BODY));
        }
        body.extend_from_slice(&piece);
    }
    Ok(Sent { status, headers, body })
}

/// An error and what caused it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}
