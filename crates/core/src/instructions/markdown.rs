//! The Markdown form: `## Agents` and `## Goals` with a `###` heading for each.

use std::ops::Range;

use super::blocks::{self, Block, Code, Item, List};
use super::check::{ADD_AGENT, Found, MAX_DECLARED};
use super::checklist::Checklist;
use super::faults::Faults;
use super::field::{Content, Field, Form, Value, normal, slice, trimmed};
use super::task::{is_checklist, is_task};
use super::{agent, goal, yaml};
use crate::diagnostic::Diagnostic;
use crate::suggest;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Section {
    Agents,
    Goals,
    Other,
}

/// A `###` heading in a section that is read, with what follows it.
struct Entry<'b> {
    section: Section,
    title: Range<usize>,
    blocks: Vec<&'b Block>,
}

/// A file cut at its headings.
#[derive(Default)]
struct Outline<'b> {
    entries: Vec<Entry<'b>>,
    /// Every heading of the first three levels: level and title.
    headings: Vec<(u8, Range<usize>)>,
    /// Lists directly below `## Goals`.
    stray: Vec<&'b List>,
    yaml: Vec<&'b Code>,
    has_goals: bool,
}

/// Reads a whole file.
pub(super) fn read(found: &mut Found, faults: &mut Faults<'_>) {
    let text = faults.text();
    let blocks = blocks::read(text);
    let outline = outline(text, &blocks);
    found.goals_declared = outline.has_goals;
    let mut counts = [0_usize; 2];
    for entry in &outline.entries {
        let (count, kind) = match (entry.section, &mut counts) {
            (Section::Agents, [agents, _]) => (agents, "agents"),
            (_, [_, goals]) => (goals, "goals"),
        };
        *count += 1;
        if *count > MAX_DECLARED {
            if *count == MAX_DECLARED + 1 {
                let message = format!("a file has at most {MAX_DECLARED} {kind}");
                faults.error(&entry.title, message);
            }
        } else if entry.section == Section::Agents {
            read_agent(entry, found, faults);
        } else {
            read_goal(entry, found, faults);
        }
    }
    for list in outline.stray.iter().filter(|list| is_checklist(list, text)) {
        faults.error_with(
            &first_line(text, &list.range),
            "these tasks belong to no goal",
            "write a heading `### goal-id: Title` above them",
        );
    }
    let by_heading = !found.agents.is_empty() || found.broken_agent;
    for (index, code) in outline.yaml.iter().enumerate() {
        let fence = first_line(text, &code.range);
        if by_heading {
            faults.push(Diagnostic::warning(
                fence,
                "this block is not read, because `## Agents` declares the agents",
            ));
        } else if index > 0 {
            faults.error_with(&fence, "a second block declares agents", "write all agents into the first");
        } else {
            yaml::read(&inside(text, &code.range), found, faults);
        }
    }
    if outline.yaml.is_empty() {
        found.no_agent = Some(no_agent(text, &outline, found));
        misspelled_goals(text, &outline, found, faults);
    }
}

/// Whether a section or a `yaml` block declares agents.
pub(super) fn declares_agents(text: &str) -> bool {
    let blocks = blocks::read(text);
    let outline = outline(text, &blocks);
    outline.entries.iter().any(|entry| entry.section == Section::Agents) || !outline.yaml.is_empty()
}

fn outline<'b>(text: &str, blocks: &'b [Block]) -> Outline<'b> {
    let mut outline = Outline::default();
    let mut section = Section::Other;
    let mut open = false;
    for block in blocks {
        match block {
            Block::Heading { level, title, .. } if *level <= 3 => {
                outline.headings.push((*level, title.clone()));
                open = *level == 3 && section != Section::Other;
                if open {
                    outline.entries.push(Entry { section, title: title.clone(), blocks: Vec::new() });
                } else if *level < 3 {
                    section = section_of(slice(text, title), *level);
                    outline.has_goals |= section == Section::Goals;
                }
                continue;
            }
            Block::Code(code) if is_yaml(code) => outline.yaml.push(code),
            Block::List(list) if !open && section == Section::Goals => outline.stray.push(list),
            _ => {}
        }
        if open && let Some(entry) = outline.entries.last_mut() {
            entry.blocks.push(block);
        }
    }
    outline
}

fn section_of(title: &str, level: u8) -> Section {
    match (level, title_word(title).as_str()) {
        (2, "agents") => Section::Agents,
        (2, "goals") => Section::Goals,
        _ => Section::Other,
    }
}

