//! What a person orders, from the command line, the API or a heartbeat file: one door, one kind of event.
//!
//! [`give`] is the only way in. What the cache can do itself (pause an agent, drop a task, …) it does in
//! one atomic step. What only an orchestrator can (start, stop and restart agents, read instructions again)
//! is kept in a [`Standing`] and told by the event; the orchestrator that leads wakes at the event, and
//! reads what stands when it starts.
//!
//! Every order leaves one event, `directive.applied` or `directive.refused`, whose `data` has the order
//! (`directive`) and who gave it (`by`: `cli:<user>@<host>`, `heartbeat/research.md:3`, `api:<who>`).

pub(crate) mod notice;
mod order;
mod standing;
#[cfg(test)]
mod tests;

use std::time::Duration;

use downbeat_core::cache::{
    Append, Cache, CacheError, Directive, Read, Steer, Steered, StoreIf, Topic, events_stream,
};
use downbeat_core::event::{Event, EventDraft, EventKind};
use downbeat_core::ids::{AgentName, RequestId};
use downbeat_core::text::clip;
use serde_json::json;

pub use order::{FleetOrder, Order, Scope, Subject, Whole, Whom};
pub use standing::Standing;
use standing::{Kept, read};

/// The longest name of a giver, in bytes.
const MAX_BY: usize = 256;

/// How many events are read at once when one is looked for.
const EVENTS: usize = 1_000;

/// An order, and who gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// What is wanted.
    pub order: Order,
    /// Who wants it and from where.
    pub by: String,
    /// Names the request: the same order under the same name is carried out once.
    pub request: RequestId,
}

/// Gives an order: carried out by the cache, or kept for the orchestrator.
///
/// What cannot be done is no error: the answer says why, and so does the event. A repeated request is
/// answered as the first time and leaves no second event, also when the first one was cut off by a crash
/// between keeping the order and telling of it.
///
/// # Errors
///
/// What the cache says; then nothing is known, and the same request may be given again.
pub async fn give(cache: &dyn Cache, given: &Given) -> Result<Steered, CacheError> {
    let by = clip(&given.by.replace(char::is_control, " "), MAX_BY);
    match &given.order {
        Order::Cache(directive) => {
            if let Directive::FlushMemory { agent } = directive {
                count_flush(cache, agent, &given.request).await?;
            }
            let steer = Steer { directive: directive.clone(), by, request: given.request.clone() };
            let steered = cache.steer(&steer).await?;
            if steered.applied && notice::concerns_work(directive) {
                notice::send(cache, directive, &given.request).await?;
            }
            Ok(steered)
        }
        Order::Fleet(order) => keep(cache, order, &by, &given.request).await,
    }
}

/// The order that an event tells of, if it was carried out: how an orchestrator learns what to do.
#[must_use]
pub fn told(event: &Event) -> Option<Order> {
    if event.what.kind != EventKind::DIRECTIVE_APPLIED {
        return None;
    }
    serde_json::from_value(event.what.data.get("directive")?.clone()).ok()
}

/// Counts a flush, so that no snapshot from before it counts any more. Once for each request.
async fn count_flush(cache: &dyn Cache, agent: &AgentName, request: &RequestId) -> Result<(), CacheError> {
    let subject = Subject::Agent(agent.clone());
    loop {
        let (mut standing, version) = read(cache, &subject).await?;
        if standing.kept(request).is_some() {
            return Ok(());
        }
        standing.flushes += 1;
        let answer = Steered { applied: true, detail: String::new() };
        standing.keep(Kept { request: request.clone(), answer, after: 0, told: true });
        if store(cache, &subject, version, &standing).await?.is_some() {
            return Ok(());
        }
    }
}

/// Keeps an order about which only an orchestrator can do something, and tells of it.
async fn keep(
    cache: &dyn Cache,
    order: &FleetOrder,
    by: &str,
    request: &RequestId,
) -> Result<Steered, CacheError> {
    let subject = order.subject();
    loop {
        let (mut standing, version) = read(cache, &subject).await?;
        if let Some(kept) = standing.kept(request).cloned() {
            if !kept.told {
                say_once(cache, event(order, by, &kept), request, kept.after).await?;
            }
            return Ok(kept.answer);
        }
        let after = cache.changed(&Topic::Stream(events_stream()), u64::MAX, Duration::ZERO).await?;
        let answer = standing.obey(order);
        by.clone_into(&mut standing.by);
        // From here on a repeat is recognised; what may still be missing is its event.
        let kept = Kept { request: request.clone(), answer, after, told: false };
        standing.keep(kept.clone());
        let Some(version) = store(cache, &subject, version, &standing).await? else { continue };
        say(cache, event(order, by, &kept), request).await?;
        // Only spares a later repeat the search, so that a conflict or a failure is of no account.
        if let Some(kept) = standing.kept(request) {
            kept.told = true;
        }
        let _ = store(cache, &subject, version, &standing).await;
        return Ok(kept.answer);
    }
}

/// The new version; `None` when somebody else was first.
async fn store(
    cache: &dyn Cache,
    subject: &Subject,
    expected: u64,
    standing: &Standing,
) -> Result<Option<u64>, CacheError> {
    let value = serde_json::to_string(standing).map_err(|error| CacheError::Invalid {
        reason: format!("an order cannot be written down: {error}"),
    })?;
    match cache.store_if(&StoreIf { key: subject.key(), expected, value: Some(value) }).await {
        Ok(version) => Ok(Some(version)),
        Err(CacheError::Conflict { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn event(order: &FleetOrder, by: &str, kept: &Kept) -> EventDraft {
    let kind = match kept.answer.applied {
        true => EventKind::DIRECTIVE_APPLIED,
        false => EventKind::DIRECTIVE_REFUSED,
    };
    let mut event = EventDraft::new(kind)
        .reason(kept.answer.detail.clone())
        .data(json!({ "directive": order, "by": by, "request": kept.request }));
    match order.subject() {
        Subject::Agent(agent) => event.agent = Some(agent),
        Subject::Goal(goal) => event.goal = Some(goal),
        Subject::Group(_) | Subject::Project => {}
    }
    event
}

async fn say(cache: &dyn Cache, event: EventDraft, request: &RequestId) -> Result<(), CacheError> {
    let append = Append { stream: events_stream(), entries: vec![event], request: request.clone() };
    cache.append(&append).await?;
    Ok(())
}

/// Adds an event unless it is there already: unless one behind the number `after` has this `request` in its
/// data, as the event itself has to have.
pub(crate) async fn say_once(
    cache: &dyn Cache,
    event: EventDraft,
    request: &RequestId,
    mut after: u64,
) -> Result<(), CacheError> {
    loop {
        let page = cache.read(&Read { stream: events_stream(), after, limit: EVENTS }).await?;
        let same = |event: &Event| {
            event.what.data.get("request").and_then(|request| request.as_str()) == Some(&request.0)
        };
        if page.iter().any(same) {
            return Ok(());
        }
        match page.last() {
            Some(last) if page.len() == EVENTS => after = last.seq,
            _ => return say(cache, event, request).await,
        }
    }
}
