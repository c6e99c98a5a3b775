//! The table of moves, printed: `docs/state-machine.md` says what `apply` does, or this fails.
//!
//! `UPDATE=1` writes the file anew.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use downbeat_core::ids::{AgentName, Incarnation, RequestId, Token};
use downbeat_core::state::{Failure, Holder, Move, Outcome, Redo, Refusal, TaskState, TaskStatus, apply};
use downbeat_core::time::Timestamp;

const NOW: Timestamp = Timestamp::from_millis(1_793_000_000_000);
const PAST: Timestamp = Timestamp::from_millis(1_792_999_000_000);
const FUTURE: Timestamp = Timestamp::from_millis(1_793_001_000_000);

fn token() -> Token {
    Token::NONE.next(1).unwrap()
}

fn request() -> RequestId {
    RequestId("the-settle".to_owned())
}

fn holder(expires_at: Timestamp, expired: bool) -> Holder {
    Holder {
        agent: AgentName::new("ann").unwrap(),
        incarnation: Incarnation("ann-1".to_owned()),
        request: RequestId("the-claim".to_owned()),
        claimed_at: PAST,
        expires_at,
        expired,
    }
}

/// Every kind of state that a task can be in, as far as a move can tell them apart.
fn states(status: TaskStatus) -> Vec<TaskState> {
    let opens: &[u32] = match status {
        TaskStatus::Blocked => &[1, 2],
        TaskStatus::Ready => &[0],
        _ => &[0, 1],
    };
    let holders: &[Option<Holder>] = &match status {
        TaskStatus::Blocked | TaskStatus::Ready => [None, Some(holder(PAST, true))],
        TaskStatus::Running => [Some(holder(FUTURE, false)), Some(holder(PAST, false))],
        _ => [None, None],
    };
    let waits: &[Option<Timestamp>] =
        if status == TaskStatus::Ready { &[None, Some(PAST), Some(FUTURE)] } else { &[None] };
    let mut states = Vec::new();
    for open in opens {
        for holder in holders {
            for not_before in waits.iter().filter(|wait| wait.is_none() || holder.is_none()) {
                for (attempt, interruptions) in [(1, 0), (2, 1)] {
                    let mut state = TaskState::planned(0, *open, 2, PAST);
                    state.status = status;
                    state.holder.clone_from(holder);
                    state.not_before = *not_before;
                    state.attempt = attempt;
                    state.interruptions = interruptions;
                    state.token = token();
                    if status == TaskStatus::Running {
                        states.push(TaskState { outdated: Some(token()), ..state.clone() });
                    }
                    states.push(state);
                }
            }
        }
    }
    states
}

/// Every move, by whoever may make it, and what it is for.
fn moves() -> Vec<(Move, &'static str)> {
    let failure = || Failure::new("it broke", None);
    let settle = |outcome| Move::Settle { token: token(), request: request(), outcome };
    let reason = || "why".to_owned();
    let done = Outcome::Done { summary: "done".to_owned(), artifacts: Vec::new() };
    let retry = Outcome::Retry { failure: failure(), after: Duration::from_secs(1) };
    let claim = Move::Claim { holder: holder(FUTURE, false), token: token().next(1).unwrap() };
    let renew = Move::Renew { token: token(), expires_at: FUTURE, progress: None };
    vec![
        (
            Move::DependencyDone("before".to_owned()),
            "Something that the task waits for is done. The last one makes it ready.",
        ),
        (
            Move::Rewire(1),
            "An amendment gives it open dependencies. A running task keeps running, and is blocked once \
             nobody holds it.",
        ),
        (Move::Rewire(0), "An amendment takes its last open dependency away."),
        (claim, "An agent takes it, under a token greater than any before. Not before its wait is over."),
        (
            renew,
            "The holder needs more time. So may one whose lease has expired, as long as nobody else took \
             the task.",
        ),
        (settle(done), "The holder is done. Its dependants hear of it in the same step."),
        (
            settle(retry),
            "The attempt failed, and there may be another after a wait; the last one fails the task.",
        ),
        (settle(Outcome::Failed { failure: failure() }), "The attempt failed, and no other can do better."),
        (settle(Outcome::Release { reason: reason() }), "The holder gives it back unworked: no attempt."),
        (
            Move::Expire,
            "The deadline has passed. It costs the attempt; the holder may come back until another agent \
             takes the task.",
        ),
        (Move::Due, "The wait before the next attempt is over."),
        (
            Move::Interrupt { reason: reason(), limit: 1 },
            "The holder's process is gone. Up to a limit that costs no attempt; a task that kills its \
             agents ends.",
        ),
        (Move::Drop { reason: reason() }, "A person takes it from its holder: no attempt."),
        (Move::Elevate(9), "A person changes its priority."),
        (
            Move::Retry(1),
            "A person wants it tried again: a failed or cancelled task gets more attempts, a waiting one \
             starts now.",
        ),
        (
            Move::Redo { why: Redo::Scope, open: 0, more: 1, reason: reason() },
            "An amendment makes it another task: what was made of it counts no more, and it has the attempts \
             of a new one; a holder loses its lease. Blocked if it waits for something.",
        ),
        (
            Move::Redo { why: Redo::Inputs, open: 1, more: 1, reason: reason() },
            "An amendment has something made again that it works from. What is done or failed is done again; \
             a holder keeps its lease, and the task is done once more when it settles done.",
        ),
        (Move::Cancel { reason: reason() }, "A person calls it off; a holder loses its lease."),
    ]
}

