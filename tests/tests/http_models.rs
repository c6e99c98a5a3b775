//! A whole run with a model behind HTTP: five tasks planned by the model, done with its tools, and
//! every token of it counted.
#![expect(clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use std::time::Duration;

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
    // A question is one call, however many requests its conversation takes: one plan and five tasks, each
    // task a turn that writes and one that finishes. What they cost is counted request by request.
    assert!(ran.text().contains("6 model calls · 1.2 a task"), "{}", ran.text());
    assert_eq!(goal["model_calls"], 1 + 5);
    assert_eq!(reported.answers, 1 + 5 * 2);
    let everything = format!(
        "{}{status}{}{}",
        ran.text(),
        project.downbeat(&["events", "--json"]).text(),
        stub.asked().iter().map(|asked| asked.body.to_string()).collect::<String>(),
    );
    assert!(!everything.contains(KEY) && !everything.contains("of the user"));
}

/// Twenty tasks in five layers of four, each waiting for the whole layer before; two agents.
fn twenty() -> serde_json::Value {
    let names = || (0..5).flat_map(|layer| (0..4).map(move |place| (layer, place)));
    let id = |layer: usize, place: usize| format!("t{layer}{place}");
    let node = |(layer, place)| {
        json!({ "id": id(layer, place), "title": format!("Write part {place} of chapter {layer}"),
                "description": "Read what the parts before say. Write one page in plain words. ".repeat(4),
                "expected_artifacts": [format!("{}.md", id(layer, place))] })
    };
    let edges = names().filter(|(layer, _)| *layer > 0).flat_map(|(layer, place)| {
        (0..4).map(move |before| json!({ "source": id(layer - 1, before), "target": id(layer, place) }))
    });
    let plan = json!({ "nodes": names().map(node).collect::<Vec<_>>(), "edges": edges.collect::<Vec<_>>() });
    let mut rules = vec![
        json!({ "schema_has": ["nodes"], "json": plan, "usage": { "input": 1_100, "output": 1_900, "cached": 0 } }),
    ];
    for (number, (layer, place)) in (1_u64..).zip(names()) {
        let path = format!("{}.md", id(layer, place));
        rules.push(json!({
            "when": format!("The task is `{}`", id(layer, place)),
            "do": [{ "write": { "path": path, "content": "A page.\n" } }],
            "json": { "status": "done", "notes": "The page is written; every part before it was read. ".repeat(4),
                      "summary": "The page says what the parts before say, in plain words. ".repeat(2),
                      "outputs": [path] },
            // No two alike: a sum that fits cannot do so by chance.
            "usage": { "input": 500 + number, "output": 60 + number, "cached": 300 + 7 * number },
        }));
    }
    json!(rules)
}

#[test]
fn twenty_tasks_take_at_most_six_calls_for_five_of_them_and_every_token_is_the_endpoints() {
    const INSTRUCTIONS: &str = "## Agents\n\n### ada\n\n### bob\n\n## Goals\n\n### book: A book\n\n\
                                Write a book of five chapters with four parts each.\n";
    let mut seen = Vec::new();
    for selection in ["priority", "model"] {
        let stub = Stub::from_json(&twenty()).unwrap();
        let project = Project::new(INSTRUCTIONS);
        // A price is no secret and sends nothing anywhere: a project's file may say it.
        project.write("downbeat.toml", "prices = [\"anthropic:m=3/15/0.30\"]\n");
        let mut command = project.command(["run", "--llm", "anthropic:m", "--selection", selection]);
        command.env("ANTHROPIC_API_KEY", KEY).env("ANTHROPIC_BASE_URL", stub.url());

        let ran = Running::start(command).wait().code(0);

        assert!(ran.text().contains("20 of 20 tasks done"), "{}", ran.text());
        let goal = &project.json(&["status"])["goals"][0];
        let reported = stub.reported();
        assert_eq!(goal["tokens"], reported.input_tokens + reported.output_tokens);
        // In tenths of a millionth of a dollar; each request is rounded up to a millionth.
        let fresh = reported.input_tokens - reported.cached_tokens;
        let exact = fresh * 30 + reported.cached_tokens * 3 + reported.output_tokens * 150;
        let micros = Duration::from_secs_f64(goal["cost_usd"].as_f64().unwrap()).as_micros();
        let exact = u128::from(exact.div_ceil(10));
        assert!((exact..=exact + u128::from(reported.answers)).contains(&micros), "{micros} {exact}");
        // The goal's are the planning's and the tasks'.
        let ended = project.events().into_iter().filter(|event| event.kind == "llm.call");
        let tokens = |event: &downbeat_tests::Event| {
            let data = &event.value["data"];
            data["input_tokens"].as_u64().unwrap() + data["output_tokens"].as_u64().unwrap()
        };
        assert_eq!(goal["tokens"], ended.map(|event| tokens(&event)).sum::<u64>());
        let sent: usize = stub.asked().iter().map(|asked| asked.body.to_string().len()).sum();
        let calls = goal["model_calls"].as_u64().unwrap();
        eprintln!(
            "selection = {selection}: {calls} calls in {} requests of {sent} bytes; the endpoint reported {} \
             tokens in and {} out, and so does Downbeat",
            reported.answers, reported.input_tokens, reported.output_tokens
        );
        seen.push((calls, reported.answers, sent));
    }
    let [(ours, requests, sent), (with_choosing, more_requests, more_sent)] = seen[..] else {
        panic!("{seen:?}")
    };
    // 1.05 a task, planning included; the bar is 1.2. Each task is a turn that writes and one that ends it.
    assert_eq!((ours, requests), (21, 41));
    assert!(ours * 10 <= 20 * 12);
    assert!(with_choosing > ours && more_requests > requests && more_sent > sent, "{seen:?}");
}
