//! What is stored, as the types of core.

use std::str::FromStr;
use std::time::Duration;

use downbeat_core::cache::{
    Agent, AgentError, CacheError, Claim, ClaimReply, Claimed, Lease, Record, Registration, Task,
};
use downbeat_core::event::{Event, EventDraft, EventKind};
use downbeat_core::goal::{Counts, Goal, Parent, Usage};
use downbeat_core::ids::{AgentName, GoalId, Incarnation, RequestId, TaskId, Token};
use downbeat_core::rules;
use downbeat_core::state::{EndedAttempt, Failure, Holder, TaskState};
use downbeat_core::time::Timestamp;
use redis::Value;
use serde::Deserialize;

use crate::reply::{Fields, Reply, corrupt, json, list, parse, text};

pub(crate) fn goal(value: Value) -> Result<Goal, CacheError> {
    let mut fields = Fields::new("goal:?", value);
    if let Some(id) = fields.maybe("id") {
        fields.of = format!("goal:{id}");
    }
    Ok(Goal {
        id: fields.parsed("id")?,
        title: fields.text("title")?.to_owned(),
        status: fields.word("status")?,
        reason: fields.maybe("reason").map(str::to_owned),
        parent: match fields.maybe_parsed("parent_goal")? {
            None => None,
            Some(goal) => Some(Parent {
                goal,
                task: fields.parsed("parent_task")?,
                root: fields.parsed("root")?,
                declared: fields.maybe_parsed("declared")?,
            }),
        },
        revision: fields.parsed("revision")?,
        digest: fields.text("digest")?.to_owned(),
        counts: Counts {
            blocked: fields.parsed("blocked")?,
            ready: fields.parsed("ready")?,
            running: fields.parsed("running")?,
            done: fields.parsed("done")?,
            failed: fields.parsed("failed")?,
            cancelled: fields.parsed("cancelled")?,
        },
        usage: Usage {
            calls: fields.parsed("calls")?,
            input_tokens: fields.parsed("input_tokens")?,
            output_tokens: fields.parsed("output_tokens")?,
            cost_micros: fields.parsed("cost_micros")?,
        },
        created_at: fields.moment("created_at")?,
        ended_at: fields.maybe_moment("ended_at")?,
    })
}

/// A task: its id, its fields, its node.
pub(crate) fn task(value: Value) -> Result<(TaskId, Task), CacheError> {
    let mut parts = list(value).into_iter();
    let (Some(id), Some(fields), Some(node)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(corrupt("task"));
    };
    let (id, node) = text(id).zip(text(node)).ok_or_else(|| corrupt("task"))?;
    let fields = Fields::new(format!("task:{id}"), fields);
    let task = Task {
        goal: fields.parsed("goal")?,
        ordinal: fields.parsed("ordinal")?,
        node: json(&fields.of, &node)?,
        state: state(&fields)?,
    };
    Ok((parse("task", &id)?, task))
}

fn token(fields: &Fields) -> Result<Token, CacheError> {
    fields.parsed("token").map(Token::from_u64)
}

