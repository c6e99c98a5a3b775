//! Where the braces and the arrow of a task are.

use std::ops::Range;

use super::faults::Faults;
use super::field::slice;

/// How many braces of a title may turn out to be attributes.
const MAX_BRACES: usize = 32;

/// Marks that were found in the raw text.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// From `{` to behind `}`.
    pub(super) braces: Option<Range<usize>>,
    /// The last arrow before the braces, and the first behind them.
    pub(super) arrow_before: Option<Range<usize>>,
    pub(super) arrow_after: Option<Range<usize>>,
}

/// Finds braces and arrows outside of code and escapes.
pub(super) fn find(head: &Range<usize>, faults: &mut Faults<'_>) -> Marks {
    let text = faults.text();
    let mut marks = Marks::default();
    let mut at = head.start;
    let mut braces = 0;
    while at < head.end {
        let rest = slice(text, &(at..head.end));
        let Some(letter) = rest.chars().next() else {
            break;
        };
        let mut step = letter.len_utf8();
        match letter {
            '\\' => step += rest.chars().nth(1).map_or(0, char::len_utf8),
            '`' => step = code_len(rest),
            '{' if marks.braces.is_none() && braces < MAX_BRACES => {
                braces += 1;
                match braces_len(rest) {
                    Braces::Attributes(len) => {
                        marks.braces = Some(at..at + len);
                        step = len;
                    }
                    Braces::Unclosed(len) => {
                        faults.error_with(
                            &(at..at + len),
                            "the `{` is not closed",
                            "close it with `}`, or write `\\{` for a brace in the title",
                        );
                        step = len;
                    }
                    Braces::Text => {}
                }
            }
            '-' | '→' if letter == '→' || rest.starts_with("->") => {
                step = if letter == '→' { step } else { 2 };
                let free = slice(text, &(head.start..at))
                    .chars()
                    .next_back()
                    .is_none_or(|before| before.is_whitespace() || before == '}');
                let mark = Some(at..at + step);
                if marks.braces.is_none() {
                    // `x->y` is no arrow to artifacts.
                    if free || letter == '→' {
                        marks.arrow_before = mark;
                    }
                } else if marks.arrow_after.is_none() {
                    marks.arrow_after = mark;
                }
            }
            // A description below the marks is not searched.
            '\n' if marks.arrow_after.is_some() || (marks.braces.is_some() && !next_line_is_arrow(rest)) => {
                break;
            }
            _ => {}
        }
        at += step;
    }
    marks
}

enum Braces {
    Attributes(usize),
    Unclosed(usize),
    Text,
}

/// What the brace that `rest` begins with is: attributes begin with `#` or `key=`, or stand at the
/// end of the line; anything else belongs to the title.
fn braces_len(rest: &str) -> Braces {
    let inner = rest.get(1..).unwrap_or_default();
    let word: &str =
        inner.trim_start().split(|c: char| c.is_whitespace() || c == '}').next().unwrap_or_default();
    let looks = word.starts_with('#')
        || word.split_once('=').is_some_and(|(key, _)| {
            !key.is_empty() && key.chars().all(|c| c.is_ascii_alphabetic() || c == '-')
        });
    let Some(close) = closing(inner) else {
        let line = rest.lines().next().unwrap_or_default();
        return if looks { Braces::Unclosed(line.trim_end().len()) } else { Braces::Text };
    };
    let len = 1 + close + 1;
    let behind = rest.get(len..).unwrap_or_default();
    let ends_line =
        matches!(behind.trim_start_matches([' ', '\t', '\r']).chars().next(), None | Some('\n' | '→'))
            || behind.trim_start().starts_with("->");
    if looks || ends_line { Braces::Attributes(len) } else { Braces::Text }
}

/// Where the `}` is that closes the braces, not one in quotes.
fn closing(inner: &str) -> Option<usize> {
    let mut quoted = false;
    for (at, letter) in inner.char_indices() {
        match letter {
            '"' => quoted = !quoted,
            '}' if !quoted => return Some(at),
            '{' if !quoted => return None,
            _ => {}
        }
    }
    // A quote that is never closed hides nothing.
    quoted.then(|| inner.find('}')).flatten()
}

/// How long the code is that `rest` begins with: to the same number of backticks, or only those.
fn code_len(rest: &str) -> usize {
    let ticks = rest.len() - rest.trim_start_matches('`').len();
    let mut at = ticks;
    while let Some(found) = rest.get(at..).and_then(|tail| tail.find('`')) {
        let tail = rest.get(at + found..).unwrap_or_default();
        let run = tail.len() - tail.trim_start_matches('`').len();
        at += found + run;
        if run == ticks {
            return at;
        }
    }
    ticks
}

fn next_line_is_arrow(rest: &str) -> bool {
    let next = rest.trim_start();
    next.starts_with("->") || next.starts_with('→')
}
