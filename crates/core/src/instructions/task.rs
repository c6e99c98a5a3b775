//! One item of a checklist as a task.
//!
//! ```text
//! - [ ] Title {#id priority=10 capabilities=shell after=other} -> artifact.md
//!   What is to be done, in full.
//! ```

use std::ops::Range;

use super::agent::{capabilities, duration, id, number};
use super::blocks::{Block, Code, Item, List};
use super::faults::Faults;
use super::field::{Value, slice, trimmed};
use super::header::{self, Header};
use crate::dag::{DraftNode, MAX_PRIORITY, NodeKind};
use crate::diagnostic::Diagnostic;
use crate::ids::{GoalId, TaskId};

const MAX_ATTEMPTS: u32 = 1_000;
/// The bounds of [`DraftNode`], which a checklist keeps as a DAG file does.
const MAX_TITLE: usize = 500;
const MAX_TEXT: usize = 65_536;
const MAX_ARTIFACTS: usize = 256;
const MAX_ARTIFACT: usize = 1_024;
const MAX_CAPABILITIES: usize = 32;
const MAX_CHECKS: usize = 64;

/// One task, before it is known whether what it waits for exists.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) node: DraftNode,
    /// The title line.
    pub(super) span: Range<usize>,
    /// Where the id is written; the title's place for one that is made.
    pub(super) id_span: Range<usize>,
    pub(super) written: bool,
    pub(super) after: Vec<Value>,
}

/// What stands before a task's title.
enum Checkbox {
    /// Where the title begins.
    Open(usize),
    Ticked(usize),
    /// Something like a box, as long as this.
    Broken(usize),
}

/// Whether `list` is a checklist: any of its items has a box.
pub(super) fn is_checklist(list: &List, text: &str) -> bool {
    list.items.iter().any(|item| is_task(item, text))
}

/// Whether an item has a box.
pub(super) fn is_task(item: &Item, text: &str) -> bool {
    checkbox(slice(text, &item.head)).is_some()
}

/// Reads one item; `None` when it is no task at all.
pub(super) fn read(item: &Item, faults: &mut Faults<'_>) -> Option<Task> {
    let text = faults.text();
    let raw = slice(text, &item.head);
    let start = match checkbox(raw) {
        Some(Checkbox::Open(start)) => start,
        Some(Checkbox::Ticked(start)) => {
            faults.push(
                Diagnostic::warning(
                    item.head.start..item.head.start + 3,
                    "ticking is ignored: the store knows what is done",
                )
                .help("write `[ ]`"),
            );
            start
        }
        Some(Checkbox::Broken(len)) => {
            faults.error_with(
                &(item.head.start..item.head.start + len),
                format!("`{}` is not a checkbox", raw.get(..len).unwrap_or_default()),
                "write `[ ]` and a blank",
            );
            return None;
        }
        None => {
            let first_line = raw.lines().next().unwrap_or_default().len();
            faults.error_with(
                &(item.head.start..item.head.start + first_line),
                "an item of a checklist has no checkbox",
                "write `- [ ] Title`, indent it below its task, or set it apart with a line of text",
            );
            return None;
        }
    };
    let header = header::read(item.head.start + start..item.head.end, faults);
    if header.title.is_empty() {
        faults.error_with(&item.head, "a task has no title", "write what is to be done behind `[ ]`");
    } else if header.title.chars().count() > MAX_TITLE {
        faults.error_with(
            &header.title_span,
            format!("a title has at most {MAX_TITLE} characters"),
            "leave a blank line behind the title and describe the task below it",
        );
    }
    let (after, mut node) = attributes(&header, faults);
    node.title = header.title;
    node.expected_artifacts = artifacts(&header.artifacts, faults);
    body(item, &header.rest, &mut node, faults);
    let id_span = header.id.as_ref().map_or(header.title_span, |value| value.span.clone());
    let written = header.id.is_some();
    node.id = header
        .id
        .and_then(|value| id::<TaskId>(&value, "task", faults))
        .map(|id| id.value.as_str().to_owned())
        .unwrap_or_default();
    Some(Task { node, span: header.span, id_span, written, after })
}

