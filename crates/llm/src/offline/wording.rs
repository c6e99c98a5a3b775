//! A summary made by a template.

use std::fmt::Write as _;

use downbeat_core::state::Artifact;
use downbeat_core::text::clip;

/// How much of the notes' last line is kept, in bytes.
const MAX_NOTE: usize = 500;
/// How much of one path is kept, in bytes.
const MAX_PATH: usize = 200;
/// How many artifacts are named; the others are counted.
const MAX_NAMED: usize = 5;

/// What was done: the title, the last thing that was said, and what was produced.
pub(super) fn summary(title: &str, notes: &str, artifacts: &[Artifact]) -> String {
    // A title has at most 500 characters, so the whole stays far below the 4096 of a summary.
    let mut parts = Vec::new();
    parts.extend(last_line(notes));
    parts.extend(produced(artifacts));
    if parts.is_empty() {
        parts.push("done".to_owned());
    }
    format!("{}: {}.", bare(title), parts.join("; "))
}

/// `lines.csv (1.2 kB) and notes.md (12 B)`.
fn produced(artifacts: &[Artifact]) -> Option<String> {
    let mut names: Vec<String> = artifacts
        .iter()
        .take(MAX_NAMED)
        .map(|artifact| format!("{} ({})", clip(&artifact.path, MAX_PATH), size(artifact.bytes)))
        .collect();
    if artifacts.len() > MAX_NAMED {
        names.push(format!("{} more", artifacts.len() - MAX_NAMED));
    }
    let last = names.pop()?;
    let mut text = "wrote ".to_owned();
    if !names.is_empty() {
        let _ = write!(text, "{} and ", names.join(", "));
    }
    Some(text + &last)
}

/// The last line that says anything, as a terminal would show it.
fn last_line(notes: &str) -> Option<String> {
    // A progress bar writes its line again and again; what stands behind the last return is seen.
    let lines = notes.rsplit(['\n', '\r']).map(printable);
    let line = lines.map(|line| bare(&line).to_owned()).find(|line| !line.is_empty())?;
    Some(clip(&line, MAX_NOTE))
}

/// `line` without colours and other control sequences.
fn printable(line: &str) -> String {
    let mut text = String::new();
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter == '\u{1b}' && letters.next_if_eq(&'[').is_some() {
            // A control sequence ends with the first letter in `@` to `~`.
            while letters.next().is_some_and(|letter| !('@'..='~').contains(&letter)) {}
        } else if letter == '\t' {
            text.push(' ');
        } else if !letter.is_control() {
            text.push(letter);
        }
    }
    text
}

fn bare(text: &str) -> &str {
    text.trim().trim_end_matches(['.', ':', ';']).trim_end()
}

/// `12 B`, `1.2 kB`, `3.4 MB`: powers of 1000, one digit behind the point, cut and not rounded.
fn size(bytes: u64) -> String {
    let (unit, scale) = match bytes {
        0..1_000 => return format!("{bytes} B"),
        1_000..1_000_000 => ("kB", 1_000),
        1_000_000..1_000_000_000 => ("MB", 1_000_000),
        _ => ("GB", 1_000_000_000),
    };
    format!("{}.{} {unit}", bytes / scale, bytes % scale / (scale / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(path: &str, bytes: u64) -> Artifact {
        Artifact { path: path.to_owned(), bytes, sha256: String::new() }
    }

    #[test]
    fn a_summary_says_what_was_done_and_what_it_left_behind() {
        let title = "Count the lines of every file";
        let lines = artifact("lines.csv", 1_234);
        assert_eq!(summary(title, "", &[]), "Count the lines of every file: done.");
        assert_eq!(
            summary(title, "", std::slice::from_ref(&lines)),
            "Count the lines of every file: wrote lines.csv (1.2 kB)."
        );
        assert_eq!(
            summary("Count.", "reading\n42 files.\n \n", &[lines, artifact("a.md", 12)]),
            "Count: 42 files; wrote lines.csv (1.2 kB) and a.md (12 B)."
        );
    }

    #[test]
    fn many_artifacts_are_counted() {
        let many: Vec<_> = (0..7).map(|n| artifact(&format!("f{n}"), n)).collect();
        assert_eq!(
            summary("Split", "", &many),
            "Split: wrote f0 (0 B), f1 (1 B), f2 (2 B), f3 (3 B), f4 (4 B) and 2 more."
        );
    }

    #[test]
    fn the_last_line_is_what_a_terminal_shows() {
        assert_eq!(last_line("a\n 10 %\r 99 %\r100 %\r\n").as_deref(), Some("100 %"));
        assert_eq!(last_line("\u{1b}[1;32mok\u{1b}[0m\u{7}\n\u{1b}[0m\n").as_deref(), Some("ok"));
        assert_eq!(last_line(" \n...\n"), None);
        assert!(last_line(&"x".repeat(9_999)).unwrap().len() <= MAX_NOTE);
    }

    #[test]
    fn sizes_read_as_people_write_them() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (999_999, "999.9 kB"),
            (1_000_000, "1.0 MB"),
            (u64::MAX, "18446744073.7 GB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
