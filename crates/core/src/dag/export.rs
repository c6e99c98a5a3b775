//! A DAG as a drawing: Mermaid for Markdown, DOT for Graphviz. (As JSON it is its
//! [draft](Dag::to_draft).)

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::fault::cut;
use super::{Dag, Node};
use crate::ids::TaskId;

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

/// The places of the tasks by their status, for those that have one.
fn by_status(
    dag: &Dag,
    status: impl Fn(&TaskId) -> Option<&'static str>,
) -> BTreeMap<&'static str, Vec<usize>> {
    let mut groups: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, node) in dag.nodes().enumerate() {
        if let Some(status) = status(&node.id) {
            groups.entry(status).or_default().push(place);
        }
    }
    groups
}

/// The edges by the places of their ends.
fn edges(dag: &Dag) -> impl Iterator<Item = (usize, usize)> {
    let edges = dag.graph.raw_edges().iter().rev();
    edges.map(|edge| (edge.source().index(), edge.target().index()))
}

/// A flow chart in Mermaid, from top to bottom, coloured by `status` where it gives one.
///
/// Tasks are called `n0`, `n1`, … in it, and everything in a title that is not a letter or a digit is
/// written as a number, so that no title can be read as Mermaid, Markdown or HTML.
///
/// # Source
///
/// <https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters>.
#[must_use]
pub fn mermaid(dag: &Dag, status: impl Fn(&TaskId) -> Option<&'static str>) -> String {
    let mut out = String::from("flowchart TD\n");
    for (place, node) in dag.nodes().enumerate() {
        let (id, title) = (Mermaid(node.id.as_str()), cut(&node.title, TITLE));
        line(&mut out, format_args!("n{place}[\"{id}<br/>{}\"]", Mermaid(&title)));
    }
    for (source, target) in edges(dag) {
        line(&mut out, format_args!("n{source} --> n{target}"));
    }
    for (number, (status, places)) in by_status(dag, status).into_iter().enumerate() {
        let (fill, border) = colours(status);
        line(&mut out, format_args!("%% {}", Comment(status)));
        line(&mut out, format_args!("classDef s{number} fill:{fill},stroke:{border},color:#111111"));
        let nodes: Vec<String> = places.iter().map(|place| format!("n{place}")).collect();
        line(&mut out, format_args!("class {} s{number}", nodes.join(",")));
    }
    out
}

/// A graph in DOT, from top to bottom, coloured by `status` where it gives one.
///
/// # Source
///
/// <https://graphviz.org/doc/info/lang.html>: a quoted text ends at the first quote that is not
/// escaped, and a backslash begins an escape in a label.
#[must_use]
pub fn dot(dag: &Dag, status: impl Fn(&TaskId) -> Option<&'static str>) -> String {
    let mut out = format!("digraph \"{}\" {{\n", Dot(dag.goal().as_str()));
    line(&mut out, format_args!("rankdir=TB;"));
    line(&mut out, format_args!("node [shape=box, style=\"rounded,filled\", fillcolor=\"#ffffff\"];"));
    for (place, node) in dag.nodes().enumerate() {
        line(&mut out, format_args!("n{place} [label=\"{}\"];", label(node)));
    }
    for (source, target) in edges(dag) {
        line(&mut out, format_args!("n{source} -> n{target};"));
    }
    for (status, places) in by_status(dag, status) {
        let (fill, border) = colours(status);
        for place in places {
            line(
                &mut out,
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

fn label(node: &Node) -> String {
    let title = cut(&node.title, TITLE);
    format!("{}\\n{}", Dot(node.id.as_str()), Dot(&title))
}

fn line(out: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a string cannot fail.
    let _ = writeln!(out, "    {text}");
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
