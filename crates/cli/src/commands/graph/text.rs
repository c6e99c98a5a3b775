//! A graph as lines: the tasks of a goal, and indented below each the goal that it owns.

use downbeat_core::dag::export::Drawing;

use super::Statuses;
use crate::output::style::{self, FAINT, PLAIN, STRONG, paint};
use crate::output::text::{clean, cut, pad, width};

/// The widest column of ids.
const ID: usize = 40;

/// ```text
/// release  Release 2.0
///   ✓ test      Test everything
///   ● manual    Write the manual  after test
///       release.manual  The manual
///         ○ release.manual.chapters  Chapters
/// ```
pub(super) fn text(drawing: &Drawing, statuses: &Statuses, columns: Option<usize>) -> String {
    let mut out = String::new();
    goal(&mut out, drawing, statuses, 0, columns.unwrap_or(usize::MAX));
    out
}

fn goal(out: &mut String, drawing: &Drawing, statuses: &Statuses, indent: usize, columns: usize) {
    let blank = " ".repeat(indent);
    let name = drawing.dag.goal().as_str();
    let title = cut(&clean(&drawing.title), columns.saturating_sub(indent + width(name) + 2));
    out.push_str(&format!("{blank}{}  {title}\n", paint(STRONG, name)));
    let ids = drawing.dag.nodes().map(|node| width(node.id.as_str())).max().unwrap_or(0).min(ID);
    for node in drawing.dag.nodes() {
        let (mark, colour) = statuses.get(&node.id).map_or(("·", PLAIN), |status| style::of_task(*status));
        let before: Vec<&str> =
            drawing.dag.dependencies(&node.id).into_iter().map(|task| task.as_str()).collect();
        let after = if before.is_empty() { String::new() } else { format!("  after {}", before.join(", ")) };
        let room = columns.saturating_sub(indent + 4 + ids + 2);
        let after = cut(&after, room / 2);
        let title = cut(&clean(&node.title), room.saturating_sub(width(&after)));
        out.push_str(&format!(
            "{blank}  {} {}  {title}{}\n",
            paint(colour, mark),
            pad(node.id.as_str(), ids),
            paint(FAINT, after)
        ));
        if let Some(owned) = drawing.below.get(&node.id) {
            goal(out, owned, statuses, indent + 6, columns);
        }
    }
}
