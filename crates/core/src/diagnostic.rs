//! What is wrong with a text, where, and what to do about it.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The text means something, though perhaps not what was intended.
    Warning,
    /// The text is refused.
    Error,
}

/// One fault in a text, with its place.
///
/// Parsers report all that they find in one pass; nothing of a text that has an error is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// Refused, or only pointed out.
    pub severity: Severity,
    /// What is wrong, lower case, without the place.
    pub message: String,
    /// The bytes of the text that it is about; may be empty, to point between two characters.
    pub span: Range<usize>,
    /// What to write instead, when that is known.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A fault because of which the text is refused.
    #[must_use]
    pub fn error(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Error, message: message.into(), span, help: None }
    }

    /// Something that is probably not intended.
    #[must_use]
    pub fn warning(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(span, message) }
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// A text with the name that its diagnostics show: usually a file as the user wrote its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name to show.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A place as editors count it: lines and columns from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

impl Source {
    /// A named text.
    #[must_use]
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// Where the byte `offset` is; the end of the text for an offset beyond it.
    #[must_use]
    pub fn position(&self, offset: usize) -> Position {
        positions(&self.text, [offset]).next().unwrap_or(Position { line: 1, column: 1 })
    }

    /// Where each of `offsets` is; in ascending order they cost one pass over the text together.
    pub fn positions<'a>(
        &'a self,
        offsets: impl IntoIterator<Item = usize, IntoIter: 'a>,
    ) -> impl Iterator<Item = Position> + 'a {
        positions(&self.text, offsets)
    }
}

pub(crate) fn positions<'a>(
    text: &'a str,
    offsets: impl IntoIterator<Item = usize, IntoIter: 'a>,
) -> impl Iterator<Item = Position> + 'a {
    const START: (usize, Position) = (0, Position { line: 1, column: 1 });
    offsets.into_iter().scan(START, move |(at, position), offset| {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        if offset < *at {
            (*at, *position) = START;
        }
        let part = text.get(*at..offset).unwrap_or_default();
        let newlines = part.bytes().filter(|byte| *byte == b'\n').count();
        let rest = part.rsplit('\n').next().unwrap_or_default().chars().count();
        position.line += newlines;
        position.column = if newlines == 0 { position.column + rest } else { rest + 1 };
        *at = offset;
        Some(*position)
    })
}

/// The diagnostics of one text, with the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What they are about.
    pub source: Source,
    /// In the order of their places.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// Whether any of them is an error.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }
}

impl fmt::Display for Report {
    /// One line each, `file:line:column: error: message`, as compilers print them for programs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.source.positions(self.diagnostics.iter().map(|it| it.span.start));
        for (index, (diagnostic, position)) in self.diagnostics.iter().zip(places).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let severity = match diagnostic.severity {
                Severity::Warning => "warning",
                Severity::Error => "error",
            };
            write!(f, "{}:{position}: {severity}: {}", self.source.name, diagnostic.message)?;
            if let Some(help) = &diagnostic.help {
                write!(f, " (help: {help})")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_in_any_order() {
        let source = Source::new("t", "aä\n\nb\r\nc");
        let told: Vec<(usize, usize)> =
            source.positions([0, 2, 3, 4, 5, 8, 99, 1, 5]).map(|it| (it.line, it.column)).collect();
        assert_eq!(told, [(1, 1), (1, 2), (1, 3), (2, 1), (3, 1), (4, 1), (4, 2), (1, 2), (3, 1)]);
        assert_eq!(source.position(5), Position { line: 3, column: 1 });
        assert_eq!(Source::new("t", "").position(3), Position { line: 1, column: 1 });
    }
}
