//! What each kind of edit yields, with real files and the real watcher.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

/// Something that is done to the file.
enum Do {
    /// `>>`.
    Append(&'static [u8]),
    /// `>`: emptied and written in place.
    Write(&'static [u8]),
    /// As most editors save: written beside it and renamed over it.
    Replace(&'static [u8]),
    /// As vim saves by default: the old one is renamed away, a new one is made.
    Backup(&'static [u8]),
    /// Bytes that come one by one.
    Trickle(&'static [u8]),
    /// Written over from an offset, without making it shorter.
    Over(u64, &'static [u8]),
    Truncate,
    Remove,
    /// The directory with everything in it.
    RemoveDirectory,
    MakeDirectory,
    /// The directory is renamed away and comes back.
    MoveAway,
    MoveBack,
    Fifo,
    Directory,
    /// A link to a file that says this.
    Link(&'static [u8]),
    Touch,
    Mode(u32),
    /// So many lines of prose.
    Prose(usize),
    /// So many bytes, all zero.
    Large(u64),
    /// Eight processes append so many lines each, all at once.
    Processes(usize),
    /// Until everything has followed from what the file says now.
    Rest,
    Restart,
    /// What somebody says at the command line.
    Cli(&'static str),
}

use Do::{
    Append, Backup, Cli, Directory, Fifo, Large, Link, MakeDirectory, Mode, MoveAway, MoveBack, Over,
    Processes, Prose, Remove, RemoveDirectory, Replace, Rest, Restart, Touch, Trickle, Truncate, Write,
};

struct Row {
    name: &'static str,
    edits: Vec<Do>,
    /// What follows from them, in this order.
    yields: &'static [&'static str],
}

fn row(name: &'static str, edits: Vec<Do>, yields: &'static [&'static str]) -> Row {
    Row { name, edits, yields }
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn table() -> Vec<Row> {
    vec![
        row("a file that was there before", vec![Write(b"DROP-TASK a\n"), Restart, Rest], &["DROP-TASK a"]),
        row("an append", vec![Append(b"DROP-TASK a\n"), Rest], &["DROP-TASK a"]),
        row(
            "two appends with a rest between them",
            vec![Append(b"DROP-TASK a\n"), Rest, Append(b"DROP-TASK b\n"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "appends without a rest",
            vec![Append(b"DROP-TASK a\n"), Append(b"REPARSE\n"), Append(b"ELEVATE a 7\n"), Rest],
            &["DROP-TASK a", "REPARSE", "ELEVATE a 7"],
        ),
        row(
            "the same text appended again is an order of its own",
            vec![Append(b"DROP-TASK a\n"), Rest, Append(b"DROP-TASK a\n"), Rest],
            &["DROP-TASK a", "DROP-TASK a"],
        ),
        row(
            "the same text twice in one write",
            vec![Write(b"DROP-TASK a\nDROP-TASK a\n"), Rest],
            &["DROP-TASK a", "DROP-TASK a"],
        ),
        row(
            "every directive",
            vec![Write(b"PAUSE\nREPARSE\nDROP-TASK a\nELEVATE a 5\nFLUSH-MEMORY\n"), Rest],
            &["PAUSE", "REPARSE", "DROP-TASK a", "ELEVATE a 5", "FLUSH-MEMORY"],
        ),
        row(
            "in any case, with bullets and comments",
            vec![Write(b"- drop-task a # now\n  Elevate a 9\n"), Rest],
            &["DROP-TASK a", "ELEVATE a 9"],
        ),
        row("a line without an end, at rest", vec![Write(b"DROP-TASK a"), Rest], &["DROP-TASK a"]),
        row(
            "a line without an end that gets one",
            vec![Write(b"DROP-TASK a"), Rest, Append(b"\n"), Rest],
            &["DROP-TASK a"],
        ),
        row(
            "a line without an end, and another one behind it",
            vec![Write(b"DROP-TASK a"), Rest, Append(b"\nDROP-TASK b"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "a line that comes byte by byte",
            vec![Trickle(b"DROP-TASK task-10\n"), Rest],
            &["DROP-TASK task-10"],
        ),
        row("CRLF", vec![Write(b"DROP-TASK a\r\nELEVATE a 3\r\n"), Rest], &["DROP-TASK a", "ELEVATE a 3"]),
        row(
            "from LF to CRLF",
            vec![Write(b"DROP-TASK a\nREPARSE\n"), Rest, Write(b"DROP-TASK a\r\nREPARSE\r\n"), Rest],
            &["DROP-TASK a", "REPARSE"],
        ),
        row(
            "a byte order mark comes and goes",
            vec![
                Write(b"\xef\xbb\xbfDROP-TASK a\n"),
                Rest,
                Replace(b"DROP-TASK a\n"),
                Rest,
                Replace(b"\xef\xbb\xbfDROP-TASK a\n"),
                Rest,
            ],
            &["DROP-TASK a"],
        ),
        row(
            "an editor that renames, with a line more",
            vec![Write(b"DROP-TASK a\n"), Rest, Replace(b"DROP-TASK a\nDROP-TASK b\n"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "an editor that keeps a backup, with a line more",
            vec![Write(b"DROP-TASK a\n"), Rest, Backup(b"DROP-TASK a\nDROP-TASK b\n"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "an editor that writes in place, with a line more",
            vec![Write(b"DROP-TASK a\n"), Rest, Write(b"DROP-TASK a\nDROP-TASK b\n"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "saved again and again without a change",
            vec![
                Write(b"DROP-TASK a\n"),
                Rest,
                Write(b"DROP-TASK a\n"),
                Replace(b"DROP-TASK a\n"),
                Backup(b"DROP-TASK a\n"),
                Touch,
                Rest,
            ],
            &["DROP-TASK a"],
        ),
        row(
            "prose before, between and behind the old lines",
            vec![
                Write(b"DROP-TASK a\nREPARSE\n"),
                Rest,
                Replace(b"# Notes\n\nwe drop it\n\nDROP-TASK a\nfor a reason\nREPARSE\n\nand so on\n"),
                Rest,
            ],
            &["DROP-TASK a", "REPARSE"],
        ),
        row(
            "old lines in another order",
            vec![
                Write(b"DROP-TASK a\nDROP-TASK b\nREPARSE\n"),
                Rest,
                Replace(b"REPARSE\nDROP-TASK b\nDROP-TASK a\n"),
                Rest,
            ],
            &["DROP-TASK a", "DROP-TASK b", "REPARSE"],
        ),
        row(
            "a line put in before the old ones",
            vec![Write(b"DROP-TASK a\n"), Rest, Replace(b"DROP-TASK b\nDROP-TASK a\n"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "one line changed",
            vec![Write(b"ELEVATE a 1\nREPARSE\n"), Rest, Replace(b"ELEVATE a 2\nREPARSE\n"), Rest],
            &["ELEVATE a 1", "REPARSE", "ELEVATE a 2"],
        ),
        row(
            "changed in the middle, in place",
            vec![Write(b"ELEVATE a 1\nREPARSE\n"), Rest, Over(10, b"2"), Rest],
            &["ELEVATE a 1", "REPARSE", "ELEVATE a 2"],
        ),
        row(
            "a line taken out, and written again later",
            vec![
                Write(b"DROP-TASK a\nREPARSE\n"),
                Rest,
                Replace(b"REPARSE\n"),
                Rest,
                Append(b"DROP-TASK a\n"),
                Rest,
            ],
            &["DROP-TASK a", "REPARSE", "DROP-TASK a"],
        ),
        row(
            "a line made a comment",
            vec![Write(b"DROP-TASK a\n"), Rest, Replace(b"# DROP-TASK a\n"), Rest],
            &["DROP-TASK a"],
        ),
        row(
            "emptied, and begun anew",
            vec![Write(b"DROP-TASK a\n"), Rest, Truncate, Rest, Append(b"DROP-TASK a\n"), Rest],
            &["DROP-TASK a", "DROP-TASK a"],
        ),
        row(
            "emptied and written again at once is a save",
            vec![Write(b"DROP-TASK a\n"), Rest, Truncate, Append(b"DROP-TASK a\n"), Rest],
            &["DROP-TASK a"],
        ),
        row(
            "cut in the middle of a line",
            vec![Write(b"DROP-TASK a\nDROP-TASK bcd\n"), Rest, Write(b"DROP-TASK a\nDROP-TASK b"), Rest],
            &["DROP-TASK a", "DROP-TASK bcd", "DROP-TASK b"],
        ),
        row(
            "removed, and made again later",
            vec![Write(b"DROP-TASK a\n"), Rest, Remove, Rest, Write(b"DROP-TASK a\n"), Rest],
            &["DROP-TASK a", "DROP-TASK a"],
        ),
        row(
            "removed and made again at once is a save",
            vec![Write(b"DROP-TASK a\n"), Rest, Remove, Write(b"DROP-TASK a\n"), Rest],
            &["DROP-TASK a"],
        ),
        row(
            "the directory vanishes and comes back with the same file",
            vec![
                Write(b"DROP-TASK a\n"),
                Rest,
                RemoveDirectory,
                Rest,
                MakeDirectory,
                Write(b"DROP-TASK a\n"),
                Rest,
            ],
            // Another file may have been there for a moment: the empty directory. It was no rest.
            &["DROP-TASK a"],
        ),
        row(
            "the directory is moved away, and back",
            vec![Write(b"DROP-TASK a\n"), Rest, MoveAway, Rest, MoveBack, Append(b"DROP-TASK b\n"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "a directory that comes later",
            vec![RemoveDirectory, Restart, Rest, MakeDirectory, Append(b"DROP-TASK a\n"), Rest],
            &["DROP-TASK a"],
        ),
        row(
            "a restart",
            vec![Write(b"DROP-TASK a\nREPARSE\n"), Rest, Restart, Rest, Restart, Rest],
            &["DROP-TASK a", "REPARSE"],
        ),
        row(
            "an append while nobody reads",
            vec![Write(b"DROP-TASK a\n"), Rest, Append(b"DROP-TASK b\n"), Restart, Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "restarts in the middle of everything",
            vec![
                Append(b"DROP-TASK a\n"),
                Restart,
                Append(b"DROP-TASK b\n"),
                Restart,
                Restart,
                Append(b"DROP-TASK c\n"),
                Restart,
                Rest,
            ],
            &["DROP-TASK a", "DROP-TASK b", "DROP-TASK c"],
        ),
        row("the last level holds", vec![Write(b"PAUSE\nRESUME\nPAUSE\n"), Rest], &["PAUSE"]),
        row(
            "a level that is taken back",
            vec![Append(b"PAUSE\n"), Rest, Append(b"RESUME\n"), Rest],
            &["PAUSE", "RESUME"],
        ),
        row(
            "a level whose later one is taken out holds again",
            vec![Write(b"PAUSE\nRESUME\n"), Rest, Replace(b"PAUSE\n"), Rest],
            &["RESUME", "PAUSE"],
        ),
        row(
            "no level in the file changes nothing",
            vec![Write(b"PAUSE\n"), Rest, Replace(b"now go on\n"), Rest],
            &["PAUSE"],
        ),
        row(
            "an unrelated append does not undo what somebody said later",
            vec![Write(b"PAUSE\n"), Rest, Cli("RESUME"), Append(b"DROP-TASK a\nsome prose\n"), Rest],
            &["PAUSE", "RESUME", "DROP-TASK a"],
        ),
        row(
            "nor does a restart",
            vec![Write(b"PAUSE\n"), Rest, Cli("RESUME"), Restart, Rest],
            &["PAUSE", "RESUME"],
        ),
        row(
            "a level that is written again holds again",
            vec![Write(b"PAUSE\n"), Rest, Cli("RESUME"), Append(b"PAUSE\n"), Rest],
            &["PAUSE", "RESUME", "PAUSE"],
        ),
        row(
            "a level in front of a later one does nothing",
            vec![Write(b"RESUME\n"), Rest, Replace(b"PAUSE\nRESUME\n"), Rest],
            &["RESUME"],
        ),
        row(
            "1 MB of prose around a line",
            vec![Prose(10_000), Append(b"DROP-TASK a\n"), Prose(10_000), Rest],
            &["DROP-TASK a"],
        ),
        row(
            "bytes that are no UTF-8",
            vec![Write(b"DROP-TASK a\n\xff\xfe caf\xe9\nDROP-TASK b\n"), Rest],
            &["DROP-TASK a", "!2", "DROP-TASK b"],
        ),
        row(
            "zeros, as a cut log leaves them",
            vec![Write(b"\0\0\0\0\nDROP-TASK a\n"), Rest],
            &["DROP-TASK a"],
        ),
        row(
            "an unknown word in capitals, once",
            vec![Write(b"all well\nPAUSED\n"), Rest, Append(b"more\n"), Rest, Restart, Rest],
            &["!2"],
        ),
        row(
            "a directive that cannot be followed, and then can",
            vec![Write(b"ELEVATE a high\n"), Rest, Replace(b"ELEVATE a 10\n"), Rest],
            &["!1", "ELEVATE a 10"],
        ),
        row(
            "prose steers nothing",
            vec![Write(b"Pause when the budget is low.\nSave heartbeat entry.\n"), Rest],
            &[],
        ),
        row(
            "a pipe in its place, and then a file",
            vec![Fifo, Rest, Remove, Write(b"DROP-TASK a\n"), Rest],
            &["!", "DROP-TASK a"],
        ),
        row("a directory in its place", vec![Directory, Rest], &["!"]),
        row(
            "a link to a file, whose target changes",
            vec![Link(b"DROP-TASK a\n"), Rest, Append(b"DROP-TASK b\n"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row(
            "too large to be read, and then no more",
            vec![
                Write(b"DROP-TASK a\n"),
                Rest,
                Large(file::MAX_FILE + 1),
                Rest,
                Replace(b"DROP-TASK a\nDROP-TASK b\n"),
                Rest,
            ],
            &["DROP-TASK a", "!", "DROP-TASK b"],
        ),
        row(
            "not to be read for a while",
            vec![Write(b"DROP-TASK a\n"), Rest, Mode(0o000), Mode(0o644), Append(b"DROP-TASK b\n"), Rest],
            &["DROP-TASK a", "DROP-TASK b"],
        ),
        row("eight processes at once", vec![Processes(12), Rest], &["*96"]),
        row(
            "eight processes, and a restart among them",
            vec![Processes(5), Restart, Processes(5), Rest],
            &["*80"],
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_edit_yields_its_directives_once() {
    let table = table();
    assert!(table.len() >= 40);
    // Each has a watcher of its own, of which a user may have so many only.
    let mut faults = Vec::new();
    let mut table = table.into_iter().peekable();
    while table.peek().is_some() {
        let some: Vec<Row> = table.by_ref().take(12).collect();
        faults.extend(futures::future::join_all(some.into_iter().map(try_row)).await.into_iter().flatten());
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn try_row(row: Row) -> Option<String> {
    let mut followed = Followed::new();
    for (number, edit) in row.edits.iter().enumerate() {
        let done = tokio::time::timeout(Duration::from_secs(60), carry_out(&mut followed, edit)).await;
        if done.is_err() {
            return Some(format!("{}: edit {number} never came to a rest", row.name));
        }
    }
    let events = events(followed.cache.as_ref()).await;
    let mut got: Vec<String> = events.iter().map(line_of).collect();
    let mut expected: Vec<String> = row.yields.iter().map(|text| (*text).to_owned()).collect();
    if let [many] = row.yields
        && let Some(count) = many.strip_prefix('*')
    {
        expected =
            (0..count.parse::<usize>().unwrap()).map(|number| format!("DROP-TASK p{number}")).collect();
        // The two rounds of processes write the same lines.
        if row.name.contains("restart") {
            expected = (0..40).flat_map(|number| vec![format!("DROP-TASK p{number}"); 2]).collect();
        }
        expected.sort();
        got.sort();
    }
    for event in &events {
        let by = event.what.data["by"].as_str().unwrap_or(NAME);
        if !by.starts_with(NAME) && by != "cli" {
            return Some(format!("{}: given by `{by}`", row.name));
        }
    }
    (got != expected).then(|| format!("{}: expected {expected:?}, got {got:?}", row.name))
}

async fn carry_out(followed: &mut Followed, edit: &Do) {
    let path = followed.path();
    let beside = path.with_extension("tmp");
    let directory = path.parent().unwrap();
    let append = |bytes: &[u8]| {
        OpenOptions::new().create(true).append(true).open(&path).unwrap().write_all(bytes).unwrap();
    };
    match edit {
        Append(bytes) => append(bytes),
        Write(bytes) => fs::write(&path, bytes).unwrap(),
        Replace(bytes) => {
            fs::write(&beside, bytes).unwrap();
            fs::rename(&beside, &path).unwrap();
        }
        Backup(bytes) => {
            fs::rename(&path, path.with_extension("md~")).unwrap();
            fs::write(&path, bytes).unwrap();
            fs::remove_file(path.with_extension("md~")).unwrap();
        }
        Trickle(bytes) => {
            for byte in *bytes {
                append(std::slice::from_ref(byte));
                tokio::task::yield_now().await;
            }
        }
        Over(offset, bytes) => {
            use std::os::unix::fs::FileExt as _;
            OpenOptions::new().write(true).open(&path).unwrap().write_all_at(bytes, *offset).unwrap();
        }
        Truncate => fs::write(&path, "").unwrap(),
        Remove => fs::remove_file(&path).unwrap(),
        RemoveDirectory => fs::remove_dir_all(directory).unwrap(),
        MakeDirectory => fs::create_dir_all(directory).unwrap(),
        MoveAway => fs::rename(directory, directory.with_extension("away")).unwrap(),
        MoveBack => fs::rename(directory.with_extension("away"), directory).unwrap(),
        Fifo => nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap(),
        Directory => fs::create_dir(&path).unwrap(),
        Link(bytes) => {
            let target = followed.root.path().join("elsewhere.md");
            fs::write(&target, bytes).unwrap();
            std::os::unix::fs::symlink(&target, &path).unwrap();
        }
        Touch => {
            let now = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH);
            OpenOptions::new().write(true).open(&path).unwrap().set_times(now).unwrap();
        }
        Mode(mode) => fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap(),
        Prose(lines) => {
            append("We save a heartbeat entry after each task, and go on.\n".repeat(*lines).as_bytes());
        }
        Large(bytes) => fs::File::create(&path).unwrap().set_len(*bytes).unwrap(),
        Processes(lines) => processes(&path, *lines).await,
        Rest => followed.at_rest().await,
        Restart => followed.restart(),
        Cli(word) => {
            let agent = agent();
            let directive = match *word {
                "PAUSE" => downbeat_core::cache::Directive::Pause { agent },
                _ => downbeat_core::cache::Directive::Resume { agent },
            };
            let request = crate::entropy::request_id();
            let given = crate::steering::Given { order: directive.into(), by: "cli".to_owned(), request };
            crate::steering::give(followed.cache.as_ref(), &given).await.unwrap();
        }
    }
}

/// Eight shells, each of which appends lines of its own with `echo`.
async fn processes(path: &Path, lines: usize) {
    let path = path.to_path_buf();
    tokio::task::spawn_blocking(move || {
        let children: Vec<_> = (0..8)
            .map(|process| {
                let (from, to) = (process * lines, (process + 1) * lines);
                let script = format!(
                    "n={from}; while [ $n -lt {to} ]; do echo \"DROP-TASK p$n\" >> \"$0\"; n=$((n+1)); done"
                );
                std::process::Command::new("sh").args(["-c", &script]).arg(&path).spawn().unwrap()
            })
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
    })
    .await
    .unwrap();
}
