//! Generated work whose results and traces show whether each task was done once.
#![expect(clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fastrand::Rng;
use serde_json::{Value, json};

use crate::{Event, Project};

/// A generated task: it writes a number that is made of its own and those of its dependencies.
#[derive(Debug)]
pub struct Planned {
    id: String,
    dependencies: Vec<usize>,
    result: u64,
}

/// Layers of up to 25 tasks. Each waits for up to three of the layer before, so that chains part and
/// meet again:
///
/// ```text
/// t000  t001  t002 …
///  │ ╲ ╱ │ ╲  ╱│
/// t025  t026  t027 …
/// ```
///
/// The plan is `plan.json`; the tasks work in `work`, write what they did to `journal/<task>` there, and
/// their results to `out/<task>`.
///
/// # Panics
///
/// The project cannot be written.
pub fn generate(project: &Project, rng: &mut Rng, count: usize) -> Vec<Planned> {
    let mut tasks: Vec<Planned> = Vec::new();
    let (mut nodes, mut edges) = (Vec::new(), Vec::new());
    let mut layer = 0..0;
    while tasks.len() < count {
        let next = tasks.len()..(tasks.len() + rng.usize(15..=25)).min(count);
        for number in next.clone() {
            let wanted = rng.usize(1..=3).min(layer.len());
            let mut dependencies = BTreeSet::new();
            while dependencies.len() < wanted {
                dependencies.insert(rng.usize(layer.clone()));
            }
            let id = format!("t{number:03}");
            let mut result = u64::try_from(number).unwrap() + 17;
            let mut script = String::from(
                "say() { echo \"$DOWNBEAT_TASK $DOWNBEAT_ATTEMPT $DOWNBEAT_TOKEN $1\" >> journal/$DOWNBEAT_TASK; }\nsay start\n",
            );
            writeln!(script, "sum={result}").unwrap();
            for dependency in &dependencies {
                let before = &tasks[*dependency];
                result = (result * 31 + before.result) % 1_000_003;
                writeln!(script, "read x < out/{} && sum=$(( (sum * 31 + x) % 1000003 ))", before.id)
                    .unwrap();
                edges.push(json!({ "source": before.id, "target": id }));
            }
            writeln!(script, "sleep 0.0{:02}", rng.u32(1..=30)).unwrap();
            if rng.u32(0..10) == 0 {
                writeln!(script, "[ $DOWNBEAT_ATTEMPT -gt 1 ] || {{ echo not yet >&2; exit 75; }}").unwrap();
            }
            writeln!(script, "echo $sum > out/{id}\nsay end").unwrap();
            nodes.push(json!({
                "id": id, "title": format!("Task {number}"), "run": script, "max_attempts": 20,
                "priority": rng.u32(0..5), "expected_artifacts": [format!("out/{id}")],
                "checks": [format!("test -s out/{id}")],
            }));
            tasks.push(Planned { id, dependencies: dependencies.into_iter().collect(), result });
        }
        layer = next;
    }
    project.write("plan.json", &json!({ "goal_id": "demo", "nodes": nodes, "edges": edges }).to_string());
    std::fs::create_dir_all(project.path("work/journal")).unwrap();
    std::fs::create_dir_all(project.path("work/out")).unwrap();
    tasks
}

/// Holds what the events and the journals say together: each task was done once, after those it waits for,
/// and came to the right result. Returns how many attempts there were.
///
/// # Panics
///
/// They contradict each other.
pub fn verify(project: &Project, events: &[Event], status: &Value, tasks: &[Planned]) -> u64 {
    for (event, expected) in events.iter().zip(1..) {
        assert_eq!(event.seq, expected, "the log has a gap");
    }
    let counts = &status["goals"][0]["counts"];
    assert_eq!(counts["done"], tasks.len(), "{counts}");
    let mut of_task: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events.iter().filter(|event| event.kind.starts_with("task.")) {
        of_task.entry(&event.task).or_default().push(event);
    }
    let done: BTreeMap<&str, u64> = events
        .iter()
        .filter(|event| event.kind == "task.done")
        .map(|event| (event.task.as_str(), event.seq))
        .collect();
    let mut attempts = 0;
    for task in tasks {
        let events = &of_task[task.id.as_str()];
        let journal = project.lines(&format!("work/journal/{}", task.id));
        let told = || {
            let events: String =
                events.iter().fold(String::new(), |all, event| format!("{all}{}\n", event.value));
            format!("{}:\n{events}{}", task.id, journal.join("\n"))
        };
        let claims = attempts_of(events, &told);
        attempts += u64::try_from(claims.len()).unwrap();
        let last = *claims.last().unwrap_or_else(|| panic!("{}", told()));
        journal_agrees(&journal, &claims, last, &told);
        for dependency in &task.dependencies {
            let before = done[tasks[*dependency].id.as_str()];
            let first = events.iter().find(|event| event.kind == "task.claimed").unwrap();
            assert!(before < first.seq, "claimed before {before}, its dependency's end: {}", told());
        }
        assert_eq!(
            project.read(&format!("work/out/{}", task.id)).trim(),
            task.result.to_string(),
            "{}",
            told()
        );
    }
    attempts
}

