//! What holds for every provider: on a transport that plays its answers from a list.

use std::path::PathBuf;
use std::sync::Mutex;

use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, Capability};
use downbeat_core::llm::{AgentProfile, ExecutionStatus, LlmError};
use serde_json::json;

use super::*;
use crate::testing::{self, Played};
use crate::transport::{AskError, Observer, Speaker};

const EACH: Usage = Usage { calls: 1, input_tokens: 100, output_tokens: 10, cost_micros: 7 };

fn text(text: impl Into<String>) -> Result<Answer, AskError> {
    Ok(Answer { text: text.into(), usage: EACH, model: "m".to_owned(), ..Answer::default() })
}

fn played(answers: Vec<Result<Answer, AskError>>) -> (Arc<Played>, Prompted) {
    let transport = Arc::new(Played::new(answers));
    (Arc::clone(&transport), Prompted::new(transport))
}

fn plan_of(nodes: &[&str], edges: &[(&str, &str)]) -> String {
    let nodes: Vec<_> = nodes.iter().map(|id| json!({"id": id, "title": id})).collect();
    let edges: Vec<_> = edges.iter().map(|(a, b)| json!({"source": a, "target": b})).collect();
    json!({"nodes": nodes, "edges": edges}).to_string()
}

const DONE: &str = r#"{"status": "done", "outputs": ["a.csv"], "notes": "n", "summary": "s"}"#;

#[tokio::test]
async fn a_plan_needs_one_call() {
    let (transport, model) = played(vec![text(plan_of(&["a", "b"], &[("a", "b")]))]);
    let reply = model.decompose(&testing::decompose("do it")).await.unwrap();
    assert_eq!((reply.value.goal_id.as_str(), reply.value.nodes.len()), ("count", 2));
    assert_eq!((reply.usage, reply.model.as_str()), (EACH, "m"));
    let asked = transport.asked();
    assert_eq!((asked.len(), asked[0].step, &asked[0].work), (1, Step::Decompose, &None));
}

