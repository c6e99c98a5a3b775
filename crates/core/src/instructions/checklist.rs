//! A checklist as the plan of a goal.
//!
//! A task without `#id` is named after its title by [`slug`]; when the name is taken, `-2`, `-3` and so
//! on is added, and when nothing is left of the title, it is `task-<n>`, its number in the list. Ids
//! that are written out are never changed.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::blocks::Item;
use super::cycle::{cycles, drawn};
use super::faults::Faults;
use super::slug::slug;
use super::task::{self, Task};
use crate::dag::{Draft, DraftEdge};
use crate::diagnostic::Diagnostic;

/// The most tasks in one file.
const MAX_TASKS: usize = 10_000;

/// The tasks of one goal, before it is known whether what they wait for exists.
#[derive(Debug, Default)]
pub(super) struct Checklist {
    tasks: Vec<Task>,
}

impl Checklist {
    /// Adds the tasks that `items` are.
    pub(super) fn add(&mut self, items: &[Item], faults: &mut Faults<'_>) {
        for item in items {
            if self.tasks.len() >= MAX_TASKS {
                faults.error(&item.head, format!("a goal has at most {MAX_TASKS} tasks"));
                return;
            }
            self.tasks.extend(task::read(item, faults));
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// The goals that its tasks own.
    pub(super) fn owned(&self) -> impl Iterator<Item = &str> {
        self.tasks.iter().filter_map(|task| task.node.goal.as_deref())
    }

    /// Whether any of its tasks owns the goal that a file plans.
    pub(super) fn names_plans(&self) -> bool {
        self.tasks.iter().any(|task| task.node.plan.is_some())
    }

    /// The DAG that the tasks are, and the place of each.
    pub(super) fn into_draft(self, goal: &str) -> (Draft, Vec<Range<usize>>) {
        let mut draft = Draft { goal_id: goal.to_owned(), ..Draft::default() };
        let mut spans = Vec::with_capacity(self.tasks.len());
        for task in self.tasks {
            for source in task.after {
                draft.edges.push(DraftEdge { source: source.text, target: task.node.id.clone() });
            }
            draft.nodes.push(task.node);
            spans.push(task.span);
        }
        (draft, spans)
    }
}

/// Names the tasks that have no id, and checks ids and `after` over all goals (name, checklist).
pub(super) fn link(goals: &mut [(String, &mut Checklist)], faults: &mut Faults<'_>) {
    let mut owners: HashMap<String, (usize, Range<usize>)> = HashMap::new();
    let mut count = 0;
    for (goal, (_, list)) in goals.iter().enumerate() {
        for task in &list.tasks {
            count += 1;
            if count == MAX_TASKS + 1 {
                faults.error(&task.span, format!("a file has at most {MAX_TASKS} tasks"));
            }
            if !task.written || task.node.id.is_empty() {
                continue;
            }
            if let Some((_, first)) = owners.get(&task.node.id) {
                let message = format!("the task id `{}` is taken", task.node.id);
                faults.repeated(&task.id_span, message, first);
            } else {
                owners.insert(task.node.id.clone(), (goal, task.id_span.clone()));
            }
        }
    }
    for (goal, (_, list)) in goals.iter_mut().enumerate() {
        let mut next: HashMap<String, usize> = HashMap::new();
        for (index, task) in list.tasks.iter_mut().enumerate() {
            if task.written {
                continue;
            }
            let base = slug(&task.node.title).unwrap_or_else(|| format!("task-{}", index + 1));
            let mut id = base.clone();
            let number = next.entry(base.clone()).or_insert(1);
            while owners.contains_key(&id) {
                *number += 1;
                id = format!("{base}-{number}");
            }
            owners.insert(id.clone(), (goal, task.id_span.clone()));
            task.node.id = id;
        }
    }
    let names: Vec<String> = goals.iter().map(|(name, _)| name.clone()).collect();
    for (goal, (_, list)) in goals.iter_mut().enumerate() {
        resolve(goal, list, &names, &owners, faults);
    }
}

/// Checks what the tasks of one goal wait for.
fn resolve(
    goal: usize,
    list: &mut Checklist,
    names: &[String],
    owners: &HashMap<String, (usize, Range<usize>)>,
    faults: &mut Faults<'_>,
) {
    let ids: Vec<String> = list.tasks.iter().map(|task| task.node.id.clone()).collect();
    let index: HashMap<&str, usize> =
        ids.iter().enumerate().map(|(index, id)| (id.as_str(), index)).collect();
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let mut places: HashMap<(usize, usize), Range<usize>> = HashMap::new();
    for (waiting, task) in list.tasks.iter_mut().enumerate() {
        let mut seen: HashSet<String> = HashSet::new();
        task.after.retain(|value| {
            let name = &value.text;
            if !seen.insert(name.clone()) {
                let message = format!("`{name}` stands twice in `after`");
                faults.push(Diagnostic::warning(value.span.clone(), message));
                return false;
            }
            if *name == task.node.id {
                faults.error(&value.span, format!("task `{name}` waits for itself"));
            } else if let Some(source) = index.get(name.as_str()) {
                edges.push((waiting, *source));
                places.insert((waiting, *source), value.span.clone());
            } else if let Some((other, _)) = owners.get(name).filter(|(other, _)| *other != goal) {
                let other = names.get(*other).map_or("", String::as_str);
                faults.error_with(
                    &value.span,
                    format!("`{name}` is a task of goal `{other}`"),
                    "a task can only wait for tasks of its own goal",
                );
            } else {
                faults.unknown(
                    &value.span,
                    format!("`after` names no task: `{name}`"),
                    name,
                    ids.iter().map(String::as_str).filter(|id| *id != task.node.id),
                    || "write the id of another task of this goal".to_owned(),
                );
            }
            true
        });
    }
    for path in cycles(ids.len(), &edges) {
        let span = match path.as_slice() {
            [first, second, ..] => places.get(&(*first, *second)).cloned(),
            _ => None,
        };
        let name = |at: usize| ids.get(at).map_or("", String::as_str);
        faults.error_with(
            &span.unwrap_or_default(),
            format!("tasks wait for each other: {}", drawn(&path, name)),
            "each waits for the next; take one of them out of `after`",
        );
    }
}
