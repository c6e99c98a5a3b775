//! What is stored: every kind of key on one page.
//!
//! One tree holds everything, so that one batch writes a group of operations whole. A key is a tag
//! byte, then its parts: names end with a zero byte (no name has one), numbers are big-endian, so
//! that byte order is the order in which things are asked for. Values are JSON, to which fields may
//! be added, unless said otherwise.
//!
//! A value of more than [`apply::PIECE`](crate::apply::PIECE) bytes is cut in pieces under keys of
//! their own; that is the business of [`apply`](crate::apply) and not seen here.

use std::collections::BTreeSet;

use downbeat_core::cache::Registration;
use downbeat_core::goal::Goal;
use downbeat_core::ids::{AgentName, Capability, GoalId, RequestId, StreamName, TaskId};
use downbeat_core::rules;
use downbeat_core::state::{TaskState, TaskStatus};
use downbeat_core::time::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of this page. A store with a greater one is refused.
///
/// 2 keeps a [`journal`](crate::journal) beside sled: a version that does not know it would not see the
/// newest writes. A store of 1 is one without a journal.
pub(crate) const SCHEMA: u64 = 2;

/// A key of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Key {
    /// `!schema`: the [`SCHEMA`] that the store was written with. Owner: the opening. Lives for ever.
    /// Value: u64.
    Schema,
    /// `!epoch`: how often the store was opened, the high part of every token. Owner: the opening.
    /// Lives for ever. Value: u64.
    Epoch,
    /// `!ordinal`: the greatest ordinal handed out. Owner: `plan`, `amend`. Lives for ever.
    /// Value: u64.
    LastOrdinal,
    /// `!directive`: the number of the newest kept directive. Owner: `steer`. Lives for ever.
    /// Value: u64.
    LastDirective,
    /// `!token`: the greatest token of any task that was forgotten. Owner: `amend`, `remove`. Lives for
    /// ever, so that tokens of an id that is used again only grow. Value: u64.
    LastToken,
    /// `g<goal>`: a goal. Owner: `plan`, then every move of its tasks. Lives until it is
    /// removed.
    /// Value: [`GoalDoc`].
    Goal(GoalId),
    /// `o<goal>`: its tasks in the order of the draft. Owner: `plan`, `amend`. Lives with the goal.
    /// Value: ids, each followed by a line feed.
    Order(GoalId),
    /// `p<goal>\0<first ordinal>`: a page of its tasks in the order of planning. Owner: `plan`,
    /// `amend`. Lives while one of its tasks does. Value: a list of `[ordinal, task]`.
    Page {
        /// The goal.
        goal: GoalId,
        /// The ordinal that was the first of the page when it was written.
        first: u64,
    },
    /// `t<task>`: where a task stands. Owner: every move. Lives until an amendment removes the task,
    /// or a person the goal. Value: [`TaskDoc`].
    Task(TaskId),
    /// `n<task>`: what is to be done. Owner: `plan`, `amend`. Lives with the task. Value: a node.
    Node(TaskId),
    /// `w<task>`: who waits for it, in the order of the draft; absent for nobody. Owner: `plan`,
    /// `amend`. Lives with the task. Value: ids, each followed by a line feed.
    ///
    /// The set of *open* dependencies is not stored: it is the dependencies less those that are done,
    /// nothing that is done ever ceases to be, so its size in the task's state says all that a move
    /// asks, and a fan-in of any width costs one number a settle.
    Dependants(TaskId),
    /// `f<task>\0<number>`: an attempt that ended other than well. Owner: moves that end one. Lives
    /// until as many newer ones are there as a cache keeps. Value: an ended attempt.
    Ended {
        /// The task.
        task: TaskId,
        /// Counts the task's ended attempts from 0.
        number: u64,
    },
    /// `r<needs>\0<!priority><ordinal>`: a task that can be claimed now, over all goals; each
    /// capability of `needs` is followed by a byte 1. Owner: every move. Lives while that holds.
    /// Value: the task's id.
    Ready(Rank),
    /// `q<goal>\0<needs>\0<!priority><ordinal>`: the same within a goal that is
    /// below none, with all that are below it.
    GoalReady(GoalId, Rank),
    /// `d<not before><task>`: a ready task that waits. Owner: every move. Lives while it waits.
    /// Value: nothing.
    Due {
        /// The end of the wait.
        at: Timestamp,
        /// The task.
        task: TaskId,
    },
    /// `l<expires at><task>`: a running task's lease. Owner: every move. Lives while it runs.
    /// Value: nothing.
    Lease {
        /// The deadline.
        at: Timestamp,
        /// The task.
        task: TaskId,
    },
    /// `h<agent>\0<task>`: a running task's holder. Owner: every move. Lives while it runs.
    /// Value: the request that it was claimed with, as text.
    Held {
        /// The holder.
        agent: AgentName,
        /// The task.
        task: TaskId,
    },
    /// `a<agent>`: a registration. Owner: `register`, `beat`, `deregister`, `sweep`. Lives until it is
    /// gone and enough others are gone since. Value: [`AgentDoc`].
    Agent(AgentName),
    /// `v<agent>\0<number>`: an attempt of a registered agent that failed. Owner: moves that end one.
    /// Lives with the registration, until as many newer ones are there as a cache keeps.
    /// Value: [`AgentError`](downbeat_core::cache::AgentError).
    AgentError {
        /// The agent.
        agent: AgentName,
        /// Counts the agent's errors from 0.
        number: u64,
    },
    /// `z<agent>`: the agent is paused, whether it ever registered or not. Owner: `steer`. Lives
    /// until it is resumed. Value: nothing.
    Paused(AgentName),
    /// `m<agent>`: what it remembers. Owner: `remember`. Lives until it is flushed, or the agent is
    /// forgotten. Value: text.
    Memory(AgentName),
    /// `s<stream>`: the end of a stream. Owner: whatever appends. Lives for ever. Value: [`Head`].
    Head(StreamName),
    /// `e<stream>\0<number>`: an entry. Owner: whatever appends. Lives until as many newer ones are
    /// there as a stream keeps. Value: an event.
    Entry {
        /// The stream.
        stream: StreamName,
        /// The entry's number.
        seq: u64,
    },
    /// `c<key>`: a document. Owner: `store_if`. Lives for ever, so that versions only grow.
    /// Value: [`RecordDoc`].
    Record(String),
    /// `k<name>`: a named lease. Owner: `acquire` and its kin. Lives for ever, so that tokens only
    /// grow. Value: [`HoldDoc`].
    Hold(String),
    /// `x<number>`: which directive came when. Owner: `steer`. Lives until as many newer ones are
    /// there as a cache keeps. Value: its request, as text.
    Directive(u64),
    /// `y<request>`: what a directive was answered. Owner: `steer`. Lives as long as its
    /// [`Directive`](Self::Directive). Value: the answer.
    Answer(RequestId),
}

