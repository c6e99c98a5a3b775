//! A whole run with a model behind HTTP: five tasks planned by the model, done with its tools, and
//! every token of it counted.
#![expect(clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use downbeat_model_stub::Stub;
use downbeat_tests::{Project, Running};
use rstest::rstest;
use serde_json::json;

const KEY: &str = "sk-very-s3cret";

const INSTRUCTIONS: &str =
    "## Agents\n\n### ada\n\n### bob\n\n## Goals\n\n### letters: Write letters\n\nWrite five letters.\n";

/// A plan of five tasks, and for each a conversation that writes a file with the tools at hand.
fn rules() -> serde_json::Value {
    let letters = ["alpha", "beta", "gamma", "delta", "omega"];
    let node = |name: &&str| json!({ "id": name, "title": format!("Write {name}"), "expected_artifacts": [format!("{name}.txt")] });
    let edge = |pair: &[&str]| json!({ "source": pair[0], "target": pair[1] });
    let plan = json!({
        "nodes": letters.iter().map(node).collect::<Vec<_>>(),
        "edges": letters[2..].windows(2).map(edge).collect::<Vec<_>>(),
    });
    let mut rules = vec![
        json!({ "schema_has": ["nodes"], "json": plan, "usage": { "input": 1000, "output": 300, "cached": 100 } }),
    ];
    for name in letters {
        let path = format!("{name}.txt");
        let step = match name {
            // One is written by a command, which runs confined.
            "omega" => {
                json!({ "shell": format!("cat delta.txt > {path} && test -z \"$SECRET$ANTHROPIC_API_KEY\"") })
            }
            _ => json!({ "write": { "path": path, "content": format!("This is {name}.\n") } }),
        };
        rules.push(json!({
            "when": format!("Write {name}"),
            "do": [step],
            "json": { "status": "done", "notes": "Written.", "summary": format!("Wrote {name}."), "outputs": [path] },
            "usage": { "input": 400, "output": 40, "cached": 50 },
        }));
    }
    json!(rules)
}

#[rstest]
#[case::anthropic("anthropic:m", "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL")]
#[case::openai("openai:m", "OPENAI_API_KEY", "OPENAI_BASE_URL")]
#[case::gemini("gemini-api:m", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL")]
#[case::ollama("ollama:m", "OLLAMA_API_KEY", "OLLAMA_HOST")]
#[case::compatible("openai-compatible:URL/v1#m", "OPENAI_COMPATIBLE_API_KEY", "UNUSED")]
fn a_goal_is_planned_worked_off_and_counted(#[case] name: &str, #[case] key: &str, #[case] address: &str) {
    let stub = Stub::from_json(&rules()).unwrap();
    let project = Project::new(INSTRUCTIONS);
    let name = name.replace("URL", &stub.url());
    let mut command = project.command(["run", "--llm", &name]);
    command.env(key, KEY).env(address, stub.url()).env("SECRET", "of the user");

    let ran = Running::start(command).wait().code(0);

    assert!(ran.text().contains("5 of 5 tasks done"), "{}", ran.text());
    assert_eq!(project.read("alpha.txt"), "This is alpha.\n");
    assert_eq!(project.read("omega.txt"), "This is delta.\n");
    let status = project.json(&["status"]);
    let goal = &status["goals"][0];
    let reported = stub.reported();
    assert_eq!(goal["tokens"], reported.input_tokens + reported.output_tokens);
    assert!(ran.text().contains("11 model calls"), "{}", ran.text());
    // One plan, and for each task a turn that writes and one that finishes.
    assert_eq!(reported.answers, 1 + 5 * 2);
    let everything = format!(
        "{}{status}{}{}",
        ran.text(),
        project.downbeat(&["events", "--json"]).text(),
        stub.asked().iter().map(|asked| asked.body.to_string()).collect::<String>(),
    );
    assert!(!everything.contains(KEY) && !everything.contains("of the user"));
}
