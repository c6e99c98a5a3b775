//! Every example runs, and says what it should.
#![expect(clippy::expect_used, reason = "test code")]

use std::path::PathBuf;
use std::process::Command;

/// The program of an example: `cargo test` builds them all beside this test.
fn program(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows where it is");
    let profile = own.ancestors().nth(2).expect("target/<profile>/deps/<test>");
    profile.join("examples").join(name)
}

fn says(name: &str, expected: &[&str]) {
    let output = Command::new(program(name)).output().expect("the example was built");
    let said = String::from_utf8_lossy(&output.stdout);
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {}\n{said}{wrong}", output.status);
    assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{name}\n{wrong}");
}

#[test]
fn plain_code_is_an_agent() {
    says(
        "plain_code",
        &[
            "setup",
            "attempt 2 of count, after: the words are not there yet",
            "tell is told: three words",
            "on_stop",
            "complete: true",
        ],
    );
}

#[test]
fn code_works_beside_a_model() {
    says(
        "beside_a_model",
        &["numbers: Write some numbers: wrote numbers.txt (21 B).", "add: the sum is 55", "complete: true"],
    );
}

#[test]
fn dependencies_order_the_starts_and_one_slot_serves_all() {
    says(
        "order_and_slots",
        &[
            "first does one",
            "second does two",
            "third does three",
            "first does four",
            "first three starts: first, second, third",
            "complete: true",
        ],
    );
}

#[test]
fn groups_are_stopped_and_waited_for() {
    says(
        "groups",
        &["bat stopped", "owl stopped", "no group is called `dusk`", "still not ended: lark", "ended: 3"],
    );
}

#[test]
fn handlers_hear_of_everything_in_order_and_of_each_other_nothing() {
    says(
        "handlers",
        &["registered", "started", "ready", "timeout", "retry", "terminated ok", "all terminated", "done: 1"],
    );
}

#[test]
fn a_crash_loop_is_quarantined_and_a_restart_is_another_life() {
    let reason = "its setup failed: its licence has run out";
    says(
        "restarts",
        &[
            &format!("quarantined: it ended 3 times within 10m; the last time {reason}"),
            "needy: blocked",
            "steady: 2 lives, 1 restarts",
            "  generation 1 ended: restarted by library, timed: true",
            "shaky: 3 lives, 2 restarts",
            &format!("  generation 1 ended: {reason}, timed: true"),
        ],
    );
}

#[test]
fn a_daemon_stays_until_it_is_stopped() {
    says("daemon", &["only of once", "still there: true", "complete: true"]);
}

#[test]
fn the_lives_of_an_agent_are_known_after_a_crash() {
    says(
        "stats_after_a_crash",
        &[
            "the first process ended well: false",
            "complete: true",
            "generation 1 died",
            "generation 2 ended well",
            "done: 2",
        ],
    );
}
