//! Looking for contradictions in a whole store.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use downbeat_core::cache::CacheError;
use downbeat_core::event::Event;
use downbeat_core::goal::Counts;
use downbeat_core::ids::{AgentName, GoalId, StreamName, TaskId, Token};
use downbeat_core::state::TaskStatus;

use crate::layout::{self, AgentDoc, GoalDoc, Head, Key, RecordDoc, TaskDoc};
use crate::step::Step;
use crate::txn::parse;

/// Everything that is read before it is compared.
#[derive(Default)]
struct Found {
    goals: BTreeMap<GoalId, GoalDoc>,
    tasks: BTreeMap<TaskId, TaskDoc>,
    nodes: BTreeSet<TaskId>,
    orders: BTreeMap<GoalId, Vec<TaskId>>,
    pages: BTreeMap<GoalId, Vec<(u64, TaskId)>>,
    dependants: BTreeMap<TaskId, Vec<TaskId>>,
    ended: BTreeMap<TaskId, Vec<u64>>,
    /// Index entries, as stored.
    indexes: BTreeMap<Vec<u8>, Vec<u8>>,
    heads: BTreeMap<StreamName, Head>,
    /// The first and the last entry of each stream.
    entries: BTreeMap<StreamName, (u64, u64)>,
    agents: BTreeMap<AgentName, AgentDoc>,
    errors: BTreeMap<AgentName, Vec<u64>>,
    last_token: u64,
    last_ordinal: u64,
}

/// Says each contradiction; none for a sound store.
pub(crate) fn audit(step: &mut Step<'_>) -> Result<Vec<String>, CacheError> {
    let mut faults = Vec::new();
    let found = read(step, &mut faults)?;
    check_goals(&found, &mut faults);
    check_tasks(&found, step.epoch, &mut faults);
    check_links(&found, &mut faults);
    check_streams(&found, &mut faults);
    check_agents(&found, step.epoch, &mut faults);
    Ok(faults)
}

fn read(step: &Step<'_>, faults: &mut Vec<String>) -> Result<Found, CacheError> {
    let mut found = Found::default();
    // Pieces of values lie behind everything that has a tag of its own.
    for pair in step.txn.range(b"", b"~") {
        let (stored, value) = pair?;
        let Some(key) = Key::decode(&stored) else {
            faults.push(format!("no key of this version: {}", stored.escape_ascii()));
            continue;
        };
        match key {
            Key::Goal(goal) => {
                found.goals.insert(goal, parse(&stored, &value)?);
            }
            Key::Task(task) => {
                found.tasks.insert(task, parse(&stored, &value)?);
            }
            Key::Node(task) => {
                let node: downbeat_core::dag::Node = parse(&stored, &value)?;
                if node.id != task {
                    faults.push(format!("node `{task}` calls itself `{}`", node.id));
                }
                found.nodes.insert(task);
            }
            Key::Order(goal) => {
                found.orders.insert(goal, layout::unlist(&value).unwrap_or_default());
            }
            Key::Page { goal, .. } => {
                let page: Vec<(u64, TaskId)> = parse(&stored, &value)?;
                found.pages.entry(goal).or_default().extend(page);
            }
            Key::Dependants(task) => {
                found.dependants.insert(task, layout::unlist(&value).unwrap_or_default());
            }
            Key::Ended { task, number } => found.ended.entry(task).or_default().push(number),
            Key::Ready(_) | Key::GoalReady(..) | Key::Due { .. } | Key::Lease { .. } | Key::Held { .. } => {
                found.indexes.insert(stored.to_vec(), value.to_vec());
            }
            Key::Head(stream) => {
                found.heads.insert(stream, parse(&stored, &value)?);
            }
            Key::Entry { stream, seq } => {
                let event: Event = parse(&stored, &value)?;
                let (_, last) = found.entries.entry(stream.clone()).or_insert((seq, seq.saturating_sub(1)));
                if seq != last.saturating_add(1) || event.seq != seq {
                    faults.push(format!("stream `{stream}` has entry {seq} ({}) behind {last}", event.seq));
                }
                *last = seq;
            }
            Key::Record(_) => {
                let _: RecordDoc = parse(&stored, &value)?;
            }
            Key::Agent(agent) => {
                found.agents.insert(agent, parse(&stored, &value)?);
            }
            Key::AgentError { agent, number } => found.errors.entry(agent).or_default().push(number),
            Key::LastToken => found.last_token = layout::number(&value).unwrap_or_default(),
            Key::LastOrdinal => found.last_ordinal = layout::number(&value).unwrap_or_default(),
            Key::Answer(request) => check_answer(step, &request, faults)?,
            _ => {}
        }
    }
    Ok(found)
}

