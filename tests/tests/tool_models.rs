//! Whole runs with a command-line agent that behaves badly: it cannot be asked, it does not end, it
//! leaves processes behind, it tells what it should not. The agent is a script in the place of Claude
//! Code, which says what the real one was seen to say.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use downbeat_tests::redis::Redis;
use downbeat_tests::{Fifo, Project, Running, processes_of};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use tokio::time::Instant;

/// In this time all that an agent started is gone.
const ENDED: Duration = Duration::from_secs(2);

const SECRET: &str = "sk-ant-very-secret-0123456789";
const OTHERS: &str = "of-somebody-else-0123456789";

/// What begins, says something and the half of a line, and goes on for ever: itself, a child, and a
/// daemon of a session of its own. Each holds the pipe.
const ENDLESS: &str = r#"
exec 3> "$HERE/pipe"
trap '' TERM INT HUP
echo '{"type":"assistant","message":{"id":"m1","model":"claude-x","content":[{"type":"text","text":"I begin."}],"usage":{"input_tokens":70,"output_tokens":5}}}'
printf 'half of a li'
setsid -f sh -c 'trap "" TERM INT HUP; (setsid -f sleep 1000 &); echo up >&3; while :; do sleep 1000; done'
sleep 1000 &
while :; do sleep 1000; done"#;

/// A project with one task for a model, and an agent that does `asked` with its question.
struct Place {
    project: Project,
}

impl Place {
    /// `head` is the checklist's task; without one a model has to plan.
    fn new(head: Option<&str>, asked: &str) -> Self {
        let tasks = head.map_or("Do what is right.".to_owned(), |head| format!("- [ ] {head}"));
        let project = Project::new(&format!(
            "## Agents\n\n### ada\n\n## Goals\n\n### demo: A demonstration\n- Workspace: work\n\n{tasks}\n"
        ));
        let place = Self { project };
        place.agent(&format!(
            "case \"$*\" in --version) echo '2.1.197 (Claude Code)'; exit ;; 'auth status') echo '{{\"loggedIn\": true}}'; exit ;; esac\n\
             cat > \"$HERE/question\"\n{asked}"
        ));
        place
    }

    /// Puts another script in the agent's place.
    fn agent(&self, script: &str) {
        let root = self.project.root().display();
        self.project.write("bin/claude", &format!("#!/bin/sh\nHERE='{root}'\n{script}\n"));
        let program = self.project.path("bin/claude");
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.project.command(words);
        command
            .env("PATH", format!("{}:/usr/bin:/bin", self.project.path("bin").display()))
            .env("HOME", self.project.root())
            .env("ANTHROPIC_API_KEY", SECRET)
            .env("OTHER_TOKEN", OTHERS);
        command
    }

    fn start(&self, words: &[&str]) -> Running {
        Running::start(self.command(words))
    }

    /// The log of the first attempt.
    fn log(&self, task: &str) -> PathBuf {
        let logs = fs::read_dir(self.project.path(&format!(".downbeat/logs/{task}"))).unwrap().flatten();
        let kept = |log: &PathBuf| fs::read_to_string(log).unwrap().contains("I begin.");
        logs.map(|log| log.path()).find(kept).unwrap()
    }

    /// Nothing runs any more. A guard of ours ends after what it guards: it has until the same time.
    fn is_quiet(&self) {
        let since = Instant::now();
        loop {
            let left = processes_of(self.project.root());
            if left.is_empty() {
                return;
            }
            assert!(since.elapsed() < ENDED, "{left:?}");
            std::thread::yield_now();
        }
    }

