//! Everything that happens, as server-sent events, resumable from any number that is still kept.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use downbeat_core::cache::{CacheError, Read, Topic, events_stream};
use downbeat_core::ids::GoalId;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, Uri};
use serde::Deserialize;
use serde_json::json;

use crate::problem::{Problem, problem};
use crate::service::Service;

/// How many events are read at once.
const PAGE: usize = 500;

/// After this long without news a comment is sent, so that both sides know that the other is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// How long a client waits before it connects again.
const RETRY_MS: u32 = 1_000;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct From {
    after: Option<u64>,
    goal: Option<GoalId>,
}

/// Answers `/v1/events`.
pub(crate) async fn events(State(service): State<Arc<Service>>, headers: HeaderMap, uri: Uri) -> Response {
    match follow(service, &headers, &uri).await {
        Ok(response) => response,
        Err(problem) => problem.into_response(),
    }
}

/// What a stream of events goes on with.
struct Follower {
    service: Arc<Service>,
    goal: Option<GoalId>,
    seen: u64,
    /// What is sent before any event.
    first: Option<String>,
}

async fn follow(service: Arc<Service>, headers: &HeaderMap, uri: &Uri) -> Result<Response, Problem> {
    let from: From = serde_urlencoded::from_str(uri.query().unwrap_or_default())
        .map_err(|error| problem("invalid_parameter", format!("in the query: {error}")))?;
    let last = match headers.get("last-event-id") {
        None => None,
        Some(id) => Some(
            id.to_str()
                .ok()
                .and_then(|id| id.trim().parse::<u64>().ok())
                .ok_or_else(|| problem("invalid_parameter", "`Last-Event-ID` is the number of an event"))?,
        ),
    };
    let newest = service.cache.changed(&Topic::Stream(events_stream()), u64::MAX, Duration::ZERO).await?;
    let after = last.or(from.after).unwrap_or(newest);
    let mut first = format!("retry: {RETRY_MS}\n\n");
    // What is behind the newest one was of a store that was here before, or is lost: nothing would be news.
    let seen = after.min(newest);
    if after > seen {
        first.push_str(&resync(seen.saturating_add(1), after));
    }
    let follower = Follower { service, goal: from.goal, seen, first: Some(first) };
    let chunks = stream::unfold(follower, |mut follower| async move {
        // A client that misses what cannot be read now connects again, and goes on where it was.
        let text = follower.next().await.ok().flatten()?;
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(text)), follower))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(chunks)).into_response())
}

/// Tells of events that are kept no more.
fn resync(from: u64, to: u64) -> String {
    format!("event: resync\ndata: {}\n\n", json!({ "from": from, "to": to }))
}

impl Follower {
    /// The next lines to send; `None` when the service ends.
    async fn next(&mut self) -> Result<Option<String>, CacheError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let service = Arc::clone(&self.service);
        let cache = &service.cache;
        loop {
            let page = cache.read(&Read { stream: events_stream(), after: self.seen, limit: PAGE }).await?;
            let mut text = String::new();
            if page.trimmed > 0 {
                let to = page.first.saturating_sub(1);
                text.push_str(&resync(self.seen.saturating_add(1), to));
                self.seen = to;
            }
            for event in &page {
                self.seen = event.seq;
                if self.goal.is_some() && event.what.goal != self.goal {
                    continue;
                }
                // JSON has no line breaks in it.
                let data = serde_json::to_string(event).unwrap_or_default();
                let _ = write!(text, "id: {}\nevent: {}\ndata: {data}\n\n", event.seq, event.what.kind);
            }
            if !text.is_empty() {
                return Ok(Some(text));
            }
            if !page.is_empty() {
                continue;
            }
            let news = Topic::Stream(events_stream());
            let newest = tokio::select! {
                newest = cache.changed(&news, self.seen, KEEP_ALIVE) => newest?,
                () = service.ending.cancelled() => return Ok(None),
            };
            if newest <= self.seen {
                return Ok(Some(": nothing new\n\n".to_owned()));
            }
        }
    }
}
