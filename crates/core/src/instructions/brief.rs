//! A brief that holds its own plan.

use super::MAX_BYTES;
use super::blocks::{self, Block};
use super::checklist::{Checklist, link};
use super::faults::Faults;
use super::task::is_task;
use crate::dag::Draft;
use crate::diagnostic::{Report, Source};
use crate::ids::GoalId;

/// The plan in the checklists of a brief; `None` where it has none.
///
/// The grammar is that of a goal's checklist in [`parse`](super::parse()). So an agent's own
/// instructions, from which a goal without text of its own is planned, can be planned without a model.
///
/// # Errors
///
/// Every fault of the checklists, with its place in `brief`.
pub fn plan_of_brief(goal: &GoalId, brief: &Source) -> Result<Option<Draft>, Report> {
    let mut faults = Faults::new(brief);
    let mut checklist = Checklist::default();
    let text = faults.text();
    if text.len() > MAX_BYTES || text.contains('\0') {
        faults.error(&(0..0), format!("a brief has at most {MAX_BYTES} bytes and no NUL"));
    } else {
        for block in &blocks::read(text) {
            if let Block::List(list) = block {
                // Points of the brief and tasks below them are one list to Markdown.
                let first = list.items.iter().position(|item| is_task(item, text));
                let tasks = first.and_then(|first| list.items.get(first..)).unwrap_or_default();
                checklist.add(tasks, &mut faults);
            }
        }
        link(&mut [(goal.to_string(), &mut checklist)], &mut faults);
    }
    faults.finish()?;
    Ok((!checklist.is_empty()).then(|| checklist.into_draft(goal.as_str()).0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(brief: &str) -> Result<Option<Draft>, Report> {
        plan_of_brief(&GoalId::new("g").unwrap(), &Source::new("brief", brief))
    }

    #[test]
    fn the_checklists_of_a_brief_are_its_plan() {
        let draft =
            plan("# Role\n\n- be kind\n\n- [ ] One {#a}\n  ```sh\n  true\n  ```\n- [ ] Two {#b after=a}\n")
                .unwrap()
                .unwrap();
        assert_eq!(draft.nodes.len(), 2);
        assert_eq!(draft.nodes[0].run.as_deref(), Some("true"));
        assert_eq!(draft.edges.len(), 1);
        assert_eq!(plan("# Role\n\n- be kind\n"), Ok(None));
    }

    #[test]
    fn a_fault_has_its_place_in_the_brief() {
        let report = plan("- [ ] One {#a after=b}\n").unwrap_err();
        assert!(report.to_string().starts_with("brief:1:"), "{report}");
    }
}
