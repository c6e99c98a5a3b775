//! Every HTTP transport against a scripted model on loopback: what it sends, what it makes of each
//! answer, and what it makes of what is none.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::llm::LlmError;
use downbeat_llm::transport::{
    Answer, Ask, AskError, Permissions, Speaker, Step, Transport, Turn, Unobserved, Work,
};
use downbeat_llm::{Environment, transport_in};
use downbeat_model_stub::{Rule, Stub};
use rstest::rstest;
use serde_json::{Value, json};

const KEY: &str = "sk-very-s3cret";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Api {
    Anthropic,
    Openai,
    Gemini,
    Ollama,
    Compatible,
}

use Api::{Anthropic, Compatible, Gemini, Ollama, Openai};

impl Api {
    fn open(self, stub: &Stub) -> Arc<dyn Transport> {
        self.open_with(stub, &[])
    }

    fn open_with(self, stub: &Stub, more: &[(&str, &str)]) -> Arc<dyn Transport> {
        let url = stub.url();
        let (name, variables) = match self {
            Anthropic => {
                ("anthropic:m".to_owned(), vec![("ANTHROPIC_API_KEY", KEY), ("ANTHROPIC_BASE_URL", &url)])
            }
            Openai => ("openai:m".to_owned(), vec![("OPENAI_API_KEY", KEY), ("OPENAI_BASE_URL", &url)]),
            Gemini => {
                ("gemini-api:m".to_owned(), vec![("GEMINI_API_KEY", KEY), ("GOOGLE_GEMINI_BASE_URL", &url)])
            }
            Ollama => ("ollama:m".to_owned(), vec![("OLLAMA_API_KEY", KEY), ("OLLAMA_HOST", &url)]),
            Compatible => (format!("openai-compatible:{url}/v1#m"), vec![("OPENAI_COMPATIBLE_API_KEY", KEY)]),
        };
        let environment: Environment = variables.into_iter().chain(more.iter().copied()).collect();
        transport_in(&name, Path::new("/"), &environment).unwrap()
    }

    const fn path(self) -> &'static str {
        match self {
            Anthropic => "/v1/messages",
            Openai => "/v1/responses",
            Gemini => "/v1beta/models/m:generateContent",
            Ollama => "/api/chat",
            Compatible => "/v1/chat/completions",
        }
    }
}

fn ask() -> Ask {
    let schema = json!({
        "type": "object", "additionalProperties": false, "required": ["summary"],
        "properties": { "summary": { "type": "string", "maxLength": 99 }, "note": { "type": "string" } },
    });
    Ask {
        step: Step::Summarize,
        system: "You are exact.".to_owned(),
        prompt: "What was done?".to_owned(),
        exchange: Vec::new(),
        schema: Arc::new(schema),
        work: None,
        timeout: Duration::from_secs(30),
        observer: Arc::new(Unobserved),
    }
}

/// Asks once, by these rules.
async fn asked(api: Api, rules: Value) -> (Result<Answer, AskError>, Stub) {
    let stub = Stub::from_json(&rules).unwrap();
    let answer = api.open(&stub).ask(&ask()).await;
    (answer, stub)
}

fn without_key(text: &str) {
    assert!(!text.contains("s3cret"), "{text}");
}

#[rstest]
#[tokio::test]
async fn an_answer_follows_the_schema_and_is_counted(
    #[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api,
) {
    let rules = json!([{ "when": "exact.*what was done", "json": { "summary": "Counted." },
        "usage": { "input": 1000, "output": 50, "cached": 400 } }]);

    let (answer, stub) = asked(api, rules).await;

    let answer = answer.unwrap();
    assert_eq!(answer.structured, Some(json!({ "summary": "Counted." })));
    assert_eq!(answer.model, "m");
    let reported = stub.reported();
    assert_eq!(answer.usage.calls, 1);
    assert_eq!(
        (answer.usage.input_tokens, answer.usage.output_tokens),
        (reported.input_tokens, reported.output_tokens)
    );
    assert_eq!(answer.usage.cost_micros, 0);
    let question = &stub.asked()[0];
    assert_eq!(question.path, api.path());
    let schema = question.schema.as_ref().unwrap();
    assert!(schema["properties"]["summary"].is_object(), "{schema}");
    let header = match api {
        Anthropic => question.header("x-api-key").unwrap(),
        Gemini => question.header("x-goog-api-key").unwrap(),
        _ => question.header("authorization").unwrap().strip_prefix("Bearer ").unwrap(),
    };
    assert_eq!(header, KEY);
    without_key(&question.body.to_string());
}

