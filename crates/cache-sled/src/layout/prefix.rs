//! The beginnings of keys that are looked through.

use downbeat_core::ids::{AgentName, GoalId, StreamName, TaskId};

use super::bytes::{put_name, tagged};

pub(crate) const GOALS: &[u8] = b"g";
pub(crate) const AGENTS: &[u8] = b"a";
pub(crate) const READY: &[u8] = b"r";
pub(crate) const DUE: &[u8] = b"d";
pub(crate) const LEASES: &[u8] = b"l";
/// The tags of all indexes.
pub(crate) const INDEXES: &[u8] = b"rqdlhz";

fn named(tag: u8, name: impl AsRef<str>) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_name(&mut bytes, tag, name);
    bytes
}

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
    let mut bytes = Vec::new();
    tagged(&mut bytes, b'c', beginning);
    bytes
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