/// Each kept answer is in the ring.
fn check_answer(
    step: &Step<'_>,
    request: &downbeat_core::ids::RequestId,
    faults: &mut Vec<String>,
) -> Result<(), CacheError> {
    let ring = step.txn.under(b"x");
    for pair in ring {
        if *pair?.1 == *request.0.as_bytes() {
            return Ok(());
        }
    }
    faults.push(format!("the answer to `{request}` will never be forgotten"));
    Ok(())
}

fn check_goals(found: &Found, faults: &mut Vec<String>) {
    let mut counts: BTreeMap<&GoalId, Counts> = BTreeMap::new();
    for (task, doc) in &found.tasks {
        counts.entry(&doc.goal).or_default().add(doc.state.status);
        if !found.goals.contains_key(&doc.goal) {
            faults.push(format!("task `{task}` is of goal `{}`, which is not there", doc.goal));
        }
    }
    for (goal, doc) in &found.goals {
        let counted = counts.remove(goal).unwrap_or_default();
        if doc.goal.counts != counted {
            faults.push(format!("goal `{goal}` counts {:?} and has {counted:?}", doc.goal.counts));
        }
        let (status, reason) = counted.goal_status(doc.cancelled);
        if (doc.goal.status, &doc.goal.reason) != (status, &reason) {
            faults.push(format!("goal `{goal}` is {} and ought to be {status}", doc.goal.status));
        }
        let own = |task: &TaskId| found.tasks.get(task).is_some_and(|doc| doc.goal == *goal);
        let order = found.orders.get(goal).map(Vec::as_slice).unwrap_or_default();
        let distinct: BTreeSet<_> = order.iter().collect();
        let total = usize::try_from(counted.total()).unwrap_or(usize::MAX);
        if distinct.len() != order.len() || order.len() != total || !order.iter().all(own) {
            faults.push(format!("goal `{goal}` has {total} tasks and an order of {}", order.len()));
        }
        let pages = found.pages.get(goal).map(Vec::as_slice).unwrap_or_default();
        let right = |(ordinal, task): &(u64, TaskId)| {
            found.tasks.get(task).is_some_and(|doc| doc.ordinal == *ordinal && doc.goal == *goal)
        };
        let sorted = pages.is_sorted_by(|(one, _), (other, _)| one < other);
        if pages.len() != total || !sorted || !pages.iter().all(right) {
            faults.push(format!("goal `{goal}` has {total} tasks and pages of {}", pages.len()));
        }
    }
}

