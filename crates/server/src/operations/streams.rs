//! Append-only logs, and waiting for news.

use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{Append, Page, Read, Topic};
use downbeat_core::event::EventDraft;
use downbeat_core::ids::{RequestId, StreamName};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Limit;
use crate::operation::{Input, Nothing, Operation, Verb};
use crate::problem::Problem;
use crate::service::Service;

/// Which stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfStream {
    /// Its name; `events` is the stream that every move appends to.
    pub(crate) stream: StreamName,
}

/// Which entries.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichEntries {
    /// Behind this number; 0 for the first.
    #[serde(default)]
    pub(crate) after: u64,
    /// At most this many.
    #[serde(default)]
    pub(crate) limit: Limit,
}

/// Entries to add.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Append")]
pub(crate) struct AppendBody {
    /// Together and in order.
    #[schemars(length(min = 1, max = downbeat_core::cache::MAX_APPEND))]
    pub(crate) entries: Vec<EventDraft>,
    /// Names the request: repeated, it has no further effect.
    pub(crate) request: RequestId,
}

/// Where a stream ends.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Appended {
    /// The number of the last entry.
    pub(crate) last: u64,
}

/// How long to wait for what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Await {
    /// The number that is known.
    #[serde(default)]
    pub(crate) seen: u64,
    /// At most this long, in milliseconds; 0 only looks.
    #[serde(default)]
    pub(crate) wait_ms: Wait,
}

/// The longest wait of one request.
pub(crate) const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A wait in milliseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "u64", into = "u64")]
#[schemars(inline, extend("maximum" = 60_000))]
pub(crate) struct Wait(u64);

impl Wait {
    /// As long as is wanted and may be waited in one request.
    pub(crate) fn up_to(wanted: Duration) -> Self {
        // Waiting less than was wanted is no fault, waiting not at all would be a busy loop.
        let millis = u64::try_from(wanted.min(LONGEST_WAIT).as_millis()).unwrap_or(60_000);
        Self(if wanted.is_zero() { 0 } else { millis.max(1) })
    }

    fn get(self) -> Duration {
        Duration::from_millis(self.0)
    }
}

impl TryFrom<u64> for Wait {
    type Error = String;

    fn try_from(millis: u64) -> Result<Self, String> {
        if Duration::from_millis(millis) > LONGEST_WAIT {
            return Err("a wait is at most 60000 ms; ask again for a longer one".to_owned());
        }
        Ok(Self(millis))
    }
}

impl From<Wait> for u64 {
    fn from(wait: Wait) -> Self {
        wait.0
    }
}

/// The newest number.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Newest {
    /// Not greater than what was seen when the wait ended first.
    pub(crate) number: u64,
}

async fn wait(service: &Service, topic: Topic, how: Await) -> Result<Newest, Problem> {
    let asked = service.cache.changed(&topic, how.seen, how.wait_ms.get());
    let number = tokio::select! {
        number = asked => number?,
        // Whoever waits is told that nothing is new, and asks again elsewhere or later.
        () = service.ending.cancelled() => how.seen,
    };
    Ok(Newest { number })
}

/// Entries of a stream, oldest first.
#[derive(Debug)]
pub(crate) struct ReadEntries;

#[async_trait]
impl Operation for ReadEntries {
    const ID: &'static str = "readEntries";
    const TAG: &'static str = "streams";
    const SUMMARY: &'static str = "Entries of a stream, oldest first";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/streams/{stream}/entries";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = OfStream;
    type Query = WhichEntries;
    type Body = Nothing;
    type Answer = Page;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let WhichEntries { after, limit } = input.query;
        Ok(service.cache.read(&Read { stream: input.path.stream, after, limit: limit.get() }).await?)
    }
}

/// Adds entries to a stream, together and in order.
#[derive(Debug)]
pub(crate) struct AppendEntries;

#[async_trait]
impl Operation for AppendEntries {
    const ID: &'static str = "appendEntries";
    const TAG: &'static str = "streams";
    const SUMMARY: &'static str = "Adds entries to a stream, together and in order";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/streams/{stream}/entries";
    const PROBLEMS: &'static [&'static str] = &["invalid"];

    type Path = OfStream;
    type Query = Nothing;
    type Body = AppendBody;
    type Answer = Appended;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let AppendBody { entries, request } = input.body;
        let append = Append { stream: input.path.stream, entries, request };
        Ok(Appended { last: service.cache.append(&append).await? })
    }
}

/// Waits until a stream has more entries than were seen.
#[derive(Debug)]
pub(crate) struct AwaitEntries;

#[async_trait]
impl Operation for AwaitEntries {
    const ID: &'static str = "awaitEntries";
    const TAG: &'static str = "streams";
    const SUMMARY: &'static str = "Waits until a stream has more entries than were seen";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/streams/{stream}/changes";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = OfStream;
    type Query = Await;
    type Body = Nothing;
    type Answer = Newest;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        wait(service, Topic::Stream(input.path.stream), input.query).await
    }
}

/// Waits until there may be something to claim that was not there before.
#[derive(Debug)]
pub(crate) struct AwaitReady;

#[async_trait]
impl Operation for AwaitReady {
    const ID: &'static str = "awaitReady";
    const TAG: &'static str = "streams";
    const SUMMARY: &'static str = "Waits until there may be something to claim that was not there before";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/ready/changes";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = Await;
    type Body = Nothing;
    type Answer = Newest;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        wait(service, Topic::Ready, input.query).await
    }
}