fn state(fields: &Fields) -> Result<TaskState, CacheError> {
    let owner: Option<AgentName> = fields.maybe_parsed("owner")?;
    let holder = match (fields.maybe_moment("lease_expires")?, &owner) {
        (Some(expires_at), Some(agent)) => {
            let of = format!("{} claim", fields.of);
            let (incarnation, request) =
                fields.text("claim")?.split_once('\t').ok_or_else(|| corrupt(&of))?;
            Some(Holder {
                agent: agent.clone(),
                incarnation: Incarnation(incarnation.to_owned()),
                request: RequestId(request.to_owned()),
                claimed_at: fields.moment("started_at")?,
                expires_at,
                expired: fields.maybe("expired").is_some_and(|expired| !expired.is_empty()),
            })
        }
        _ => None,
    };
    let settled_by = fields.maybe("settled_by").and_then(|settled_by| settled_by.split_once(' '));
    Ok(TaskState {
        status: fields.word("status")?,
        priority: fields.parsed("priority")?,
        open: fields.parsed("open")?,
        attempt: fields.parsed("attempt")?,
        max_attempts: fields.parsed("max_attempts")?,
        interruptions: fields.parsed("interruptions")?,
        token: token(fields)?,
        holder,
        owner,
        not_before: fields.maybe_moment("not_before")?,
        progress: fields.maybe("progress").map(str::to_owned),
        summary: fields.maybe("summary").map(str::to_owned),
        artifacts: fields
            .maybe("artifacts")
            .map(|artifacts| json(&fields.of, artifacts))
            .transpose()?
            .unwrap_or_default(),
        last_error: fields.maybe("last_error").map(|message| Failure {
            message: message.to_owned(),
            detail: fields.maybe("last_error_detail").map(str::to_owned),
        }),
        settled_by: settled_by.map(|(_, request)| RequestId(request.to_owned())),
        settled_with: settled_by.map(|(token, _)| parse(&fields.of, token)).transpose()?.map(Token::from_u64),
        outdated: fields.maybe_parsed("outdated")?.map(Token::from_u64),
        created_at: fields.moment("created_at")?,
        started_at: fields.maybe_moment("started_at")?,
        ended_at: fields.maybe_moment("ended_at")?,
    })
}

/// A task that was granted, as its holder is told of it.
pub(crate) fn granted(claim: &Claim, reply: &mut Reply) -> Result<ClaimReply, CacheError> {
    let (task, goal) = (reply.text()?, reply.text()?);
    let what = format!("task:{task}");
    let lease = Lease {
        task: parse(&what, &task)?,
        goal: parse(&what, &goal)?,
        agent: claim.agent.clone(),
        token: Token::from_u64(reply.number()?),
        attempt: parse(&what, &reply.text()?)?,
        max_attempts: parse(&what, &reply.text()?)?,
        claimed_at: reply.moment()?,
        expires_at: reply.moment()?,
    };
    let (message, detail) = (reply.text()?, reply.text()?);
    let present = |text: String| text.strip_prefix('+').map(str::to_owned);
    let last_error = present(message).map(|message| Failure { message, detail: present(detail) });
    let node = json(&what, &reply.text()?)?;
    Ok(ClaimReply::Granted(Box::new(Claimed { lease, node, last_error })))
}

/// An attempt that ended other than well, as it is stored: every value a text.
#[derive(Debug, Deserialize)]
struct EndedDoc {
    attempt: String,
    agent: AgentName,
    token: String,
    started_at: String,
    ended_at: String,
    outcome: String,
    message: String,
    #[serde(default)]
    detail: Option<String>,
}

/// The same in the list of its agent.
#[derive(Debug, Deserialize)]
struct AgentErrorDoc {
    goal: GoalId,
    task: TaskId,
    #[serde(flatten)]
    ended: EndedDoc,
}

pub(crate) fn ended(value: Value) -> Result<EndedAttempt, CacheError> {
    const WHAT: &str = "task errors";
    ended_attempt(WHAT, json(WHAT, &text(value).ok_or_else(|| corrupt(WHAT))?)?)
}

pub(crate) fn agent_error(value: Value) -> Result<AgentError, CacheError> {
    const WHAT: &str = "agent errors";
    let doc: AgentErrorDoc = json(WHAT, &text(value).ok_or_else(|| corrupt(WHAT))?)?;
    Ok(AgentError { goal: doc.goal, task: doc.task, attempt: ended_attempt(WHAT, doc.ended)? })
}

fn ended_attempt(what: &str, doc: EndedDoc) -> Result<EndedAttempt, CacheError> {
    Ok(EndedAttempt {
        attempt: parse(what, &doc.attempt)?,
        agent: doc.agent,
        token: Token::from_u64(parse(what, &doc.token)?),
        started_at: Timestamp::from_millis(parse(what, &doc.started_at)?),
        ended_at: Timestamp::from_millis(parse(what, &doc.ended_at)?),
        outcome: doc.outcome,
        error: Failure { message: doc.message, detail: doc.detail },
    })
}

