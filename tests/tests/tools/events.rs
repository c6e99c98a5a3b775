//! Tools that print their events: `claude`, `codex` and `gemini`.

use std::fs;
use std::time::Duration;

use downbeat_core::llm::{LlmError, Permissions};
use rstest::rstest;
use serde_json::{Value, json};

use super::fake::{Fake, SECRET, answer, at_the_third_time, is_repaired_twice};

/// The lines with which each tool gives `text` as its answer.
fn said(tool: &str, text: &str) -> Vec<Value> {
    match tool {
        "claude" => vec![
            json!({"type": "system", "subtype": "init", "model": "claude-x", "unknown": {"field": 1}}),
            json!({"type": "assistant", "message": {"id": "m1", "model": "claude-x", "content": [{"type": "text", "text": text}],
                   "usage": {"input_tokens": 70, "output_tokens": 20, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 10}}}),
            json!({"type": "result", "subtype": "success", "is_error": false, "result": text, "total_cost_usd": 0.0113,
                   "usage": {"input_tokens": 70, "output_tokens": 20, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 10},
                   "permission_denials": []}),
        ],
        "codex" => vec![
            json!({"type": "thread.started", "thread_id": "t"}),
            json!({"type": "something.new", "field": [1]}),
            json!({"type": "item.completed", "item": {"id": "i", "type": "agent_message", "text": text}}),
            json!({"type": "turn.completed", "usage": {"input_tokens": 100, "cached_input_tokens": 30, "output_tokens": 20}}),
        ],
        _ => vec![
            json!({"type": "init", "session_id": "s", "model": "gemini-x"}),
            json!({"type": "message", "role": "user", "content": "Do it."}),
            json!({"type": "message", "role": "assistant", "content": text, "delta": true}),
            json!({"type": "result", "status": "success", "stats": {"input_tokens": 100, "output_tokens": 20}, "new": null}),
        ],
    }
}

/// The lines with which each tool ends on an error of the vendor.
fn failed(tool: &str, status: u64, text: &str) -> Vec<Value> {
    match tool {
        "claude" => {
            vec![json!({"type": "result", "subtype": "success", "is_error": true, "api_error_status": status,
                                "result": format!("API Error: {status} {text}"), "usage": {}, "total_cost_usd": 0})]
        }
        "codex" => vec![
            json!({"type": "turn.failed", "error": {"message": format!("unexpected status {status}: {text}")}}),
        ],
        _ => vec![json!({"type": "result", "status": "error",
                         "error": {"type": "ApiError", "message": format!("{{\"error\":{{\"code\":{status},\"message\":\"{text}\"}}}}")}})],
    }
}