#[rstest]
#[tokio::test]
async fn a_price_that_was_set_is_counted_to_the_millionth(
    #[values((Anthropic, "anthropic:m"), (Gemini, "gemini-api:m"))] which: (Api, &str),
) {
    let (api, name) = which;
    let usage = match api {
        // Anthropic reports cached tokens beside the others.
        Anthropic => (600, 50, 400),
        _ => (1000, 50, 400),
    };
    let stub =
        Stub::start(vec![Rule::json(json!({ "summary": "x" })).usage(usage.0, usage.1, usage.2)]).unwrap();
    let prices = format!("{name}=3/15/0.30");

    let answer = api.open_with(&stub, &[("DOWNBEAT_PRICES", &prices)]).ask(&ask()).await.unwrap();

    assert_eq!(answer.usage.cost_micros, 600 * 3 + 50 * 15 + 400 * 3 / 10);
    assert_eq!(answer.usage.input_tokens, 1000);
}

#[rstest]
#[tokio::test]
async fn a_repair_is_a_conversation(#[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api) {
    let stub = Stub::start(vec![Rule::json(json!({ "summary": "x" }))]).unwrap();
    let exchange = vec![
        Turn { speaker: Speaker::Model, text: "It went well".to_owned() },
        Turn { speaker: Speaker::User, text: "That is no JSON".to_owned() },
    ];

    api.open(&stub).ask(&Ask { exchange, ..ask() }).await.unwrap();

    let asked = &stub.asked()[0];
    let order =
        ["What was done?", "It went well", "That is no JSON"].map(|text| asked.text.find(text).unwrap());
    assert!(order.is_sorted(), "{}", asked.text);
    let body = asked.body.to_string();
    assert!(body.contains("assistant") || body.contains("\"model\""), "{body}");
}

#[rstest]
#[tokio::test]
async fn a_plan_is_asked_for_by_its_schema(
    #[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api,
) {
    let plan = json!({ "goal_id": "g", "nodes": [{ "id": "a", "title": "A", "metadata": { "k": 1 } }] });
    let stub = Stub::from_json(&json!([{ "schema_has": ["nodes", "edges"], "json": plan }])).unwrap();
    let schema = Arc::new(downbeat_core::dag::draft_schema());

    let answer = api.open(&stub).ask(&Ask { schema, ..ask() }).await.unwrap();

    let structured = answer.structured.or_else(|| serde_json::from_str(&answer.text).ok());
    assert_eq!(structured, Some(plan));
}

#[rstest]
#[tokio::test]
async fn a_server_that_enforces_no_schema_is_told_in_words(
    #[values(Anthropic, Openai, Gemini, Compatible)] api: Api,
) {
    let message = "response_format, output_config, text.format and responseJsonSchema are unknown here";
    let rules = json!([
        { "status": 400, "body": { "error": { "message": message } }, "times": 1 },
        { "json": { "summary": "Counted." } },
    ]);
    let stub = Stub::from_json(&rules).unwrap();
    let transport = api.open(&stub);

    let first = transport.ask(&ask()).await.unwrap();
    transport.ask(&ask()).await.unwrap();

    let said = first.structured.map_or(first.text, |value| value.to_string());
    assert_eq!(serde_json::from_str::<Value>(&said).unwrap(), json!({ "summary": "Counted." }));
    let asked = stub.asked();
    // It is tried once, and remembered.
    assert_eq!(asked.len(), 3);
    for question in &asked[1..] {
        let body = question.body.to_string();
        assert!(!body.contains("response_format") && !body.contains("output_config"), "{body}");
        assert!(api == Anthropic || question.text.contains("follows this JSON Schema"), "{}", question.text);
    }
    assert_eq!(first.usage.calls, 1);
}

