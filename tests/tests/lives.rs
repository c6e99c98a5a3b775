//! Orders about agents and groups, over one run and the next.

use downbeat_tests::{Project, task};
use serde_json::json;

const AGENTS: &str = "## Agents\n\n### owl\n- Capabilities: night\n- Groups: dark\n\n### lark\n- Capabilities: day\n\
    - Depends On: owl (started)\n\n## Goals\n\n### g: A goal\n\n";

fn project() -> Project {
    let tasks = [
        task("At night {#night capabilities=night}", "true"),
        task("By day {#day capabilities=day}", "true"),
        task("At night again {#again capabilities=night after=day}", "true"),
    ];
    Project::new(&format!("{AGENTS}{}", tasks.concat()))
}

fn started(project: &Project) -> Vec<String> {
    let events = project.events().into_iter().filter(|event| event.kind == "agent.started");
    events.map(|event| event.agent).collect()
}

#[test]
fn one_slot_serves_agents_that_need_each_other() {
    let project = project();
    project.downbeat(&["run", "--max-workers", "1"]).code(0);
    assert_eq!(started(&project), ["owl", "lark", "owl"]);
    let status = project.json(&["status"]);
    assert_eq!(status["agents"][1]["name"], "owl");
    assert_eq!(
        (&status["agents"][1]["generation"], &status["agents"][1]["groups"]),
        (&json!(2), &json!(["dark"]))
    );
    let ends = project.events().into_iter().filter(|event| event.kind == "agents.all_terminated").count();
    assert_eq!(ends, 1);
}

#[test]
fn a_group_that_was_stopped_stays_so_in_the_next_run() {
    let project = project();
    project.downbeat(&["plan"]).code(0);
    let tasks = project.read("INSTRUCTIONS.md");
    // A first run, so that there is a store.
    project.write("INSTRUCTIONS.md", &tasks.replace("capabilities=night}", "capabilities=moon}"));
    project.downbeat(&["run"]).code(1);
    project.write("INSTRUCTIONS.md", &tasks);

    project.downbeat(&["stop", "group:dark"]).code(0).says(&["group `dark` is to be stopped"]);
    project.downbeat(&["stop", "group:drak"]).code(2).says(&["no group is called `drak`", "is it `dark`?"]);
    project.downbeat(&["restart", "nobody"]).code(2).says(&["no agent is called `nobody`"]);
    let groups = project.json(&["group", "list"]);
    assert_eq!(
        groups[0],
        json!({
            "name": "dark", "agents": ["owl"], "alive": 0, "limit": null, "declared_limit": null,
            "paused": false, "run": false,
        })
    );

    let before = started(&project).len();
    project.downbeat(&["run"]).code(1).says(&["task `night` needs `night`"]);
    // The one that depends on it waits for a person, too.
    assert_eq!(started(&project).len(), before);
    let status = project.json(&["status"]);
    assert_eq!(
        (&status["agents"][1]["name"], &status["agents"][1]["stage"]),
        (&json!("owl"), &json!("stopped"))
    );

    project.downbeat(&["start", "group:dark"]).code(0).says(&["group `dark` is to run"]);
    project.downbeat(&["group", "limit", "dark", "1"]).code(0).says(&["at most 1 agents of group `dark`"]);
    project.downbeat(&["run"]).code(0);
    assert_eq!(started(&project)[before..], ["owl", "lark"]);
    let orders = project.events().into_iter().filter(|event| event.kind == "directive.applied").count();
    assert_eq!(orders, 3);
}

#[test]
fn a_group_s_limit_is_declared_shown_and_overridden() {
    let text = format!("{AGENTS}{}", task("At night {#night capabilities=night}", "true"));
    let project = Project::new(&text.replace("Groups: dark", "Groups: dark (3)"));
    project.downbeat(&["run"]).code(0);

    let limits =
        |groups: &serde_json::Value| (groups[0]["limit"].clone(), groups[0]["declared_limit"].clone());
    assert_eq!(limits(&project.json(&["group", "list"])), (json!(3), json!(3)));
    project.downbeat(&["status"]).code(0).says(&["group dark: 0 of 1 live, at most 3 may"]);
    project.downbeat(&["group", "limit", "dark", "1"]).code(0);
    assert_eq!(limits(&project.json(&["status"])["groups"]), (json!(1), json!(3)));
    project.downbeat(&["group", "list"]).code(0).says(&["1 (declared: 3)"]);
    project.downbeat(&["group", "limit", "dark", "none"]).code(0);
    assert_eq!(limits(&project.json(&["group", "list"])), (json!(3), json!(3)));

    project.write("INSTRUCTIONS.md", &text.replace("Groups: dark", "Groups: dark (0)"));
    project.downbeat(&["plan"]).code(2).says(&["`0` is no limit of a group"]);
}