/// An agent: its name, its fields, whether it is paused.
pub(crate) fn agent(value: Value, now: Timestamp) -> Result<Agent, CacheError> {
    let mut parts = list(value).into_iter();
    let (Some(name), Some(fields), Some(paused)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(corrupt("agent"));
    };
    let name: AgentName = parse("agent", &text(name).ok_or_else(|| corrupt("agent"))?)?;
    let fields = Fields::new(format!("agent:{name}:registered"), fields);
    let last_beat_at = fields.moment("last_beat")?;
    let end_reason = fields.maybe("end_reason").map(str::to_owned);
    let ttl = Duration::from_millis(fields.parsed("ttl")?);
    Ok(Agent {
        registration: Registration {
            name,
            incarnation: Incarnation(fields.text("incarnation")?.to_owned()),
            host: fields.text("host")?.to_owned(),
            pid: fields.parsed("pid")?,
            goal: fields.maybe_parsed("goal")?,
            role: fields.maybe("role").map(str::to_owned),
            capabilities: json(&fields.of, fields.text("capabilities")?)?,
            max_parallel: fields.parsed("max_parallel")?,
            ttl,
            interruption_limit: fields.parsed("interruption_limit")?,
            // One that entered before they were counted.
            generation: fields.maybe_parsed("generation")?.unwrap_or(1),
        },
        registered_at: fields.moment("started")?,
        last_beat_at,
        phase: fields.word("phase")?,
        task: fields.maybe_parsed("task")?,
        paused: text(paused).as_deref() == Some("1"),
        liveness: rules::liveness(end_reason.is_some(), last_beat_at, ttl, now),
        end_reason,
    })
}

/// An entry of a stream: its id, its fields.
pub(crate) fn event(value: Value) -> Result<Event, CacheError> {
    let mut parts = list(value).into_iter();
    let (id, fields) = parts.next().zip(parts.next()).ok_or_else(|| corrupt("stream entry"))?;
    let id = text(id).ok_or_else(|| corrupt("stream entry"))?;
    let fields = Fields::new(format!("stream entry {id}"), fields);
    let seq = id.split('-').nth(1).unwrap_or_default();
    let words: Vec<&str> = fields.text("event")?.split(' ').collect();
    let &[at, kind, goal, task, agent, token, attempt] = words.as_slice() else {
        return Err(corrupt(&format!("stream entry {id} event")));
    };
    Ok(Event {
        seq: parse("stream entry", seq)?,
        at: Timestamp::from_millis(parse(&fields.of, at)?),
        what: EventDraft {
            kind: EventKind::new(kind).ok_or_else(|| corrupt(&format!("stream entry {id} kind")))?,
            goal: unless_none(&fields.of, goal)?,
            task: unless_none(&fields.of, task)?,
            agent: unless_none(&fields.of, agent)?,
            token: unless_none(&fields.of, token)?.map(Token::from_u64),
            attempt: unless_none(&fields.of, attempt)?,
            reason: fields.maybe("reason").map(str::to_owned),
            data: match fields.maybe("data") {
                Some(data) => json(&fields.of, data)?,
                None => serde_json::Value::Null,
            },
        },
    })
}

/// A word of an entry; `-` is none.
fn unless_none<T: FromStr>(what: &str, word: &str) -> Result<Option<T>, CacheError>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    if word == "-" { Ok(None) } else { parse(what, word).map(Some) }
}

/// A document: its key, version, time and value.
pub(crate) fn record(value: Value) -> Result<Record, CacheError> {
    let parts: Option<Vec<String>> = list(value).into_iter().map(text).collect();
    let Ok([key, version, updated_at, value]) = <[String; 4]>::try_from(parts.unwrap_or_default()) else {
        return Err(corrupt("record"));
    };
    Ok(Record {
        version: parse("record", &version)?,
        updated_at: Timestamp::from_millis(parse("record", &updated_at)?),
        key,
        value,
    })
}
