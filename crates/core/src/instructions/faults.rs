//! All that is wrong with one text, as it is found.

use std::ops::Range;

use crate::diagnostic::{Diagnostic, Report, Severity, Source};
use crate::suggest;

/// More faults than this help nobody, and each costs time.
const MAX_FAULTS: usize = 1_000;
/// A file whose every name is misspelled gets suggestions for the first of them.
const MAX_COMPARISONS: usize = 100_000;

/// Collects diagnostics, up to a bound.
#[derive(Debug)]
pub(super) struct Faults<'a> {
    source: &'a Source,
    found: Vec<Diagnostic>,
    dropped: usize,
    /// How many words may still be compared for a suggestion.
    comparisons: usize,
}

impl<'a> Faults<'a> {
    pub(super) fn new(source: &'a Source) -> Self {
        Self { source, found: Vec::new(), dropped: 0, comparisons: MAX_COMPARISONS }
    }

    /// The text that they are about.
    pub(super) fn text(&self) -> &'a str {
        &self.source.text
    }

    pub(super) fn push(&mut self, diagnostic: Diagnostic) {
        if self.full() {
            self.dropped += 1;
        } else {
            self.found.push(diagnostic);
        }
    }

    pub(super) fn error(&mut self, span: &Range<usize>, message: impl Into<String>) {
        self.push(Diagnostic::error(span.clone(), message));
    }

    /// An error with what to write instead.
    pub(super) fn error_with(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.push(Diagnostic::error(span.clone(), message).help(help));
    }

    /// A name that names nothing: offers the nearest of `candidates`, or says `otherwise`.
    pub(super) fn unknown<'b>(
        &mut self,
        span: &Range<usize>,
        message: impl Into<String>,
        word: &str,
        candidates: impl IntoIterator<Item = &'b str>,
        otherwise: impl FnOnce() -> String,
    ) {
        if self.full() {
            self.dropped += 1;
            return;
        }
        let mut left = self.comparisons;
        let candidates = candidates.into_iter().take_while(|_| {
            let more = left > 0;
            left = left.saturating_sub(1);
            more
        });
        let help = suggest::nearest(word, candidates)
            .map_or_else(otherwise, |meant| format!("did you mean `{meant}`?"));
        self.comparisons = left;
        self.error_with(span, message, help);
    }

    /// Something that may be said once and was said again; `first` is where it was said before.
    pub(super) fn repeated(&mut self, span: &Range<usize>, message: impl Into<String>, first: &Range<usize>) {
        if self.full() {
            self.dropped += 1;
            return;
        }
        let line = self.source.position(first.start).line;
        self.error_with(span, message, format!("the first is on line {line}"));
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|diagnostic| diagnostic.severity == Severity::Error) || self.dropped > 0
    }

    fn full(&self) -> bool {
        self.found.len() >= MAX_FAULTS
    }

    /// In the order of their places: the warnings of a text that holds, or the report of one that
    /// does not.
    pub(super) fn finish(mut self) -> Result<Vec<Diagnostic>, Report> {
        let failed = self.has_errors();
        self.found.sort_by_key(|diagnostic| diagnostic.span.start);
        if self.dropped > 0 {
            let end = self.source.text.len();
            self.found
                .push(Diagnostic::error(end..end, format!("{} more faults are not shown", self.dropped)));
        }
        if failed {
            Err(Report { source: self.source.clone(), diagnostics: self.found })
        } else {
            Ok(self.found)
        }
    }
}
