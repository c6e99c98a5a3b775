//! Finished tasks as lines, which stay.

use downbeat_core::state::Artifact;

use super::board::{Board, How, News};
use crate::output::style::{BAD, BUSY, CARE, FAINT, GONE, GOOD, PLAIN, STRONG, paint};
use crate::output::text::{clean, cut, pad, width};
use crate::output::time;

/// Columns wider than this would push the rest off the screen.
const ID: usize = 28;
const AGENT: usize = 18;

/// What happened, in a line of at most `most` columns; `artifacts` is what the task produced.
///
/// ```text
///   ✓ count          1.2s  shell_agent  Count the lines -> lines.csv
///   ↻ fetch          3.0s  shell_agent  attempt 1 failed: the command exited with 7; next in 1.0s
/// ```
pub(crate) fn line(
    board: &Board,
    news: &News,
    artifacts: &[Artifact],
    most: Option<usize>,
) -> Option<String> {
    match news {
        News::Planned => None,
        News::Agent { agent, what } => {
            Some(format!("  {} {}", paint(CARE, "!"), paint(CARE, format!("{agent} {what}"))))
        }
        News::Ended { task, how, agent, attempt, took, reason } => {
            let (mark, style) = match how {
                How::Done => ("✓", GOOD),
                How::Retry { .. } => ("↻", CARE),
                How::Failed => ("✗", BAD),
                How::Cancelled => ("⊘", GONE),
                How::Back => ("↩", BUSY),
            };
            let id = pad(&cut(task.as_str(), ID), board.id_width.min(ID));
            let took = took.map(time::span).unwrap_or_default();
            let agent = agent.as_ref().map_or("", |agent| agent.as_str());
            let agent = pad(&cut(agent, AGENT), board.agent_width.min(AGENT));
            let before = 4 + width(&id) + 2 + 7 + 2 + width(&agent) + 2;
            let room = most.map_or(usize::MAX, |most| most.saturating_sub(before).max(20));
            let title = board.node(task).map(|node| clean(&node.title)).unwrap_or_default();
            let reason = clean(reason);
            let mut below = String::new();
            let said = match how {
                How::Done => done(&title, artifacts, room),
                How::Retry { wait } => {
                    let attempt = attempt.map_or_else(String::new, |attempt| format!("attempt {attempt} "));
                    let next = match wait {
                        Some(wait) => format!("next in {}", time::span(*wait)),
                        None => "next at once".to_owned(),
                    };
                    let whole = format!("{attempt}failed: {reason}; ");
                    if width(&whole) + width(&next) <= room {
                        format!("{whole}{}", paint(CARE, next))
                    } else {
                        below = reason;
                        format!("{attempt}failed; {}", paint(CARE, next))
                    }
                }
                How::Failed if width(&reason) > room => {
                    below = reason;
                    paint(BAD, "failed")
                }
                How::Failed => paint(BAD, reason),
                How::Cancelled | How::Back => paint(style, cut(&reason, room)),
            };
            // Why something failed is worth more than one line.
            let below = if below.is_empty() { below } else { format!("\n{}", wrapped(&below, most)) };
            Some(format!(
                "  {} {}  {}  {}  {said}{below}",
                paint(style, mark),
                paint(STRONG, id),
                paint(PLAIN, format!("{took:>7}")),
                paint(FAINT, agent)
            ))
        }
    }
}

fn done(title: &str, artifacts: &[Artifact], room: usize) -> String {
    let paths: Vec<String> = artifacts.iter().take(3).map(|artifact| clean(&artifact.path)).collect();
    let more = artifacts.len().saturating_sub(paths.len());
    let more = if more > 0 { format!(" +{more}") } else { String::new() };
    let files = if paths.is_empty() { String::new() } else { format!(" -> {}{more}", paths.join(", ")) };
    // What was produced matters more than the whole of a long title.
    let files = cut(&files, (room / 2).max(16));
    let title = cut(title, room.saturating_sub(width(&files)).max(8));
    if files.is_empty() { title } else { format!("{title}{}", paint(FAINT, files)) }
}

/// A text below a task's line, in at most three lines.
fn wrapped(text: &str, most: Option<usize>) -> String {
    const INDENT: &str = "    ";
    let most = most.unwrap_or(100).saturating_sub(INDENT.len()).max(20);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let word = cut(word, most);
        if !line.is_empty() && width(&line) + 1 + width(&word) > most {
            if lines.len() == 2 {
                line = format!("{} …", cut(&line, most - 2).trim_end_matches('…'));
                break;
            }
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    let lines: Vec<String> =
        lines.into_iter().map(|line| format!("{INDENT}{}", paint(FAINT, line))).collect();
    lines.join("\n")
}
