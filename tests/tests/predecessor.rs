//! A project of the predecessor's published form runs as it is, with our program in place of theirs: the very
//! command of its `systemg.yaml`, on a real Redis, against a scripted model.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use downbeat_tests::redis::Redis;
use downbeat_tests::{Event, Project, Running, binary, repository};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

/// Task, who may do it, what it leaves, and what it waits for.
const TASKS: [(&str, &str, &str, &[&str]); 6] = [
    ("catalogue", "core-dev", "catalogue.json", &[]),
    ("page", "page-dev", "page.html", &["catalogue"]),
    ("feed", "feed-dev", "feed.xml", &["catalogue"]),
    ("join", "team-lead", "press-room.txt", &["page", "feed"]),
    ("test", "qa-dev", "report.md", &["join"]),
    ("sign", "owner", "sign-off.md", &["test"]),
];

/// The fixture in a directory of its own, with a scripted model on its PATH.
struct Place {
    project: Project,
    redis: Redis,
}

impl Place {
    fn new() -> Self {
        let project = Project::empty();
        copy(&repository().join("fixtures/predecessor"), project.root());
        let place = Self { project, redis: Redis::start() };
        place.model();
        place
    }

    /// Claude Code, which plans and does what the plan says. It keeps all that it is asked.
    fn model(&self) {
        let nodes = TASKS.map(|(id, role, artifact, _)| {
            json!({"id": id, "title": format!("DO-{id}"), "description": "Do it.", "capabilities": [role],
                   "expected_artifacts": [artifact]})
        });
        let edges = TASKS.iter().flat_map(|(id, _, _, after)| {
            after.iter().map(move |source| json!({"source": source, "target": id}))
        });
        let plan = json!({"nodes": nodes, "edges": edges.collect::<Vec<_>>()});
        let done = json!({"status": "done", "outputs": [], "notes": "It is done.", "summary": "Done."});
        let mut script = format!(
            "#!/bin/sh\nHERE='{}'\n\
             case \"$*\" in --version) echo '2.1.197 (Claude Code)'; exit ;; 'auth status') echo '{{\"loggedIn\": true}}'; exit ;; esac\n\
             asked=$(mktemp \"$HERE/asked/XXXXXX\")\ncat > \"$asked\"\necho \"$*\" > \"$asked.args\"\n\
             if grep -q 'planner of Downbeat' \"$asked\"; then mv \"$asked\" \"$HERE/asked/plan-$$\"\n{}\nexit\nfi\n",
            self.project.root().display(),
            says(&plan)
        );
        for (id, _, artifact, _) in TASKS {
            script.push_str(&format!("grep -q '^.*DO-{id}' \"$asked\" && wanted={artifact}\n"));
        }
        // The task that is asked for is named first, those that went before it later.
        script.push_str(&format!(
            "wanted=$(grep -o 'DO-[a-z]*' \"$asked\" | head -1)\ncase $wanted in\n{}\nesac\n{}\n",
            TASKS.map(|(id, _, artifact, _)| format!("DO-{id}) echo \"$wanted\" > {artifact} ;;")).join("\n"),
            says(&done)
        ));
        fs::create_dir(self.project.path("asked")).unwrap();
        self.project.write("bin/claude", &script);
        fs::set_permissions(self.project.path("bin/claude"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// A command in the project, with the scripted model on its PATH.
    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command
            .env("PATH", format!("{}:/usr/bin:/bin", self.project.path("bin").display()))
            .env("ANTHROPIC_API_KEY", "sk-ant-not-a-real-key-1");
        command
    }

    fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(words))
    }

    /// What `systemg.yaml` starts, with our program and this test's Redis.
    fn service(&self) -> Running {
        let manifest = self.project.read("systemg.yaml");
        let (_, command) = manifest.split_once("command: >-").unwrap();
        let (command, _) = command.split_once("restart_policy").unwrap();
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[..2], ["porki", "run"]);
        let url = format!("unix://{}", self.redis.socket().display());
        let words: Vec<&str> = words[1..]
            .iter()
            .map(|word| if word.starts_with("redis://") { url.as_str() } else { word })
            .collect();
        let mut command = self.command(&words);
        let (_, variables) = manifest.split_once("vars:\n").unwrap();
        for line in variables.lines().take_while(|line| line.starts_with("        ")) {
            let (name, value) = line.split_once(':').unwrap();
            command.env(name.trim(), value.trim().trim_matches('"'));
        }
        Running::start(command)
    }

    /// One of our own commands about the project.
    fn json(&self, words: &[&str]) -> Value {
        let url = self.redis.url();
        let words = [words, &["--project", "instructions", "--cache", &url, "--json"]].concat();
        self.start(&words).wait().code(0).json()
    }

    fn events(&self) -> Vec<Event> {
        let url = self.redis.url();
        let ran =
            self.start(&["events", "--project", "instructions", "--cache", &url, "--json"]).wait().code(0);
        ran.stdout.lines().map(Event::read).collect()
    }

    fn plans(&self) -> Vec<String> {
        let asked = fs::read_dir(self.project.path("asked")).unwrap().flatten();
        let plans = asked.filter(|file| file.file_name().to_string_lossy().starts_with("plan-"));
        plans.map(|file| fs::read_to_string(file.path()).unwrap()).collect()
    }

    /// Every task was done once, by who has the role for it, where the service was started.
    fn is_done(&self) {
        let done = self.events().into_iter().filter(|event| event.kind == "task.done");
        let by: BTreeMap<String, String> = done.map(|event| (event.task, event.agent)).collect();
        let wanted = TASKS.map(|(id, role, _, _)| (id.to_owned(), role.to_owned()));
        assert_eq!(by, BTreeMap::from(wanted));
        for (id, _, artifact, _) in TASKS {
            assert_eq!(self.project.read(artifact), format!("DO-{id}\n"));
            assert!(!self.project.path("instructions").join(artifact).exists());
        }
    }
}

