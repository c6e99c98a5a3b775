//! What keys and lists are made of: names, numbers, moments and ranks as bytes.

use downbeat_core::ids::{Capability, TaskId};
use downbeat_core::time::Timestamp;

use super::Rank;

/// A tag and a name that ends the key.
pub(super) fn tagged(bytes: &mut Vec<u8>, tag: u8, name: impl AsRef<str>) {
    bytes.push(tag);
    bytes.extend_from_slice(name.as_ref().as_bytes());
}

/// A tag and a name that more follows.
pub(super) fn put_name(bytes: &mut Vec<u8>, tag: u8, name: impl AsRef<str>) {
    tagged(bytes, tag, name);
    bytes.push(0);
}

/// A tag, a name and a number.
pub(super) fn numbered(bytes: &mut Vec<u8>, tag: u8, name: impl AsRef<str>, number: u64) {
    put_name(bytes, tag, name);
    bytes.extend_from_slice(&number.to_be_bytes());
}

/// A tag, a moment and a task.
pub(super) fn timed(bytes: &mut Vec<u8>, tag: u8, at: Timestamp, task: &TaskId) {
    bytes.push(tag);
    bytes.extend_from_slice(&at.as_millis().to_be_bytes());
    bytes.extend_from_slice(task.as_str().as_bytes());
}

/// A place in the order of claims.
pub(super) fn ranked(bytes: &mut Vec<u8>, rank: &Rank) {
    needing(bytes, &rank.needs);
    bytes.push(0);
    bytes.extend_from_slice(&(!rank.priority).to_be_bytes());
    bytes.extend_from_slice(&rank.ordinal.to_be_bytes());
}

fn needing(bytes: &mut Vec<u8>, needs: &[Capability]) {
    for need in needs {
        bytes.extend_from_slice(need.as_str().as_bytes());
        bytes.push(1);
    }
}

/// The least key behind all that lie under `prefix` and need exactly `needs`.
pub(crate) fn behind_group(prefix: &[u8], needs: &[Capability]) -> Vec<u8> {
    let mut bytes = prefix.to_vec();
    needing(&mut bytes, needs);
    bytes.push(1);
    bytes
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

pub(super) fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

/// An id that fills all of `bytes`.
pub(crate) fn id<T: std::str::FromStr>(bytes: &[u8]) -> Option<T> {
    text(bytes)?.parse().ok()
}

pub(super) fn name<T: std::str::FromStr>(bytes: &[u8]) -> Option<(T, &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    let (name, rest) = bytes.split_at_checked(at)?;
    Some((id(name)?, rest.get(1..)?))
}

/// A number that fills all of `bytes`.
pub(crate) fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

pub(super) fn time(bytes: &[u8]) -> Option<(Timestamp, TaskId)> {
    let (at, task) = bytes.split_at_checked(8)?;
    Some((Timestamp::from_millis(number(at)?), id(task)?))
}

pub(super) fn rank(bytes: &[u8]) -> Option<Rank> {
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

    #[test]
    fn a_list_of_ids_reads_back() {
        let ids: Vec<TaskId> = ["a", "b.c", "d-1"].iter().map(|id| id.parse().unwrap()).collect();
        assert_eq!(unlist(&list(ids.iter())), Some(ids));
        assert_eq!(unlist(b""), Some(Vec::new()));
    }
}
