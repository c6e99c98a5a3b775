//! Heartbeat files of any bytes: no panic, every place within the text, directives as the grammar says.
#![no_main]

use downbeat_core::heartbeat;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (source, heartbeat) = heartbeat::parse_bytes("heartbeat.md", bytes);
    for line in &heartbeat.lines {
        assert!(source.text.get(line.span.clone()).is_some(), "{line:?}");
    }
    for warning in &heartbeat.warnings {
        assert!(source.text.get(warning.span.clone()).is_some(), "{warning:?}");
    }
});