/// What a transport makes of each fault; docs/models-http.md has the same table.
#[rstest]
#[case::too_many(json!([{ "status": 429 }]), "unavailable")]
#[case::too_many_with_a_time(json!([{ "status": 429, "headers": { "retry-after": "3" } }]), "unavailable after 3s")]
#[case::too_many_with_a_date(
    json!([{ "status": 429, "headers": { "date": "Sat, 21 Nov 2026 10:00:00 GMT", "retry-after": "Sat, 21 Nov 2026 10:00:09 GMT" } }]),
    "unavailable after 9s"
)]
#[case::limit_of_use(json!([{ "status": 429, "headers": { "retry-after": "7200" } }]), "budget until 7200s")]
#[case::server_error(json!([{ "status": 500, "body": "<html>oops</html>" }]), "unavailable")]
#[case::overloaded(json!([{ "status": 529, "headers": { "retry-after": "1" } }]), "unavailable after 1s")]
#[case::dropped(json!([{ "drop": true }]), "unavailable")]
#[case::truncated(json!([{ "text": "a long answer", "cut": 30 }]), "unavailable")]
#[case::garbage(json!([{ "garbage": 5000 }]), "unavailable")]
#[case::binary(json!([{ "binary": 5000 }]), "unavailable")]
#[case::ten_megabytes(json!([{ "size": 10_000_000 }]), "malformed")]
#[case::five_megabytes(json!([{ "size": 5_000_000 }]), "malformed")]
#[case::no_answer(json!([{ "status": 200, "body": { "hello": 1 } }]), "unavailable")]
#[case::key_refused(json!([{ "status": 401, "body": { "error": { "message": "bad key sk-very-s3cret" } } }]), "unusable")]
#[case::forbidden(json!([{ "status": 403 }]), "unusable")]
#[case::no_such_model(json!([{ "status": 404 }]), "unusable")]
#[case::bad_request(json!([{ "status": 400, "body": { "error": { "message": "too long" } } }]), "refused")]
#[case::no_credit(json!([{ "status": 402 }]), "budget")]
#[case::redirect(json!([{ "status": 302, "headers": { "location": "http://127.0.0.1:1/" } }]), "unusable")]
#[case::empty(json!([{ "ending": "empty" }]), "malformed")]
#[case::cut_off_by_the_limit(json!([{ "json": { "summary": "0123456789" }, "ending": "length" }]), "malformed")]
#[tokio::test]
async fn a_fault_has_its_meaning(
    #[case] rules: Value,
    #[case] expected: &str,
    #[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api,
) {
    let (answer, stub) = asked(api, rules).await;

    let AskError { error, usage } = answer.unwrap_err();
    let seconds = |wait: Option<Duration>, word: &str| {
        wait.map(|wait| format!(" {word} {}s", wait.as_secs())).unwrap_or_default()
    };
    let kind = match &error {
        LlmError::Unavailable { retry_after, .. } => format!("unavailable{}", seconds(*retry_after, "after")),
        LlmError::BudgetSpent { until, .. } => format!("budget{}", seconds(*until, "until")),
        LlmError::Malformed { .. } => "malformed".to_owned(),
        LlmError::Refused { .. } => "refused".to_owned(),
        LlmError::Unusable { .. } => "unusable".to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind, expected, "{error}");
    // One request: who tries again, and when, is decided above.
    assert_eq!(stub.asked().len(), 1);
    let shown = format!("{error} {error:?}");
    without_key(&shown);
    assert!(shown.len() < 3_000 && !shown.contains('\n') && !shown.contains('\u{0}'), "{shown:.300}");
    // A whole answer that cannot be used was paid for all the same.
    let reported = stub.reported();
    if error.to_string().contains("longer than 8388608") {
        assert_eq!(usage.calls, 0);
    } else {
        assert_eq!((usage.calls, usage.output_tokens), (reported.answers, reported.output_tokens), "{error}");
    }
}

#[rstest]
#[tokio::test]
async fn a_refusal_says_why(
    #[values("refusal", "filter")] ending: &str,
    #[values(Anthropic, Openai, Gemini, Compatible)] api: Api,
) {
    let rules = json!([{ "text": "I will not do that.", "ending": ending }]);

    let (answer, _) = asked(api, rules).await;

    let error = answer.unwrap_err();
    let LlmError::Refused { reason } = &error.error else { panic!("{error:?}") };
    let words = ["I will not do that", "content filter", "SAFETY"];
    assert!(words.iter().any(|word| reason.contains(word)), "{reason}");
    assert_eq!(error.usage.calls, 1);
}