fn title_word(title: &str) -> String {
    normal(title.trim_end_matches(':').trim_matches(['*', '_', '`']))
}

fn is_yaml(code: &Code) -> bool {
    let info = code.info.as_deref().unwrap_or_default();
    let language = info.split_whitespace().next().unwrap_or_default();
    (language.eq_ignore_ascii_case("yaml") || language.eq_ignore_ascii_case("yml"))
        && yaml::declares(&code.text)
}

/// The lines between the fences of a block at the top of the file.
fn inside(text: &str, block: &Range<usize>) -> Range<usize> {
    let raw = slice(text, block);
    let mark = if raw.starts_with('~') { '~' } else { '`' };
    let len = raw.len() - raw.trim_start_matches(mark).len();
    let start = raw.find('\n').map_or(raw.len(), |newline| newline + 1);
    let last = raw.rfind('\n').map_or(raw.len(), |newline| newline + 1);
    let closing = raw.get(last..).unwrap_or_default().trim();
    let closed = closing.len() >= len && closing.chars().all(|letter| letter == mark);
    let end = if closed { last.max(start) } else { raw.len() };
    block.start + start..block.start + end
}

fn read_agent(entry: &Entry<'_>, found: &mut Found, faults: &mut Faults<'_>) {
    let text = faults.text();
    let mut fields = Vec::new();
    let mut first = true;
    for block in &entry.blocks {
        let Block::List(list) = block else {
            continue;
        };
        if is_checklist(list, text) {
            faults.push(
                Diagnostic::warning(first_line(text, &list.range), "a checklist below an agent is not read")
                    .help("move it below its goal"),
            );
            continue;
        }
        let meant =
            |item: &Item| key(text, item).is_some_and(|(key, _)| first || is_near(&key.text, agent::KEYS));
        if list.items.iter().any(meant) {
            take_fields(&list.items, &mut fields, faults);
        }
        first = false;
    }
    let name = name(text, entry.title.clone());
    let place = name.span.clone();
    match agent::read(Some(name), &place, fields, Form::Markdown, faults) {
        Some(agent) => found.agents.push(agent),
        None => found.broken_agent = true,
    }
}

fn read_goal(entry: &Entry<'_>, found: &mut Found, faults: &mut Faults<'_>) {
    let text = faults.text();
    let mut fields = Vec::new();
    let mut checklist = Checklist::default();
    let mut brief: Vec<Range<usize>> = Vec::new();
    let mut running = false;
    for (index, block) in entry.blocks.iter().enumerate() {
        if let Block::List(list) = block {
            let meant =
                |item: &Item| key(text, item).is_some_and(|(key, _)| is_near(&key.text, goal::MARKDOWN_KEYS));
            // To Markdown, keys and tasks with only a blank line between them are one list.
            let before = list.items.iter().take_while(|item| !is_task(item, text));
            let (keys, tasks) = list.items.split_at(before.count());
            let keys_here = index == 0 && keys.iter().any(meant);
            if keys_here {
                take_fields(keys, &mut fields, faults);
                checklist.add(tasks, faults);
            } else if !tasks.is_empty() {
                checklist.add(&list.items, faults);
            }
            if keys_here || !tasks.is_empty() {
                running = false;
                continue;
            }
        }
        let range = block.range();
        match brief.last_mut() {
            Some(last) if running => last.end = range.end.max(last.end),
            _ => brief.push(range),
        }
        running = true;
    }
    let (id, title) = split_title(text, &entry.title);
    if let Some(mut goal) = goal::read(Some(id), fields, Form::Markdown, faults) {
        goal.title = title;
        goal.brief = brief
            .iter()
            .map(|range| slice(text, range).trim().replace("\r\n", "\n"))
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("\n\n");
        goal.checklist = checklist;
        found.goals.push(goal);
    }
}

/// `goal-id: Title`
fn split_title(text: &str, title: &Range<usize>) -> (Value, Option<String>) {
    let raw = slice(text, title);
    match raw.find(':') {
        Some(colon) => {
            let rest = raw.get(colon + 1..).unwrap_or_default().trim();
            let id = name(text, title.start..title.start + colon);
            (id, (!rest.is_empty()).then(|| rest.to_owned()))
        }
        None => (name(text, title.clone()), None),
    }
}

