//! A DAG in DOT.

use std::fmt::{self, Write as _};

use super::super::fault::cut;
use super::{Drawing, Numbered, TITLE, colours, line, owns};
use crate::ids::TaskId;

/// A graph in DOT, from top to bottom, coloured by `status` where it gives one.
///
/// A goal below a task is a cluster, with a dashed line from the task that owns it, which has a double
/// border.
///
/// # Source
///
/// <https://graphviz.org/doc/info/lang.html>: a quoted text ends at the first quote that is not
/// escaped, and a backslash begins an escape in a label. <https://graphviz.org/docs/attrs/lhead/>: a line
/// ends at a cluster when it leads to one of its nodes.
#[must_use]
pub fn dot(drawing: &Drawing, status: impl Fn(&TaskId) -> Option<&'static str>) -> String {
    let mut out = format!("digraph \"{}\" {{\n", Dot(drawing.dag.goal().as_str()));
    let root = Numbered::new(drawing);
    line(&mut out, 0, format_args!("rankdir=TB;"));
    if !root.below.is_empty() {
        line(&mut out, 0, format_args!("compound=true;"));
    }
    line(&mut out, 0, format_args!("node [shape=box, style=\"rounded,filled\", fillcolor=\"#ffffff\"];"));
    tasks(&mut out, &root, 0);
    for goal in root.all() {
        for (source, target) in goal.edges() {
            line(&mut out, 0, format_args!("n{source} -> n{target};"));
        }
        for (owner, owned) in &goal.below {
            line(
                &mut out,
                0,
                format_args!(
                    "n{owner} -> n{} [lhead=cluster_{}, style=dashed, arrowhead=none];",
                    owned.first, owned.number
                ),
            );
        }
    }
    for (status, places) in root.by_status(status) {
        let (fill, border) = colours(status);
        for place in places {
            line(
                &mut out,
                0,
                format_args!(
                    "n{place} [class=\"{}\", fillcolor=\"{fill}\", color=\"{border}\"];",
                    Dot(status)
                ),
            );
        }
    }
    out.push_str("}\n");
    out
}

fn tasks(out: &mut String, goal: &Numbered<'_>, depth: usize) {
    for (number, node) in goal.nodes() {
        let border = if owns(node) { ", peripheries=2" } else { "" };
        let label = label(node.id.as_str(), &node.title);
        line(out, depth, format_args!("n{number} [label=\"{label}\"{border}];"));
    }
    for (_, owned) in &goal.below {
        line(out, depth, format_args!("subgraph cluster_{} {{", owned.number));
        let label = label(owned.drawing.dag.goal().as_str(), &owned.drawing.title);
        line(out, depth + 1, format_args!("label=\"{label}\"; style=\"rounded,dashed\"; color=\"#888888\";"));
        tasks(out, owned, depth + 1);
        line(out, depth, format_args!("}}"));
    }
}

fn label(id: &str, title: &str) -> String {
    format!("{}\\n{}", Dot(id), Dot(&cut(title, TITLE)))
}

/// Text inside a quoted DOT string. `&` would begin an entity in a label.
struct Dot<'a>(&'a str);

impl fmt::Display for Dot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '&' => f.write_str("&amp;")?,
                _ if character.is_whitespace() || character.is_control() => f.write_char(' ')?,
                // What turns the direction of the text behind it.
                '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                    f.write_char(' ')?;
                }
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}
