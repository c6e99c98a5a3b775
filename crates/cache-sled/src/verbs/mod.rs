//! What each verb does to a [`Step`](crate::step::Step): thin, since the moves are decided in core.

pub(crate) mod agents;
pub(crate) mod amend;
pub(crate) mod claim;
pub(crate) mod plan;
pub(crate) mod read;
pub(crate) mod records;
pub(crate) mod remove;
pub(crate) mod renew;
pub(crate) mod settle;
pub(crate) mod steer;
pub(crate) mod streams;
pub(crate) mod sweep;