#[rstest]
#[case::at_once(json!([{ "hang": true }]))]
#[case::in_the_middle(json!([{ "hang": true, "cut": 25 }]))]
#[tokio::test]
async fn a_hang_ends_with_the_time_that_was_given(
    #[case] rules: Value,
    #[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api,
) {
    let stub = Stub::from_json(&rules).unwrap();
    let limit = Duration::from_millis(300);

    let error = api.open(&stub).ask(&Ask { timeout: limit, ..ask() }).await.unwrap_err();

    assert!(matches!(error.error, LlmError::TimedOut { limit: said } if said == limit), "{error:?}");
}

#[rstest]
#[tokio::test]
async fn prose_around_an_answer_is_handed_on(
    #[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api,
) {
    let prose = "Sure! Here it is:\n```json\n{\"summary\": \"Counted.\"}\n```\nAnything else?";
    let (answer, _) = asked(api, json!([{ "text": prose }])).await;
    let answer = answer.unwrap();
    assert_eq!((answer.structured, answer.text.as_str()), (None, prose));
}

#[rstest]
#[case("anthropic:m", "ANTHROPIC_API_KEY_FILE")]
#[case("openai:m", "OPENAI_API_KEY_FILE")]
#[case("gemini-api:m", "GEMINI_API_KEY_FILE")]
#[tokio::test]
async fn without_a_key_nothing_is_sent(#[case] name: &str, #[case] variable: &str) {
    let stub = Stub::start(Vec::new()).unwrap();
    let url = stub.url();
    let addresses = ["ANTHROPIC_BASE_URL", "OPENAI_BASE_URL", "GOOGLE_GEMINI_BASE_URL"];
    let environment: Environment = addresses.into_iter().map(|address| (address, url.as_str())).collect();
    let transport = transport_in(name, Path::new("/"), &environment).unwrap();

    let (probe, error) = (transport.probe().await, transport.ask(&ask()).await.unwrap_err());

    assert!(!probe.usable && probe.remedies[0].contains(variable), "{probe:?}");
    assert!(matches!(&error.error, LlmError::Unusable { reason } if reason.contains(variable)), "{error:?}");
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn a_probe_asks_nobody_and_shows_no_key() {
    let stub = Stub::start(Vec::new()).unwrap();
    for api in [Anthropic, Openai, Gemini, Ollama, Compatible] {
        let transport = api.open(&stub);
        let probe = transport.probe().await;
        assert!(probe.usable && probe.found.contains("127.0.0.1"), "{probe:?}");
        without_key(&format!("{probe:?} {transport:?}"));
    }
    assert!(stub.asked().is_empty());
}

#[tokio::test]
async fn nobody_there_is_said_with_what_to_do() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let environment: Environment = [("OLLAMA_HOST", format!("127.0.0.1:{port}"))].into_iter().collect();
    let transport = transport_in("ollama:llama", Path::new("/"), &environment).unwrap();

    let error = transport.ask(&ask()).await.unwrap_err().error;

    assert!(
        matches!(&error, LlmError::Unavailable { reason, .. } if reason.contains("ollama serve")),
        "{error}"
    );
}

#[rstest]
#[case("openai-compatible:http://gpu.lan:8000/v1#m", &[], "unencrypted to gpu.lan")]
#[case("openai-compatible:http://127.0.0.1:8000/v1", &[], "which model")]
#[case("openai-compatible:https://u:pw@h/v1#m", &[], "user name or password")]
#[case("anthropic:m", &[("ANTHROPIC_BASE_URL", "http://proxy.example")], "in ANTHROPIC_BASE_URL would send")]
#[case("anthropic:m", &[("ANTHROPIC_API_KEY", "two words")], "$ANTHROPIC_API_KEY has blanks")]
#[case("anthropic:m", &[("DOWNBEAT_PRICES", "anthropic:m=cheap")], "no price")]
fn what_is_set_wrong_is_said_before_anything_is_sent(
    #[case] name: &str,
    #[case] variables: &[(&str, &str)],
    #[case] expected: &str,
) {
    let environment: Environment = variables.iter().copied().collect();
    let error = transport_in(name, Path::new("/"), &environment).unwrap_err().to_string();
    assert!(error.contains(expected), "{error}");
    assert!(!error.contains("pw@") && !error.contains("two words"), "{error}");
}

fn working(workspace: &Path, permissions: Permissions) -> Ask {
    let work = Work { workspace: workspace.to_owned(), permissions, env: Vec::new() };
    Ask { step: Step::Execute, work: Some(work), ..ask() }
}

