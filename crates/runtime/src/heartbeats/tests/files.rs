//! Which files steer whom, and files that stand in several places.

use super::super::cursor::{Cursor, Level, Rest};
use super::super::file::Seen;
use super::*;
use crate::load::{self, Project};

fn project(root: &Path) -> Project {
    let text = "## Agents\n\n### ada\n- Heartbeat: heartbeat/team.md\n\n### ben\n- Heartbeat: ./heartbeat/../heartbeat/team.md\n\n\
                ### cy\n- Heartbeat: cy.md\n- Max: 3\n\n### dan\n\n## Goals\n\n### g: G\n\n- [ ] Do it {#t}\n  ```sh\n  true\n  ```\n";
    std::fs::write(root.join("INSTRUCTIONS.md"), text).unwrap();
    load::load(&root.join("INSTRUCTIONS.md")).unwrap()
}

fn name(text: &str) -> AgentName {
    AgentName::new(text).unwrap()
}

#[test]
fn a_file_of_several_agents_is_one_file() {
    let root = tempfile::tempdir().unwrap();
    let project = project(root.path());
    let files = SteeringFile::of_project(&project);
    assert_eq!(
        files.iter().map(|file| file.name.as_str()).collect::<Vec<_>>(),
        ["heartbeat/team.md", "cy.md"]
    );
    assert_eq!(files[0].agents.iter().map(AgentName::as_str).collect::<Vec<_>>(), ["ada", "ben"]);

    let copies: Vec<&str> = files[1].agents.iter().map(AgentName::as_str).collect();
    assert_eq!(copies, ["cy", "cy-2", "cy-3"]);
    assert_eq!(files[1].declared.iter().map(AgentName::as_str).collect::<Vec<_>>(), ["cy"]);

    // A process of its own reads the same file under the same name.
    assert_eq!(SteeringFile::of_agent(&project, &name("ben"), &name("ben"), None), files[..1]);
    let path = root.path().join("heartbeat/team.md");
    assert_eq!(SteeringFile::of_agent(&project, &name("ben"), &name("ben"), Some(&path)), files[..1]);
    assert_eq!(SteeringFile::of_agent(&project, &name("dan"), &name("dan"), None), []);

    // One that works as another is steered by that one's file, and leaves the tasks to its readers.
    let both = SteeringFile::of_agent(&project, &name("cy-7"), &name("cy"), None);
    assert_eq!(both[0], files[1]);
    assert_eq!(both[1].only, Some(name("cy-7")));
    assert_ne!(both[0].key(), both[1].key());
}

#[tokio::test]
async fn one_that_works_as_another_is_steered_and_no_task_is_dropped_twice() {
    let root = tempfile::tempdir().unwrap();
    let project = project(root.path());
    std::fs::write(root.path().join("cy.md"), "PAUSE\nDROP-TASK t\nWRONG\n").unwrap();
    let cache = memory();
    Heartbeats::new(&cache, SteeringFile::of_project(&project)).look().await;
    let files = SteeringFile::of_agent(&project, &name("cy-7"), &name("cy"), None);
    Heartbeats::new(&cache, files).look().await;

    let events = events(cache.as_ref()).await;
    let said: Vec<(Option<&str>, &str)> = events
        .iter()
        .map(|event| (event.what.agent.as_ref().map(AgentName::as_str), event.what.kind.as_str()))
        .collect();
    assert_eq!(
        said,
        [
            (Some("cy"), "directive.applied"),
            (Some("cy-2"), "directive.applied"),
            (Some("cy-3"), "directive.applied"),
            (None, "directive.refused"),
            (Some("cy"), "alert.heartbeat"),
            (Some("cy-7"), "directive.applied"),
        ]
    );
    assert_eq!(events[3].what.data["by"], "cy.md:2");
    assert_eq!(
        events[4].what.reason.as_deref(),
        Some(
            "cy.md:3: `WRONG` is not a directive: the directives are PAUSE, RESUME, REPARSE, DROP-TASK, ELEVATE, FLUSH-MEMORY; write prose in lower case"
        )
    );
}

/// Takes in what the file says in one place, and says how many lines acted.
fn take(cursor: &mut Cursor, at: &str, text: &str, rest: Rest) -> usize {
    let step = cursor.step(at, &Seen::of("h", text.as_bytes()), rest, 50);
    *cursor = std::mem::take(cursor).after(step.place, Vec::new());
    step.acts.len()
}

#[test]
fn a_file_that_several_machines_see_acts_once() {
    let mut cursor = Cursor::default();
    let (one, two) = ("DROP-TASK a\n", "DROP-TASK a\nDROP-TASK b\n");
    assert_eq!(take(&mut cursor, "m1", one, Rest::File), 1);
    assert_eq!(take(&mut cursor, "m2", one, Rest::File), 0);
    assert_eq!(take(&mut cursor, "m1", two, Rest::File), 1);
    // A machine that sees it late, and one that has never seen it.
    assert_eq!(take(&mut cursor, "m2", one, Rest::None), 0);
    assert_eq!(take(&mut cursor, "m3", two, Rest::File), 0);
    assert_eq!(take(&mut cursor, "m2", two, Rest::File), 0);
}

#[test]
fn copies_that_differ_do_not_take_turns() {
    let mut cursor = Cursor::default();
    for _ in 0..3 {
        take(&mut cursor, "m1", "DROP-TASK a\n", Rest::File);
        take(&mut cursor, "m2", "", Rest::File);
    }
    assert_eq!(take(&mut cursor, "m1", "DROP-TASK a\n", Rest::File), 0);
    // What was known long ago in another place does not hold up an order in this one.
    assert_eq!(take(&mut cursor, "m1", "", Rest::File), 0);
    assert_eq!(take(&mut cursor, "m1", "DROP-TASK a\n", Rest::File), 1);
}

#[test]
fn many_lines_act_in_several_steps() {
    let text: String = (0..500).map(|number| format!("DROP-TASK t{number}\n")).collect();
    let mut cursor = Cursor::default();
    let mut steps = Vec::new();
    loop {
        let step = cursor.step("m", &Seen::of("h", text.as_bytes()), Rest::File, 50);
        let more = step.more;
        steps.push(step.acts.len());
        cursor = cursor.after(step.place, Vec::new());
        if !more {
            break;
        }
    }
    assert_eq!(steps, [50; 10]);
    assert_eq!(take(&mut cursor, "m", &text, Rest::File), 0);
}

#[test]
fn a_document_is_within_the_bounds_of_a_cache() {
    let text: String =
        (0..10_000).map(|number| format!("DROP-TASK a-long-name-of-a-task-{number}\n")).collect();
    let mut cursor = Cursor::default();
    let seen = Seen::of("h", text.as_bytes());
    for machine in 0..10 {
        let step = cursor.step(&format!("machine-{machine}"), &seen, Rest::File, 20_000);
        cursor = cursor.after(step.place, Vec::new());
    }
    let bytes = serde_json::to_string(&cursor).unwrap().len();
    assert!(bytes < downbeat_core::cache::MAX_VALUE, "{bytes}");
}

#[test]
fn the_level_is_kept_with_the_place() {
    let mut cursor = Cursor::default();
    assert_eq!(take(&mut cursor, "m", "PAUSE\nRESUME\n", Rest::None), 1);
    assert_eq!(cursor.places[0].level, Some(Level::Resume));
    assert_eq!(take(&mut cursor, "m", "PAUSE\n", Rest::None), 0, "it may be being rewritten");
    assert_eq!(take(&mut cursor, "m", "PAUSE\n", Rest::File), 1);
    assert_eq!(cursor.places[0].level, Some(Level::Pause));
}
