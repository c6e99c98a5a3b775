//! What changes from one DAG of a goal to the next.

use crate::ids::TaskId;

/// What changes from one DAG to another, each list in the order of its DAG.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DagDiff {
    /// Tasks that only the new one has.
    pub added: Vec<TaskId>,
    /// Tasks that only the old one has.
    pub removed: Vec<TaskId>,
    /// Tasks in both whose own description differs.
    pub changed: Vec<TaskId>,
    /// Tasks in both that wait for others than before.
    pub rewired: Vec<TaskId>,
    /// How many tasks are the same in both.
    pub kept: usize,
}
