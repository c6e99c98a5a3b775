//! INSTRUCTIONS.md in any form: no panic, and every place within the text.
#![no_main]

use downbeat_core::diagnostic::Source;
use downbeat_core::instructions;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = Source::new("INSTRUCTIONS.md", text);
    let diagnostics = match instructions::parse(&source) {
        Ok((_, warnings)) => warnings,
        Err(report) => {
            assert!(report.has_errors());
            report.diagnostics
        }
    };
    for diagnostic in diagnostics {
        assert!(text.get(diagnostic.span.clone()).is_some(), "{diagnostic:?}");
        source.position(diagnostic.span.start);
    }
});
