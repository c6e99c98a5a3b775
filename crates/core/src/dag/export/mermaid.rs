//! A DAG in Mermaid.

use std::fmt::{self, Write as _};

use super::super::fault::cut;
use super::{Drawing, Numbered, TITLE, colours, line, owns};
use crate::ids::TaskId;

/// A flow chart in Mermaid, from top to bottom, coloured by `status` where it gives one.
///
/// Tasks are called `n0`, `n1`, … in it, and everything in a title that is not a letter or a digit is
/// written as a number, so that no title can be read as Mermaid, Markdown or HTML. A goal below a task is a
/// subgraph, `g1`, `g2`, …, with a dotted line from the task that owns it, which has a double border.
///
/// # Source
///
/// <https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters>,
/// <https://mermaid.js.org/syntax/flowchart.html#subgraphs>.
#[must_use]
pub fn mermaid(drawing: &Drawing, status: impl Fn(&TaskId) -> Option<&'static str>) -> String {
    let mut out = String::from("flowchart TD\n");
    let root = Numbered::new(drawing);
    tasks(&mut out, &root, 0);
    for goal in root.all() {
        for (source, target) in goal.edges() {
            line(&mut out, 0, format_args!("n{source} --> n{target}"));
        }
        for (owner, owned) in &goal.below {
            line(&mut out, 0, format_args!("n{owner} -.-> g{}", owned.number));
        }
    }
    for (number, (status, places)) in root.by_status(status).into_iter().enumerate() {
        let (fill, border) = colours(status);
        line(&mut out, 0, format_args!("%% {}", Comment(status)));
        line(&mut out, 0, format_args!("classDef s{number} fill:{fill},stroke:{border},color:#111111"));
        let nodes: Vec<String> = places.iter().map(|place| format!("n{place}")).collect();
        line(&mut out, 0, format_args!("class {} s{number}", nodes.join(",")));
    }
    out
}

fn tasks(out: &mut String, goal: &Numbered<'_>, depth: usize) {
    for (number, node) in goal.nodes() {
        let (id, title) = (Mermaid(node.id.as_str()), cut(&node.title, TITLE));
        let title = Mermaid(&title);
        if owns(node) {
            line(out, depth, format_args!("n{number}[[\"{id}<br/>{title}\"]]"));
        } else {
            line(out, depth, format_args!("n{number}[\"{id}<br/>{title}\"]"));
        }
    }
    for (_, owned) in &goal.below {
        let (id, title) = (Mermaid(owned.drawing.dag.goal().as_str()), cut(&owned.drawing.title, TITLE));
        line(out, depth, format_args!("subgraph g{}[\"{id}<br/>{}\"]", owned.number, Mermaid(&title)));
        tasks(out, owned, depth + 1);
        line(out, depth, format_args!("end"));
    }
}

/// Text inside a quoted Mermaid label.
struct Mermaid<'a>(&'a str);

impl fmt::Display for Mermaid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                // A space, and what stands in nearly every title and has no meaning between letters.
                ' ' | ',' | '-' | '/' | '…' => f.write_char(character)?,
                _ if character.is_alphanumeric() => f.write_char(character)?,
                _ if character.is_whitespace() || character.is_control() => f.write_char(' ')?,
                _ => write!(f, "#{};", u32::from(character))?,
            }
        }
        Ok(())
    }
}

/// Text in a Mermaid comment.
struct Comment<'a>(&'a str);

impl fmt::Display for Comment<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = self.0.chars().filter(char::is_ascii_alphanumeric);
        plain.into_iter().try_for_each(|c| f.write_char(c))
    }
}
