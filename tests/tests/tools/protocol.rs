//! Agents of the Agent Client Protocol.

use std::fs;
use std::time::Duration;

use downbeat_core::llm::LlmError;
use serde_json::{Value, json};

use super::fake::{Fake, SECRET, at_the_third_time, is_repaired_twice};

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