macro_rules! each_tool {
    ($(#[$attribute:meta])* async fn $name:ident($tool:ident) $body:block) => {
        $(#[$attribute])*
        #[rstest]
        #[tokio::test]
        async fn $name(#[values("claude", "codex", "gemini")] $tool: &'static str) $body
    };
}

each_tool! {
async fn an_answer_comes_with_its_tokens(tool) {
    let fake = Fake::printing(tool, &said(tool, &answer().to_string()), 0);
    let got = fake.ask().await.unwrap();
    assert_eq!(serde_json::from_str::<Value>(&got.text).unwrap(), answer());
    assert_eq!((got.usage.calls, got.usage.input_tokens, got.usage.output_tokens), (1, 100, 20));
    assert_eq!(got.usage.cost_micros, if tool == "claude" { 11_300 } else { 0 });
    assert!(fs::read_to_string(fake.file("question")).unwrap().ends_with("You are asked by a test.\n\nDo it."));
    let kept = fake.heard.output.lock().unwrap();
    assert!(String::from_utf8_lossy(&kept).contains("fine"));
}
}

each_tool! {
async fn prose_around_an_answer_is_left_to_the_reader(tool) {
    let text = "Of course!\n```json\n{\"status\": \"done\"}\n```\nAnything else?";
    let got = Fake::printing(tool, &said(tool, text), 0).ask().await.unwrap();
    assert_eq!((got.structured, got.text.as_str()), (None, text));
}
}

each_tool! {
async fn an_empty_answer_is_an_empty_answer(tool) {
    let got = Fake::printing(tool, &said(tool, ""), 0).ask().await.unwrap();
    assert_eq!((got.structured, got.text.as_str()), (None, ""));
}
}

each_tool! {
async fn too_many_requests_say_when_to_come_back(tool) {
    let lines = failed(tool, 429, "Too Many Requests, try again in 2 minutes");
    match Fake::printing(tool, &lines, 1).error().await {
        LlmError::Unavailable { retry_after, .. } => assert_eq!(retry_after, Some(Duration::from_secs(120))),
        other => panic!("{other:?}"),
    }
    match Fake::printing(tool, &failed(tool, 429, "Too Many Requests"), 1).error().await {
        LlmError::Unavailable { retry_after, .. } => assert_eq!(retry_after, None),
        other => panic!("{other:?}"),
    }
}
}

each_tool! {
async fn a_usage_limit_says_how_long_it_holds(tool) {
    let lines = failed(tool, 429, "You've hit your usage limit. Try again in 3 hours 12 minutes.");
    match Fake::printing(tool, &lines, 1).error().await {
        LlmError::BudgetSpent { until, .. } => assert_eq!(until, Some(Duration::from_secs(11_520))),
        other => panic!("{other:?}"),
    }
}
}

each_tool! {
async fn a_failing_vendor_is_unavailable(tool) {
    for status in [500, 503, 529] {
        let error = Fake::printing(tool, &failed(tool, status, "Internal server error"), 1).error().await;
        assert!(matches!(error, LlmError::Unavailable { .. }), "{error:?}");
    }
}
}

each_tool! {
async fn a_dropped_connection_is_unavailable(tool) {
    let fake = Fake::new(tool, "cat > /dev/null; echo 'TypeError: fetch failed: ECONNRESET' >&2; exit 1");
    let error = fake.error().await;
    assert!(matches!(&error, LlmError::Unavailable { reason, .. } if reason.contains("ECONNRESET")), "{error:?}");
}
}

each_tool! {
async fn who_is_signed_out_is_told_how_to_sign_in(tool) {
    let error = Fake::printing(tool, &failed(tool, 401, "Unauthorized"), 1).error().await;
    match error {
        LlmError::Unusable { reason } => {
            assert!(reason.contains("is not signed in") && reason.contains("run `"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
}

each_tool! {
async fn a_missing_program_is_told_how_to_get(tool) {
    let fake = Fake::new(tool, "");
    fs::remove_file(fake.file("bin").join(tool)).unwrap();
    // It may be installed on this machine.
    if ["/usr/bin", "/bin"].iter().any(|place| std::path::Path::new(place).join(tool).exists()) {
        return;
    }
    match fake.error().await {
        LlmError::Unusable { reason } => assert!(reason.contains("npm install -g"), "{reason}"),
        other => panic!("{other:?}"),
    }
    let probe = fake.transport().probe().await;
    assert!(!probe.usable && probe.remedies.iter().any(|line| line.contains("npm install -g")), "{probe:?}");
}
}

each_tool! {
async fn truncated_output_and_a_crash_are_no_answer(tool) {
    let whole = said(tool, &answer().to_string()).iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let half = whole.get(..whole.len() - 30).unwrap();
    for code in [0, 1, 139] {
        let error = Fake::new(tool, &format!("cat > /dev/null\ncat <<'END'\n{half}\nEND\nexit {code}")).error().await;
        assert!(matches!(error, LlmError::Unavailable { .. }), "{code}: {error:?}");
    }
    let error = Fake::new(tool, "kill -SEGV $$").error().await;
    assert!(matches!(&error, LlmError::Unavailable { reason, .. } if reason.contains("SIGSEGV")), "{error:?}");
}
}

each_tool! {
async fn ten_megabytes_and_a_binary_are_survived(tool) {
    let whole = said(tool, &answer().to_string()).iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let fake = Fake::new(tool, &format!(
        "cat > /dev/null\nhead -c 10485760 /dev/zero; echo; head -c 300000 /dev/urandom; echo\n\
         head -c 1000000 /dev/urandom >&2\ncat <<'END'\n{whole}\nEND"));
    assert_eq!(serde_json::from_str::<Value>(&fake.ask().await.unwrap().text).unwrap(), answer());
    let long = format!("{{\"status\": \"done\", \"notes\": \"{}\"}}", "x".repeat(10 * 1024 * 1024));
    let fake = Fake::new(tool, "cat > /dev/null; cat \"$HERE/lines\"");
    let lines: Vec<String> = said(tool, &long).iter().map(Value::to_string).collect();
    fs::write(fake.file("lines"), lines.join("\n")).unwrap();
    let got = fake.ask().await.unwrap();
    assert!(got.text.len() <= downbeat_llm::transport::MAX_ANSWER, "{}", got.text.len());
}
}

each_tool! {
async fn a_hang_is_ended_with_all_that_it_started(tool) {
    let fake = Fake::new(tool, "(setsid sh -c 'echo $$ > \"$0/daemon\"; exec sleep 1000' \"$HERE\" &) ; trap '' TERM; sleep 1000");
    let mut question = fake.question(Some(Permissions::Edit));
    question.timeout = Duration::from_millis(700);
    let started = tokio::time::Instant::now();
    let error = fake.transport().ask(&question).await.unwrap_err().error;
    assert!(matches!(error, LlmError::TimedOut { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_millis(700 + 2_000 + 2_000), "{:?}", started.elapsed());
    let daemon = fs::read_to_string(fake.file("daemon")).unwrap();
    assert!(!fs::exists(format!("/proc/{}", daemon.trim())).unwrap(), "a daemon is left");
}
}

each_tool! {
async fn a_dropped_question_ends_the_tool(tool) {
    let fake = Fake::new(tool, "(setsid sh -c 'echo $$ > \"$0/daemon\"; exec sleep 1000' \"$HERE\" &) ; sleep 1000");
    let (transport, question) = (fake.transport(), fake.question(None));
    let mut asked = Box::pin(transport.ask(&question));
    let daemon = loop {
        tokio::select! {
            answer = &mut asked => panic!("{answer:?}"),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
        match fs::read_to_string(fake.file("daemon")) {
            Ok(text) if text.ends_with('\n') => break text,
            _ => {}
        }
    };
    drop(asked);
    let ended = async {
        while fs::exists(format!("/proc/{}", daemon.trim())).unwrap() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(2), ended).await.expect("all ended");
}
}

each_tool! {
async fn secrets_are_given_only_to_their_owner_and_never_come_back(tool) {
    let lines = said(tool, &answer().to_string()).iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let fake = Fake::new(tool, &format!(
        "cat > /dev/null; env > \"$HERE/given\"; env; env >&2\ncat <<'END'\n{lines}\nEND"));
    fake.ask().await.unwrap();
    let given = fs::read_to_string(fake.file("given")).unwrap();
    assert!(!given.contains("nobody's business"), "{given}");
    assert_eq!(given.matches(SECRET).count(), 1, "{given}");
    let kept = String::from_utf8_lossy(&fake.heard.output.lock().unwrap()).into_owned();
    assert!(kept.contains("=[secret]") && !kept.contains(SECRET), "{kept}");
}
}

each_tool! {
async fn permissions_become_the_tools_own(tool) {
    let lines = said(tool, &answer().to_string()).iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let fake = Fake::new(tool, &format!(
        "cat > /dev/null; printf '%s\\n' \"$@\" > \"$HERE/args\"; pwd > \"$HERE/pwd\"; ls -A > \"$HERE/found\"\ncat <<'END'\n{lines}\nEND"));
    fs::write(fake.file("workspace").join("file"), "").unwrap();
    let bypass = ["bypassPermissions", "--dangerously-bypass-approvals-and-sandbox", "yolo"];
    for permissions in [None, Some(Permissions::Plan), Some(Permissions::Edit), Some(Permissions::Full)] {
        fake.transport().ask(&fake.question(permissions)).await.unwrap();
        let args = fs::read_to_string(fake.file("args")).unwrap();
        let bypassed = args.lines().any(|arg| bypass.contains(&arg));
        assert_eq!(bypassed, permissions == Some(Permissions::Full), "{permissions:?}: {args}");
        assert!(!args.contains("Do it."), "{args}");
        let found = fs::read_to_string(fake.file("found")).unwrap();
        // A question without work is asked in an empty directory.
        assert_eq!(found, if permissions.is_none() { "" } else { "file\n" });
        let expected = match (tool, permissions) {
            ("claude", None) => "default\n--tools\n\n",
            ("claude", Some(Permissions::Plan)) => "--permission-mode\nplan\n",
            ("claude", Some(Permissions::Edit)) => "--permission-mode\nacceptEdits\n",
            ("codex", None) => "-s\nread-only\n--disable\nshell_tool\n",
            ("codex", Some(Permissions::Plan)) => "-s\nread-only\n",
            ("codex", Some(Permissions::Edit)) => "-s\nworkspace-write\n",
            ("gemini", None) => "--approval-mode\nplan\n--policy\n",
            ("gemini", Some(Permissions::Plan)) => "--approval-mode\nplan\n",
            ("gemini", Some(Permissions::Edit)) => "--approval-mode\nauto_edit\n",
            _ => "",
        };
        assert!(args.contains(expected), "{permissions:?}: {args}");
    }
}
}

#[tokio::test]
async fn a_refusal_is_one() {
    let mut lines = said("claude", "I will not do this.");
    lines[2]["stop_reason"] = "refusal".into();
    let error = Fake::printing("claude", &lines, 0).error().await;
    assert!(matches!(&error, LlmError::Refused { reason } if reason.contains("I will not")), "{error:?}");
    let lines = failed("codex", 400, "this request violates our usage policy");
    assert!(matches!(Fake::printing("codex", &lines, 1).error().await, LlmError::Refused { .. }));
    let lines = failed("gemini", 400, "blocked by safety settings");
    assert!(matches!(Fake::printing("gemini", &lines, 1).error().await, LlmError::Refused { .. }));
}

#[tokio::test]
async fn a_permission_that_was_asked_for_is_named() {
    let mut lines = said("claude", "I need your permission.");
    lines[2]["permission_denials"] = json!([{"tool_name": "Bash", "tool_input": {"command": "rm -rf /"}}]);
    let error = Fake::printing("claude", &lines, 0).error().await;
    let text = error.to_string();
    assert!(matches!(error, LlmError::Refused { .. }), "{text}");
    assert!(text.contains("Bash (rm -rf /)") && text.contains("`edit` does not give"), "{text}");

    let mut lines = said("gemini", "");
    let denied = json!({"type": "tool_result", "tool_id": "run_shell_command__1", "status": "error",
                        "error": {"message": "Tool execution denied by policy."}});
    lines.insert(2, denied);
    let error = Fake::printing("gemini", &lines, 0).error().await;
    let text = error.to_string();
    assert!(matches!(error, LlmError::Refused { .. }) && text.contains("run_shell_command"), "{text}");

    let mut lines = said("codex", &answer().to_string());
    lines.insert(2, json!({"type": "item.completed", "item": {"type": "command_execution", "command": "rm -rf /", "status": "declined"}}));
    let fake = Fake::printing("codex", &lines, 0);
    fake.ask().await.unwrap();
    assert!(fake.heard.progress.lock().unwrap().iter().any(|line| line == "was not allowed to run rm -rf /"));
}

#[tokio::test]
async fn a_tool_that_would_wait_for_long_is_ended_at_once() {
    let waits = |line: &str| format!("cat > /dev/null; echo '{line}'; sleep 1000");
    let claude = json!({"type": "system", "subtype": "api_retry", "attempt": 1, "retry_delay_ms": 3_600_000.0, "error_status": 429});
    let codex = json!({"type": "error", "message": "Reconnecting... 1/5 (exceeded retry limit, last status: 429 Too Many Requests)"});
    for (tool, line, wait) in [("claude", claude, Some(Duration::from_secs(3_600))), ("codex", codex, None)] {
        match Fake::new(tool, &waits(&line.to_string())).error().await {
            LlmError::Unavailable { retry_after, .. } => assert_eq!(retry_after, wait, "{tool}"),
            other => panic!("{tool}: {other:?}"),
        }
    }
    let line = "Attempt 3 failed with status 429. Retrying with backoff...";
    let fake = Fake::new("gemini", &format!("cat > /dev/null; echo '{line}' >&2; sleep 1000"));
    assert!(matches!(fake.error().await, LlmError::Unavailable { .. }));
}

each_tool! {
async fn a_wrong_schema_twice_and_then_right_is_right(tool) {
    let fake = Fake::new(tool, "n=$(($(cat \"$HERE/n\" 2>/dev/null || echo 0) + 1)); echo $n > \"$HERE/n\"\ncat > \"$HERE/question-$n\"; cat \"$HERE/lines-$n\"");
    for (number, answer) in (1..).zip(at_the_third_time()) {
        let lines: Vec<String> = said(tool, &answer).iter().map(Value::to_string).collect();
        fs::write(fake.file(&format!("lines-{number}")), lines.join("\n")).unwrap();
    }
    is_repaired_twice(&fake, (300, 60)).await;
}
}