    /// Nothing runs any more, and what was said until then is kept and can be found.
    fn is_quiet_and_kept(&self, command: impl Fn(&[&str]) -> Command) {
        self.is_quiet();
        let log = self.log("a");
        let kept = fs::read_to_string(&log).unwrap();
        assert!(kept.contains("I begin.") && kept.contains("half of a li"), "{kept}");
        let shown = Running::start(command(&["task", "show", "a"])).wait().code(0).text();
        let name = log.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(shown.contains(&name), "{name} is not in:\n{shown}");
        let shown = Running::start(command(&["task", "show", "a", "--json"])).wait().code(0).json();
        let attempt = &shown["attempts"][0];
        assert!(attempt["output"].as_str().is_some_and(|path| path.ends_with(&name)), "{shown}");
    }
}

/// The lines with which the agent gives `answer`.
fn says(answer: &Value) -> String {
    let line = json!({"type": "result", "subtype": "success", "is_error": false, "result": answer.to_string(),
                      "total_cost_usd": 0.01, "usage": {"input_tokens": 70, "output_tokens": 20}});
    format!("cat <<'END'\n{line}\nEND")
}

fn done() -> Value {
    json!({"status": "done", "outputs": [], "notes": "It is done.", "summary": "Done."})
}

#[test]
fn a_timeout_ends_all_of_an_agent_and_keeps_what_it_said() {
    let place = Place::new(Some("Endless {#a timeout=3s attempts=1}"), ENDLESS);
    let pipe = Fifo::new(&place.project.path("pipe"));
    let run = place.start(&["run", "--llm", "claude"]);
    assert_eq!(pipe.line(), "up");
    let up = Instant::now();
    pipe.closed();
    assert!(up.elapsed() < Duration::from_secs(3) + ENDED, "{:?}", up.elapsed());
    run.wait().code(1).says(&["did not answer within 3s"]);
    place.is_quiet_and_kept(|words| place.command(words));
    // What the agent had reported until then is counted.
    let task = place.project.task("a");
    assert_eq!((&task["usage"]["model_calls"], &task["usage"]["tokens"]), (&json!(1), &json!(75)), "{task}");
}

#[test]
fn ctrl_c_twice_ends_all_of_an_agent_and_keeps_what_it_said() {
    let place = Place::new(Some("Endless {#a}"), ENDLESS);
    let pipe = Fifo::new(&place.project.path("pipe"));
    let mut run = place.start(&["run", "--llm", "claude"]);
    assert_eq!(pipe.line(), "up");
    run.signal(Signal::SIGINT);
    run.wait_for("finishing 1 running task");
    let asked = Instant::now();
    run.signal(Signal::SIGINT);
    pipe.closed();
    assert!(asked.elapsed() < ENDED, "{:?}", asked.elapsed());
    run.wait().code(4).says(&["carries on"]);
    place.is_quiet_and_kept(|words| place.command(words));
    let task = place.project.task("a");
    assert_eq!(task["status"], "ready");
    // What it had reported until then is counted.
    assert_eq!((&task["usage"]["model_calls"], &task["usage"]["tokens"]), (&json!(1), &json!(75)), "{task}");
}

#[test]
fn ctrl_c_ends_an_agent_that_plans() {
    let place = Place::new(None, ENDLESS);
    let pipe = Fifo::new(&place.project.path("pipe"));
    let run = place.start(&["run", "--llm", "claude"]);
    assert_eq!(pipe.line(), "up");
    let asked = Instant::now();
    run.signal(Signal::SIGINT);
    pipe.closed();
    assert!(asked.elapsed() < ENDED, "{:?}", asked.elapsed());
    run.wait().code(4);
    place.is_quiet();
}