/// A place in the order of what can be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rank {
    /// What the task needs.
    pub(crate) needs: Vec<Capability>,
    /// The greater goes first.
    pub(crate) priority: u32,
    /// Then the smaller.
    pub(crate) ordinal: u64,
}

impl Key {
    /// As it is stored.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Schema => b"!schema".to_vec(),
            Self::Epoch => b"!epoch".to_vec(),
            Self::LastOrdinal => b"!ordinal".to_vec(),
            Self::LastDirective => b"!directive".to_vec(),
            Self::LastToken => b"!token".to_vec(),
            Self::Goal(goal) => tagged(b'g', goal),
            Self::Order(goal) => tagged(b'o', goal),
            Self::Page { goal, first } => numbered(named(b'p', goal), *first),
            Self::Task(task) => tagged(b't', task),
            Self::Node(task) => tagged(b'n', task),
            Self::Dependants(task) => tagged(b'w', task),
            Self::Ended { task, number } => numbered(named(b'f', task), *number),
            Self::Ready(rank) => ranked(vec![b'r'], rank),
            Self::GoalReady(goal, rank) => ranked(named(b'q', goal), rank),
            Self::Due { at, task } => timed(b'd', *at, task),
            Self::Lease { at, task } => timed(b'l', *at, task),
            Self::Held { agent, task } => {
                let mut bytes = named(b'h', agent);
                bytes.extend_from_slice(task.as_str().as_bytes());
                bytes
            }
            Self::Agent(name) => tagged(b'a', name),
            Self::AgentError { agent, number } => numbered(named(b'v', agent), *number),
            Self::Paused(name) => tagged(b'z', name),
            Self::Memory(name) => tagged(b'm', name),
            Self::Head(stream) => tagged(b's', stream),
            Self::Entry { stream, seq } => numbered(named(b'e', stream), *seq),
            Self::Record(key) => tagged(b'c', key),
            Self::Hold(name) => tagged(b'k', name),
            Self::Directive(number) => numbered(vec![b'x'], *number),
            Self::Answer(request) => tagged(b'y', &request.0),
        }
    }

    /// From what is stored; `None` for what is no key of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (tag, rest) = bytes.split_first()?;
        Some(match tag {
            b'!' => match rest {
                b"schema" => Self::Schema,
                b"epoch" => Self::Epoch,
                b"ordinal" => Self::LastOrdinal,
                b"directive" => Self::LastDirective,
                b"token" => Self::LastToken,
                _ => return None,
            },
            b'g' => Self::Goal(id(rest)?),
            b'o' => Self::Order(id(rest)?),
            b'p' => {
                let (goal, rest) = name(rest)?;
                Self::Page { goal, first: number(rest)? }
            }
            b't' => Self::Task(id(rest)?),
            b'n' => Self::Node(id(rest)?),
            b'w' => Self::Dependants(id(rest)?),
            b'f' => {
                let (task, rest) = name(rest)?;
                Self::Ended { task, number: number(rest)? }
            }
            b'r' => Self::Ready(rank(rest)?),
            b'q' => {
                let (goal, rest) = name(rest)?;
                Self::GoalReady(goal, rank(rest)?)
            }
            b'd' => {
                let (at, task) = time(rest)?;
                Self::Due { at, task }
            }
            b'l' => {
                let (at, task) = time(rest)?;
                Self::Lease { at, task }
            }
            b'h' => {
                let (agent, rest) = name(rest)?;
                Self::Held { agent, task: id(rest)? }
            }
            b'a' => Self::Agent(id(rest)?),
            b'v' => {
                let (agent, rest) = name(rest)?;
                Self::AgentError { agent, number: number(rest)? }
            }
            b'z' => Self::Paused(id(rest)?),
            b'm' => Self::Memory(id(rest)?),
            b's' => Self::Head(id(rest)?),
            b'e' => {
                let (stream, rest) = name(rest)?;
                Self::Entry { stream, seq: number(rest)? }
            }
            b'c' => Self::Record(text(rest)?.to_owned()),
            b'k' => Self::Hold(text(rest)?.to_owned()),
            b'x' => Self::Directive(number(rest)?),
            b'y' => Self::Answer(RequestId(text(rest)?.to_owned())),
            _ => return None,
        })
    }
}