#[rstest]
#[tokio::test]
async fn a_task_is_done_with_tools_and_finished(
    #[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api,
) {
    let place = tempfile::tempdir().unwrap();
    let rules = json!([{
        "do": [
            { "write": { "path": "out/a.txt", "content": "alpha" } },
            { "together": [
                { "tool": "read_file", "input": { "path": "out/a.txt" } },
                { "tool": "list_files", "input": {} },
            ] },
            { "tool": "read_file", "input": { "path": "../secret", "line": 1 } },
        ],
        "json": { "summary": "Written." },
        "usage": { "input": 200, "output": 20, "cached": 30 },
    }]);
    let stub = Stub::from_json(&rules).unwrap();

    let answer = api.open(&stub).ask(&working(place.path(), Permissions::Edit)).await.unwrap();

    assert_eq!(answer.structured, Some(json!({ "summary": "Written." })));
    assert_eq!(std::fs::read_to_string(place.path().join("out/a.txt")).unwrap(), "alpha");
    let (asked, reported) = (stub.asked(), stub.reported());
    assert_eq!(asked.iter().map(|one| one.tool_results).collect::<Vec<_>>(), [0, 1, 3, 4]);
    assert_eq!(
        (answer.usage.calls, answer.usage.input_tokens, answer.usage.output_tokens),
        (4, reported.input_tokens, reported.output_tokens)
    );
    let last = asked[3].body.to_string();
    for result in ["wrote 5 bytes to out/a.txt", "alpha", "out/a.txt  5", "the input is wrong", "line"] {
        assert!(last.contains(result), "{last}");
    }
    // Without a guard there are no commands: nothing would confine them.
    assert!(!asked[0].tools.iter().any(|tool| tool == "run_command"), "{:?}", asked[0].tools);
    assert!(asked[0].tools.iter().any(|tool| tool == "finish"));
}

#[rstest]
#[tokio::test]
async fn a_wrong_answer_is_repaired_within_the_conversation(
    #[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api,
) {
    let place = tempfile::tempdir().unwrap();
    let wrong = |turn: usize| json!({ "turn": turn, "json": { "summry": "x", "note": 3 } });
    let rules = json!([wrong(0), wrong(1), { "turn": 2, "json": { "summary": "Right." } }]);
    let stub = Stub::from_json(&rules).unwrap();

    let answer = api.open(&stub).ask(&working(place.path(), Permissions::Edit)).await.unwrap();

    assert_eq!(answer.structured, Some(json!({ "summary": "Right." })));
    assert_eq!(answer.usage.calls, 3);
    let told = stub.asked()[2].body.to_string();
    assert!(
        told.contains("/note") && told.contains("summary") && told.contains("call `finish` again"),
        "{told}"
    );
}

#[rstest]
#[tokio::test]
async fn what_fails_in_the_middle_was_paid_for_until_then(
    #[values(Anthropic, Openai, Gemini, Ollama, Compatible)] api: Api,
) {
    let place = tempfile::tempdir().unwrap();
    let rules = json!([
        { "turn": 1, "status": 429, "headers": { "retry-after": "4" } },
        { "do": [{ "write": { "path": "a", "content": "a" } }], "usage": { "input": 70, "output": 7 } },
    ]);
    let stub = Stub::from_json(&rules).unwrap();

    let failed = api.open(&stub).ask(&working(place.path(), Permissions::Edit)).await.unwrap_err();

    assert!(matches!(failed.error, LlmError::Unavailable { retry_after: Some(_), .. }), "{failed:?}");
    assert_eq!((failed.usage.calls, failed.usage.input_tokens, failed.usage.output_tokens), (1, 70, 7));
}

#[tokio::test]
async fn a_model_that_never_finishes_is_stopped() {
    let place = tempfile::tempdir().unwrap();
    let steps: Vec<Value> = (0..200).map(|_| json!({ "tool": "list_files", "input": {} })).collect();
    let stub = Stub::from_json(&json!([{ "do": steps }])).unwrap();

    let failed = Anthropic.open(&stub).ask(&working(place.path(), Permissions::Plan)).await.unwrap_err();

    assert!(failed.error.to_string().contains("did not finish within 100 turns"), "{failed:?}");
    assert_eq!(failed.usage.calls, 100);
    assert!(stub.asked()[99].body.to_string().contains("There is one turn left"));
}