#[tokio::test]
async fn a_lease_that_ran_out_ends_all_of_an_agent_and_keeps_what_it_said() {
    let once =
        format!("test -e \"$HERE/again\" && {{ {}\nexit; }}\ntouch \"$HERE/again\"{ENDLESS}", says(&done()));
    let place = Place::new(Some("Endless {#a}"), &once);
    let pipe = Fifo::new(&place.project.path("pipe"));
    let redis = Redis::start();
    let command = |words: &[&str]| {
        let mut command = place.command(words);
        command.env("DOWNBEAT_CACHE", redis.url()).env("DOWNBEAT_LEASE_TTL", "1s");
        command
    };
    let run = Running::start(command(&["run", "--llm", "claude"]));
    assert_eq!(pipe.line(), "up");
    // It sleeps for longer than its lease lasts, like a machine that is shut and opened again.
    run.signal(Signal::SIGSTOP);
    let expires: u64 = redis.hash("task:a")["lease_expires"].parse().unwrap();
    // The lease's end is a moment of the server's clock, and nobody is awake who could tell of it.
    let now: Vec<u64> = redis.cli(&["TIME"]).iter().map(|part| part.parse().unwrap()).collect();
    let left = (expires + 100).saturating_sub(now[0] * 1_000 + now[1] / 1_000);
    tokio::time::sleep(Duration::from_millis(left)).await;
    let woken = Instant::now();
    run.signal(Signal::SIGCONT);
    pipe.closed();
    assert!(woken.elapsed() < ENDED, "{:?}", woken.elapsed());
    // The next attempt is a good one.
    run.wait().code(0).says(&["1 of 1 task done"]);
    place.is_quiet_and_kept(command);
}

#[test]
fn a_person_who_cancels_ends_all_of_an_agent_and_keeps_what_it_said() {
    let place = Place::new(Some("Endless {#a}"), ENDLESS);
    let pipe = Fifo::new(&place.project.path("pipe"));
    let redis = Redis::start();
    let command = |words: &[&str]| {
        let mut command = place.command(words);
        command.env("DOWNBEAT_CACHE", redis.url()).env("DOWNBEAT_LEASE_TTL", "3s");
        command
    };
    let run = Running::start(command(&["run", "--llm", "claude"]));
    assert_eq!(pipe.line(), "up");
    Running::start(command(&["task", "cancel", "a"])).wait().code(0);
    let cancelled = Instant::now();
    pipe.closed();
    assert!(cancelled.elapsed() < ENDED, "{:?}", cancelled.elapsed());
    run.wait().code(1);
    place.is_quiet_and_kept(command);
}

#[test]
fn an_agent_that_tells_its_secrets_and_floods_gives_nothing_away_and_leaves_nothing() {
    let asked = format!(
        r#"
env; env >&2; cat /proc/self/environ /proc/$PPID/environ 2>/dev/null | tr '\0' '\n'
echo "{{\"type\":\"assistant\",\"message\":{{\"id\":\"m\",\"content\":[{{\"type\":\"text\",\"text\":\"the key is $ANTHROPIC_API_KEY\"}}]}}}}"
yes 'a flood of output' | head -c 5000000; echo
setsid -f sleep 1000; (trap '' HUP TERM; sleep 1000 &)
test -e "$HERE/again" && {{ {answer}
exit; }}
touch "$HERE/again"
echo "{{\"type\":\"result\",\"subtype\":\"success\",\"is_error\":true,\"result\":\"it failed: $ANTHROPIC_API_KEY\"}}"
exit 1"#,
        answer =
            says(&json!({"status": "done", "outputs": [], "notes": "The key is KEY.", "summary": "KEY"}))
                .replace("<<'END'", "<<END")
                .replace("KEY", "$ANTHROPIC_API_KEY")
    );
    let place = Place::new(Some("Tell {#a attempts=3}\n- [ ] Next {#b after=a}"), &asked);
    let ran = place.start(&["run", "--llm", "claude"]).wait().code(0);
    place.is_quiet();
    let mut everything = ran.text();
    for words in [
        &["events", "--json"][..],
        &["status", "--json"],
        &["task", "show", "a", "--json"],
        &["task", "show", "b", "--json"],
        &["why", "a"],
    ] {
        everything += &place.project.downbeat(words).text();
    }
    everything += &place.project.read("question");
    assert!(everything.contains("[secret]"), "it was told, and taken out");
    let logs = fs::read_dir(place.project.path(".downbeat/logs/a")).unwrap().flatten();
    let mut sizes = Vec::new();
    for log in logs {
        let bytes = fs::read(log.path()).unwrap();
        sizes.push(bytes.len());
        everything += &String::from_utf8_lossy(&bytes);
    }
    assert!(!sizes.is_empty() && sizes.iter().all(|size| *size < 12_000_000), "{sizes:?}");
    for secret in [SECRET, OTHERS] {
        let at = everything.find(secret);
        assert!(at.is_none(), "a secret is in: {:?}", at.and_then(|at| everything.get(at - 200..at + 60)));
    }
}