/// Whether values of this stored key can be large enough to be cut in pieces. Index entries cannot,
/// and are most of what is written.
pub(crate) fn may_be_large(key: &[u8]) -> bool {
    !matches!(key.first(), Some(b'!' | b'r' | b'q' | b'd' | b'l' | b'h' | b'z' | b's' | b'x'))
}

/// Whether a stored key is an entry of an index: small, found by its beginning, and never in pieces.
pub(crate) fn is_index(key: &[u8]) -> bool {
    key.first().is_some_and(|tag| prefix::INDEXES.contains(tag))
}

/// The beginnings of keys that are looked through.
pub(crate) mod prefix {
    use downbeat_core::ids::{AgentName, GoalId, StreamName, TaskId};

    use super::named;

    pub(crate) const GOALS: &[u8] = b"g";
    pub(crate) const AGENTS: &[u8] = b"a";
    pub(crate) const READY: &[u8] = b"r";
    pub(crate) const DUE: &[u8] = b"d";
    pub(crate) const LEASES: &[u8] = b"l";
    /// The tags of all indexes.
    pub(crate) const INDEXES: &[u8] = b"rqdlh";

    pub(crate) fn pages(goal: &GoalId) -> Vec<u8> {
        named(b'p', goal)
    }

    pub(crate) fn ready_in(goal: &GoalId) -> Vec<u8> {
        named(b'q', goal)
    }

