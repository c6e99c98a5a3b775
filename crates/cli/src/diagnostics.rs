//! Faults of files, shown at their places as compilers show them.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use downbeat_core::diagnostic::{Diagnostic, Position, Report, Severity, Source};
use serde_json::{Value, json};

use crate::output::text::clean;

/// The most diagnostics of one file that are shown to a person at once.
const SHOWN: usize = 20;

/// A longer line is shown only around the fault, in bytes: laying out a line takes its length.
const LONG_LINE: usize = 8_000;
/// How much of such a line is laid out before and behind the fault's beginning.
const AROUND: usize = 2_000;

/// For people: each with its line, `width` columns wide.
pub(crate) fn render(reports: &[Report], width: usize) -> String {
    let renderer = Renderer::styled().term_width(width);
    let mut text = String::new();
    for report in reports {
        let places = report.source.positions(report.diagnostics.iter().map(|it| it.span.start));
        for (diagnostic, place) in report.diagnostics.iter().zip(places).take(SHOWN) {
            let window = window(&report.source.text, &shown_span(&report.source.text, &diagnostic.span));
            let shown = renderer.render(&[group(&report.source, diagnostic, place, &window)]);
            // The column in a window of a line is not the one in the line.
            let at = |column| format!("{}:{}:{column}", clean(&report.source.name), place.line);
            text.push_str(&match window.column {
                Some(column) => shown.replacen(&at(column), &at(place.column), 1),
                None => shown,
            });
            text.push_str("\n\n");
        }
        let more = report.diagnostics.len().saturating_sub(SHOWN);
        if more > 0 {
            text.push_str(&format!("… and {more} more in {}\n\n", clean(&report.source.name)));
        }
    }
    text
}

fn group<'a>(source: &'a Source, diagnostic: &'a Diagnostic, place: Position, window: &Window) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(clean(&diagnostic.message));
    let group = if source.text.is_empty() {
        Group::with_title(title).element(Origin::path(clean(&source.name)))
    } else {
        let snippet = Snippet::source(source.text.get(window.range.clone()).unwrap_or_default())
            .line_start(place.line)
            .path(clean(&source.name))
            .annotation(AnnotationKind::Primary.span(window.span.clone()));
        Group::with_title(title).element(snippet)
    };
    match &diagnostic.help {
        Some(help) => group.element(Level::HELP.message(clean(help))),
        None => group,
    }
}

/// A span inside the text, at whole characters, that ends on the line on which it begins: a fault of
/// a whole list would hide its message below pages.
fn shown_span(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor(text, span.start);
    let end = floor(text, span.end.max(start));
    let first_line = text.get(start..end).and_then(|part| part.find('\n')).map_or(end, |at| start + at);
    start..first_line
}

/// The nearest place at or before `at` that is between two characters.
fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// What is laid out of a text.
struct Window {
    range: Range<usize>,
    /// The span in it.
    span: Range<usize>,
    /// The column of the span in it, when it does not begin where the line does.
    column: Option<usize>,
}

/// The line of a span that ends on it, or a part of a long one.
fn window(text: &str, span: &Range<usize>) -> Window {
    let before = text.get(..span.start).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let behind = text.get(span.end..).unwrap_or_default();
    let rest = behind.split('\n').next().unwrap_or_default();
    let line = start..span.end + rest.strip_suffix('\r').unwrap_or(rest).len();
    if line.len() <= LONG_LINE {
        return Window { span: span.start - start..span.end - start, range: line, column: None };
    }
    let start = floor(text, span.start.saturating_sub(AROUND)).max(line.start);
    let end = floor(text, span.start + AROUND).min(line.end);
    let before = text.get(start..span.start).unwrap_or_default();
    Window {
        range: start..end,
        span: span.start - start..span.end.min(end) - start,
        column: (start > line.start).then(|| before.chars().count() + 1),
    }
}

/// For programs: a list of file, line, column, severity, message and help.
pub(crate) fn to_json(reports: &[Report]) -> Value {
    let all = reports.iter().flat_map(|report| {
        let places = report.source.positions(report.diagnostics.iter().map(|it| it.span.start));
        report.diagnostics.iter().zip(places).map(|(diagnostic, position)| {
            json!({
                "file": report.source.name,
                "line": position.line,
                "column": position.column,
                "severity": diagnostic.severity,
                "message": diagnostic.message,
                "help": diagnostic.help,
            })
        })
    });
    Value::Array(all.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let text = "# Title\n\n### workr\n- Goal: demo\n";
        let start = text.find("workr").unwrap();
        let diagnostic =
            Diagnostic::error(start..start + 5, "no agent is called `workr`").help("is it `worker`?");
        Report { source: Source::new("INSTRUCTIONS.md", text), diagnostics: vec![diagnostic] }
    }

    #[test]
    fn a_person_sees_the_place_the_line_and_the_help() {
        let text = anstream::adapter::strip_str(&render(&[report()], 80)).to_string();
        for part in
            ["error: no agent is called `workr`", "INSTRUCTIONS.md:3:5", "### workr", "^^^^^", "help: is it"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn a_program_reads_the_same() {
        assert_eq!(
            to_json(&[report()]),
            json!([{ "file": "INSTRUCTIONS.md", "line": 3, "column": 5, "severity": "error",
                "message": "no agent is called `workr`", "help": "is it `worker`?" }])
        );
    }

    #[test]
    fn a_line_of_any_length_is_shown_around_its_fault() {
        let text = format!("first\n{}fault{}\n", "ä".repeat(1_000_000), "ö".repeat(1_000_000));
        let start = text.find("fault").unwrap();
        let diagnostics = vec![Diagnostic::error(start..start + 5, "a fault")];
        let report = Report { source: Source::new("f", text), diagnostics };
        let text = anstream::adapter::strip_str(&render(&[report], 80)).to_string();
        for part in ["f:2:1000001", "2 | ...ää", "äfaultö", "^^^^^\n"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn spans_outside_of_the_text_are_brought_inside() {
        assert_eq!(shown_span("äb", &(1..90)), 0..3);
        assert_eq!(shown_span("ab\ncd", &(0..5)), 0..2);
        let broken = Report {
            source: Source::new("x", ""),
            diagnostics: vec![Diagnostic::error(0..0, "no such file")],
        };
        assert!(render(&[broken], 80).contains("no such file"));
    }
}