/// A name in a heading, without marks around it.
fn name(text: &str, range: Range<usize>) -> Value {
    let mut value = Value::of(text, range);
    for mark in ["**", "*"] {
        if let Some(inner) = super::field::unquoted(slice(text, &value.span), mark) {
            value = Value::of(text, value.span.start + inner.start..value.span.start + inner.end);
        }
    }
    value
}

/// Reads the items of a list of keys.
fn take_fields(items: &[Item], fields: &mut Vec<Field>, faults: &mut Faults<'_>) {
    let text = faults.text();
    for item in items {
        let Some((key, rest)) = key(text, item) else {
            faults.error_with(
                &first_line(text, &item.head),
                "this is not a key with a value",
                "write `- Key: value`; prose goes into a paragraph of its own",
            );
            continue;
        };
        let value = Value::of(text, rest);
        let nested = item.children.iter().find_map(|child| match child {
            Block::List(list) => Some(list),
            _ => None,
        });
        let content = match nested {
            _ if !value.text.is_empty() => Content::One(value),
            Some(list) => {
                Content::Many(list.items.iter().map(|item| Value::of(text, item.head.clone())).collect())
            }
            None => Content::Nothing,
        };
        fields.push(Field { key, content });
    }
}

/// The key of an item and the place of its value: `Key: value`, perhaps with a bold key.
fn key(text: &str, item: &Item) -> Option<(Value, Range<usize>)> {
    const MARKS: [char; 2] = ['*', '`'];
    let raw = slice(text, &item.head);
    let colon = raw.find(':')?;
    let before = raw.get(..colon)?;
    let word = before.trim().trim_matches(MARKS).trim();
    let is_word = word.starts_with(|c: char| c.is_alphabetic())
        && word.len() <= 40
        && word.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    let mut rest = raw.get(colon + 1..)?;
    if !is_word || rest.starts_with("//") {
        return None;
    }
    // The marks that a key opens may close behind its colon.
    let opened = before.len() - before.trim_start_matches(MARKS).len();
    let open = before.get(..opened).unwrap_or_default();
    if !open.is_empty() && !before.trim_end().ends_with(open) {
        rest = rest.strip_prefix(open).unwrap_or(rest);
    }
    let start = item.head.start + before.find(word)?;
    let key = Value { text: word.to_owned(), span: start..start + word.len() };
    Some((key, item.head.end - rest.len()..item.head.end))
}

fn is_near<K>(key: &str, keys: &[(&str, K)]) -> bool {
    suggest::nearest(&normal(key), keys.iter().map(|(name, _)| *name)).is_some()
}

/// What to say when no agent is there.
fn no_agent(text: &str, outline: &Outline<'_>, found: &Found) -> Diagnostic {
    let mut near = None;
    for (level, title) in &outline.headings {
        let raw = slice(text, title);
        if section_of(raw, *level) == Section::Agents {
            return Diagnostic::error(title.clone(), "no agent is declared below `## Agents`")
                .help("add below it a line `### worker`, and below that `- Goal: <goal-id>`");
        }
        if suggest::nearest(&title_word(raw), ["agents"]).is_some() {
            near.get_or_insert((level, title));
        }
    }
    if let Some((level, title)) = near {
        let marks = "#".repeat(usize::from(*level));
        return Diagnostic::error(
            title.clone(),
            format!("`{marks} {}` declares nothing", slice(text, title)),
        )
        .help("did you mean `## Agents`?");
    }
    match found.goals.first() {
        Some(goal) => Diagnostic::error(goal.name.span.clone(), "goals are declared, but no agent"),
        None => Diagnostic::error(0..0, "no agent is declared"),
    }
    .help(ADD_AGENT)
}

/// Without this, `## Goal` would leave a model to plan from nothing.
fn misspelled_goals(text: &str, outline: &Outline<'_>, found: &Found, faults: &mut Faults<'_>) {
    if found.goals_declared {
        return;
    }
    for pair in outline.headings.windows(2) {
        let [(2, title), (3, _)] = pair else {
            continue;
        };
        if suggest::nearest(&title_word(slice(text, title)), ["goals"]).is_some() {
            faults.error_with(
                title,
                format!("`## {}` declares nothing", slice(text, title)),
                "did you mean `## Goals`?",
            );
        }
    }
}

fn first_line(text: &str, range: &Range<usize>) -> Range<usize> {
    let line = slice(text, range).lines().next().unwrap_or_default();
    trimmed(text, range.start..range.start + line.len())
}
