//! Command-line agents: what comes of each fault of a tool, with programs that print what the real
//! ones were seen to print.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what a test needs and does not get fails the test"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::llm::{Conduct, Execute, Llm as _, LlmError, Observer, Permissions};
use downbeat_llm::transport::{Answer, Ask, AskError, Step, Transport, Work};
use downbeat_llm::{Environment, Prompted, bare_transport_in};
use rstest::rstest;
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "sk-very-secret-0123456789";

/// A tool that is a shell script, and a place for it to work in.
struct Fake {
    place: TempDir,
    tool: &'static str,
    heard: Arc<Listener>,
}

#[derive(Debug, Default)]
struct Listener {
    progress: Mutex<Vec<String>>,
    output: Mutex<Vec<u8>>,
}

impl Observer for Listener {
    fn progress(&self, line: &str) {
        self.progress.lock().unwrap().push(line.to_owned());
    }

    fn output(&self, bytes: &[u8]) {
        self.output.lock().unwrap().extend_from_slice(bytes);
    }
}

impl Fake {
    /// `script` runs with the tool's arguments, and its question on standard input.
    fn new(tool: &'static str, script: &str) -> Self {
        let fake = Self { place: TempDir::new().unwrap(), tool, heard: Arc::default() };
        for directory in ["bin", "home", "workspace"] {
            fs::create_dir(fake.place.path().join(directory)).unwrap();
        }
        let program = fake.place.path().join("bin").join(tool.trim_start_matches("acp:"));
        fs::write(&program, format!("#!/bin/sh\nHERE='{}'\n{script}\n", fake.place.path().display()))
            .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    /// Prints these lines, having read its question.
    fn printing(tool: &'static str, lines: &[Value], code: i32) -> Self {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        Self::new(
            tool,
            &format!("cat > \"$HERE/question\"\ncat <<'END'\n{}\nEND\nexit {code}", text.join("\n")),
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    fn transport(&self) -> Arc<dyn Transport> {
        let path = format!("{}:/usr/bin:/bin", self.file("bin").display());
        let home = self.file("home").display().to_string();
        let environment: Environment = [
            ("PATH", path.as_str()),
            ("HOME", &home),
            ("ANTHROPIC_API_KEY", SECRET),
            ("CODEX_API_KEY", SECRET),
            ("GEMINI_API_KEY", SECRET),
            ("OTHER_SECRET", "nobody's business"),
        ]
        .into_iter()
        .collect();
        let environment = environment.guarded_by(downbeat_tests::binary());
        bare_transport_in(self.tool, self.place.path(), &environment).unwrap()
    }

    fn question(&self, permissions: Option<Permissions>) -> Ask {
        let workspace = self.file("workspace");
        Ask {
            step: Step::Execute,
            system: "You are asked by a test.".to_owned(),
            prompt: "Do it.".to_owned(),
            exchange: Vec::new(),
            schema: Arc::new(json!({
                "type": "object",
                "properties": {"status": {"type": "string"}, "notes": {"type": "string"}},
                "required": ["status", "notes"],
            })),
            work: permissions.map(|permissions| Work { workspace, permissions, env: Vec::new() }),
            timeout: Duration::from_secs(60),
            observer: Arc::clone(&self.heard) as Arc<dyn Observer>,
        }
    }

    async fn ask(&self) -> Result<Answer, AskError> {
        self.transport().ask(&self.question(Some(Permissions::Edit))).await
    }

    async fn error(&self) -> LlmError {
        let error = self.ask().await.expect_err("it has no answer").error;
        assert!(!error.to_string().contains(SECRET), "{error}");
        error
    }
}

fn answer() -> Value {
    json!({"status": "done", "notes": "fine"})
}

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

/// An agent of the protocol in shell: it says, asks and does what `prompted` holds, then answers.
fn protocol_agent(prompted: &str) -> Fake {
    let script = format!(
        r#"
say() {{ printf '%s\n' "$1"; }}
chunk() {{ say '{{"jsonrpc":"2.0","method":"session/update","params":{{"sessionId":"s","update":{{"sessionUpdate":"agent_message_chunk","content":{{"type":"text","text":"'"$1"'"}}}}}}}}'; }}
call() {{ say '{{"jsonrpc":"2.0","id":'"$1"',"method":"'"$2"'","params":{{"sessionId":"s",'"$3"'}}}}'; }}
ask() {{ call "$1" session/request_permission '"toolCall":{{"toolCallId":"c","title":"'"$2"'","kind":"'"$3"'","locations":[{{"path":"'"$4"'"}}]}},"options":[{{"optionId":"yes","name":"Yes","kind":"allow_once"}},{{"optionId":"no","name":"No","kind":"reject_once"}}]'; }}
answer() {{ IFS= read -r heard; printf '%s\n' "$heard" >> "$HERE/heard"; }}
finish() {{ say '{{"jsonrpc":"2.0","id":'"$id"',"result":{{"stopReason":"'"${{1:-end_turn}}"'"}}}}'; }}
echo 'a complaint' >&2
while IFS= read -r line; do
  id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\|[0-9][0-9]*\).*/\1/p')
  case $line in
    *'"method":"initialize"'*) printf '%s\n' "$line" > "$HERE/hello"
      say '{{"jsonrpc":"2.0","id":'"$id"',"result":{{"protocolVersion":1,"agentCapabilities":{{}},"agentInfo":{{"name":"fake","version":"1"}}}}}}' ;;
    *'"method":"session/new"'*) printf '%s\n' "$line" > "$HERE/new"; say '{{"jsonrpc":"2.0","id":'"$id"',"result":{{"sessionId":"s"}}}}' ;;
    *'"method":"session/prompt"'*)
{prompted}
      ;;
  esac