    pub(crate) fn held_by(agent: &AgentName) -> Vec<u8> {
        named(b'h', agent)
    }

    pub(crate) fn ended(task: &TaskId) -> Vec<u8> {
        named(b'f', task)
    }

    pub(crate) fn errors_of(agent: &AgentName) -> Vec<u8> {
        named(b'v', agent)
    }

    pub(crate) fn entries(stream: &StreamName) -> Vec<u8> {
        named(b'e', stream)
    }

    pub(crate) fn records(beginning: &str) -> Vec<u8> {
        super::tagged(b'c', beginning)
    }

    /// The least key behind all that begin with `prefix`.
    pub(crate) fn end(prefix: &[u8]) -> Vec<u8> {
        let mut end = prefix.to_vec();
        while let Some(last) = end.pop() {
            if let Some(next) = last.checked_add(1) {
                end.push(next);
                return end;
            }
        }
        vec![u8::MAX]
    }
}

/// The keys by which a task is found, each with its value: they follow from its state alone.
pub(crate) fn indexes(task: &TaskId, doc: &TaskDoc) -> Vec<(Key, Vec<u8>)> {
    let state = &doc.state;
    match (state.status, state.not_before, &state.holder) {
        (TaskStatus::Ready, Some(at), _) => vec![(Key::Due { at, task: task.clone() }, Vec::new())],
        (TaskStatus::Ready, None, _) => {
            let rank = Rank { needs: doc.needs.clone(), priority: state.priority, ordinal: doc.ordinal };
            let id = task.as_str().as_bytes().to_vec();
            vec![(Key::GoalReady(doc.root().clone(), rank.clone()), id.clone()), (Key::Ready(rank), id)]
        }
        (TaskStatus::Running, _, Some(holder)) => vec![
            (Key::Lease { at: holder.expires_at, task: task.clone() }, Vec::new()),
            (
                Key::Held { agent: holder.agent.clone(), task: task.clone() },
                holder.request.0.as_bytes().to_vec(),
            ),
        ],
        _ => Vec::new(),
    }
}

/// A goal, and what only the store wants to know of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct GoalDoc {
    pub(crate) goal: Goal,
    /// A person cancelled it as a whole.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) cancelled: bool,
    /// The request that planned it.
    pub(crate) planned_by: RequestId,
    /// The newest request that amended it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) amended_by: Option<RequestId>,
    /// For nodes that say nothing about it.
    pub(crate) max_attempts: u32,
}

/// Where a task stands, and what its indexes are made of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TaskDoc {
    pub(crate) goal: GoalId,
    /// The goal above all others that its own is below, if that is below any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<GoalId>,
    pub(crate) ordinal: u64,
    /// The node's capabilities, so that a move need not read the node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) needs: Vec<Capability>,
    /// How many attempts ended other than well so far: the number of the next one.
    #[serde(default)]
    pub(crate) ended: u64,
    pub(crate) state: TaskState,
}

impl TaskDoc {
    /// The goal under which it is found when it is ready.
    pub(crate) fn root(&self) -> &GoalId {
        self.root.as_ref().unwrap_or(&self.goal)
    }
}

/// A registration as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AgentDoc {
    pub(crate) registration: Registration,
    pub(crate) registered_at: Timestamp,
    pub(crate) last_beat_at: Timestamp,
    pub(crate) phase: downbeat_core::cache::Phase,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) task: Option<TaskId>,
    /// A sweep has told that it fell silent.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) silent: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) end_reason: Option<String>,
    /// How many errors were entered under the name so far, over all lives: the number of the next one.
    #[serde(default)]
    pub(crate) errors: u64,
}

impl AgentDoc {
    pub(crate) const fn ended(&self) -> bool {
        self.end_reason.is_some()
    }

    /// From then on, unheard, it counts as silent.
    pub(crate) fn silent_from(&self) -> Timestamp {
        rules::silent_from(self.last_beat_at, self.registration.ttl)
    }

    /// It ended, or was told to have fallen silent.
    pub(crate) const fn is_gone(&self) -> bool {
        self.ended() || self.silent
    }

