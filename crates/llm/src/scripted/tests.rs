//! What a script promises.

use std::path::PathBuf;
use std::time::Duration;

use downbeat_core::cache::Disposition;
use downbeat_core::dag::Node;
use downbeat_core::llm::{Conduct, ExecutionStatus};
use downbeat_core::state::Failure;
use serde_json::{Value, json};

use super::*;
use crate::testing;

fn scripted(exchanges: &Value) -> Scripted {
    Scripted::parse("script.json", &json!({ "exchanges": exchanges }).to_string()).unwrap()
}

/// An exchange for the whole of `question`, which says `notes`.
fn exact<Q: Question>(question: &Q, notes: &str) -> Value {
    json!({ "request": Request::new(question).unwrap().json, "reply": done(notes) })
}

fn done(notes: &str) -> Value {
    json!({ "value": { "status": "done", "notes": notes } })
}

async fn notes(model: &Scripted, request: &Execute) -> String {
    model.execute(request).await.unwrap().value.notes
}

async fn unusable(model: &Scripted, request: &Execute) -> String {
    match model.execute(request).await.map_err(|failed| failed.error) {
        Err(LlmError::Unusable { reason }) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_whole_request_is_the_key() {
    let request = testing::execute("lines");
    let model = scripted(&json!([exact(&request, "one")]));
    for other in [
        Execute { attempt: 2, ..request.clone() },
        Execute { memory: vec!["x".to_owned()], ..request.clone() },
        Execute { node: Node { priority: 1, ..request.node.clone() }, ..request.clone() },
    ] {
        unusable(&model, &other).await;
    }
    assert_eq!(notes(&model, &request).await, "one");
}

#[tokio::test]
async fn a_script_travels_to_another_workspace() {
    let model = scripted(&json!([exact(&testing::execute("lines"), "one")]));
    let elsewhere = Execute { workspace: PathBuf::from("/elsewhere/x"), ..testing::execute("lines") };
    assert_eq!(notes(&model, &elsewhere).await, "one");
}

#[tokio::test]
async fn every_question_is_answered_with_its_type() {
    let (node, goal) = (testing::node("lines"), testing::goal());
    let model = scripted(&json!([
        { "match": { "kind": "decompose" }, "reply": { "value": { "goal_id": "count", "nodes": [] } } },
        { "match": { "kind": "select" }, "reply": { "value": { "selected_task_id": "b" } } },
        { "match": { "kind": "execute" }, "reply": done("x") },
        { "match": { "kind": "summarize" }, "reply": { "value": { "summary": "Counted." } } },
        { "match": { "kind": "assess" }, "reply": { "value": { "recoverable": false } } },
    ]));
    assert_eq!(model.decompose(&testing::decompose("x")).await.unwrap().value.goal_id, "count");
    let chosen = model.select(&testing::select(&["a", "b"])).await.unwrap().value.selected_task_id;
    assert_eq!(chosen.unwrap().as_str(), "b");
    let executed = model.execute(&testing::execute("lines")).await.unwrap().value;
    assert_eq!(executed.status, ExecutionStatus::Done);
    let summarize = Summarize {
        goal: goal.clone(),
        agent: testing::agent(),
        node: node.clone(),
        notes: String::new(),
        artifacts: Vec::new(),
        conduct: Conduct::default(),
    };
    assert_eq!(model.summarize(&summarize).await.unwrap().value.summary, "Counted.");
    let assess = Assess {
        goal,
        node,
        attempt: 1,
        failure: Failure::new("exit status 1", None),
        conduct: Conduct::default(),
    };
    assert!(!model.assess(&assess).await.unwrap().value.recoverable);
}

#[tokio::test]
async fn the_same_request_is_answered_in_the_order_of_the_script_and_then_no_more() {
    let request = testing::execute("lines");
    let mut twice = exact(&request, "two and three");
    twice["times"] = json!(2);
    let model = scripted(&json!([exact(&request, "one"), twice]));
    assert_eq!(notes(&model, &request).await, "one");
    assert_eq!(notes(&model, &request).await, "two and three");
    assert_eq!(notes(&model, &request).await, "two and three");
    let reason = unusable(&model, &request).await;
    assert!(reason.contains("script.json#/exchanges/0 is for it, and its answer is used up"), "{reason}");
}

#[tokio::test]
async fn a_whole_request_goes_before_a_match() {
    let request = testing::execute("lines");
    let model = scripted(&json!([
        { "match": { "kind": "execute" }, "times": 2, "reply": done("any") },
        { "match": { "kind": "execute", "node": { "id": "lines" } }, "reply": done("of this id") },
        exact(&request, "this one"),
    ]));
    assert_eq!(notes(&model, &request).await, "this one");
    assert_eq!(notes(&model, &testing::execute("other")).await, "any");
    assert_eq!(notes(&model, &request).await, "any");
    assert_eq!(notes(&model, &request).await, "of this id");
    unusable(&model, &request).await;
}

#[tokio::test]
async fn a_missing_answer_names_what_differs_from_the_nearest() {
    let request = testing::execute("lines");
    let far = Execute { instructions: "Be quick.".to_owned(), attempt: 3, ..testing::execute("other") };
    let near = Execute { attempt: 2, memory: vec!["m".repeat(300)], ..request.clone() };
    let model = scripted(&json!([exact(&far, "far"), exact(&near, "near")]));
    insta::assert_snapshot!(unusable(&model, &request).await, @r#"
    `scripted:script.json` has no answer left to this request kind=`execute` key=`6f22b2a6b7df90f8642dd8c809eb823c340bcd13971dd96a7e181b5f99d871e3`
    the nearest is the request in script.json#/exchanges/1, which differs at:
      /attempt: scripted 2, asked 1
      /memory/0: scripted "mmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmmm […], asked nothing
    "#);
}

#[tokio::test]
async fn a_missing_answer_names_the_nearest_match_and_what_it_wants() {
    let model = scripted(&json!([
        { "match": { "kind": "execute", "node": { "id": "a", "run": "ls" } }, "reply": done("") },
        { "match": { "kind": "execute", "node": { "id": "b" } }, "reply": done("") },
    ]));
    insta::assert_snapshot!(unusable(&model, &testing::execute("lines")).await, @r#"
    `scripted:script.json` has no answer left to this request kind=`execute` key=`6f22b2a6b7df90f8642dd8c809eb823c340bcd13971dd96a7e181b5f99d871e3`
    the nearest is the match in script.json#/exchanges/1, which differs at:
      /node/id: scripted "b", asked "lines"
    "#);
}

#[tokio::test]
async fn a_kind_without_any_exchange_is_told_with_those_that_there_are() {
    let model = scripted(&json!([
        { "match": { "kind": "select" }, "reply": { "value": { "selected_task_id": null } } },
        { "match": { "kind": "assess" }, "reply": { "value": { "recoverable": true } } },
        { "match": { "kind": "select" }, "error": { "kind": "refused", "reason": "no" } },
    ]));
    insta::assert_snapshot!(unusable(&model, &testing::execute("lines")).await, @r#"
    `scripted:script.json` has no answer left to this request kind=`execute` key=`6f22b2a6b7df90f8642dd8c809eb823c340bcd13971dd96a7e181b5f99d871e3`
    no exchange is of this kind; there are 2 select, 1 assess
    "#);
}

#[tokio::test]
async fn errors_are_played_as_they_are_written() {
    let errors = [
        json!({ "kind": "unavailable", "reason": "overloaded", "retry_after_ms": 1500 }),
        json!({ "kind": "unavailable", "reason": "gone" }),
        json!({ "kind": "budget_spent", "reason": "per day", "until_ms": 60000 }),
        json!({ "kind": "timed_out", "limit_ms": 5000 }),
        json!({ "kind": "malformed", "reason": "no JSON", "excerpt": "Sure!" }),
        json!({ "kind": "refused", "reason": "will not" }),
        json!({ "kind": "unusable", "reason": "not signed in" }),
    ];
    let exchanges: Vec<_> =
        errors.iter().map(|error| json!({ "match": { "kind": "execute" }, "error": error })).collect();
    let model = scripted(&json!(exchanges));
    let mut said = Vec::new();
    for _ in &errors {
        let error = model.execute(&testing::execute("lines")).await.unwrap_err();
        said.push((error.to_string(), error.disposition()));
        if let LlmError::Unavailable { reason, retry_after } = error.error {
            assert_eq!(retry_after, (reason == "overloaded").then(|| Duration::from_millis(1500)));
        }
    }
    assert_eq!(
        said,
        [
            ("the model does not answer: overloaded".to_owned(), Disposition::Retry),
            ("the model does not answer: gone".to_owned(), Disposition::Retry),
            ("the budget is spent: per day".to_owned(), Disposition::Report),
            ("the model did not answer within 5s".to_owned(), Disposition::Retry),
            ("the answer is malformed: no JSON; it began: Sure!".to_owned(), Disposition::Retry),
            ("the model refused: will not".to_owned(), Disposition::Report),
            ("not signed in".to_owned(), Disposition::Report),
        ]
    );
}

#[tokio::test]
async fn an_error_may_have_cost_something() {
    let model = scripted(&json!([
        { "match": { "kind": "execute" }, "error": { "kind": "refused", "reason": "no" },
          "usage": { "calls": 2, "input_tokens": 70 } },
    ]));
    let failed = model.execute(&testing::execute("lines")).await.unwrap_err();
    assert_eq!((failed.usage.calls, failed.usage.input_tokens), (2, 70));
}

#[tokio::test(start_paused = true)]
async fn delays_pass_side_by_side() {
    let model = scripted(&json!([
        { "match": { "kind": "execute" }, "times": 2, "delay_ms": 60_000, "reply": done("slow") },
    ]));
    let begin = tokio::time::Instant::now();
    let (a, b) = (testing::execute("a"), testing::execute("b"));
    let (one, other) = tokio::join!(model.execute(&a), model.execute(&b));
    assert_eq!(begin.elapsed(), Duration::from_secs(60));
    assert_eq!(one.unwrap().duration, Duration::from_secs(60));
    assert_eq!(other.unwrap().value.notes, "slow");
}

#[tokio::test]
async fn files_appear_in_the_workspace_also_before_an_error() {
    let workspace = tempfile::tempdir().unwrap();
    let request = Execute { workspace: workspace.path().to_owned(), ..testing::execute("lines") };
    let model = scripted(&json!([
        { "match": { "kind": "execute" }, "files": { "out/half.csv": "1" },
          "error": { "kind": "timed_out", "limit_ms": 1 } },
        { "match": { "kind": "execute" }, "files": { "out/whole.csv": "1\n2\n" }, "reply": done("x") },
    ]));
    model.execute(&request).await.unwrap_err();
    model.execute(&request).await.unwrap();
    let read = |name: &str| std::fs::read_to_string(workspace.path().join(name)).unwrap();
    assert_eq!((read("out/half.csv"), read("out/whole.csv")), ("1".to_owned(), "1\n2\n".to_owned()));
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_an_error_and_no_reply() {
    let workspace = tempfile::tempdir().unwrap();
    let request = Execute { workspace: workspace.path().join("none"), ..testing::execute("lines") };
    let model =
        scripted(&json!([{ "match": { "kind": "execute" }, "files": { "a": "" }, "reply": done("x") }]));
    let reason = unusable(&model, &request).await;
    assert!(reason.starts_with("script.json#/exchanges/0: `a` cannot be written: "), "{reason}");
}

#[tokio::test]
async fn a_reply_has_the_usage_and_the_model_of_the_script() {
    let model = scripted(&json!([
        { "match": { "kind": "execute" },
          "reply": { "value": done("x")["value"], "usage": { "calls": 1, "cost_micros": 7 }, "model": "m" } },
        { "match": { "kind": "execute" }, "reply": done("x") },
    ]));
    let first = model.execute(&testing::execute("lines")).await.unwrap();
    assert_eq!((first.usage.calls, first.usage.cost_micros, first.usage.tokens()), (1, 7, 0));
    assert_eq!(first.model, "m");
    assert_eq!(model.execute(&testing::execute("lines")).await.unwrap().model, "scripted");
}

#[test]
fn a_script_says_everything_that_is_wrong_with_it_at_once() {
    let good = json!({ "kind": "execute" });
    let cases = [
        json!(1),
        json!({ "match": good }),
        json!({ "reply": done("x") }),
        json!({ "match": good, "request": {}, "reply": done("x"), "error": {} }),
        json!({ "match": { "kind": "exec" }, "reply": done("x"), "time": 2 }),
        json!({ "match": [], "error": [] }),
        json!({ "match": good, "reply": { "value": { "status": "good", "notes": "" } } }),
        json!({ "match": good, "reply": { "value": { "status": "done", "notes": "", "note": "" } } }),
        json!({ "match": { "kind": "decompose" }, "reply": { "value": { "goal_id": "g", "nodes": [{ "id": 1 }] } } }),
        json!({ "match": good, "reply": { "value": done("x")["value"], "usage": { "calls": -1 } } }),
        json!({ "match": good, "error": { "kind": "refused" } }),
        json!({ "match": good, "error": { "kind": "tired", "reason": "" } }),
        json!({ "match": good, "reply": done("x"), "times": 0, "delay_ms": "1s", "note": 1 }),
        json!({ "match": good, "reply": done("x"), "files": { "/etc/x": "", "a": 1, "ok": "" } }),
        json!({ "match": { "kind": "assess" }, "error": { "kind": "refused", "reason": "" }, "files": {} }),
        json!({ "request": { "kind": "select", "goal": "a b", "agent": "a", "ready": [], "memory": [] },
                "reply": { "value": { "selected_task_id": null } } }),
        json!({ "request": { "kind": "select", "goal": "g", "agent": "a", "memory": [], "temper": 1,
                             "ready": [{ "id": "a", "title": "A", "titel": "B" }] },
                "reply": { "value": { "selected_task_id": null } } }),
    ];
    let text = json!({ "exchanges": cases, "exchange": [] }).to_string();
    insta::assert_snapshot!(Scripted::parse("s.json", &text).unwrap_err(), @r#"
    the script cannot be used:
      s.json#/exchange: a list of exchanges has no such member; it may have exchanges, note
      s.json#/exchanges/0: an exchange is an object
      s.json#/exchanges/1: an exchange has either a `reply` or an `error`
      s.json#/exchanges/2: an exchange has either a `request` or a `match`
      s.json#/exchanges/3: an exchange has either a `request` or a `match`
      s.json#/exchanges/3: an exchange has either a `reply` or an `error`
      s.json#/exchanges/4/time: an exchange has no such member; it may have note, request, match, reply, error, usage, times, delay_ms, files
      s.json#/exchanges/4/match/kind: a match says its kind, one of decompose, select, execute, summarize, assess
      s.json#/exchanges/5/match: a match is an object
      s.json#/exchanges/5/error: an object is needed here
      s.json#/exchanges/6/reply/value/status: unknown variant `good`, expected one of `done`, `failed`, `blocked`
      s.json#/exchanges/7/reply/value/note: unknown field `note`, expected one of `status`, `outputs`, `notes`, `summary`
      s.json#/exchanges/8/reply/value/nodes/0/id: invalid type: integer `1`, expected a string
      s.json#/exchanges/9/reply/usage/calls: invalid value: integer `-1`, expected u64
      s.json#/exchanges/10/error: missing field `reason`
      s.json#/exchanges/11/error/kind: unknown variant `tired`, expected one of `unavailable`, `budget_spent`, `timed_out`, `malformed`, `refused`, `unusable`
      s.json#/exchanges/12/times: `times` is a whole number from 1 to 1000000
      s.json#/exchanges/12/delay_ms: `delay_ms` is a whole number from 0 to 3600000
      s.json#/exchanges/12/note: a note is a text
      s.json#/exchanges/13/files/~1etc~1x: a path is relative to the workspace
      s.json#/exchanges/13/files/a: the content of a file is a text
      s.json#/exchanges/14/files: only an exchange of kind execute writes files
      s.json#/exchanges/15/request/goal: ` ` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`
      s.json#/exchanges/16/request/temper: a request of kind select has no such member
      s.json#/exchanges/16/request/ready/0/titel: a request of kind select has no such member
    "#);
}

#[test]
fn a_text_that_is_no_script_is_told_with_its_place() {
    for (text, message) in [
        ("", "s.json:1:1: this is no JSON: EOF while parsing a value"),
        ("{\n  \"a\": trux\n}", "s.json:2:11: this is no JSON: expected ident"),
        ("{} x", "s.json:1:4: this is no JSON: trailing characters"),
        ("[]", "s.json#: an exchange is an object"),
        ("{\"exchanges\": {}}", "s.json#/exchanges: `exchanges` is a list"),
        ("{\"exchanges\": []}", "s.json: it has no exchange"),
    ] {
        let error = Scripted::parse("s.json", text).unwrap_err().to_string();
        assert_eq!(error, format!("the script cannot be used:\n  {message}"));
    }
}

#[test]
fn a_directory_is_read_in_the_order_of_its_names_and_reports_every_file() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    let say = |notes: &str| json!({ "match": { "kind": "execute" }, "reply": done(notes) });
    write("b.json", &say("two").to_string());
    write("a.json", &json!({ "exchanges": [say("one")] }).to_string());
    write("README.md", "not a script");
    let model = Scripted::open("", directory.path()).unwrap();
    let places: Vec<_> =
        model.exchanges.iter().map(|exchange| exchange.place.rsplit('/').next().unwrap()).collect();
    assert_eq!(places, ["0", "b.json"]);

    write("c.json", "{");
    write("d.json", "{}");
    std::fs::create_dir(directory.path().join("e.json")).unwrap();
    let error = Scripted::open(directory.path(), directory.path()).unwrap_err();
    let files: Vec<_> = error.faults.iter().map(|fault| fault.file.rsplit('/').next().unwrap()).collect();
    assert_eq!(files, ["c.json", "d.json", "d.json", "e.json"]);
}

#[test]
fn what_is_missing_empty_or_too_large_is_no_script() {
    let directory = tempfile::tempdir().unwrap();
    let fault = |name: &str| Scripted::open(name, directory.path()).unwrap_err().faults[0].message.clone();
    assert!(fault("none.json").starts_with("it cannot be read: "));
    assert_eq!(fault(""), "it has no exchange");
    let large = std::fs::File::create(directory.path().join("large.json")).unwrap();
    large.set_len(MAX_FILE_BYTES + 1).unwrap();
    assert_eq!(fault("large.json"), "it cannot be read: it is longer than 16777216 bytes");
}

#[test]
fn faults_without_end_are_counted() {
    let text = json!({ "exchanges": vec![1; 1_000] }).to_string();
    let error = Scripted::parse("s.json", &text).unwrap_err();
    assert_eq!((error.faults.len(), error.dropped), (200, 800));
    assert!(error.to_string().ends_with("and 800 more faults"));
}

#[tokio::test]
async fn the_example_plays_a_goal_from_plan_to_summary() {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/llm");
    let model = Scripted::open("count-lines.json", &base).unwrap();
    let workspace = tempfile::tempdir().unwrap();
    let task = |id: &str, attempt| Execute {
        workspace: workspace.path().to_owned(),
        attempt,
        ..testing::execute(id)
    };

    let plan = model
        .decompose(&testing::decompose("Count the lines of every file and name the longest."))
        .await
        .unwrap();
    assert_eq!(plan.value.nodes.len(), 2);
    assert!(matches!(
        model.execute(&task("lines", 1)).await,
        Err(CallError { error: LlmError::Unavailable { .. }, .. })
    ));
    assert_eq!(model.execute(&task("lines", 2)).await.unwrap().value.outputs, ["lines.csv"]);
    assert!(model.execute(&task("longest", 1)).await.unwrap().value.summary.is_some());
    assert!(workspace.path().join("longest.md").exists());
}
