//! A DAG as a drawing: Mermaid for Markdown, DOT for Graphviz. (As JSON it is its
//! [draft](Dag::to_draft).)

mod dot;
mod mermaid;

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::Arc;

pub use dot::dot;
pub use mermaid::mermaid;

use super::kind::NodeKind;
use super::{Dag, Node};
use crate::ids::TaskId;

/// What is drawn: a DAG, and beneath its tasks the DAGs of the goals that they own.
#[derive(Debug, Clone)]
pub struct Drawing {
    /// The tasks.
    pub dag: Arc<Dag>,
    /// What the goal is called.
    pub title: String,
    /// By the task that owns it.
    pub below: BTreeMap<TaskId, Drawing>,
}

impl Drawing {
    /// Of a DAG without anything below it.
    #[must_use]
    pub fn of(dag: Arc<Dag>, title: impl Into<String>) -> Self {
        Self { dag, title: title.into(), below: BTreeMap::new() }
    }
}

/// A drawing whose tasks and goals have numbers, each its own.
struct Numbered<'d> {
    drawing: &'d Drawing,
    /// Of the goal; 0 for the one above all.
    number: usize,
    /// Of its first task; the others follow.
    first: usize,
    /// By the number of the task that owns it.
    below: Vec<(usize, Numbered<'d>)>,
}

impl<'d> Numbered<'d> {
    fn new(drawing: &'d Drawing) -> Self {
        Self::count(drawing, &mut 0, &mut 0)
    }

    fn count(drawing: &'d Drawing, goals: &mut usize, tasks: &mut usize) -> Self {
        let (number, first) = (*goals, *tasks);
        *goals += 1;
        *tasks += drawing.dag.len();
        let mut below = Vec::new();
        for (place, node) in drawing.dag.nodes().enumerate() {
            if let Some(owned) = drawing.below.get(&node.id) {
                below.push((first + place, Self::count(owned, goals, tasks)));
            }
        }
        Self { drawing, number, first, below }
    }

    /// The tasks of this goal alone, with their numbers.
    fn nodes(&self) -> impl Iterator<Item = (usize, &Arc<Node>)> {
        (self.first..).zip(self.drawing.dag.nodes())
    }

    /// The edges of this goal alone, by the numbers of their ends.
    fn edges(&self) -> impl Iterator<Item = (usize, usize)> {
        let edges = self.drawing.dag.graph.raw_edges().iter().rev();
        edges.map(|edge| (self.first + edge.source().index(), self.first + edge.target().index()))
    }

    /// This goal and all below it.
    fn all(&self) -> Vec<&Self> {
        let below = self.below.iter().flat_map(|(_, owned)| owned.all());
        std::iter::once(self).chain(below).collect()
    }

    /// The numbers of all tasks by their status, for those that have one.
    fn by_status(
        &self,
        status: impl Fn(&TaskId) -> Option<&'static str>,
    ) -> BTreeMap<&'static str, Vec<usize>> {
        let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
        for goal in self.all() {
            for (number, node) in goal.nodes() {
                if let Some(status) = status(&node.id) {
                    groups.entry(status).or_default().push(number);
                }
            }
        }
        groups
    }
}

/// How much of a title is drawn, in characters.
const TITLE: usize = 80;

/// What a status looks like: its name, the colour inside, the colour of its border.
const COLOURS: [(&str, &str, &str); 6] = [
    ("blocked", "#eeeeee", "#888888"),
    ("ready", "#dbeafe", "#2563eb"),
    ("running", "#fef3c7", "#d97706"),
    ("done", "#dcfce7", "#16a34a"),
    ("failed", "#fee2e2", "#dc2626"),
    ("cancelled", "#f3e8ff", "#9333ea"),
];

/// The colours of a status that is not in the table.
const OTHER: (&str, &str) = ("#ffffff", "#444444");

fn colours(status: &str) -> (&'static str, &'static str) {
    COLOURS.iter().find(|(name, ..)| *name == status).map_or(OTHER, |(_, fill, border)| (*fill, *border))
}

/// A line of a drawing, `depth` goals below the one above all.
fn line(out: &mut String, depth: usize, text: fmt::Arguments<'_>) {
    let indent = 4 * (depth + 1);
    // Writing to a string cannot fail.
    let _ = writeln!(out, "{:indent$}{text}", "");
}

/// Whether a task owns a goal, planned or not.
fn owns(node: &Node) -> bool {
    node.kind == NodeKind::Goal
}
