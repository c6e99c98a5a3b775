//! Every kind of key.

use downbeat_core::ids::{AgentName, Capability, GoalId, RequestId, StreamName, TaskId};
use downbeat_core::time::Timestamp;

use super::bytes::{id, name, number, numbered, put_name, rank, ranked, tagged, text, time, timed};
#[cfg(doc)]
use super::{AgentDoc, GoalDoc, Head, HoldDoc, RecordDoc, SCHEMA, TaskDoc};

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
        let mut bytes = Vec::with_capacity(48);
        self.encode_to(&mut bytes);
        bytes
    }

    /// As it is stored, behind what is there.
    pub(crate) fn encode_to(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Schema => bytes.extend_from_slice(b"!schema"),
            Self::Epoch => bytes.extend_from_slice(b"!epoch"),
            Self::LastOrdinal => bytes.extend_from_slice(b"!ordinal"),
            Self::LastDirective => bytes.extend_from_slice(b"!directive"),
            Self::LastToken => bytes.extend_from_slice(b"!token"),
            Self::Goal(goal) => tagged(bytes, b'g', goal),
            Self::Order(goal) => tagged(bytes, b'o', goal),
            Self::Page { goal, first } => numbered(bytes, b'p', goal, *first),
            Self::Task(task) => tagged(bytes, b't', task),
            Self::Node(task) => tagged(bytes, b'n', task),
            Self::Dependants(task) => tagged(bytes, b'w', task),
            Self::Ended { task, number } => numbered(bytes, b'f', task, *number),
            Self::Ready(rank) => {
                bytes.push(b'r');
                ranked(bytes, rank);
            }
            Self::GoalReady(goal, rank) => {
                put_name(bytes, b'q', goal);
                ranked(bytes, rank);
            }
            Self::Due { at, task } => timed(bytes, b'd', *at, task),
            Self::Lease { at, task } => timed(bytes, b'l', *at, task),
            Self::Held { agent, task } => {
                put_name(bytes, b'h', agent);
                bytes.extend_from_slice(task.as_str().as_bytes());
            }
            Self::Agent(agent) => tagged(bytes, b'a', agent),
            Self::AgentError { agent, number } => numbered(bytes, b'v', agent, *number),
            Self::Paused(agent) => tagged(bytes, b'z', agent),
            Self::Memory(agent) => tagged(bytes, b'm', agent),
            Self::Head(stream) => tagged(bytes, b's', stream),
            Self::Entry { stream, seq } => numbered(bytes, b'e', stream, *seq),
            Self::Record(key) => tagged(bytes, b'c', key),
            Self::Hold(key) => tagged(bytes, b'k', key),
            Self::Directive(number) => {
                bytes.push(b'x');
                bytes.extend_from_slice(&number.to_be_bytes());
            }
            Self::Answer(request) => tagged(bytes, b'y', &request.0),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{behind_group, prefix};

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
}
