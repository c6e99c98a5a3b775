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
            let said = match how {
                How::Done => done(&title, artifacts, room),
                How::Retry { wait } => {
                    let attempt = attempt.map_or_else(String::new, |attempt| format!("attempt {attempt} "));
                    let next = match wait {
                        Some(wait) => format!("; next in {}", time::span(*wait)),
                        None => "; next at once".to_owned(),
                    };
                    let head = format!("{attempt}failed: ");
                    let most = room.saturating_sub(width(&head) + width(&next));
                    format!("{head}{}{}", cut(&reason, most.max(16)), paint(CARE, next))
                }
                How::Failed => paint(BAD, cut(&reason, room)),
                How::Cancelled | How::Back => paint(style, cut(&reason, room)),
            };
            Some(format!(
                "  {} {}  {}  {}  {said}",
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
