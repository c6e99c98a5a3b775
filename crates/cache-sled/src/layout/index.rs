//! The keys by which a task is found.

use std::collections::BTreeSet;

use downbeat_core::ids::{Capability, TaskId};
use downbeat_core::state::TaskStatus;

use super::{Key, Rank, TaskDoc, prefix};

/// Whether values of this stored key can be large enough to be cut in pieces. Index entries cannot,
/// and are most of what is written.
pub(crate) fn may_be_large(key: &[u8]) -> bool {
    !matches!(key.first(), Some(b'!' | b'r' | b'q' | b'd' | b'l' | b'h' | b'z' | b's' | b'x'))
}

/// Whether a stored key is an entry of an index: small, found by its beginning, and never in pieces.
pub(crate) fn is_index(key: &[u8]) -> bool {
    key.first().is_some_and(|tag| prefix::INDEXES.contains(tag))
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

/// Whether an agent with `capabilities` may take a task that needs `needs`.
pub(crate) fn suffices(capabilities: &BTreeSet<Capability>, needs: &[Capability]) -> bool {
    needs.iter().all(|need| capabilities.contains(need))
}