/// Reads the attributes; gives what the task waits for apart.
fn attributes(header: &Header, faults: &mut Faults<'_>) -> (Vec<Value>, DraftNode) {
    let mut node = DraftNode::default();
    let mut after = Vec::new();
    for (key, value) in &header.attributes {
        match key.text.as_str() {
            "priority" => {
                node.priority = number(value, "priority", 0, MAX_PRIORITY, faults).unwrap_or(0);
            }
            "attempts" => node.max_attempts = number(value, "attempts", 1, MAX_ATTEMPTS, faults),
            "timeout" => node.timeout = duration(value, faults),
            "kind" => match value.text.as_str() {
                "task" => {}
                "goal" => node.kind = NodeKind::Goal,
                other => faults.error_with(
                    &value.span,
                    format!("`{other}` is no kind of task"),
                    "write `kind=goal` for a task that owns a goal; without it an agent works on it",
                ),
            },
            // Whoever names a goal means a task that owns it.
            "goal" => {
                node.kind = NodeKind::Goal;
                node.goal = id::<GoalId>(value, "goal", faults).map(|id| id.value.as_str().to_owned());
            }
            "plan" => {
                node.kind = NodeKind::Goal;
                node.plan = Some(value.text.clone());
            }
            "capabilities" => {
                let parts = parts(key, value, faults);
                node.capabilities = capabilities(parts, faults).iter().map(ToString::to_string).collect();
                if node.capabilities.len() > MAX_CAPABILITIES {
                    faults
                        .error(&value.span, format!("a task needs at most {MAX_CAPABILITIES} capabilities"));
                }
            }
            _ => {
                after = parts(key, value, faults);
                for part in &mut after {
                    // `after=#a` is a natural slip, and clear.
                    if let Some(name) = part.text.strip_prefix('#') {
                        part.text = name.to_owned();
                        part.span.start += 1;
                    }
                }
            }
        }
    }
    (after, node)
}

fn parts(key: &Value, value: &Value, faults: &mut Faults<'_>) -> Vec<Value> {
    let mut parts = value.split(faults.text());
    parts.retain(|part| {
        if part.text.is_empty() {
            faults.error(&part.span, format!("an entry of `{}` is empty", key.text));
        }
        !part.text.is_empty()
    });
    parts
}

/// Checks the names of artifacts.
fn artifacts(values: &[Value], faults: &mut Faults<'_>) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for value in values {
        if let Err(why) = check_artifact(&value.text) {
            faults.error_with(
                &value.span,
                format!("`{}` is not a usable artifact: {why}", value.text),
                "write a file's path inside the workspace, such as `out/report.md`",
            );
        } else if names.contains(&value.text) {
            faults.push(Diagnostic::warning(
                value.span.clone(),
                format!("`{}` stands twice among the artifacts", value.text),
            ));
        } else if names.len() == MAX_ARTIFACTS {
            faults.error(&value.span, format!("a task has at most {MAX_ARTIFACTS} artifacts"));
        } else {
            names.push(value.text.clone());
        }
    }
    names
}

/// Whether a name can only be a file inside the workspace, on every system.
fn check_artifact(name: &str) -> Result<(), &'static str> {
    if name.len() > MAX_ARTIFACT {
        return Err("it is longer than 1024 bytes");
    }
    if name.contains(|c: char| c == '\\' || c.is_control()) {
        return Err("`\\` and control characters are not allowed");
    }
    let drive = name.as_bytes().get(1) == Some(&b':')
        && name.starts_with(|letter: char| letter.is_ascii_alphabetic());
    if name.starts_with(['/', '~']) || drive {
        return Err("it is not relative to the workspace");
    }
    for part in name.split('/') {
        match part {
            "" => return Err("a part of the path is empty"),
            "." => return Err("it has a part `.`"),
            ".." => return Err("it leads out of the workspace"),
            _ => {}
        }
    }
    Ok(())
}

/// Reads what stands below the title: description, command and checks.
fn body(item: &Item, rest: &Range<usize>, node: &mut DraftNode, faults: &mut Faults<'_>) {
    let text = faults.text();
    let mut description: Vec<String> = Vec::new();
    description.push(dedented(text, rest));
    for child in &item.children {
        match child {
            Block::Code(code) => match use_of(code) {
                Some(use_) => command(code, &use_, node, faults),
                None => description.push(dedented(text, &code.range)),
            },
            Block::List(list) if is_checklist(list, text) => {
                let first = list.items.iter().find(|item| is_task(item, text));
                let span = first.map_or_else(|| list.range.clone(), |item| item.head.clone());
                faults.error_with(
                    &first_line(text, &span),
                    "a checklist in a checklist is not supported",
                    "write the step as a task of its own, with `after=` for what it waits for",
                );
            }
            other => description.push(dedented(text, &other.range())),
        }
    }
    description.retain(|part| !part.is_empty());
    let description = description.join("\n\n");
    if description.chars().count() > MAX_TEXT {
        faults.error(&item.head, format!("a description has at most {MAX_TEXT} characters"));
    }
    node.description = (!description.is_empty()).then_some(description);
}

#[derive(PartialEq, Eq)]
enum Use {
    Run,
    Check,
}

