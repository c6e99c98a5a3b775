use downbeat_core::event::{Event, EventDraft, EventKind};
use downbeat_core::ids::{AgentName, TaskId};
use downbeat_core::time::Timestamp;

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

#[test]
fn no_line_of_a_frame_is_wider_than_the_terminal() {
    let mut board = Board::default();
    for number in 0..40 {
        board.apply(&event(
            number,
            1_000,
            EventKind::TASK_CLAIMED,
            &format!("a-task-with-a-long-name-{number}"),
        ));
    }
    for screen in [(60, 24), (80, 10), (200, 60)] {
        let text =
            plain(&frame::frame(&board, Timestamp::from_millis(9_000), Timestamp::default(), 3, screen));
        assert!(text.lines().count() < screen.1, "{text}");
        let wide = text.lines().find(|line| crate::output::text::width(line) > screen.0.max(72));
        assert_eq!(wide, None, "{text}");
    }
}