fn name(mv: &Move) -> String {
    match mv {
        Move::Rewire(open) => format!("rewire ({open} open)"),
        mv => mv.name().to_owned(),
    }
}

/// What a move does to every kind of state of one status.
fn cell(status: TaskStatus, mv: &Move) -> String {
    let mut found = BTreeSet::new();
    for state in states(status) {
        found.insert(match apply(&state, mv, NOW) {
            Ok(moved) => {
                let event = moved.event.map(|(kind, _)| format!(" `{kind}`")).unwrap_or_default();
                format!("{}{event}", moved.state.status)
            }
            Err(Refusal::TooEarly { .. }) => "*too early*".to_owned(),
            Err(Refusal::LeaseLost { .. }) => "*lost*".to_owned(),
            Err(Refusal::Illegal { .. }) => "·".to_owned(),
            Err(refusal) => format!("*{refusal}*"),
        });
    }
    found.into_iter().collect::<Vec<_>>().join(" or ")
}

const HEAD: &str = "\
# The states of a task

<!-- Written by `UPDATE=1 cargo test -p downbeat-core --test state_machine` from `state::apply`. -->

```text
           dependencies done             claim               settle done
 BLOCKED ────────────────────▶ READY ────────────▶ RUNNING ───────────────▶ DONE
    ▲                            ▲ ▲                │ │ │
    │      amended: waits again  │ │ retry, release,│ │ │ settle failed, out of attempts
    └────────────────────────────┘ │ expire, drop,  │ │ └─────────────────▶ FAILED
                                   │ interrupt      │ │                       │
                                   └────────────────┘ │ cancel                │
 BLOCKED, READY, RUNNING ─────────────────────────────┴─────▶ CANCELLED       │
                                                                  │           │
 READY, or BLOCKED if it waits for something ◀────────────────────┴───────────┘
                                               a person's retry
 READY, or BLOCKED if it waits for something ◀── redo ── DONE, FAILED, CANCELLED, RUNNING
```

Nothing but its holder changes a running task, except time (expire), the end of its holder's process
(interrupt), a person (drop, cancel) and an amendment that makes it another task (redo). Whatever ends an
attempt spends its token, all but expiry: that keeps the holder on record, and until another agent takes
the task it may still write. A task that is ready and has a `not_before` waits for that moment; `due` ends
the wait. An attempt whose inputs are made again while it runs is outdated: when it is done, the task is
done once more.

";

