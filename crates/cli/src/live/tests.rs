use downbeat_core::event::{Event, EventDraft, EventKind};
use downbeat_core::ids::{AgentName, TaskId};
use downbeat_core::time::Timestamp;
use downbeat_runtime::supervise::{self, board::Line};

use super::board::{Board, How, News};
use super::{frame, lines};

fn event(seq: u64, at: u64, kind: EventKind, task: &str) -> Event {
    let mut what = EventDraft::new(kind).agent(&AgentName::new("shell_agent").unwrap());
    what.task = (!task.is_empty()).then(|| TaskId::new(task).unwrap());
    what.attempt = Some(1);
    Event { seq, at: Timestamp::from_millis(at), what }
}

fn plain(text: &str) -> String {
    anstream::adapter::strip_str(text).to_string()
}

#[test]
fn a_claim_is_shown_until_it_ends_and_its_end_is_a_line() {
    let mut board = Board::default();
    assert_eq!(board.apply(&event(1, 0, EventKind::AGENT_STARTED, "")), None);
    assert_eq!(board.apply(&event(2, 1_000, EventKind::TASK_CLAIMED, "count")), None);
    let phase = Event {
        what: event(3, 0, EventKind::AGENT_PHASE, "count")
            .what
            .data(serde_json::json!({ "phase": "executing" })),
        ..event(3, 1_000, EventKind::AGENT_PHASE, "count")
    };
    assert_eq!(board.apply(&phase), None);
    let shown =
        plain(&frame::frame(&board, Timestamp::from_millis(2_500), Timestamp::default(), 0, (80, 24)));
    assert!(shown.contains("⠋ count") && shown.contains("1.5s") && shown.contains("executing"), "{shown}");

    let mut done = event(4, 3_200, EventKind::TASK_DONE, "count");
    done.what.reason = Some("counted".to_owned());
    let news = board.apply(&done).unwrap();
    assert!(matches!(&news, News::Ended { how: How::Done, .. }), "{news:?}");
    let line = plain(&lines::line(&board, &news, &[], Some(80)).unwrap());
    assert_eq!(line.trim_end(), "  ✓ count     2.2s  shell_agent");
    assert_eq!(board.running(), 0);
}

#[test]
fn a_retry_says_why_and_when_and_nothing_that_a_terminal_obeys() {
    let mut board = Board::default();
    board.apply(&event(1, 1_000, EventKind::TASK_CLAIMED, "fetch"));
    let mut retry = event(2, 2_000, EventKind::TASK_RETRY, "fetch");
    retry.what.reason = Some("the command exited with 7: \u{1b}[2Joops".to_owned());
    retry.what.data = serde_json::json!({ "not_before": Timestamp::from_millis(3_500) });
    let news = board.apply(&retry).unwrap();
    let line = lines::line(&board, &news, &[], None).unwrap();
    assert!(!line.contains("\u{1b}[2J"), "{line:?}");
    assert!(
        plain(&line).ends_with("attempt 1 failed: the command exited with 7: oops; next in 1.5s"),
        "{line}"
    );
}

fn shown(board: &Board) -> String {
    plain(&frame::frame(board, Timestamp::from_millis(2_500), Timestamp::default(), 0, (80, 24)))
}

fn phase(seq: u64, agent: &str, phase: &str, task: &str) -> Event {
    let mut event = event(seq, 1_000, EventKind::AGENT_PHASE, task);
    event.what.agent = AgentName::new(agent).ok();
    Event { what: event.what.data(serde_json::json!({ "phase": phase })), ..event }
}

#[test]
fn every_stage_of_an_agent_is_seen_when_it_is_entered() {
    let mut board = Board::default();
    let mut seen = Vec::new();
    let mut take = |board: &mut Board, event: &Event| {
        board.apply(event);
        let stages = ["created", "idle", "assigned", "reasoning", "executing", "validating", "completed"];
        let frame = shown(board);
        seen.extend(stages.iter().filter(|stage| frame.contains(*stage)).map(|stage| (*stage).to_owned()));
    };
    take(&mut board, &event(1, 0, EventKind::AGENT_STARTED, ""));
    take(&mut board, &phase(2, "shell_agent", "idle", ""));
    take(&mut board, &event(3, 1_000, EventKind::TASK_CLAIMED, "count"));
    for (seq, stage) in [(4, "reasoning"), (5, "executing"), (6, "validating")] {
        take(&mut board, &phase(seq, "shell_agent", stage, "count"));
    }
    take(&mut board, &event(7, 2_000, EventKind::TASK_DONE, "count"));
    take(&mut board, &event(8, 2_000, EventKind::AGENT_TERMINATED, ""));

    let stages = ["created", "idle", "assigned", "reasoning", "executing", "validating", "completed"];
    assert_eq!(seen, stages);
    assert!(!shown(&board).contains("shell_agent"));
}

#[test]
fn an_agent_of_two_tasks_is_seen_in_the_stage_of_each() {
    let mut board = Board::default();
    board.apply(&event(1, 1_000, EventKind::TASK_CLAIMED, "one"));
    board.apply(&event(2, 1_000, EventKind::TASK_CLAIMED, "two"));
    board.apply(&phase(3, "shell_agent", "executing", "two"));
    board.apply(&phase(4, "shell_agent", "validating", "one"));
    // Of no task: its tasks go on.
    board.apply(&phase(5, "shell_agent", "idle", ""));

    let frame = shown(&board);
    let stage = |task: &str| frame.lines().find(|line| line.contains(task)).unwrap().to_owned();
    assert!(stage("one").contains("validating") && stage("two").contains("executing"), "{frame}");
    assert!(!frame.contains("idle"), "{frame}");
}

#[test]
fn who_has_no_task_is_listed_by_stage_and_what_needs_a_look_comes_first() {
    let mut board = Board::default();
    for name in ["clerk", "analyst"] {
        board.apply(&phase(1, name, "idle", ""));
    }
    let stages = [("late", "waiting"), ("broken", "quarantined"), ("over", "finished"), ("clerk", "running")];
    let line =
        |stage: &str| Line { stage: stage.to_owned(), finished: stage == "finished", ..Line::default() };
    board.supervised(&supervise::Board {
        agents: stages.map(|(name, stage)| (AgentName::new(name).unwrap(), line(stage))).into(),
        ..supervise::Board::default()
    });

    assert_eq!(
        shown(&board).lines().next(),
        Some("    quarantined: broken · idle: analyst, clerk · waiting: late")
    );
}

#[test]
fn no_line_of_a_frame_is_wider_than_the_terminal() {
    let mut board = Board::default();
    for number in 0..40 {
        let task = format!("a-task-with-a-long-name-{number}");
        board.apply(&event(number, 1_000, EventKind::TASK_CLAIMED, &task));
        board.apply(&phase(number, &format!("an_idle_agent_{number}"), "idle", ""));
        board.apply(&phase(number, "shell_agent", "validating", &task));
    }
    for screen in [(12, 24), (40, 24), (60, 24), (80, 10), (200, 60)] {
        let text =
            plain(&frame::frame(&board, Timestamp::from_millis(9_000), Timestamp::default(), 3, screen));
        assert!(text.lines().count() < screen.1, "{text}");
        let wide = text.lines().find(|line| crate::output::text::width(line) >= screen.0);
        assert_eq!(wide, None, "{screen:?}\n{text}");
        // The stage of a task is not what gives way.
        assert!(screen.0 < 40 || text.contains("validating"), "{screen:?}\n{text}");
    }
}
