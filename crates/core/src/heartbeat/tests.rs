use proptest::prelude::*;

use super::*;

fn read_text(text: &str) -> Heartbeat {
    parse(&Source::new("heartbeat.md", text))
}

fn said(text: &str) -> Vec<(usize, HeartbeatDirective)> {
    let heartbeat = read_text(text);
    assert_eq!(heartbeat.warnings, [], "{text}");
    heartbeat.lines.into_iter().map(|line| (line.line, line.directive)).collect()
}

fn task(id: &str) -> TaskId {
    TaskId::new(id).unwrap()
}

#[test]
fn a_whole_file_is_read_in_order() {
    use HeartbeatDirective::{DropTask, Elevate, FlushMemory, Pause, Reparse, Resume};
    let text = "\u{feff}# Steering\r\n\r\nPAUSE\r\n\r\n- resume   # go on\r\n* Reparse\r\n\
                Drop-Task t1\r\n  ELEVATE t-2.b 1000000\r\nflush-memory#not\r\nFLUSH-MEMORY #now\r\n";
    assert_eq!(
        said(text),
        [
            (3, Pause),
            (5, Resume),
            (6, Reparse),
            (7, DropTask(task("t1"))),
            (8, Elevate(task("t-2.b"), 1_000_000)),
            (10, FlushMemory),
        ]
    );
    let heartbeat = read_text(text);
    assert_eq!(&text[heartbeat.lines[1].span.clone()], "resume");
    assert_eq!(&text[heartbeat.lines[4].span.clone()], "ELEVATE t-2.b 1000000");
}

#[test]
fn prose_steers_nothing() {
    for prose in [
        "",
        "Pause when the budget is low",
        "pause the work, please",
        "Save heartbeat entry after each task",
        "Resume: tomorrow we go on",
        "# PAUSE",
        "#PAUSE",
        "> PAUSE",
        "`PAUSE`",
        "Elevate the mood",
        "Elevate your very own mood",
        "Drop-task when nothing helps",
        "I am an agent",
        "A NOTE",
        "- [ ] PAUSE",
        "1. PAUSE",
    ] {
        assert_eq!(said(prose), [], "{prose}");
    }
}

#[test]
fn what_looks_like_a_directive_is_pointed_out() {
    for (text, place, message, help) in [
        ("PAUSE now", "1:1", "`PAUSE` stands alone", "write `PAUSE`"),
        ("PAUSE:", "1:1", "`PAUSE:` is not a directive", "write `PAUSE`"),
        ("pause:", "1:1", "`pause:` is not a directive", "write `PAUSE`"),
        ("a\n\n  PAUSED", "3:3", "`PAUSED` is not a directive", "did you mean `PAUSE`?"),
        (
            "RESTART now",
            "1:1",
            "`RESTART` is not a directive",
            "the directives are PAUSE, RESUME, REPARSE, DROP-TASK, ELEVATE, FLUSH-MEMORY; write prose in lower case",
        ),
        ("REPARS", "1:1", "`REPARS` is not a directive", "did you mean `REPARSE`?"),
        ("FLUSH_MEMORY", "1:1", "`FLUSH_MEMORY` is not a directive", "did you mean `FLUSH-MEMORY`?"),
        ("DROP t1", "1:1", "`DROP` is not a directive", "did you mean `DROP-TASK`?"),
        ("FLUSH memory", "1:1", "`FLUSH` is not a directive", "did you mean `FLUSH-MEMORY`?"),
        ("- DROP-TASK", "1:3", "`DROP-TASK` takes a task", "write `DROP-TASK <task>`"),
        ("DROP-TASK a b", "1:1", "`DROP-TASK` takes a task", "write `DROP-TASK <task>`"),
        ("ELEVATE a", "1:1", "`ELEVATE` takes a task and a priority", "write `ELEVATE <task> <priority>`"),
        (
            "ELEVATE a high",
            "1:11",
            "`high` is not a priority: it is a whole number from 0 to 1000000",
            "write `ELEVATE <task> <priority>`",
        ),
        (
            "ELEVATE a -1",
            "1:11",
            "`-1` is not a priority: it is a whole number from 0 to 1000000",
            "write `ELEVATE <task> <priority>`",
        ),
        (
            "ELEVATE a 1000001",
            "1:11",
            "`1000001` is not a priority: it is a whole number from 0 to 1000000",
            "write `ELEVATE <task> <priority>`",
        ),
        (
            "DROP-TASK a:b",
            "1:11",
            "`a:b` names no task: `:` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`",
            "write `DROP-TASK <task>`",
        ),
    ] {
        let source = Source::new("h", text);
        let heartbeat = parse(&source);
        assert_eq!(heartbeat.lines, [], "{text}");
        let [warning] = heartbeat.warnings.as_slice() else {
            panic!("{text}: {:?}", heartbeat.warnings);
        };
        assert_eq!(warning.message, message, "{text}");
        assert_eq!(warning.help.as_deref(), Some(help), "{text}");
        assert_eq!(source.position(warning.span.start).to_string(), place, "{text}");
    }
}

#[test]
fn large_files_are_bounded() {
    let heartbeat = read_text(&format!("PAUSE\n{}\nRESUME", "x ".repeat(MAX_LINE)));
    assert_eq!(heartbeat.lines.len(), 2);
    assert_eq!(heartbeat.warnings.len(), 1);

    let heartbeat = read_text(&"PAUSE\n".repeat(MAX_DIRECTIVES + 5));
    assert_eq!(heartbeat.lines.len(), MAX_DIRECTIVES);
    assert_eq!(heartbeat.warnings[0].message, "only the first 10000 directives are read");

    assert_eq!(read_text(&"PAUSED\n".repeat(5_000)).warnings.len(), MAX_WARNINGS);
}

#[test]
fn bytes_that_are_no_text_are_passed_over() {
    let (source, heartbeat) = parse_bytes("h", b"PAUSE\n\xff\xfe\nRESUME\nPAUSED\n");
    assert_eq!(heartbeat.lines.len(), 2);
    assert_eq!(heartbeat.lines[1].line, 3);
    let places: Vec<String> =
        heartbeat.warnings.iter().map(|warning| source.position(warning.span.start).to_string()).collect();
    assert_eq!(places, ["2:1", "4:1"]);
    assert_eq!(parse_bytes("h", b"PAUSE").1.warnings, []);
}

proptest! {
    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let (source, heartbeat) = parse_bytes("h", &bytes);
        let spans = heartbeat.lines.iter().map(|line| &line.span);
        for span in spans.chain(heartbeat.warnings.iter().map(|warning| &warning.span)) {
            prop_assert!(source.text.get(span.clone()).is_some(), "{span:?}");
        }
    }

    #[test]
    fn any_lines_are_read(text in "((PAUSE|pause|DROP-TASK|ELEVATE|RESTART|[-*#:ä\u{2003}\u{feff}a-z0-9])[ \t]?|\r?\n){0,40}") {
        let heartbeat = read_text(&text);
        let spans = heartbeat.lines.iter().map(|line| &line.span);
        for span in spans.chain(heartbeat.warnings.iter().map(|warning| &warning.span)) {
            prop_assert!(text.get(span.clone()).is_some(), "{span:?}");
        }
    }
}
