//! What every agent does, as lines that are drawn again and again.

use anstyle::Style;
use downbeat_core::time::Timestamp;

use super::board::{Board, Running};
use crate::output::style::{BAD, BUSY, CARE, FAINT, GOOD, PLAIN, STRONG, paint};
use crate::output::text::{clean, counted, cut, pad, width};
use crate::output::time;

/// The pictures of a spinner that turns.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// The most columns of the bar.
const BAR: usize = 32;
/// The most lines for agents, however high the terminal is.
const LINES: usize = 16;
/// The most names in a row: a fleet of a hundred is not read out.
const NAMES: usize = 8;
/// The columns of the longest phase that a task has, `validating`.
const PHASE: usize = 10;
/// The columns of a span of time.
const SPAN: usize = 7;

/// The view: a line for each running task, one for all agents without a task, one with the bar.
pub(crate) fn frame(
    board: &Board,
    now: Timestamp,
    began: Timestamp,
    turn: usize,
    screen: (usize, usize),
) -> String {
    let (columns, rows) = screen;
    // What reaches the last column may wrap.
    let columns = columns.saturating_sub(1);
    let spinner = SPINNER.get(turn % SPINNER.len()).copied().unwrap_or("●");
    let room = LINES.min(rows.saturating_sub(6)).max(1);
    let mut lines = Vec::new();
    let widths = Widths::within(board, columns);
    for ((since, task), running) in board.running.iter().take(room) {
        let title = running.progress.as_deref().or_else(|| board.node(task).map(|node| node.title.as_str()));
        let elapsed = time::span(now.since(*since));
        lines.push(fit(widths.line(spinner, task.as_str(), &elapsed, running, title), columns));
    }
    let hidden = board.running.len().saturating_sub(room);
    if hidden > 0 {
        let more = format!("    … and {}", counted(hidden, "running task"));
        lines.push(fit(vec![(FAINT, more)], columns));
    }
    let others = without_tasks(board);
    if !others.is_empty() {
        lines.push(fit(others, columns));
    }
    lines.push(bar(board, now, began, spinner, columns));
    lines.join("\n")
}

/// How many columns each part of the line of a running task has.
struct Widths {
    id: usize,
    agent: usize,
}

impl Widths {
    /// As wide as the widest, unless the terminal is narrow: then names are cut before phases are.
    fn within(board: &Board, columns: usize) -> Self {
        let (id, agent) = (board.id_width.min(28), board.agent_width.min(18));
        let fixed = 4 + 2 + SPAN + 2 + 2 + PHASE;
        let over = (fixed + id + agent).saturating_sub(columns);
        let from_agent = over.min(agent.saturating_sub(4));
        let from_id = (over - from_agent).min(id.saturating_sub(8));
        Self { id: id - from_id, agent: agent - from_agent }
    }

    fn line(
        &self,
        spinner: &str,
        task: &str,
        elapsed: &str,
        running: &Running,
        title: Option<&str>,
    ) -> Vec<(Style, String)> {
        let again =
            if running.attempt > 1 { format!("  attempt {}", running.attempt) } else { String::new() };
        vec![
            (BUSY, format!("  {spinner} ")),
            (STRONG, pad(&cut(task, self.id), self.id)),
            (PLAIN, format!("  {elapsed:>SPAN$}  ")),
            (FAINT, pad(&cut(running.agent.as_str(), self.agent), self.agent)),
            (BUSY, format!("  {}", pad(running.phase.as_str(), PHASE))),
            (CARE, again),
            (PLAIN, format!("  {}", clean(title.unwrap_or_default()))),
        ]
    }
}

/// `idle: a, b · waiting: c`, what needs a look first.
fn without_tasks(board: &Board) -> Vec<(Style, String)> {
    const CARED_FOR: [&str; 6] = ["quarantined", "failed", "blocked", "silent", "backing-off", "paused"];
    let mut words: Vec<&str> = board.agents.values().filter_map(|row| row.word()).collect();
    let rank = |word: &str| CARED_FOR.iter().position(|cared| *cared == word).unwrap_or(CARED_FOR.len());
    words.sort_unstable_by_key(|word| (rank(word), *word));
    words.dedup();
    let mut parts = Vec::new();
    for word in words {
        let names: Vec<&str> = board
            .agents
            .iter()
            .filter(|(_, row)| row.word() == Some(word))
            .map(|(name, _)| name.as_str())
            .collect();
        let more = names.len().saturating_sub(NAMES);
        let listed = names.into_iter().take(NAMES).collect::<Vec<_>>().join(", ");
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let style = if rank(word) < CARED_FOR.len() { CARE } else { FAINT };
        parts.push((FAINT, if parts.is_empty() { "    " } else { " · " }.to_owned()));
        parts.push((style, format!("{word}: {listed}{more}")));
    }
    parts
}

/// Parts as one line of at most so many columns.
fn fit(parts: Vec<(Style, String)>, columns: usize) -> String {
    let mut left = columns;
    let mut line = String::new();
    for (style, text) in parts {
        let shown = cut(&text, left);
        left -= width(&shown);
        let ends = shown != text;
        if !shown.trim().is_empty() {
            line.push_str(&paint(style, shown));
        } else {
            line.push_str(&shown);
        }
        if ends {
            break;
        }
    }
    line
}

/// `━━━━━━━━━─────  5/8 tasks · 1 failed · 2 wait for another try · 12.3s`.
fn bar(board: &Board, now: Timestamp, began: Timestamp, spinner: &str, columns: usize) -> String {
    if board.total == 0 {
        return fit(vec![(BUSY, format!("  {spinner} ")), (FAINT, "planning".to_owned())], columns);
    }
    let ended = board.done + board.failed + board.cancelled;
    let mut words = vec![(PLAIN, format!("{ended}/{}", counted(board.total, "task")))];
    if board.failed > 0 {
        words.push((BAD, format!("{} failed", board.failed)));
    }
    if board.cancelled > 0 {
        words.push((PLAIN, format!("{} cancelled", board.cancelled)));
    }
    match board.waiting.values().min() {
        Some(until) if *until > now => {
            words.push((CARE, format!("next try in {}", time::span(until.since(now)))));
        }
        _ => {}
    }
    words.push((FAINT, time::span(now.since(began))));
    if let Some(since) = board.unreachable {
        words.push((BAD, format!("store unreachable since {}", time::clock(since))));
    }
    let said: usize = words.iter().map(|(_, word)| width(word) + 3).sum();
    let length = BAR.min(columns.saturating_sub(said + 1));
    let part = |count: usize| count * length / board.total;
    let bad = part(board.failed + board.cancelled).max(usize::from(board.failed > 0).min(length));
    let good = part(board.done).min(length - bad);
    let rest = length - bad - good;
    let mut parts = vec![
        (PLAIN, "  ".to_owned()),
        (GOOD, "━".repeat(good)),
        (BAD, "━".repeat(bad)),
        (FAINT, "─".repeat(rest)),
        (PLAIN, if length > 0 { "  " } else { "" }.to_owned()),
    ];
    for (place, word) in words.into_iter().enumerate() {
        if place > 0 {
            parts.push((PLAIN, " · ".to_owned()));
        }
        parts.push(word);
    }
    fit(parts, columns)
}
