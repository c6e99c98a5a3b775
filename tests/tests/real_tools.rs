//! The real command-line agents, where they are installed, against a scripted endpoint on loopback:
//! each one alone plans a goal, does five tasks with its own tools, and finishes.
//!
//! `scripts/install-agents` gets them. A tool that is not on the PATH is said to be missing; the test
//! then shows nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "what a test needs and does not get fails the test"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use downbeat_model_stub::{Rule, Step, Stub};
use downbeat_tests::Project;
use serde_json::{Value, json};

/// Tokens of each answer of the endpoint: in, out, and of those in from a cache.
const USAGE: (u64, u64, u64) = (1_000, 20, 300);

const INSTRUCTIONS: &str = "\
# Parts

## Agents

### ada

### bob

## Goals

### parts: Write a book of five parts

Write four parts, and a fifth that needs all others.
";

fn on_path(name: &str) -> Option<PathBuf> {
    let found = std::env::split_paths(&std::env::var_os("PATH")?)
        .map(|place| place.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        eprintln!("`{name}` is not on the PATH: nothing was shown of it (scripts/install-agents gets it)");
    }
    found
}

fn title(part: usize) -> String {
    format!("WRITE-PART-{part}")
}

/// An endpoint that plans five tasks, and has each write a file.
fn endpoint() -> Stub {
    let (input, output, cached) = USAGE;
    let node = |part: usize| {
        json!({"id": format!("part-{part}"), "title": title(part), "description": "Write the part.",
               "expected_artifacts": [format!("part-{part}.txt")]})
    };
    let edge = |part: usize| json!({"source": format!("part-{part}"), "target": "part-5"});
    let plan = json!({"nodes": (1..=5).map(node).collect::<Vec<_>>(), "edges": (1..5).map(edge).collect::<Vec<_>>()});
    let done = |part: usize| {
        Rule::json(
            json!({"status": "done", "outputs": [format!("part-{part}.txt")], "notes": "It is written.",
                          "summary": "Wrote the part."}),
        )
        .when(title(part))
        .steps([Step::write(format!("part-{part}.txt"), format!("This is part {part}.\n"))])
        .usage(input, output, cached)
    };
    let planning = Rule::json(plan).when("You are the planner of Downbeat").usage(input, output, cached);
    let other = Rule::json(json!({"summary": "Done."})).usage(input, output, cached);
    let rules = std::iter::once(planning).chain((1..=5).map(done)).chain([other]).collect();
    Stub::start(rules).unwrap()
}

/// A home in which each tool finds the endpoint. Not in the temporary directory: Codex refuses that.
fn home(tool: &str, endpoint: &str) -> PathBuf {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("home-{tool}-{}", std::process::id()));
    let _ = fs::remove_dir_all(&home);
    fs::create_dir_all(home.join(".gemini")).unwrap();
    fs::create_dir_all(home.join(".codex")).unwrap();
    let gemini = json!({"security": {"auth": {"selectedType": "gemini-api-key"}}});
    fs::write(home.join(".gemini/settings.json"), gemini.to_string()).unwrap();
    let codex = format!(
        "model_provider = \"stub\"\n[model_providers.stub]\nname = \"stub\"\nbase_url = \"{endpoint}/v1\"\n\
         env_key = \"OPENAI_API_KEY\"\nwire_api = \"responses\"\n"
    );
    fs::write(home.join(".codex/config.toml"), codex).unwrap();
    home
}

/// Runs a whole project with this model and compares what came of it with what the endpoint said.
fn works_off_a_goal(tool: &str, model: &str, reports_usage: bool) {
    if on_path(tool).is_none() {
        return;
    }
    let stub = endpoint();
    let home = home(&model.replace([':', ' ', '/'], "-"), &stub.url());
    let project = Project::new(INSTRUCTIONS);
    let command = |words: &[&str]| -> Command {
        let mut command = project.command(words);
        command
            .env("HOME", &home)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("ANTHROPIC_BASE_URL", stub.url())
            .env("ANTHROPIC_API_KEY", "sk-not-a-real-key-1")
            .env("OPENAI_API_KEY", "sk-not-a-real-key-2")
            .env("GOOGLE_GEMINI_BASE_URL", stub.url())
            .env("GEMINI_API_KEY", "sk-not-a-real-key-3")
            .stdin(Stdio::null());
        command
    };
    let clock = tokio::time::Instant::now();
    let ran = command(&["run", "--llm", model]).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{model}: {said}\nasked: {:#?}", rules_of(&stub));
    for part in 1..=5 {
        let file = project.root().join(format!("part-{part}.txt"));
        let text =
            fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}\n{said}", file.display()));
        assert_eq!(text.trim_end(), format!("This is part {part}."));
    }
    let status: Value =
        serde_json::from_slice(&command(&["status", "--json"]).output().unwrap().stdout).unwrap();
    let goal = &status["goals"][0];
    assert_eq!(goal["status"], "complete", "{status}");
    let reported = stub.reported();
    eprintln!(
        "{model}: {} answers, {} tokens, {} s; status: {goal}",
        reported.answers,
        reported.input_tokens + reported.output_tokens,
        clock.elapsed().as_secs()
    );
    if reports_usage {
        assert_eq!(
            goal["tokens"],
            json!(reported.input_tokens + reported.output_tokens),
            "{goal} {reported:?}"
        );
    }
    // Claude Code prices each answer itself; nobody else says a price.
    let cost = goal["cost_usd"].as_f64().unwrap();
    assert_eq!(cost > 0.0, model == "claude", "{goal}");
    assert!(clock.elapsed() < Duration::from_secs(600));
    let _ = fs::remove_dir_all(home);
}

fn rules_of(stub: &Stub) -> Vec<(String, Option<String>, usize, Vec<String>)> {
    stub.asked().into_iter().map(|asked| (asked.path, asked.rule, asked.tool_results, asked.tools)).collect()
}

#[test]
fn claude_works_off_a_goal() {
    works_off_a_goal("claude", "claude", true);
}

#[test]
fn codex_works_off_a_goal() {
    // Its own default model calls its tools by a program that the endpoint does not write.
    works_off_a_goal("codex", "codex:scripted-model", true);
}

#[test]
fn gemini_works_off_a_goal() {
    works_off_a_goal("gemini", "gemini:gemini-2.5-pro", true);
}

#[test]
fn gemini_works_off_a_goal_through_the_agent_client_protocol() {
    works_off_a_goal("gemini", "acp:gemini --acp --model gemini-2.5-pro", false);
}