#[tokio::test]
async fn every_unsound_plan_is_told_all_its_faults_and_refused_after_two_repairs() {
    let many: Vec<String> = (0..10_000).map(|n| format!("t{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let escaping = json!({"nodes": [{"id": "a", "title": "a", "expected_artifacts": ["../../etc/passwd"]}]});
    for (plan, told) in [
        (plan_of(&["a", "b"], &[("a", "b"), ("b", "a")]), "`a` -> `b` -> `a`"),
        (plan_of(&["a"], &[("a", "nobody")]), "nobody"),
        (plan_of(&[], &[]), "/nodes"),
        (plan_of(&many, &[]), "at most 500 tasks"),
        (escaping.to_string(), "leads out of the workspace"),
        (plan_of(&["a", "a"], &[("a", "x")]), "`x`"),
        ("I would rather not.".to_owned(), "no JSON object"),
    ] {
        let (transport, model) = played(vec![text(&plan), text(&plan), text(&plan), text("too late")]);
        let failed = model.decompose(&testing::decompose("do it")).await.unwrap_err();
        assert!(matches!(failed.error, LlmError::Malformed { .. }), "{failed:?}");
        assert!(failed.to_string().contains(told), "{failed}");
        assert!(failed.to_string().len() < 3_000);
        // Three answers were paid for.
        assert_eq!(failed.usage, EACH.plus(EACH).plus(EACH));
        let asked = transport.asked();
        assert_eq!(asked.len(), 3);
        assert!(asked[0].exchange.is_empty());
        for ask in &asked[1..] {
            assert_eq!(ask.exchange.len(), 2);
            assert_eq!(ask.exchange[0].speaker, Speaker::Model);
            assert!(ask.exchange[1].text.contains(told), "{}", ask.exchange[1].text);
            // The prefix that vendors cache stays.
            assert_eq!((&ask.system, &ask.prompt), (&asked[0].system, &asked[0].prompt));
        }
    }
}

#[tokio::test]
async fn an_unsound_plan_is_repaired() {
    let (transport, model) = played(vec![
        text(plan_of(&["a", "b"], &[("a", "b"), ("b", "a")])),
        text("Sorry! ```json\n{\"nodes\": [{\"id\": \"a\", \"title\": \"a\",},]}\n```"),
    ]);
    let reply = model.decompose(&testing::decompose("do it")).await.unwrap();
    assert_eq!((reply.value.nodes.len(), reply.usage.calls), (1, 2));
    assert_eq!(transport.asked().len(), 2);
}

#[tokio::test]
async fn what_nobody_can_do_is_no_plan() {
    let mut request = testing::decompose("do it");
    request.agents = vec![AgentProfile {
        name: AgentName::new("ada").unwrap(),
        role: None,
        capabilities: vec![Capability::new("shell").unwrap()],
    }];
    let plan = |capability: &str| {
        text(json!({"nodes": [{"id": "a", "title": "a", "capabilities": [capability]}]}).to_string())
    };
    let (transport, model) = played(vec![plan("web"), plan("shell")]);
    assert_eq!(model.decompose(&request).await.unwrap().usage.calls, 2);
    assert!(transport.asked()[1].exchange[1].text.contains("no agent has `web`"));
}

#[tokio::test]
async fn a_planned_command_runs_only_with_full_permissions() {
    let plan = json!({"nodes": [{"id": "a", "title": "a", "run": "curl x | sh", "checks": ["test -s a"]}]});
    let (_, model) = played(vec![text(plan.to_string()), text(plan.to_string())]);
    let mut request = testing::decompose("do it");
    let node = model.decompose(&request).await.unwrap().value.nodes.remove(0);
    assert_eq!((node.run, node.checks.len()), (None, 0));
    let advice = node.description.unwrap();
    assert!(advice.contains("curl x | sh") && advice.contains("test -s a"), "{advice}");

    request.conduct.permissions = Permissions::Full;
    let node = model.decompose(&request).await.unwrap().value.nodes.remove(0);
    assert_eq!((node.run.as_deref(), node.checks.len()), (Some("curl x | sh"), 1));
}

#[tokio::test]
async fn an_execution_works_in_its_workspace_and_its_repair_only_looks() {
    let (transport, model) = played(vec![text("All done!"), text(DONE)]);
    let mut request = testing::execute("lines");
    request.conduct.env = vec![("A".to_owned(), "1".to_owned())];
    request.conduct.timeout = Some(Duration::from_secs(9));
    let reply = model.execute(&request).await.unwrap();
    assert_eq!((reply.value.status, reply.value.summary.as_deref()), (ExecutionStatus::Done, Some("s")));
    let asked = transport.asked();
    let work = asked[0].work.as_ref().unwrap();
    assert_eq!((&work.workspace, work.permissions), (&request.workspace, Permissions::Edit));
    assert_eq!(work.env, request.conduct.env);
    assert_eq!(asked[1].work.as_ref().unwrap().permissions, Permissions::Plan);
    assert!(asked[1].timeout <= Duration::from_secs(9));
}

#[tokio::test]
async fn outputs_are_paths_in_the_workspace() {
    let answer = |path: &str| text(json!({"status": "done", "notes": "", "outputs": [path]}).to_string());
    let (transport, model) =
        played(vec![answer("/etc/passwd"), answer("../x"), answer("/home/ada/count/sub/./a.csv")]);
    let reply = model.execute(&testing::execute("lines")).await.unwrap();
    assert_eq!(reply.value.outputs, ["sub/a.csv"]);
    let asked = transport.asked();
    assert!(asked[1].exchange[1].text.contains("/outputs/0: it is absolute"), "{:?}", asked[1].exchange);
    assert!(asked[2].exchange[1].text.contains("/outputs/0: it leads out"), "{:?}", asked[2].exchange);
}

#[tokio::test]
async fn what_a_repair_cost_is_counted_when_the_next_call_fails() {
    let failure = AskError {
        error: LlmError::Unavailable { reason: "gone".to_owned(), retry_after: None },
        usage: Usage { input_tokens: 3, ..Usage::default() },
    };
    let (_, model) = played(vec![text("hm"), Err(failure)]);
    let failed = model.execute(&testing::execute("lines")).await.unwrap_err();
    assert!(matches!(failed.error, LlmError::Unavailable { .. }));
    assert_eq!((failed.usage.calls, failed.usage.input_tokens), (1, 103));
}

#[derive(Debug, Default)]
struct Heard(Mutex<Usage>);

impl Observer for Heard {
    fn progress(&self, _: &str) {}
    fn output(&self, _: &[u8]) {}
    fn spent(&self, usage: Usage) {
        let mut heard = self.0.lock().unwrap();
        *heard = heard.plus(usage);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hang_ends_in_time_and_what_was_spent_before_is_known() {
    let (_, model) = played(vec![text("hm")]);
    let heard = Arc::new(Heard::default());
    let mut request = testing::execute("lines");
    request.conduct.timeout = Some(Duration::from_secs(60));
    request.conduct.observer = Arc::<Heard>::clone(&heard);
    let failed = model.execute(&request).await.unwrap_err();
    assert_eq!(failed.error, LlmError::TimedOut { limit: Duration::from_secs(60) });
    assert_eq!(failed.usage, EACH);
    assert_eq!(*heard.0.lock().unwrap(), EACH);
}

#[tokio::test]
async fn a_huge_answer_is_not_sent_back_whole() {
    let (transport, model) = played(vec![text("x".repeat(4 << 20)), text(DONE)]);
    model.execute(&testing::execute("lines")).await.unwrap();
    let again = &transport.asked()[1].exchange[0].text;
    assert!(again.len() < 40_000 && again.contains("bytes left out …]"), "{}", again.len());
}

#[tokio::test]
async fn the_other_questions_are_answered_too() {
    let (transport, model) = played(vec![
        text(r#"{"selected_task_id": "b", "justification": null}"#),
        text(r#"{"summary": "Counted."}"#),
        text(r#"{"recoverable": false}"#),
    ]);
    let chosen = model.select(&testing::select(&["a", "b"])).await.unwrap().value.selected_task_id;
    assert_eq!(chosen.unwrap().as_str(), "b");
    assert_eq!(model.summarize(&testing::summarize("lines")).await.unwrap().value.summary, "Counted.");
    assert!(!model.assess(&testing::assess("lines")).await.unwrap().value.recoverable);
    assert!(transport.asked().iter().all(|ask| ask.work.is_none()));
    assert_eq!(model.name(), "played");
    assert_eq!(PathBuf::from("/home/ada/count"), testing::execute("x").workspace);
}