fn check_tasks(found: &Found, epoch: u64, faults: &mut Vec<String>) {
    let mut implied: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    for (task, doc) in &found.tasks {
        for (key, value) in layout::indexes(task, doc) {
            implied.insert(key.encode(), value);
        }
        let ended = found.ended.get(task).map(Vec::as_slice).unwrap_or_default();
        let kept = u64::try_from(downbeat_core::cache::MAX_ENDED_ATTEMPTS).unwrap_or(u64::MAX);
        if !ended.iter().copied().eq(doc.ended.saturating_sub(kept)..doc.ended) {
            faults.push(format!("task `{task}` ended {} attempts and keeps {ended:?}", doc.ended));
        }
        if doc.state.token.epoch() > epoch {
            faults.push(format!("task `{task}` has a token of epoch {}", doc.state.token.epoch()));
        }
        if doc.ordinal == 0 || doc.ordinal > found.last_ordinal {
            faults.push(format!("task `{task}` has ordinal {}", doc.ordinal));
        }
        if !found.nodes.contains(task) {
            faults.push(format!("task `{task}` has no node"));
        }
        if (doc.state.status == TaskStatus::Running) && doc.state.holder.is_none() {
            faults.push(format!("task `{task}` runs without a holder"));
        }
    }
    for key in implied.keys().filter(|key| implied.get(*key) != found.indexes.get(*key)) {
        faults.push(format!("index lacks {:?}", Key::decode(key)));
    }
    for key in found.indexes.keys().filter(|key| !implied.contains_key(*key)) {
        faults.push(format!("index has {:?} for no reason", Key::decode(key)));
    }
    for (task, _) in found.ended.iter().filter(|(task, _)| !found.tasks.contains_key(*task)) {
        faults.push(format!("attempts of task `{task}`, which is not there"));
    }
    for task in found.nodes.iter().filter(|task| !found.tasks.contains_key(*task)) {
        faults.push(format!("node of task `{task}`, which is not there"));
    }
}

/// Each task's number of open dependencies is that of its dependencies that are not done.
fn check_links(found: &Found, faults: &mut Vec<String>) {
    let mut open: HashMap<&TaskId, u32> = HashMap::new();
    for (task, dependants) in &found.dependants {
        let Some(doc) = found.tasks.get(task) else {
            faults.push(format!("dependants of task `{task}`, which is not there"));
            continue;
        };
        for dependant in dependants {
            if found.tasks.get(dependant).is_none_or(|other| other.goal != doc.goal) {
                faults.push(format!("task `{dependant}` waits for `{task}` of goal `{}`", doc.goal));
            }
            let open = open.entry(dependant).or_default();
            *open = open.saturating_add(u32::from(doc.state.status != TaskStatus::Done));
        }
    }
    for (task, doc) in &found.tasks {
        let open = open.get(task).copied().unwrap_or_default();
        if doc.state.open != open {
            faults.push(format!("task `{task}` counts {} open dependencies, not {open}", doc.state.open));
        }
        let status = doc.state.status;
        if (status == TaskStatus::Blocked && open == 0) || (status == TaskStatus::Ready && open > 0) {
            faults.push(format!("task `{task}` is {status} with {open} open dependencies"));
        }
    }
}

fn check_streams(found: &Found, faults: &mut Vec<String>) {
    for (stream, head) in &found.heads {
        let (first, last) = found.entries.get(stream).copied().unwrap_or_default();
        if head.last != last {
            faults.push(format!("stream `{stream}` ends with {last}, not with {}", head.last));
        }
        if first != head.trimmed.saturating_add(1) && last > 0 {
            faults.push(format!("stream `{stream}` begins with {first}, behind {}", head.trimmed));
        }
        if head.newest.as_ref().is_some_and(|(_, newest)| *newest > last) {
            faults.push(format!("stream `{stream}` has a newest request behind its end"));
        }
    }
    for stream in found.entries.keys().filter(|stream| !found.heads.contains_key(*stream)) {
        faults.push(format!("stream `{stream}` has no head"));
    }
}

/// Each kept error is one of the newest of an agent that is there.
fn check_agents(found: &Found, epoch: u64, faults: &mut Vec<String>) {
    let kept = u64::try_from(downbeat_core::cache::MAX_AGENT_ERRORS).unwrap_or(u64::MAX);
    for (agent, doc) in &found.agents {
        let errors = found.errors.get(agent).map(Vec::as_slice).unwrap_or_default();
        if !errors.iter().copied().eq(doc.errors.saturating_sub(kept)..doc.errors) {
            faults.push(format!("agent `{agent}` had {} errors and keeps {errors:?}", doc.errors));
        }
    }
    for agent in found.errors.keys().filter(|agent| !found.agents.contains_key(*agent)) {
        faults.push(format!("errors of agent `{agent}`, which is not there"));
    }
    if Token::from_u64(found.last_token).epoch() > epoch {
        faults.push(format!("the greatest forgotten token is {}", Token::from_u64(found.last_token)));
    }
}