done"#
    );
    Fake::new("acp:agent", &script)
}

#[tokio::test]
async fn an_agent_of_the_protocol_answers_and_keeps_to_its_workspace() {
    let prompted = r#"
      chunk 'I begin.'
      ask 101 'Edit inside' edit "$HERE/workspace/new.txt"; answer
      ask 102 'Edit outside' edit "$HERE/outside.txt"; answer
      ask 103 'rm -rf' execute "$HERE/workspace"; answer
      call 104 fs/write_text_file '"path":"'"$HERE"'/workspace/new.txt","content":"hello"'; answer
      call 105 fs/write_text_file '"path":"'"$HERE"'/outside.txt","content":"hello"'; answer
      call 106 fs/read_text_file '"path":"/etc/passwd"'; answer
      call 107 terminal/create '"command":"true"'; answer
      call 108 fs/read_text_file '"path":"'"$HERE"'/workspace/none.txt"'; answer
      say 'this is no JSON'
      say '{"jsonrpc":"2.0","method":"session/update","params":{"sessionId":"s","update":{"sessionUpdate":"tool_call","toolCallId":"c","title":"Editing"}}}'
      chunk '{\"status\": '; chunk '\"done\"}'
      finish"#;
    let fake = protocol_agent(prompted);
    let got = fake.ask().await.unwrap();
    assert_eq!(got.text, r#"{"status": "done"}"#);
    assert_eq!((got.model.as_str(), got.usage.calls, got.usage.tokens()), ("fake 1", 1, 0));
    let heard = fs::read_to_string(fake.file("heard")).unwrap();
    let heard: Vec<Value> = heard.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |id: u64| heard.iter().find(|message| message["id"] == id).unwrap();
    for (id, option) in [(101, "yes"), (102, "no"), (103, "no")] {
        assert_eq!(of(id)["result"]["outcome"]["optionId"], option, "{id}: {}", of(id));
    }
    assert!(of(104)["error"].is_null(), "{}", of(104));
    for id in [105, 106, 107] {
        assert!(of(id)["error"].is_object(), "{id}: {}", of(id));
    }
    // That a file is not there yet is no refusal: agents look before they write.
    assert_eq!(of(108)["error"]["code"], -32002, "{}", of(108));
    assert_eq!(fs::read_to_string(fake.file("workspace/new.txt")).unwrap(), "hello");
    assert!(!fake.file("outside.txt").exists());
    let hello = fs::read_to_string(fake.file("hello")).unwrap();
    assert!(!hello.contains(r#""terminal":true"#), "{hello}");
    assert!(fs::read_to_string(fake.file("new")).unwrap().contains("workspace"));
    let progress = fake.heard.progress.lock().unwrap().join("\n");
    assert!(
        progress.contains("I begin.")
            && progress.contains("Editing")
            && progress.contains("was not allowed: rm -rf"),
        "{progress}"
    );
}

#[tokio::test]
async fn faults_of_an_agent_of_the_protocol() {
    let refused = protocol_agent("chunk 'I will not.'; finish refusal").error().await;
    assert!(matches!(&refused, LlmError::Refused { reason } if reason.contains("I will not")), "{refused:?}");

    let denied = protocol_agent("ask 101 'rm -rf' execute /; answer; finish").error().await;
    assert!(matches!(&denied, LlmError::Refused { reason } if reason.contains("rm -rf")), "{denied:?}");

    let empty = protocol_agent("finish").ask().await.unwrap();
    assert_eq!(empty.text, "");

    let failing = |code: i32, message: &str| {
        protocol_agent(&format!(
            r#"say '{{"jsonrpc":"2.0","id":'"$id"',"error":{{"code":{code},"message":"{message}"}}}}'"#
        ))
    };
    let signed_out = failing(-32000, "Authentication required").error().await;
    assert!(
        matches!(&signed_out, LlmError::Unusable { reason } if reason.contains("signed in")),
        "{signed_out:?}"
    );
    match failing(-32603, "status 429: too many requests, try again in 30s").error().await {
        LlmError::Unavailable { retry_after, .. } => assert_eq!(retry_after, Some(Duration::from_secs(30))),
        other => panic!("{other:?}"),
    }
    let broken = failing(-32603, "Internal server error").error().await;
    assert!(matches!(broken, LlmError::Unavailable { .. }), "{broken:?}");

    let crashed = protocol_agent("exit 3").error().await;
    assert!(matches!(crashed, LlmError::Unavailable { .. }), "{crashed:?}");

    let silent = protocol_agent("setsid sleep 1000 & echo $! > \"$HERE/daemon\"; sleep 1000");
    let mut question = silent.question(None);
    question.timeout = Duration::from_millis(700);
    let error = silent.transport().ask(&question).await.unwrap_err().error;
    assert!(matches!(error, LlmError::TimedOut { .. }), "{error:?}");
    let daemon = fs::read_to_string(silent.file("daemon")).unwrap();
    assert!(!fs::exists(format!("/proc/{}", daemon.trim())).unwrap(), "a daemon is left");
}

/// A request to do a task in the fake's workspace.
fn task(fake: &Fake) -> Execute {
    Execute {
        unfinished: None,
        goal: GoalId::new("demo").unwrap(),
        agent: AgentName::new("ada").unwrap(),
        instructions: String::new(),
        node: serde_json::from_value(json!({"id": "a", "title": "Do it"})).unwrap(),
        attempt: 1,
        last_error: None,
        inputs: Vec::new(),
        memory: Vec::new(),
        workspace: fake.file("workspace"),
        conduct: Conduct::default(),
    }
}

/// Answers that cannot be used, each in its own way, and one that can.
fn at_the_third_time() -> [String; 3] {
    let right = json!({"status": "done", "outputs": [], "notes": "n", "summary": "s"});
    [
        String::new(),
        json!({"status": "well", "notes": 3}).to_string(),
        format!("Here it is:\n```json\n{right}\n```"),
    ]
}

/// The faults of both wrong answers went back, and the third was taken.
async fn is_repaired_twice(fake: &Fake, tokens: (u64, u64)) {
    let reply = Prompted::new(fake.transport()).execute(&task(fake)).await.unwrap();
    assert_eq!((reply.value.notes.as_str(), reply.value.summary.as_deref()), ("n", Some("s")));
    // All three answers are paid for.
    let usage = reply.usage;
    assert_eq!((usage.calls, usage.input_tokens, usage.output_tokens), (3, tokens.0, tokens.1));
    let asked = |number: u32| fs::read_to_string(fake.file(&format!("question-{number}"))).unwrap();
    assert!(!asked(1).contains("Your answer to this was"), "{}", asked(1));
    assert!(asked(2).contains("the answer is empty"), "{}", asked(2));
    assert!(asked(3).contains("/status") && asked(3).contains("/notes"), "{}", asked(3));
    assert!(!fake.file("question-4").exists());
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

/// The message with which an agent of the protocol says `text`.
fn chunk(text: &str) -> Value {
    json!({"jsonrpc": "2.0", "method": "session/update", "params": {"sessionId": "s", "update":
        {"sessionUpdate": "agent_message_chunk", "content": {"type": "text", "text": text}}}})
}

#[tokio::test]
async fn a_wrong_schema_twice_and_then_right_is_right_for_an_agent_of_the_protocol() {
    let fake = protocol_agent(
        "n=$(($(cat \"$HERE/n\" 2>/dev/null || echo 0) + 1)); echo $n > \"$HERE/n\"\nprintf '%s' \"$line\" > \"$HERE/question-$n\"; cat \"$HERE/lines-$n\"; finish",
    );
    for (number, answer) in (1..).zip(at_the_third_time()) {
        fs::write(fake.file(&format!("lines-{number}")), format!("{}\n", chunk(&answer))).unwrap();
    }
    is_repaired_twice(&fake, (0, 0)).await;
}

#[tokio::test]
async fn much_and_strange_output_of_an_agent_of_the_protocol_is_survived() {
    // Ten megabytes of an answer: in one message, in many, and beside them what is no message at all.
    for pieces in [1, 100] {
        let fake = protocol_agent("cat \"$HERE/lines\"; finish");
        let message = format!("{}\n", chunk(&"x".repeat(10 * 1024 * 1024 / pieces)));
        fs::write(fake.file("lines"), message.repeat(pieces)).unwrap();
        let got = fake.ask().await.unwrap();
        assert!(got.text.len() > 1024 * 1024, "{}", got.text.len());
        assert!(got.text.len() <= downbeat_llm::transport::MAX_ANSWER, "{}", got.text.len());
    }
    // Each line that is no message is answered: who floods and does not listen is ended at its time.
    let flood = protocol_agent("yes 'no message' | head -c 10485760; finish");
    let mut question = flood.question(None);
    question.timeout = Duration::from_secs(2);
    let error = flood.transport().ask(&question).await.unwrap_err().error;
    assert!(matches!(error, LlmError::TimedOut { .. }), "{error:?}");
    // What is no text ends the conversation, and shows nowhere.
    let binary = protocol_agent("printf '\\377\\376\\000\\033[31m\\n'; chunk 'Well.'; finish")
        .ask()
        .await
        .unwrap_err();
    let said = binary.to_string();
    assert!(matches!(binary.error, LlmError::Unavailable { .. }), "{said}");
    assert!(said.contains("UTF-8") && !said.contains(char::is_control), "{said}");
}

#[tokio::test]
async fn an_agent_of_the_protocol_that_is_missing_dies_or_breaks_off_is_told_apart() {
    let missing = protocol_agent("");
    fs::remove_file(missing.file("bin/agent")).unwrap();
    match missing.error().await {
        LlmError::Unusable { reason } => {
            assert!(reason.contains("there is no program `agent` on the PATH"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let probe = missing.transport().probe().await;
    assert!(!probe.usable && !probe.remedies.is_empty(), "{probe:?}");

    // It dies before it was asked anything, in the middle of an answer, in the middle of a message, of a signal.
    let mute = Fake::new("acp:agent", "echo 'no licence' >&2; exit 1").error().await;
    assert!(
        matches!(&mute, LlmError::Unavailable { reason, .. } if reason.contains("no licence")),
        "{mute:?}"
    );
    for end in [
        "chunk 'I be'; exit 0",
        "printf '{\"jsonrpc\":\"2.0\",\"meth'; exit 0",
        "chunk 'I be'; kill -KILL $$",
    ] {
        let failed = protocol_agent(end).ask().await.unwrap_err();
        assert!(matches!(failed.error, LlmError::Unavailable { .. }), "{end}: {failed:?}");
        // It was asked: that counts, though nobody knows what it cost.
        assert_eq!(failed.usage.calls, 1, "{end}");
    }
}

#[tokio::test]
async fn limits_of_an_agent_of_the_protocol_are_read_from_its_words() {
    let failing = |message: &str| {
        protocol_agent(&format!(
            r#"say '{{"jsonrpc":"2.0","id":'"$id"',"error":{{"code":-32603,"message":"{message}"}}}}'"#
        ))
    };
    match failing("status 429: too many requests").error().await {
        LlmError::Unavailable { retry_after, .. } => assert_eq!(retry_after, None),
        other => panic!("{other:?}"),
    }
    match failing("You have hit your usage limit. Try again in 2 hours.").error().await {
        LlmError::BudgetSpent { until, .. } => assert_eq!(until, Some(Duration::from_secs(7_200))),
        other => panic!("{other:?}"),
    }
    let dropped = failing("TypeError: fetch failed: ECONNRESET").error().await;
    assert!(matches!(dropped, LlmError::Unavailable { .. }), "{dropped:?}");
}

#[tokio::test]
async fn an_agent_of_the_protocol_that_was_denied_and_goes_on_has_an_answer() {
    let fake = protocol_agent("ask 101 'rm -rf' execute /; answer; chunk 'Done without.'; finish");
    assert_eq!(fake.ask().await.unwrap().text, "Done without.");
    let progress = fake.heard.progress.lock().unwrap().join("\n");
    assert!(progress.contains("was not allowed: rm -rf"), "{progress}");
}

#[tokio::test]
async fn an_agent_of_the_protocol_gives_no_secret_away_and_leaves_nothing() {
    let fake = protocol_agent(
        "env >&2; env > \"$HERE/given\"; chunk \"the key is $ANTHROPIC_API_KEY\"; (setsid sh -c 'echo $$ > \"$0/daemon\"; exec sleep 1000' \"$HERE\" &); while ! test -s \"$HERE/daemon\"; do :; done; finish",
    );
    let got = fake.ask().await.unwrap();
    assert_eq!(got.text, "the key is [secret]");
    let given = fs::read_to_string(fake.file("given")).unwrap();
    assert!(!given.contains("nobody's business"), "{given}");
    let kept = String::from_utf8_lossy(&fake.heard.output.lock().unwrap()).into_owned();
    assert!(kept.contains("[secret]") && !kept.contains(SECRET), "{kept}");
    let daemon = fs::read_to_string(fake.file("daemon")).unwrap();
    assert!(!fs::exists(format!("/proc/{}", daemon.trim())).unwrap(), "a daemon is left");
}