/// What a code block is for, by the words behind its fence.
fn use_of(code: &Code) -> Option<Use> {
    let info = code.info.as_ref()?.to_ascii_lowercase();
    let mut words = info.split_whitespace();
    match (words.next()?, words.next()) {
        ("check", _) | ("sh" | "bash" | "shell", Some("check")) => Some(Use::Check),
        ("sh" | "bash" | "shell", _) => Some(Use::Run),
        _ => None,
    }
}

fn command(code: &Code, use_: &Use, node: &mut DraftNode, faults: &mut Faults<'_>) {
    let fence = first_line(faults.text(), &code.range);
    let command = code.text.trim_end();
    if command.trim().is_empty() {
        faults.error_with(&fence, "the code block is empty", "write the command, or remove it");
    } else if command.chars().count() > MAX_TEXT {
        faults.error(&fence, format!("a command has at most {MAX_TEXT} characters"));
    } else if !is_closed(slice(faults.text(), &code.range)) {
        faults.error_with(
            &fence,
            "the code block is not closed",
            "close it with a fence of the same length, indented as the text of the item",
        );
    } else if *use_ == Use::Check {
        if node.checks.len() == MAX_CHECKS {
            faults.error(&fence, format!("a task has at most {MAX_CHECKS} checks"));
        } else {
            node.checks.push(command.to_owned());
        }
    } else if node.run.is_some() {
        faults.error_with(
            &fence,
            "a task has one command",
            "put both into one block, or write `check` behind the fence of a check",
        );
    } else {
        node.run = Some(command.to_owned());
    }
}

fn is_closed(block: &str) -> bool {
    let mark = if block.starts_with('~') { '~' } else { '`' };
    let len = block.len() - block.trim_start_matches(mark).len();
    let last = block.lines().skip(1).last().unwrap_or_default().trim();
    last.len() >= len && last.chars().all(|letter| letter == mark)
}

/// The lines of `range` without the indentation that its first line has.
fn dedented(text: &str, range: &Range<usize>) -> String {
    let range = trimmed(text, range.clone());
    let raw = slice(text, &range);
    let before = text.get(..range.start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let indent = before.len() - line_start;
    let mut lines = Vec::new();
    for line in raw.lines() {
        let blanks = line.len() - line.trim_start_matches([' ', '\t']).len();
        let cut = if lines.is_empty() { 0 } else { blanks.min(indent) };
        lines.push(line.get(cut..).unwrap_or_default().trim_end());
    }
    lines.join("\n")
}

fn first_line(text: &str, range: &Range<usize>) -> Range<usize> {
    let line = slice(text, range).lines().next().unwrap_or_default();
    trimmed(text, range.start..range.start + line.len())
}

/// The box that an item begins with.
fn checkbox(head: &str) -> Option<Checkbox> {
    let inner = head.strip_prefix('[')?;
    let close = inner.find(']').filter(|at| *at <= 4)?;
    let mark = inner.get(..close)?;
    let len = close + 2;
    let behind = head.get(len..)?;
    let free = behind.is_empty() || behind.starts_with(char::is_whitespace);
    match mark {
        " " if free => Some(Checkbox::Open(len)),
        "x" | "X" if free => Some(Checkbox::Ticked(len)),
        // `[x](there)` is a link.
        _ if behind.starts_with(['(', '[', ':']) => None,
        " " | "" => Some(Checkbox::Broken(len)),
        "-" | "~" | "/" | "*" | "  " | "x " | " x" | "✓" | "✔" if free => Some(Checkbox::Broken(len)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_stay_inside() {
        for good in ["a", "a/b.md", "a b", "…", ".hidden", "a..b"] {
            assert_eq!(check_artifact(good), Ok(()), "{good}");
        }
        for bad in ["", "/a", "..", "a/../b", "a//b", "a/", "./a", "C:/a", "~/a", "a\\b", "a\0"] {
            assert!(check_artifact(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn boxes_are_told_from_links() {
        assert!(matches!(checkbox("[ ] a"), Some(Checkbox::Open(3))));
        assert!(matches!(checkbox("[ ]"), Some(Checkbox::Open(3))));
        assert!(matches!(checkbox("[X] a"), Some(Checkbox::Ticked(3))));
        assert!(matches!(checkbox("[] a"), Some(Checkbox::Broken(2))));
        assert!(matches!(checkbox("[ ]a"), Some(Checkbox::Broken(3))));
        assert!(checkbox("[x](y)").is_none());
        assert!(checkbox("[1] a").is_none());
        assert!(checkbox("[] (").is_some());
        assert!(checkbox("a").is_none());
    }
}
