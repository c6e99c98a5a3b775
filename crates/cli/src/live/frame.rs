//! What every agent does, as lines that are drawn again and again.

use std::fmt::Write as _;

use downbeat_core::time::Timestamp;

use super::board::Board;
use crate::output::style::{self, BAD, BUSY, CARE, FAINT, GOOD, STRONG, paint};
use crate::output::text::{clean, counted, cut, pad, width};
use crate::output::time;

/// The pictures of a spinner that turns.
const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];
/// The most columns of the bar.
const BAR: usize = 32;
/// The most lines for agents, however high the terminal is.
const LINES: usize = 16;

/// The view: a line for each running task, one for all idle agents, one with the bar.
pub(crate) fn frame(
    board: &Board,
    now: Timestamp,
    began: Timestamp,
    turn: usize,
    screen: (usize, usize),
) -> String {
    let (columns, rows) = screen;
    let columns = columns.saturating_sub(1).max(20);
    let spinner = SPINNER.get(turn % SPINNER.len()).copied().unwrap_or("●");
    let room = LINES.min(rows.saturating_sub(6)).max(1);
    let mut text = String::new();
    for ((since, task), running) in board.running.iter().take(room) {
        let title = running.progress.as_deref().or_else(|| board.node(task).map(|node| node.title.as_str()));
        let again =
            if running.attempt > 1 { format!("  attempt {}", running.attempt) } else { String::new() };
        let agent = pad(&cut(running.agent.as_str(), 18), board.agent_width.min(18));
        let id = pad(&cut(task.as_str(), 28), board.id_width.min(28));
        let phase = pad(running.phase.as_str(), 10);
        let elapsed = time::span(now.since(*since));
        let used = 4 + width(&id) + 2 + 7 + 2 + width(&agent) + 2 + width(&phase) + width(&again);
        let title = cut(&clean(title.unwrap_or_default()), columns.saturating_sub(used).saturating_sub(2));
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "  {} {}  {elapsed:>7}  {}  {}  {title}{}",
            paint(BUSY, spinner),
            paint(STRONG, id),
            paint(FAINT, agent),
            paint(BUSY, phase),
            paint(CARE, again),
        );
    }
    let hidden = board.running.len().saturating_sub(room);
    if hidden > 0 {
        let _ = writeln!(text, "    {}", paint(FAINT, format!("… and {}", counted(hidden, "running task"))));
    }
    let idle = idle(board);
    if !idle.is_empty() {
        let _ = writeln!(text, "    {}", paint(FAINT, cut(&idle, columns.saturating_sub(4))));
    }
    text.push_str(&bar(board, now, began, spinner, columns));
    text
}

/// `idle: a, b · paused: c`.
fn idle(board: &Board) -> String {
    let mut parts = Vec::new();
    for what in ["idle", "paused", "silent"] {
        let of_kind = board.agents.iter().filter(|(_, row)| row.tasks == 0 && row.word() == what);
        let names: Vec<&str> = of_kind.map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            parts.push(format!("{what}: {}", names.join(", ")));
        }
    }
    parts.join(" · ")
}

/// `━━━━━━━━━─────  5/8 tasks · 1 failed · 2 wait for another try · 12.3s`.
fn bar(board: &Board, now: Timestamp, began: Timestamp, spinner: &str, columns: usize) -> String {
    if board.total == 0 {
        return format!("  {} {}", paint(BUSY, spinner), paint(FAINT, "planning"));
    }
    let ended = board.done + board.failed + board.cancelled;
    let mut parts = vec![format!("{ended}/{}", counted(board.total, "task"))];
    if board.failed > 0 {
        parts.push(paint(BAD, format!("{} failed", board.failed)));
    }
    if board.cancelled > 0 {
        parts.push(format!("{} cancelled", board.cancelled));
    }
    match board.waiting.values().min() {
        Some(until) if *until > now => {
            parts.push(paint(CARE, format!("next try in {}", time::span(until.since(now)))));
        }
        _ => {}
    }
    parts.push(paint(FAINT, time::span(now.since(began))));
    if let Some(since) = board.unreachable {
        parts.push(paint(BAD, format!("store unreachable since {}", time::clock(since))));
    }
    let words = parts.join(" · ");
    let plain = anstream::adapter::strip_str(&words).to_string();
    let length = BAR.min(columns.saturating_sub(width(&plain) + 4));
    let part = |count: usize| count * length / board.total;
    let bad = part(board.failed + board.cancelled).max(usize::from(board.failed > 0).min(length));
    let good = part(board.done).min(length - bad);
    let rest = length - bad - good;
    format!(
        "  {}{}{}  {words}",
        paint(GOOD, "━".repeat(good)),
        paint(BAD, "━".repeat(bad)),
        paint(style::FAINT, "─".repeat(rest))
    )
}
