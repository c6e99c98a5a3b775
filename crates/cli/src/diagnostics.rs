//! Faults of files, shown at their places as compilers show them.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use downbeat_core::diagnostic::{Diagnostic, Report, Severity, Source};
use serde_json::{Value, json};

use crate::output::text::clean;

/// The most diagnostics of one file that are shown to a person at once.
const SHOWN: usize = 20;

/// For people: each with its line, `width` columns wide.
pub(crate) fn render(reports: &[Report], width: usize) -> String {
    let renderer = Renderer::styled().term_width(width);
    let mut text = String::new();
    for report in reports {
        for diagnostic in report.diagnostics.iter().take(SHOWN) {
            text.push_str(&renderer.render(&[group(&report.source, diagnostic)]));
            text.push_str("\n\n");
        }
        let more = report.diagnostics.len().saturating_sub(SHOWN);
        if more > 0 {
            text.push_str(&format!("… and {more} more in {}\n\n", clean(&report.source.name)));
        }
    }
    text
}

fn group<'a>(source: &'a Source, diagnostic: &'a Diagnostic) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(clean(&diagnostic.message));
    let group = if source.text.is_empty() {
        Group::with_title(title).element(annotate_snippets::Origin::path(clean(&source.name)))
    } else {
        let snippet = Snippet::source(source.text.as_str())
            .path(clean(&source.name))
            .annotation(AnnotationKind::Primary.span(shown_span(&source.text, &diagnostic.span)));
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
    let floor = |mut at: usize| {
        at = at.min(text.len());
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let start = floor(span.start);
    let end = floor(span.end.max(start));
    let first_line = text.get(start..end).and_then(|part| part.find('\n')).map_or(end, |at| start + at);
    start..first_line
}

/// For programs: a list of file, line, column, severity, message and help.
pub(crate) fn to_json(reports: &[Report]) -> Value {
    let all = reports.iter().flat_map(|report| {
        report.diagnostics.iter().map(|diagnostic| {
            let position = report.source.position(diagnostic.span.start);
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
