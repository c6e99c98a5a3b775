//! The file that steers an agent: a directive per line, all else is prose.
//!
//! ```text
//! # Wait for the review.
//! PAUSE
//! ELEVATE write-report 100   # the customer asked
//! ```

use std::fmt;
use std::ops::Range;

use crate::dag::MAX_PRIORITY;
use crate::diagnostic::{Diagnostic, Source};
use crate::ids::TaskId;
use crate::suggest::nearest;

/// A longer line is no directive; it is passed over.
const MAX_LINE: usize = 4_096;
/// The most directives that are taken from one file.
const MAX_DIRECTIVES: usize = 10_000;
/// The most warnings about one file.
const MAX_WARNINGS: usize = 100;

/// What somebody wants of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeartbeatDirective {
    /// Claim nothing new.
    Pause,
    /// Claim again.
    Resume,
    /// Read the agent's instructions again.
    Reparse,
    /// Take a task from whoever holds it and make it ready.
    DropTask(TaskId),
    /// Give a task another priority.
    Elevate(TaskId, u32),
    /// Forget what the agent remembers.
    FlushMemory,
}

impl fmt::Display for HeartbeatDirective {
    /// As it is written, in one way: what says the same reads the same.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause => f.write_str("PAUSE"),
            Self::Resume => f.write_str("RESUME"),
            Self::Reparse => f.write_str("REPARSE"),
            Self::DropTask(task) => write!(f, "DROP-TASK {task}"),
            Self::Elevate(task, priority) => write!(f, "ELEVATE {task} {priority}"),
            Self::FlushMemory => f.write_str("FLUSH-MEMORY"),
        }
    }
}

/// A directive and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeartbeatLine {
    /// From 1.
    pub line: usize,
    /// The directive with its arguments.
    pub span: Range<usize>,
    /// What it says.
    pub directive: HeartbeatDirective,
}

/// What a file says that steers an agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heartbeat {
    /// In the order of the file; the last of `PAUSE` and `RESUME` holds.
    pub lines: Vec<HeartbeatLine>,
    /// What was probably meant as a directive and is none, in the order of the file.
    pub warnings: Vec<Diagnostic>,
}

/// Reads a file that steers an agent.
///
/// A directive is a line of its own: `PAUSE`, `RESUME`, `REPARSE`, `FLUSH-MEMORY`,
/// `DROP-TASK <task>` or `ELEVATE <task> <priority>`, in any case, with exactly these arguments. A
/// bullet may stand before it and a comment (`# …`) behind it. Prose never is a directive: "Pause
/// when the budget is low" pauses nothing.
///
/// A file cannot be refused, so what looks like a directive and is none is a warning.
#[must_use]
pub fn parse(source: &Source) -> Heartbeat {
    let text = source.text.as_str();
    let mut heartbeat = Heartbeat::default();
    let mut start = 0;
    for (index, line) in text.split('\n').enumerate() {
        let span = start..start + line.len();
        start = span.end + 1;
        if line.len() > MAX_LINE {
            heartbeat.warn(|| {
                let message = format!("a line of more than {MAX_LINE} bytes is not read");
                Diagnostic::warning(span.start..span.start, message)
            });
            continue;
        }
        let words = words(text, &span);
        match read(text, &words) {
            Said::Nothing => {}
            Said::Warning(warning) => heartbeat.warn(|| warning),
            Said::Directive(_) if heartbeat.lines.len() >= MAX_DIRECTIVES => {
                let message = format!("only the first {MAX_DIRECTIVES} directives are read");
                heartbeat.warnings.push(Diagnostic::warning(hull(&words), message));
                return heartbeat;
            }
            Said::Directive(directive) => {
                heartbeat.lines.push(HeartbeatLine { line: index + 1, span: hull(&words), directive });
            }
        }
    }
    heartbeat
}

/// Reads bytes that may be no text: what is not UTF-8 is replaced, with a warning.
///
/// # Returns
///
/// The text as it was read, which all spans are places of, and what it says.
#[must_use]
pub fn parse_bytes(name: &str, bytes: &[u8]) -> (Source, Heartbeat) {
    let (text, broken) = match std::str::from_utf8(bytes) {
        Ok(text) => (text.to_owned(), None),
        Err(error) => (String::from_utf8_lossy(bytes).into_owned(), Some(error.valid_up_to())),
    };
    let source = Source::new(name, text);
    let mut heartbeat = parse(&source);
    if let Some(at) = broken {
        // Up to there the replacement changed nothing; the mark it put there has three bytes.
        let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
        let message = "the file is not UTF-8 from here on; what is broken is passed over";
        heartbeat.warnings.push(Diagnostic::warning(span, message).help("save it as UTF-8"));
        heartbeat.warnings.sort_by_key(|warning| warning.span.start);
    }
    (source, heartbeat)
}

impl Heartbeat {
    fn warn(&mut self, warning: impl FnOnce() -> Diagnostic) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(warning());
        }
    }
}

/// What one line says.
enum Said {
    Nothing,
    Directive(HeartbeatDirective),
    Warning(Diagnostic),
}

/// The directive words, and how each is written in full.
const DIRECTIVES: [(&str, &str); 6] = [
    ("PAUSE", "PAUSE"),
    ("RESUME", "RESUME"),
    ("REPARSE", "REPARSE"),
    ("DROP-TASK", "DROP-TASK <task>"),
    ("ELEVATE", "ELEVATE <task> <priority>"),
    ("FLUSH-MEMORY", "FLUSH-MEMORY"),
];