const LEGEND: &str = "
A cell says where the move leads and which event tells of it; with several, the rest of the state
decides: attempts left, dependencies open, deadlines. `·` is no move (`IllegalMove`), *lost* is refused as
`LeaseLost` (as every write with any other token is, everywhere), *too early* has to wait for the clock.
Repeating the newest settle is no second move: it is recognised by its request and token and answered with where
the task stands now, also when somebody has claimed the task since. Once a later attempt is settled, it is *lost*.
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("## The moves\n\n");
    for (mv, sentence) in moves() {
        writeln!(page, "- **{}**: {sentence}", name(&mv)).unwrap();
    }
    page.push_str("\n## Every state and every move\n\n| move |");
    for status in TaskStatus::ALL {
        write!(page, " {status} |").unwrap();
    }
    page.push_str("\n|---|---|---|---|---|---|---|\n");
    for (mv, _) in moves() {
        write!(page, "| {} |", name(&mv)).unwrap();
        for status in TaskStatus::ALL {
            write!(page, " {} |", cell(status, &mv)).unwrap();
        }
        page.push('\n');
    }
    page.push_str(LEGEND);
    page
}

#[test]
fn the_page_says_what_the_table_does() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/state-machine.md");
    let page = page();
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    assert!(written == page, "docs/state-machine.md is stale: run this test with UPDATE=1");
}

/// Runs `check` on every move that is made.
fn each_move(check: impl Fn(&TaskState, &Move, &TaskState)) {
    for status in TaskStatus::ALL {
        for state in states(status) {
            for (mv, _) in moves() {
                if let Ok(moved) = apply(&state, &mv, NOW) {
                    check(&state, &mv, &moved.state);
                }
            }
        }
    }
}

#[test]
fn what_is_done_stays_done_unless_an_amendment_names_it_and_only_a_person_revives_the_rest() {
    each_move(|before, mv, after| {
        if before.status.is_finished() && after.status != before.status {
            assert!(matches!(mv, Move::Retry(_) | Move::Redo { .. }), "{mv:?}");
            assert!(before.status != TaskStatus::Done || matches!(mv, Move::Redo { .. }), "{mv:?}");
        }
    });
}

#[test]
fn a_running_task_has_a_holder_and_a_finished_one_has_none() {
    each_move(|before, mv, after| {
        let held = after.holder.as_ref().is_some_and(|holder| !holder.expired);
        assert_eq!(held, after.status == TaskStatus::Running, "{mv:?} on {before:?}");
        assert!(!after.status.is_finished() || after.holder.is_none(), "{mv:?} on {before:?}");
    });
}

#[test]
fn nothing_is_ready_with_an_open_dependency_nor_blocked_without_one() {
    each_move(|before, mv, after| {
        assert!(after.status != TaskStatus::Ready || after.open == 0, "{mv:?} on {before:?}");
        assert!(after.status != TaskStatus::Blocked || after.open > 0, "{mv:?} on {before:?}");
    });
}

#[test]
fn only_a_ready_task_waits_and_only_a_finished_one_has_ended() {
    each_move(|before, mv, after| {
        assert!(after.not_before.is_none() || after.status == TaskStatus::Ready, "{mv:?} on {before:?}");
        if before.status != after.status {
            assert_eq!(after.ended_at.is_some(), after.status.is_finished(), "{mv:?} on {before:?}");
        }
    });
}

#[test]
fn no_move_takes_a_token_back_and_only_a_claim_gives_one() {
    each_move(|before, mv, after| {
        let claimed = matches!(mv, Move::Claim { .. });
        assert_eq!(after.token > before.token, claimed, "{mv:?}");
        assert!(after.token >= before.token, "{mv:?}");
    });
}

#[test]
fn any_other_token_is_lost_in_every_state() {
    let other = Token::from_u64(token().as_u64() - 1);
    let outcome = Outcome::Release { reason: String::new() };
    let writes = [
        Move::Renew { token: other, expires_at: FUTURE, progress: None },
        Move::Settle { token: other, request: request(), outcome },
    ];
    for status in TaskStatus::ALL {
        for state in states(status) {
            for mv in &writes {
                assert!(
                    matches!(apply(&state, mv, NOW), Err(Refusal::LeaseLost { .. })),
                    "{mv:?} on {state:?}"
                );
            }
        }
    }
}

#[test]
fn the_settle_that_ended_an_attempt_is_recognised_until_the_next_claim() {
    for state in states(TaskStatus::Running) {
        for (mv, _) in moves() {
            let Move::Settle { .. } = &mv else { continue };
            let after = apply(&state, &mv, NOW).unwrap().state;
            assert_eq!(apply(&after, &mv, NOW).unwrap_err(), Refusal::Repeated);
        }
    }
}
