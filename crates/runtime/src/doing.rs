//! What an agent does now, in as many slots as it works on tasks at once.

use downbeat_core::cache::Phase;
use downbeat_core::ids::TaskId;

/// What an agent does: the phase of each of its tasks, and its own when it has none.
///
/// A beat has room for one of them. It is the one that changed last, so that every change of every task is
/// told, and an agent counts as idle when none of its slots has a task.
#[derive(Debug)]
pub struct Doing {
    /// The phases of its tasks, the one that changed last behind.
    tasks: Vec<(TaskId, Phase)>,
    without: Phase,
}

impl Default for Doing {
    fn default() -> Self {
        Self { tasks: Vec::new(), without: Phase::Created }
    }
}

impl Doing {
    /// What the next beat says.
    #[must_use]
    pub fn said(&self) -> (Phase, Option<TaskId>) {
        self.tasks.last().map_or((self.without, None), |(task, phase)| (*phase, Some(task.clone())))
    }

    /// Enters a phase, for a task or for none; says whether the next beat tells something else than before.
    pub(crate) fn enter(&mut self, phase: Phase, task: Option<&TaskId>) -> bool {
        self.changes(|doing| match task {
            Some(task) => {
                doing.tasks.retain(|(known, _)| known != task);
                doing.tasks.push((task.clone(), phase));
            }
            None => doing.without = phase,
        })
    }

    /// Has a task no more, and is in this phase without any; says the same.
    pub(crate) fn leave(&mut self, task: &TaskId, without: Phase) -> bool {
        self.changes(|doing| {
            doing.tasks.retain(|(known, _)| known != task);
            doing.without = without;
        })
    }

    fn changes(&mut self, change: impl FnOnce(&mut Self)) -> bool {
        let before = self.said();
        change(self);
        self.said() != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_last_is_said_and_idle_is_who_has_nothing() {
        let (a, b) = (TaskId::new("a").unwrap(), TaskId::new("b").unwrap());
        let mut doing = Doing::default();
        assert_eq!(doing.said(), (Phase::Created, None));
        assert!(doing.enter(Phase::Executing, Some(&a)));
        assert!(doing.enter(Phase::Executing, Some(&b)));
        assert_eq!(doing.said(), (Phase::Executing, Some(b.clone())));
        assert!(!doing.enter(Phase::Executing, Some(&b)));
        assert!(doing.enter(Phase::Validating, Some(&a)));

        // Another slot that finds nothing is no news.
        assert!(!doing.enter(Phase::Idle, None));
        assert!(doing.leave(&a, Phase::Completed));
        assert_eq!(doing.said(), (Phase::Executing, Some(b.clone())));
        assert!(doing.leave(&b, Phase::Completed));
        assert_eq!(doing.said(), (Phase::Completed, None));
        assert!(doing.enter(Phase::Idle, None));
    }
}
