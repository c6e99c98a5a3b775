//! Bounds of the larger requests, and the errors that more than one backend says.

use super::{bounded_outcome, check_claim, check_request, invalid};
use crate::cache::{Amend, CacheError, Plan, Settle, Steer};
use crate::ids::GoalId;
use crate::state::Outcome;

/// The longest title of a goal in bytes.
const MAX_TITLE: usize = 1_024;

/// Whether a plan is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_plan(plan: &Plan) -> Result<(), CacheError> {
    check_request(&plan.request.0)?;
    if plan.title.len() > MAX_TITLE {
        return Err(invalid(format!("a goal's title has at most {MAX_TITLE} bytes")));
    }
    Ok(())
}

/// Whether an amendment is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_amend(amend: &Amend) -> Result<(), CacheError> {
    check_request(&amend.request.0)?;
    match amend.redo.keys().find(|task| amend.dag.node(task).is_none()) {
        Some(task) => Err(invalid(format!("the new plan has no task `{task}` to do again"))),
        None => Ok(()),
    }
}

/// Whether a settle is within bounds, with its next claim; its outcome, cut to its bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_settle(settle: &Settle) -> Result<Outcome, CacheError> {
    check_request(&settle.request.0)?;
    if let Some(next) = &settle.next {
        check_claim(next)?;
    }
    bounded_outcome(&settle.outcome)
}

/// Whether a directive is within bounds.
///
/// # Errors
///
/// [`CacheError::Invalid`].
pub fn check_steer(steer: &Steer) -> Result<(), CacheError> {
    check_request(&steer.request.0)
}

/// A progress note, cut to its bounds.
#[must_use]
pub fn bounded_progress(progress: Option<&str>) -> Option<String> {
    progress.map(|note| crate::text::clip(note, super::MAX_NOTE))
}

/// A goal has another revision than the caller thought.
#[must_use]
pub fn goal_conflict(goal: &GoalId, presented: u64, current: u64) -> CacheError {
    CacheError::Conflict { key: format!("goal:{goal}"), presented, current }
}

/// A document has another version than the caller read.
#[must_use]
pub fn record_conflict(key: &str, presented: u64, current: u64) -> CacheError {
    CacheError::Conflict { key: format!("record:{key}"), presented, current }
}

/// The version that a write of a document gets.
///
/// `last` is the greatest version that the key ever had, also after a removal (0 for never);
/// `present` says whether there is a document now.
///
/// # Errors
///
/// [`CacheError::Conflict`]: the document that is there has another version than `expected`, or there
/// is none and `expected` is not 0.
pub fn record_version(key: &str, expected: u64, last: u64, present: bool) -> Result<u64, CacheError> {
    let current = if present { last } else { 0 };
    if expected != current {
        return Err(record_conflict(key, expected, current));
    }
    Ok(last.saturating_add(1))
}

/// No greater fencing token can be made in this store, and waiting does not help: that takes 134 million
/// openings, or somebody wrote the epoch by hand.
#[must_use]
pub fn tokens_used_up() -> CacheError {
    let source =
        "fencing tokens are used up: the epoch is at its greatest; nothing can be claimed in this store";
    CacheError::Corrupt { key: "epoch".to_owned(), source: Some(source.into()) }
}
