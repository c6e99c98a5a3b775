//! What a file says at one moment, read within bounds.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use downbeat_core::heartbeat::{HeartbeatDirective, parse_bytes};
use downbeat_core::text::clip;
use sha2::{Digest as _, Sha256};

use crate::watching::directory;

/// The most bytes of a file. It is written by hand: a longer one is not read at all.
pub(super) const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The longest warning, in bytes.
const MAX_WARNING: usize = 1_024;

/// What stands where the file should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// Its text, and what tells it from another.
    Text(Seen, [u8; 32]),
    /// Its directory is there, and it is not.
    Absent,
    /// Nothing is known of it: its directory is not there either, or it cannot be read, for this reason.
    Unknown(Option<String>),
}

/// What a file says, line by line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// In the order of the file.
    pub(super) lines: Vec<Line>,
    /// The last of them stands on the file's last line, which has no end yet: it may be cut off.
    pub(super) open: bool,
}

/// A line that says something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// From 1.
    pub(super) number: usize,
    pub(super) says: Says,
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Says {
    Directive(HeartbeatDirective),
    /// What was probably meant as a directive, and why it is none.
    Warning(String),
}

impl Seen {
    /// What these bytes say.
    pub(super) fn of(name: &str, bytes: &[u8]) -> Self {
        let (source, heartbeat) = parse_bytes(name, bytes);
        let directives = heartbeat
            .lines
            .into_iter()
            .map(|line| Line { number: line.line, says: Says::Directive(line.directive) });
        let warnings = heartbeat.warnings.into_iter().map(|warning| {
            let message = match warning.help {
                Some(help) => format!("{}: {help}", warning.message),
                None => warning.message,
            };
            let number = source.position(warning.span.start).line;
            Line { number, says: Says::Warning(clip(&message, MAX_WARNING)) }
        });
        let mut lines: Vec<Line> = directives.chain(warnings).collect();
        lines.sort_by_key(|line| line.number);
        let last = source.text.split('\n').count();
        let open = !source.text.ends_with('\n') && lines.last().is_some_and(|line| line.number == last);
        Self { lines, open }
    }
}

/// Looks at a file. Never waits for one that is a pipe, and never reads what could go on for ever.
pub(super) fn look(path: &Path, name: &str) -> Found {
    let refused = |reason: String| Found::Unknown(Some(clip(&reason, MAX_WARNING)));
    let said = |error: &std::io::Error| match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotADirectory => match directory(path).is_dir() {
            true => Found::Absent,
            false => Found::Unknown(None),
        },
        _ => refused(format!("it cannot be read: {error}")),
    };
    let kind = match std::fs::metadata(path) {
        Ok(kind) => kind,
        Err(error) => return said(&error),
    };
    if !kind.is_file() {
        return refused("it is not a regular file, and is not read".to_owned());
    }
    // Between the two looks a pipe may have taken its place.
    let flags = nix::fcntl::OFlag::O_NONBLOCK.bits();
    let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => file,
        Err(error) => return said(&error),
    };
    if !file.metadata().is_ok_and(|kind| kind.is_file()) {
        return refused("it is not a regular file, and is not read".to_owned());
    }
    let mut bytes = Vec::new();
    if let Err(error) = file.take(MAX_FILE + 1).read_to_end(&mut bytes) {
        return said(&error);
    }
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return refused(format!("it has more than {MAX_FILE} bytes, and is not read"));
    }
    Found::Text(Seen::of(name, &bytes), Sha256::digest(&bytes).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(text: &str) -> bool {
        Seen::of("h", text.as_bytes()).open
    }

    #[test]
    fn only_a_last_line_that_says_something_and_has_no_end_is_open() {
        assert!(open("PAUSE"));
        assert!(open("a\nDROP-TASK t1"));
        assert!(open("RESTART"));
        for closed in ["", "PAUSE\n", "PAUSE\n\n", "PAUSE\nand so on", "PAUSE\r\n", "PAUSE\n  "] {
            assert!(!open(closed), "{closed:?}");
        }
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("h.md");
        assert_eq!(look(&path, "h.md"), Found::Absent);
        assert_eq!(look(&root.path().join("no/h.md"), "h.md"), Found::Unknown(None));
        assert_eq!(look(&root.path().join("h/h.md"), "h.md"), Found::Unknown(None));

        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let said = |found: Found| match found {
            Found::Unknown(Some(reason)) => reason,
            other => panic!("{other:?}"),
        };
        assert!(said(look(&path, "h.md")).contains("regular file"));
        assert!(said(look(root.path(), "h.md")).contains("regular file"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert!(said(look(&path, "h.md")).contains("regular file"));
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("h.md", &path).unwrap();
        assert!(said(look(&path, "h.md")).contains("cannot be read"));

        std::fs::remove_file(&path).unwrap();
        std::fs::File::create(&path).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert!(said(look(&path, "h.md")).contains("more than 8388608 bytes"));
    }
}
