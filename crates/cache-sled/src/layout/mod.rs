//! What is stored.
//!
//! One tree holds everything, so that one batch writes a group of operations whole. A key is a tag
//! byte, then its parts: names end with a zero byte (no name has one), numbers are big-endian, so
//! that byte order is the order in which things are asked for. Values are JSON, to which fields may
//! be added, unless said otherwise.
//!
//! A value of more than [`apply::PIECE`](crate::apply::PIECE) bytes is cut in pieces under keys of
//! their own; that is the business of [`apply`](crate::apply) and not seen here.
//!
//! In reading order: `key` has every kind of key on one page, `bytes` what keys are made of, `docs` the
//! values that are JSON, `index` the keys that follow from a task's state.

mod bytes;
mod docs;
mod index;
mod key;
pub(crate) mod prefix;

pub(crate) use bytes::{behind_group, id, list, number, unlist};
pub(crate) use docs::{AgentDoc, GoalDoc, Head, HoldDoc, RecordDoc, TaskDoc};
pub(crate) use index::{indexes, is_index, may_be_large, suffices};
pub(crate) use key::{Key, Rank};

/// The version of this page. A store with a greater one is refused.
///
/// 2 keeps a [`journal`](crate::journal) beside sled: a version that does not know it would not see the
/// newest writes. A store of 1 is one without a journal.
pub(crate) const SCHEMA: u64 = 2;