/// Each claim is ended by exactly one event before the next claim, and the last of all is `task.done`. But one that
/// expired may be gone on with by its holder, as long as nobody replaced it: then it ends once more.
fn attempts_of(events: &[&Event], told: &dyn Fn() -> String) -> Vec<u64> {
    let mut claims: Vec<u64> = Vec::new();
    let mut held: Option<u64> = None;
    let mut expired: Option<u64> = None;
    let mut done = false;
    for event in events {
        match event.kind.as_str() {
            "task.claimed" => {
                assert!(!done, "claimed after it was done: {}", told());
                assert!(held.is_none(), "claimed while it was held: {}", told());
                assert!(
                    claims.last().is_none_or(|last| *last < event.token),
                    "a token came back: {}",
                    told()
                );
                claims.push(event.token);
                held = Some(event.token);
                expired = None;
            }
            "task.done" | "task.retry" | "task.failed" | "task.released" | "task.expired" => {
                assert_eq!(
                    held.take().or(expired.take()),
                    Some(event.token),
                    "{} ends what nobody holds: {}",
                    event.kind,
                    told()
                );
                assert!(!done, "it goes on after it was done: {}", told());
                done = event.kind == "task.done";
                expired = (event.kind == "task.expired").then_some(event.token);
            }
            _ => assert!(!done, "it goes on after it was done: {}", told()),
        }
    }
    assert!(done && held.is_none(), "it was not done: {}", told());
    claims
}

/// Commands wrote only under tokens that were claimed, in their order, and the last one to its end.
fn journal_agrees(journal: &[String], claims: &[u64], done: u64, told: &dyn Fn() -> String) {
    let mut newest = 0;
    let mut ended = BTreeSet::new();
    for line in journal {
        let words: Vec<&str> = line.split(' ').collect();
        let token: u64 = words[2].parse().unwrap();
        assert!(claims.contains(&token), "no event explains `{line}`: {}", told());
        assert!(token >= newest, "an older attempt wrote beside a newer one: {}", told());
        newest = token;
        match words[3] {
            "end" => assert!(ended.insert(token), "it ended twice: {}", told()),
            _ => assert!(!ended.contains(&token), "it began after its end: {}", told()),
        }
    }
    assert_eq!(newest, done, "the newest attempt is not the one that was done: {}", told());
    assert!(ended.contains(&done), "it was done without coming to its end: {}", told());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempts(told: &str) -> Vec<u64> {
        let events: Vec<Event> = told
            .split(", ")
            .map(|event| {
                let (kind, token) = event.split_once(' ').unwrap();
                let token: u64 = token.parse().unwrap();
                Event::read(&json!({ "kind": format!("task.{kind}"), "token": token }).to_string())
            })
            .collect();
        attempts_of(&events.iter().collect::<Vec<_>>(), &|| told.to_owned())
    }

    #[test]
    fn a_late_holder_goes_on_until_it_is_replaced() {
        assert_eq!(attempts("claimed 1, expired 1, expired 1, claimed 2, done 2"), [1, 2]);
        assert_eq!(attempts("claimed 1, expired 1, done 1"), [1]);
        for wrong in [
            "claimed 1, expired 1, claimed 2, done 1",
            "claimed 1, released 1, done 1",
            "claimed 1, retry 1, expired 1, claimed 2, done 2",
            "claimed 1, expired 1, done 1, done 1",
            "claimed 1, expired 1, done 1, expired 1",
            "claimed 1, expired 1",
        ] {
            assert!(std::panic::catch_unwind(|| attempts(wrong)).is_err(), "{wrong}");
        }
    }
}
