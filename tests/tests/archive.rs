//! A finished goal leaves the store, and what is known of it is kept.

use downbeat_tests::{Project, task};
use serde_json::Value;

fn project() -> Project {
    let tasks = [task("One {#one}", "test $DOWNBEAT_ATTEMPT -gt 1"), task("Two {#two after=one}", "true")];
    Project::of_tasks(&tasks.concat())
}

#[test]
fn a_goal_is_removed_with_its_archive_and_can_run_anew() {
    let project = project();
    project.downbeat(&["run"]).code(0);
    project.downbeat(&["goal", "remove", "demo"]).code(1).says(&["has no archive", "goal archive demo"]);

    let archived =
        project.downbeat(&["goal", "archive", "demo", "--to", "demo.jsonl", "--json"]).code(0).json();
    assert_eq!(archived["archive"]["tasks"], 2);
    let lines = project.lines("demo.jsonl");
    let values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| values.iter().filter(|value| !value[kind].is_null()).count();
    assert_eq!((of("goal"), of("dag"), of("task"), of("end")), (1, 1, 2, 1));
    let one = values.iter().find(|value| value["task"]["node"]["id"] == "one").unwrap();
    assert_eq!(one["task"]["ended"][0]["outcome"], "retry");
    assert!(of("event") >= 6, "{} events", of("event"));
    project.downbeat(&["goal", "archive", "demo", "--to", "demo.jsonl"]).code(2).says(&["is there already"]);

    let nowhere = project.path("nowhere/demo.jsonl");
    let ran = project.downbeat(&["goal", "archive", "demo", "--to", nowhere.to_str().unwrap()]).code(70);
    ran.says(&["cannot write or read the archive", "nowhere/demo.jsonl", "--to"]);
    assert!(!ran.text().contains(".draft"), "{}", ran.text());

    // An archive that is cut off or altered is none.
    project.write("cut.jsonl", &format!("{}\n", lines[..lines.len() - 1].join("\n")));
    project.write("altered.jsonl", &format!("{}\n", lines.join("\n").replace("retry", "rewry")));
    for file in ["cut.jsonl", "altered.jsonl"] {
        project.downbeat(&["goal", "remove", "demo", "--archive", file]).code(1).says(&["no whole archive"]);
    }
    assert!(project.path(".downbeat/logs/one").exists());
    project
        .downbeat(&["goal", "remove", "demo", "--archive", "demo.jsonl"])
        .code(0)
        .says(&["2 tasks are removed"]);
    assert!(!project.path(".downbeat/logs/one").exists(), "its logs are left");
    project.downbeat(&["goal", "remove", "demo"]).code(2).says(&["no goal is called `demo`"]);
    project.downbeat(&["task", "show", "one"]).code(2);
    assert!(project.events().iter().any(|event| event.kind == "goal.removed"));

    // The same plan again; the archive of before is not of it.
    project.downbeat(&["run"]).code(0);
    project.downbeat(&["goal", "remove", "demo", "--archive", "demo.jsonl"]).code(1).says(&["as it is now"]);
    project.downbeat(&["goal", "archive", "demo"]).code(0);
    project.downbeat(&["goal", "remove", "demo"]).code(0).says(&["its archive is"]);
}

#[test]
fn a_goal_that_is_not_finished_stays() {
    let project = Project::of_tasks(&task("Never {#never capabilities=gpu}", "true"));
    project.downbeat(&["run"]).code(1);
    project
        .downbeat(&["goal", "remove", "demo", "--without-archive"])
        .code(1)
        .says(&["is not finished", "goal cancel"]);
    project.downbeat(&["goal", "cancel", "demo"]).code(0);
    project.downbeat(&["goal", "remove", "demo", "--without-archive"]).code(0).says(&["1 tasks are removed"]);
}
