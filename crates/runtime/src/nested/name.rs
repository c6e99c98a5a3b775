//! What the goal below a task is called.

use downbeat_core::ids::{GoalId, MAX_ID_LEN, TaskId};
use sha2::{Digest, Sha256};

/// How many bytes a name may have so that the tasks below it have names, too.
const LONGEST: usize = 96;

/// The id of the goal that `task` of `goal` owns: `<goal>.<task>`.
///
/// It is made from the task, so that two tasks may own the same declared goal, and it names the chain: tasks
/// of the goal below are called `<that id>.<task>`, and a task whose id begins with its goal's gives its own
/// id on. One that would be too long is cut, and told apart by a hash.
#[must_use]
pub fn below(goal: &GoalId, task: &TaskId) -> GoalId {
    let prefix = format!("{goal}.");
    let full = match task.as_str().strip_prefix(&prefix) {
        Some(rest) => format!("{prefix}{rest}"),
        None => format!("{prefix}{task}"),
    };
    let name = if full.len() <= LONGEST {
        full
    } else {
        let digest = Sha256::digest(full.as_bytes());
        let hash: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
        // Ids are ASCII, so that any place is a boundary.
        let kept = full.get(..LONGEST - 1 - hash.len()).unwrap_or_default();
        format!("{kept}-{hash}")
    };
    const { assert!(LONGEST < MAX_ID_LEN) };
    // Both parts are ids, and so is what is made of them.
    GoalId::new(name).unwrap_or_else(|_| goal.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goal(id: &str) -> GoalId {
        GoalId::new(id).unwrap()
    }

    fn task(id: &str) -> TaskId {
        TaskId::new(id).unwrap()
    }

    #[test]
    fn a_name_says_the_chain() {
        let mid = below(&goal("top"), &task("build"));
        assert_eq!(mid.as_str(), "top.build");
        assert_eq!(below(&mid, &task("top.build.docs")).as_str(), "top.build.docs");
    }

    #[test]
    fn a_long_name_is_cut_and_stays_apart_from_others() {
        let top = goal(&"g".repeat(90));
        let one = below(&top, &task(&"t".repeat(100)));
        let other = below(&top, &task(&"t".repeat(101)));
        assert!(one.as_str().len() <= LONGEST && one != other, "{one} {other}");
        assert_eq!(one, below(&top, &task(&"t".repeat(100))));
    }
}