fn read(text: &str, words: &[Range<usize>]) -> Said {
    let word = |at: usize| words.get(at).and_then(|span| text.get(span.clone())).unwrap_or_default();
    let span = hull(words);
    let first = word(0);
    let bare = first.trim_end_matches(':');
    let known = DIRECTIVES.iter().find(|(name, _)| name.eq_ignore_ascii_case(bare));
    let Some((name, written)) = known else {
        return unknown(text, words, bare);
    };
    // In running text a directive's word is usually not in capitals.
    let shouted = bare == *name;
    let wrong = |message: String, span: Range<usize>| {
        Said::Warning(Diagnostic::warning(span, message).help(format!("write `{written}`")))
    };
    let arguments = written.split(' ').count() - 1;
    let given = words.len() - 1;
    if bare.len() != first.len() {
        return if shouted || given == arguments {
            wrong(format!("`{first}` is not a directive"), span)
        } else {
            Said::Nothing
        };
    }
    if given != arguments {
        return if shouted {
            let expected = match arguments {
                0 => "stands alone".to_owned(),
                1 => "takes a task".to_owned(),
                _ => "takes a task and a priority".to_owned(),
            };
            wrong(format!("`{name}` {expected}"), span)
        } else {
            Said::Nothing
        };
    }
    let task = || {
        TaskId::new(word(1)).map_err(|error| {
            let shown: String = word(1).chars().take(60).collect();
            let message = format!("`{}` names no task: {error}", shown.escape_debug());
            wrong(message, words.get(1).cloned().unwrap_or_default())
        })
    };
    let directive = match *name {
        "PAUSE" => Ok(HeartbeatDirective::Pause),
        "RESUME" => Ok(HeartbeatDirective::Resume),
        "REPARSE" => Ok(HeartbeatDirective::Reparse),
        "FLUSH-MEMORY" => Ok(HeartbeatDirective::FlushMemory),
        "DROP-TASK" => task().map(HeartbeatDirective::DropTask),
        _ => task().and_then(|task| match word(2).parse::<u32>() {
            Ok(priority) if priority <= MAX_PRIORITY => Ok(HeartbeatDirective::Elevate(task, priority)),
            _ => {
                let shown: String = word(2).chars().take(60).collect();
                let message = format!(
                    "`{}` is not a priority: it is a whole number from 0 to {MAX_PRIORITY}",
                    shown.escape_debug()
                );
                Err(wrong(message, words.get(2).cloned().unwrap_or_default()))
            }
        }),
    };
    // "Elevate the mood" in prose is no slip of somebody who steers.
    match directive {
        Ok(directive) => Said::Directive(directive),
        Err(warning) if shouted => warning,
        Err(_) => Said::Nothing,
    }
}

/// A line that begins with a word in capitals, as directives do.
fn unknown(text: &str, words: &[Range<usize>], bare: &str) -> Said {
    let span = words.first().cloned().unwrap_or_default();
    let span = span.start..span.start + bare.len();
    let capitals = bare.len() >= 3
        && bare.starts_with(|c: char| c.is_ascii_uppercase())
        && bare.chars().all(|c| c.is_ascii_uppercase() || matches!(c, '-' | '_'));
    if !capitals {
        return Said::Nothing;
    }
    let names = DIRECTIVES.iter().map(|(name, _)| *name);
    // `DROP TASK x` and `FLUSH_MEMORY` are meant well.
    let second = words.get(1).and_then(|span| text.get(span.clone()));
    let joined = format!("{bare}-{}", second.unwrap_or_default());
    let meant = nearest(bare, names.clone())
        .or_else(|| names.clone().find(|name| name.eq_ignore_ascii_case(&joined)));
    let warning = Diagnostic::warning(span, format!("`{bare}` is not a directive"));
    Said::Warning(match meant {
        Some(meant) => warning.help(format!("did you mean `{meant}`?")),
        None => warning.help(format!(
            "the directives are {}; write prose in lower case",
            names.collect::<Vec<_>>().join(", ")
        )),
    })
}

/// The words of a line, without a bullet before them and a comment behind them.
fn words(text: &str, line: &Range<usize>) -> Vec<Range<usize>> {
    let raw = text.get(line.clone()).unwrap_or_default();
    let mut words: Vec<Range<usize>> = Vec::new();
    let mut at = line.start;
    for part in raw.split(|c: char| c.is_whitespace() || c == '\u{feff}') {
        // All separators but ASCII blanks are longer than a byte.
        let start = at;
        let end = start + part.len();
        at = end + text.get(end..).and_then(|rest| rest.chars().next()).map_or(0, char::len_utf8);
        if part.starts_with('#') {
            break;
        }
        let bullet = words.is_empty() && matches!(part, "-" | "*");
        if !part.is_empty() && !bullet {
            words.push(start..end);
        }
    }
    words
}

/// From the first word to the last.
fn hull(words: &[Range<usize>]) -> Range<usize> {
    match (words.first(), words.last()) {
        (Some(first), Some(last)) => first.start..last.end,
        _ => 0..0,
    }
}

#[cfg(test)]
mod tests;