/// A run that has to be refused before anything is started.
fn refused(place: &Place, command: Command) -> String {
    let ran = Running::start(command).wait().code(2);
    assert!(!place.project.path("question").exists(), "a model was asked");
    assert!(!place.project.path("work").exists(), "something was started");
    ran.text()
}

#[test]
fn a_model_that_is_not_installed_is_refused_before_anything_starts() {
    let place = Place::new(Some("Do it {#a}"), &says(&done()));
    fs::remove_file(place.project.path("bin/claude")).unwrap();
    let said = refused(&place, place.command(&["run", "--llm", "claude"]));
    assert!(said.contains("model `claude` is needed and cannot be asked"), "{said}");
    assert!(said.contains("npm install -g @anthropic-ai/claude-code"), "{said}");
}

#[test]
fn every_model_that_cannot_be_asked_is_told_at_once() {
    let place = Place::new(Some("Do it {#a}"), &says(&done()));
    place.agent(
        "case \"$*\" in --version) echo 2.1.197 ;; 'auth status') echo '{\"loggedIn\": false}' ;; esac",
    );
    let text = place.project.read("INSTRUCTIONS.md");
    let more = "### bob\n- Llm: openai:gpt-x\n\n### eve\n- Llm: ollama:any\n- Goal: other\n\n## Goals\n\n\
                ### other: Another\n\n- [ ] Say it {#o}\n  ```sh\n  true\n  ```\n";
    place.project.write("INSTRUCTIONS.md", &text.replace("## Goals\n", more));
    let said = refused(&place, place.command(&["run", "--llm", "claude"]));
    assert!(said.contains("2 models are needed and cannot be asked"), "{said}");
    assert!(said.contains("not signed in") && said.contains("run `claude` once and sign in"), "{said}");
    assert!(said.contains("OPENAI_API_KEY"), "{said}");
    assert!(!said.contains("ollama"), "nothing is left for that one: {said}");
    assert!(!said.contains(SECRET), "{said}");
}

#[test]
fn a_missing_key_is_refused_before_anything_starts_and_before_the_store_is_moved_aside() {
    let place = Place::new(None, &says(&done()));
    for words in [&["run", "--llm", "anthropic:m"][..], &["run", "--fresh", "--llm", "anthropic:m"]] {
        let mut command = place.command(words);
        command.env_remove("ANTHROPIC_API_KEY");
        let said = refused(&place, command);
        assert!(said.contains("set ANTHROPIC_API_KEY"), "{said}");
    }
}

#[test]
fn a_look_that_takes_long_is_no_refusal_and_who_has_nothing_to_do_is_not_looked_at() {
    let place = Place::new(Some("Do it {#a}"), &says(&done()));
    place.agent(&format!(
        "case \"$*\" in --version) sleep 1000 ;; esac\ncat > \"$HERE/question\"\n{}",
        says(&done())
    ));
    place.start(&["run", "--llm", "claude"]).wait().code(0).says(&["1 of 1 task done"]);
    // All is done: nobody is needed any more.
    fs::remove_file(place.project.path("bin/claude")).unwrap();
    place.start(&["run", "--llm", "claude"]).wait().code(0).says(&["Nothing to do"]);
}