/// The lines with which the model gives `answer`.
fn says(answer: &Value) -> String {
    let line = json!({"type": "result", "subtype": "success", "is_error": false, "result": answer.to_string(),
                      "total_cost_usd": 0.01, "usage": {"input_tokens": 70, "output_tokens": 20}});
    format!("cat <<'END'\n{line}\nEND")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn the_published_form_runs_as_it_is() {
    let place = Place::new();
    let mut service = place.service();
    service.wait_for("Goal press-room is complete");
    // The log says what changes nothing any more, and why.
    let said = service.heard();
    for part in [
        "note: `--heartbeat-interval` changes nothing",
        "note: `--instruction-interval` changes nothing",
        "note: $PORKI_LLM_CONCURRENCY_WAIT_SECONDS changes nothing",
    ] {
        assert!(said.contains(part), "`{part}` is not said in:\n{said}");
    }

    let status = place.json(&["status"]);
    assert_eq!(status["goals"][0]["counts"]["done"], 6);
    let agents = status["agents"].as_array().unwrap();
    assert_eq!(agents.len(), 6, "{status}");
    assert!(agents.iter().all(|agent| agent["liveness"] == "alive"), "{status}");
    place.is_done();
    // The owner's text is what was planned from, and the planner knows all six.
    let plans = place.plans();
    assert_eq!(plans.len(), 1);
    assert!(plans[0].contains("You own the press room"));
    for (_, role, _, _) in TASKS {
        assert!(plans[0].contains(role), "{role} is not in:\n{}", plans[0]);
    }
    // The prose in the files that steer agents steers nobody.
    assert!(!place.events().iter().any(|event| event.kind.starts_with("directive.")));

    // A twin of a living agent is refused, and says who has the name.
    let twin = place.start(&[
        "run",
        "--role",
        "agent",
        "--agent-name",
        "owner",
        "--goal-id",
        "press-room",
        "--instructions",
        "instructions/OWNER.md",
        "--heartbeat",
        "instructions/heartbeat/OWNER.md",
        "--redis-url",
        &place.redis.url(),
    ]);
    let pid = service.id().to_string();
    let twin = twin.wait();
    assert_ne!(twin.status.code(), Some(0));
    twin.says(&["owner", &pid]);

    // `sysg stop` sends SIGTERM; `restart_policy: always` starts it again, which asks the model nothing.
    service.signal(Signal::SIGTERM);
    service.wait().code(0);
    let mut again = place.service();
    again.wait_for("Goal press-room is complete");
    again.signal(Signal::SIGTERM);
    again.wait().code(0);
    assert_eq!(place.plans().len(), 1);
}

#[test]
fn agents_may_be_processes_of_their_own() {
    let place = Place::new();
    let url = place.redis.url();
    // Our own orchestrator has no agents; the predecessor's spelling brings them, each with its own text.
    let orchestrator =
        place.start(&["orchestrator", "instructions/INSTRUCTIONS.md", "--cache", &url, "--llm", "claude"]);
    let agents: Vec<Running> = TASKS
        .iter()
        .enumerate()
        .map(|(at, (_, role, _, _))| {
            let file = format!("{}.md", role.to_uppercase().replace('-', "_"));
            let (text, heartbeat) =
                (format!("instructions/{file}"), format!("instructions/heartbeat/{file}"));
            let common = [
                "--goal-id",
                "press-room",
                "--instructions",
                &text,
                "--heartbeat",
                &heartbeat,
                "--redis-url",
                &url,
            ];
            // Half of them by their own text under our command, which names no model by itself.
            let words = match at % 2 {
                0 => [&["run", "--role", "agent", "--agent-name", role][..], &common].concat(),
                _ => [
                    &["agent", "--name", role, "--role", role, "--llm", "claude", "--keep-running"][..],
                    &common,
                ]
                .concat(),
            };
            let mut command = place.command(&words);
            command.env("DOWNBEAT_WORK_IN", ".");
            Running::start(command)
        })
        .collect();
    orchestrator.wait().code(0).says(&["6 of 6 tasks done"]);
    place.is_done();
    // They stay, as they always did.
    let status = place.json(&["status"]);
    assert_eq!(
        status["agents"].as_array().unwrap().iter().filter(|agent| agent["liveness"] == "alive").count(),
        6
    );
    for agent in agents {
        agent.signal(Signal::SIGTERM);
        agent.wait().code(4);
    }
}

#[test]
fn a_file_is_written_and_looked_at_as_before() {
    let place = Place::new();
    let ran = |words: &[&str]| place.start(words).wait();
    ran(&["instructions", "validate", "--path", "instructions/INSTRUCTIONS.md"])
        .code(0)
        .says(&["valid: instructions/INSTRUCTIONS.md agents=6"]);
    ran(&["instructions", "validate", "--path", "nowhere.md"]).code(2).says(&["no such file: nowhere.md"]);
    ran(&["instructions", "create", "-n", "ui dev/2", "-p", "new"]).code(0).says(&["new/UI_DEV_2.md"]);
    ran(&["instructions", "create", "-n", "ui dev/2", "-p", "new"]).code(2).says(&["--force"]);
    ran(&["instructions", "--log-level", "DEBUG", "create", "-n", "ui-dev-2", "-p", "new", "--force"])
        .code(0);
    ran(&["instructions", "create", "-n", "--", "-p", "new"]).code(2);
    assert!(place.project.read("new/UI_DEV_2.md").contains("## Responsibilities"));
}

#[test]
fn a_question_is_answered_and_the_users_program_and_arguments_are_used() {
    let place = Place::new();
    let answer = says(&json!({"answer": "Well, thank you."}));
    place.project.write(
        "other/agent",
        &format!(
            "#!/bin/sh\ncat > asked-other\necho \"$@\" > \"{}/args\"\n{answer}\n",
            place.project.root().display()
        ),
    );
    fs::set_permissions(place.project.path("other/agent"), fs::Permissions::from_mode(0o755)).unwrap();
    let ran = place
        .start(&[
            "run",
            "-p",
            "How are you?",
            "--llm-cli",
            place.project.path("other/agent").to_str().unwrap(),
            "--llm-extra-arg",
            "--fast now",
        ])
        .wait()
        .code(0);
    assert_eq!(ran.stdout, "Well, thank you.\n");
    assert!(place.project.read("args").trim_end().ends_with("--fast now"));
    // Of our own commands' help nothing of this is a part.
    for command in ["run", "orchestrator", "agent"] {
        let help = Running::start(place.command(&[command, "--help"])).wait().code(0).text();
        for flag in ["--role", "--llm-provider", "--agent-name", "--heartbeat-interval"] {
            assert!(!help.contains(flag), "{command}: {flag}");
        }
    }
    assert!(binary().exists());
}

#[test]
fn what_the_predecessor_left_in_redis_is_neither_misread_nor_destroyed() {
    let place = Place::new();
    // As porki 0.8 writes it: a plan, states and an agent, and nothing of ours.
    let node = r#"{"id":"task-001","title":"Research","priority":10,"expected_artifacts":[],"metadata":{}}"#;
    for words in [
        &["HSET", "dag:press-room:nodes", "task-001", node][..],
        &["HSET", "dag:press-room:deps", "task-001", "[]"],
        &["HSET", "task:task-001", "status", "dev_done", "progress", "It is done."],
        &[
            "HSET",
            "agent:owner:registered",
            "pid",
            "7",
            "timestamp",
            "2026-01-01T00:00:00",
            "cap:role",
            "owner",
        ],
        &["SET", "agent:owner:memory", "[\"Completed task-001\"]"],
    ] {
        place.redis.cli(words);
    }
    let before: Vec<_> = ["dag:press-room:nodes", "task:task-001", "agent:owner:registered"]
        .map(|key| place.redis.hash(key))
        .into();
    let size = place.redis.cli(&["DBSIZE"]);
    let refused = place.service().wait();
    assert_eq!(refused.status.code(), Some(3), "{}", refused.text());
    refused.says(&["predecessor", "nothing was written", "--redis-prefix"]);
    let after: Vec<_> = ["dag:press-room:nodes", "task:task-001", "agent:owner:registered"]
        .map(|key| place.redis.hash(key))
        .into();
    assert_eq!((before, size), (after, place.redis.cli(&["DBSIZE"])));
    assert!(place.plans().is_empty(), "the model was asked");

    // With a prefix of its own it runs beside what is there.
    let url = place.redis.url();
    let mut command = place.command(&[
        "run",
        "--role",
        "orchestrator",
        "--instructions",
        "instructions/INSTRUCTIONS.md",
        "--redis-url",
        &url,
        "--redis-prefix",
        "ours:",
    ]);
    command.env("PORKI_LLM_MAX_CONCURRENCY", "6");
    let mut service = Running::start(command);
    service.wait_for("Goal press-room is complete");
    service.signal(Signal::SIGTERM);
    service.wait().code(0);
    assert_eq!(place.redis.hash("task:task-001").get("status").map(String::as_str), Some("dev_done"));
}
