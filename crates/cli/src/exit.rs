//! What the exit code says.

use std::fmt::Write as _;

/// Everything that was asked for is done.
pub(crate) const COMPLETE: u8 = 0;
/// Something that was asked for did not succeed.
pub(crate) const FAILED: u8 = 1;
/// The command line, a file or a setting is wrong; nothing was started.
pub(crate) const BAD_INPUT: u8 = 2;
/// The store cannot be had: another process holds it, or nobody answers at its address.
pub(crate) const BUSY: u8 = 3;
/// Somebody stopped it; the same command carries on.
pub(crate) const INTERRUPTED: u8 = 4;
/// Downbeat itself, or the machine below it, failed.
pub(crate) const INTERNAL: u8 = 70;

/// Every code with its sentence, for `--help`.
pub(crate) const ALL: [(u8, &str); 6] = [
    (COMPLETE, "all that was asked for is done"),
    (FAILED, "something failed or stalled, or a goal was cancelled"),
    (BAD_INPUT, "the command line, a file or a setting is wrong; nothing was started"),
    (BUSY, "the store cannot be had: somebody holds it, or nobody answers at its address"),
    (INTERRUPTED, "it was stopped before it was done; the same command carries on"),
    (INTERNAL, "Downbeat itself or the machine below it failed"),
];

/// The codes as a section of the help.
pub(crate) fn help() -> String {
    let mut text = String::from("\u{1b}[1m\u{1b}[4mExit codes:\u{1b}[0m");
    for (code, sentence) in ALL {
        // Writing to a string cannot fail.
        let _ = write!(text, "\n  {code:>2}  {sentence}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart_and_listed() {
        let codes: std::collections::BTreeSet<u8> = ALL.iter().map(|(code, _)| *code).collect();
        assert_eq!(codes.len(), ALL.len());
        for (code, sentence) in ALL {
            assert!(help().contains(&format!("{code:>2}  {sentence}")));
        }
    }
}