    pub(crate) fn is_alive(&self, now: Timestamp) -> bool {
        rules::is_alive(self.ended(), self.last_beat_at, self.registration.ttl, now)
    }
}

/// The end of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The number of its last entry.
    pub(crate) last: u64,
    /// How many of its oldest entries were forgotten.
    #[serde(default)]
    pub(crate) trimmed: u64,
    /// The newest request that appended, and the number of its last entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) newest: Option<(RequestId, u64)>,
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RecordDoc {
    pub(crate) version: u64,
    pub(crate) updated_at: Timestamp,
    /// `None`: it was removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
}

/// A named lease as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HoldDoc {
    /// The newest.
    pub(crate) hold: downbeat_core::cache::Hold,
    /// It was not given back.
    pub(crate) held: bool,
}

/// Whether an agent with `capabilities` may take a task that needs `needs`.
pub(crate) fn suffices(capabilities: &BTreeSet<Capability>, needs: &[Capability]) -> bool {
    needs.iter().all(|need| capabilities.contains(need))
}

/// A list of ids as it is stored.
pub(crate) fn list<'a>(ids: impl Iterator<Item = &'a TaskId>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for id in ids {
        bytes.extend_from_slice(id.as_str().as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// A list of ids from what is stored.
pub(crate) fn unlist(bytes: &[u8]) -> Option<Vec<TaskId>> {
    bytes.split(|byte| *byte == b'\n').filter(|part| !part.is_empty()).map(id).collect()
}

fn tagged(tag: u8, name: impl AsRef<str>) -> Vec<u8> {
    let name = name.as_ref().as_bytes();
    let mut bytes = Vec::with_capacity(name.len() + 1);
    bytes.push(tag);
    bytes.extend_from_slice(name);
    bytes
}

fn named(tag: u8, name: impl AsRef<str>) -> Vec<u8> {
    let mut bytes = tagged(tag, name);
    bytes.push(0);
    bytes
}

fn numbered(mut bytes: Vec<u8>, number: u64) -> Vec<u8> {
    bytes.extend_from_slice(&number.to_be_bytes());
    bytes
}

fn timed(tag: u8, at: Timestamp, task: &TaskId) -> Vec<u8> {
    let mut bytes = numbered(vec![tag], at.as_millis());
    bytes.extend_from_slice(task.as_str().as_bytes());
    bytes
}

fn ranked(bytes: Vec<u8>, rank: &Rank) -> Vec<u8> {
    let mut bytes = needing(bytes, &rank.needs);
    bytes.push(0);
    bytes.extend_from_slice(&(!rank.priority).to_be_bytes());
    numbered(bytes, rank.ordinal)
}

fn needing(mut bytes: Vec<u8>, needs: &[Capability]) -> Vec<u8> {
    for need in needs {
        bytes.extend_from_slice(need.as_str().as_bytes());
        bytes.push(1);
    }
    bytes
}

/// The least key behind all that lie under `prefix` and need exactly `needs`.
pub(crate) fn behind_group(prefix: &[u8], needs: &[Capability]) -> Vec<u8> {
    let mut bytes = needing(prefix.to_vec(), needs);
    bytes.push(1);
    bytes
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// An id that fills all of `bytes`.
pub(crate) fn id<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    text(bytes)?.parse().ok()
}

fn name<T: std::str::FromStr>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    let (name, rest) = bytes.split_at_checked(at)?;
    Some((id(name)?, rest.get(1..)?))
}

/// A number that fills all of `bytes`.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

fn time(bytes: &[u8]) -> Option<(Timestamp, TaskId)> {
    let (at, task) = bytes.split_at_checked(8)?;
    Some((Timestamp::from_millis(number(at)?), id(task)?))
}

fn rank(bytes: &[u8]) -> Option<Rank> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    let (needs, rest) = bytes.split_at_checked(end)?;
    let needs: Option<Vec<Capability>> =
        needs.split(|byte| *byte == 1).filter(|need| !need.is_empty()).map(id).collect();
    let (priority, ordinal) = rest.get(1..)?.split_at_checked(4)?;
    let priority = !u32::from_be_bytes(priority.try_into().ok()?);
    Some(Rank { needs: needs?, priority, ordinal: number(ordinal)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank_of(needs: &[&str], priority: u32, ordinal: u64) -> Rank {
        Rank { needs: needs.iter().map(|need| need.parse().unwrap()).collect(), priority, ordinal }
    }

    fn of_each_kind() -> Vec<Key> {
        let (goal, task): (GoalId, TaskId) = ("goal".parse().unwrap(), "task-1".parse().unwrap());
        let (agent, stream): (AgentName, StreamName) = ("a".parse().unwrap(), "events".parse().unwrap());
        let at = Timestamp::from_millis(1_793_000_000_000);
        vec![
            Key::Schema,
            Key::Epoch,
            Key::LastOrdinal,
            Key::LastDirective,
            Key::Goal(goal.clone()),
            Key::Order(goal.clone()),
            Key::Page { goal: goal.clone(), first: 257 },
            Key::Task(task.clone()),
            Key::Node(task.clone()),
            Key::Dependants(task.clone()),
            Key::Ended { task: task.clone(), number: u64::MAX },
            Key::Ready(rank_of(&[], 0, 1)),
            Key::Ready(rank_of(&["rust", "shell"], 1_000_000, 0)),
            Key::GoalReady(goal, rank_of(&["shell"], 7, 256)),
            Key::Due { at, task: task.clone() },
            Key::Lease { at, task: task.clone() },
            Key::Held { agent: agent.clone(), task },
            Key::Agent(agent.clone()),
            Key::AgentError { agent: agent.clone(), number: 300 },
            Key::Paused(agent.clone()),
            Key::Memory(agent),
            Key::Head(stream.clone()),
            Key::Entry { stream, seq: 3 },
            Key::Record("jobs/ü/1".to_owned()),
            Key::Hold("leader".to_owned()),
            Key::Directive(12),
            Key::Answer(RequestId("any text\n".to_owned())),
        ]
    }

    #[test]
    fn every_kind_of_key_reads_back() {
        for key in of_each_kind() {
            assert_eq!(Key::decode(&key.encode()), Some(key.clone()), "{key:?}");
        }
    }

    #[test]
    fn no_two_kinds_share_a_tag() {
        let keys = of_each_kind();
        for (at, key) in keys.iter().enumerate() {
            for other in keys.iter().skip(at + 1) {
                let kind = std::mem::discriminant(key);
                let same = kind == std::mem::discriminant(other) || key.encode()[0] == b'!';
                assert!(same || key.encode()[0] != other.encode()[0], "{key:?} {other:?}");
            }
        }
    }

    #[test]
    fn keys_of_ready_tasks_lie_in_the_order_of_claims_within_their_group() {
        let keys = [
            rank_of(&[], 9, 5),
            rank_of(&[], 9, 6),
            rank_of(&[], 0, 1),
            rank_of(&["a"], 3, 1),
            rank_of(&["a", "b"], 3, 1),
            rank_of(&["a-b"], 3, 1),
            rank_of(&["ab"], 3, 1),
        ];
        let bytes: Vec<_> = keys.iter().map(|rank| Key::Ready(rank.clone()).encode()).collect();
        assert!(bytes[..3].is_sorted());
        for (at, rank) in keys.iter().enumerate() {
            let behind = behind_group(prefix::READY, &rank.needs);
            for (other, bytes) in keys.iter().zip(&bytes) {
                assert!((*bytes < behind) || other.needs != rank.needs, "{at} {other:?}");
            }
        }
    }

    #[test]
    fn numbers_lie_in_their_order() {
        let stream: StreamName = "s".parse().unwrap();
        let key = |seq| Key::Entry { stream: stream.clone(), seq }.encode();
        assert!(key(255) < key(256) && key(256) < key(u64::MAX));
        assert!(key(u64::MAX) < prefix::end(&prefix::entries(&stream)));
    }

    #[test]
    fn a_list_of_ids_reads_back() {
        let ids: Vec<TaskId> = ["a", "b.c", "d-1"].iter().map(|id| id.parse().unwrap()).collect();
        assert_eq!(unlist(&list(ids.iter())), Some(ids));
        assert_eq!(unlist(b""), Some(Vec::new()));
    }
}
