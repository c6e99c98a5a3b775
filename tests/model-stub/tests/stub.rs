//! What the stub promises its users, seen over a plain socket.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code: a fault ends the test"
)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use downbeat_model_stub::{Ending, Reported, Rule, Step, Stub};
use rstest::rstest;
use serde_json::{Value, json};

/// A format: its path, and whether it streams.
#[derive(Debug, Clone, Copy)]
enum Format {
    Anthropic,
    Responses,
    Chat,
    Gemini,
    Ollama,
}

use Format::{Anthropic, Chat, Gemini, Ollama, Responses};

struct Answer {
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

fn send(stub: &Stub, path: &str, body: &Value) -> Answer {
    let body = body.to_string();
    let address = stub.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\nx-key: k1\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut bytes = Vec::new();
    // A connection that the script cuts ends in an error or not; what came counts.
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = end.map_or((&bytes[..], &[][..]), |end| (&bytes[..end], &bytes[end + 4..]));
    let head = String::from_utf8_lossy(head).to_lowercase();
    let body = if head.contains("chunked") { dechunk(body) } else { body.to_vec() };
    Answer { head, body }
}

fn dechunk(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|two| two == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        let start = end + 2;
        if size == 0 || body.len() < start + size {
            whole.extend_from_slice(body.get(start..).unwrap_or_default());
            break;
        }
        whole.extend_from_slice(&body[start..start + size]);
        body = &body[start + size + 2..];
    }
    whole
}

fn path(format: Format, stream: bool) -> &'static str {
    match (format, stream) {
        (Anthropic, _) => "/v1/messages",
        (Responses, _) => "/v1/responses",
        (Chat, _) => "/v1/chat/completions",
        (Gemini, false) => "/v1beta/models/m:generateContent?key=x",
        (Gemini, true) => "/v1beta/models/m:streamGenerateContent?alt=sse",
        (Ollama, _) => "/api/chat",
    }
}

/// A first request in this format that offers a shell and asks for an answer by a schema.
fn asking(format: Format, prompt: &str, stream: bool) -> Value {
    let schema = json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "integer" } } });
    let function = json!({ "name": "run_command", "parameters": { "type": "object" } });
    match format {
        Anthropic => json!({
            "model": "m", "stream": stream, "messages": [{ "role": "user", "content": prompt }],
            "tools": [{ "name": "run_command", "input_schema": { "type": "object" } }],
            "output_config": { "format": { "type": "json_schema", "schema": schema } },
        }),
        Responses => json!({
            "model": "m", "stream": stream, "instructions": "be brief",
            "input": [{ "role": "user", "content": [{ "type": "input_text", "text": prompt }] }],
            "tools": [{ "type": "function", "name": "run_command" }],
            "text": { "format": { "type": "json_schema", "name": "n", "schema": schema } },
        }),
        Chat => json!({
            "model": "m", "stream": stream, "messages": [{ "role": "user", "content": prompt }],
            "tools": [{ "type": "function", "function": function }],
            "response_format": { "type": "json_schema", "json_schema": { "name": "n", "schema": schema } },
        }),
        Gemini => json!({
            "contents": [{ "role": "user", "parts": [{ "text": prompt }] }],
            "tools": [{ "functionDeclarations": [function] }],
            "generationConfig": { "responseJsonSchema": schema },
        }),
        Ollama => json!({
            "model": "m", "stream": stream, "messages": [{ "role": "user", "content": prompt }],
            "tools": [{ "type": "function", "function": function }],
            "format": schema,
        }),
    }
}

/// The same request with the call that was answered and its result behind it.
fn returning(format: Format, mut request: Value, id: &str) -> Value {
    let call =
        json!({ "id": id, "type": "function", "function": { "name": "run_command", "arguments": "{}" } });
    let (key, turns) = match format {
        Anthropic => (
            "messages",
            vec![
                json!({ "role": "assistant", "content": [{ "type": "tool_use", "id": id, "name": "run_command", "input": {} }] }),
                json!({ "role": "user", "content": [{ "type": "tool_result", "tool_use_id": id, "content": "out" }] }),
            ],
        ),
        Responses => (
            "input",
            vec![
                json!({ "type": "function_call", "call_id": id, "name": "run_command", "arguments": "{}" }),
                json!({ "type": "function_call_output", "call_id": id, "output": "out" }),
            ],
        ),
        Chat | Ollama => (
            "messages",
            vec![
                json!({ "role": "assistant", "tool_calls": [call] }),
                json!({ "role": "tool", "tool_call_id": id, "content": "out" }),
            ],
        ),
        Gemini => (
            "contents",
            vec![
                json!({ "role": "model", "parts": [{ "functionCall": { "id": id, "name": "run_command", "args": {} } }] }),
                json!({ "role": "user", "parts": [{ "functionResponse": { "id": id, "name": "run_command", "response": {} } }] }),
            ],
        ),
    };
    request[key].as_array_mut().unwrap().extend(turns);
    request
}

/// The id of the tool call in an answer.
fn called(text: &str) -> String {
    let start = text.find("stub_").expect(text);
    let id: String = text[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    format!("call_{id}")
}

#[rstest]
fn every_format_calls_a_tool_and_then_answers(
    #[values(Anthropic, Responses, Chat, Gemini, Ollama)] format: Format,
    #[values(false, true)] stream: bool,
) {
    let rule = Rule::json(json!({ "n": 7 })).when("count").steps([Step::shell("wc -l")]).usage(1000, 20, 300);
    let stub = Stub::start(vec![rule]).unwrap();
    let request = asking(format, "please COUNT", stream);

    let first = send(&stub, path(format, stream), &request);
    let id = called(&first.text());
    let second = send(&stub, path(format, stream), &returning(format, request, &id));

    assert!(first.text().contains("run_command") && first.text().contains("wc -l"), "{}", first.text());
    let plain = second.text().replace('\\', "");
    assert!(plain.contains(r#"{"n":7}"#), "{plain}");
    let streamed = second.head.contains("event-stream") || second.head.contains("ndjson");
    assert_eq!(streamed, stream, "{}", second.head);
    let asked = stub.asked();
    assert_eq!(asked.iter().map(|one| one.tool_results).collect::<Vec<_>>(), [0, 1]);
    assert!(asked.iter().all(|one| one.tools == ["run_command"] && one.schema.is_some()));
    assert_eq!(asked[0].header("x-key"), Some("k1"));
    let (input, cached) = match format {
        Anthropic => (2600, 600),
        Ollama => (2000, 0),
        _ => (2000, 600),
    };
    let sum = Reported { answers: 2, input_tokens: input, cached_tokens: cached, output_tokens: 40 };
    assert_eq!(stub.reported(), sum);
}

#[rstest]
fn every_format_says_how_an_answer_ended(
    #[values(Anthropic, Responses, Chat, Gemini, Ollama)] format: Format,
) {
    let ended = |ending| {
        let stub = Stub::start(vec![Rule { ending, ..Rule::text("I would rather not") }]).unwrap();
        send(&stub, path(format, false), &asking(format, "go", false)).text()
    };

    let (length, refusal) = (ended(Ending::Length), ended(Ending::Refusal));

    let (at_length, at_refusal) = match format {
        Anthropic => ("\"max_tokens\"", "\"stop_reason\":\"refusal\""),
        Responses => ("\"max_output_tokens\"", "\"refusal\":\"I would rather not\""),
        Chat => ("\"length\"", "\"refusal\":\"I would rather not\""),
        Gemini => ("\"MAX_TOKENS\"", "\"SAFETY\""),
        Ollama => ("\"length\"", "I would rather not"),
    };
    assert!(length.contains(at_length) && length.contains("I would r\""), "{length}");
    assert!(refusal.contains(at_refusal), "{refusal}");
    assert!(!ended(Ending::Empty).contains("rather"));
}

#[test]
fn an_unscripted_question_is_answered_by_its_schema() {
    let stub = Stub::start(Vec::new()).unwrap();
    let answer = send(&stub, "/api/chat", &asking(Ollama, "hello", false));
    assert_eq!(answer.json()["message"]["content"], r#"{"n":0}"#);
}

#[test]
fn a_rule_serves_so_many_conversations_and_then_the_next_one_does() {
    let stub = Stub::start(vec![Rule::text("first").times(2), Rule::text("later")]).unwrap();
    let said: Vec<Value> = (0..4)
        .map(|_| send(&stub, "/api/chat", &asking(Ollama, "go", false)).json()["message"]["content"].clone())
        .collect();
    assert_eq!(said, ["first", "first", "later", "later"]);
}

#[test]
fn a_running_conversation_stays_with_the_rule_that_began_it() {
    let rules = ["one", "two"].map(|text| Rule::text(text).times(1).steps([Step::shell(text)]));
    let stub = Stub::start(rules.to_vec()).unwrap();
    let request = asking(Chat, "same words", false);
    let ids = [0, 1].map(|_| called(&send(&stub, path(Chat, false), &request).text()));

    let said = [1, 0].map(|which: usize| {
        let request = returning(Chat, request.clone(), &ids[which]);
        send(&stub, path(Chat, false), &request).json()["choices"][0]["message"]["content"].clone()
    });

    assert_eq!(said, ["two", "one"]);
}

#[test]
fn a_rule_of_one_turn_strikes_in_the_middle_of_a_conversation() {
    let rules = vec![
        Rule::status(429).header("retry-after", "3").turn(1).times(1),
        Rule::text("done").steps([Step::shell("true")]),
    ];
    let stub = Stub::start(rules).unwrap();
    let request = asking(Anthropic, "go", false);
    let id = called(&send(&stub, "/v1/messages", &request).text());
    let next = returning(Anthropic, request, &id);

    let (limited, after) = (send(&stub, "/v1/messages", &next), send(&stub, "/v1/messages", &next));

    assert!(limited.head.starts_with("http/1.1 429") && limited.head.contains("retry-after: 3"));
    assert_eq!(after.json()["content"][0]["text"], "done");
}

#[test]
fn several_calls_come_in_one_turn() {
    let step = Step::together([Step::write("a.txt", "a"), Step::shell("true")]);
    let stub = Stub::start(vec![Rule::text("done").steps([step])]).unwrap();
    let answer = send(&stub, "/v1/messages", &asking(Anthropic, "go", false)).json();
    assert_eq!(answer["content"].as_array().unwrap().len(), 2);
    assert_eq!(answer["content"][0]["input"]["command"], "mkdir -p . && printf %s a > a.txt");
}

#[rstest]
#[case::drop(json!([{ "drop": true }]), |answer: &Answer| answer.head.is_empty() && answer.body.is_empty())]
#[case::cut(json!([{ "cut": 20 }]), |answer: &Answer| answer.body.len() == 20 && answer.head.contains("content-length"))]
#[case::garbage(json!([{ "garbage": 99 }]), |answer: &Answer| answer.body.len() == 99 && answer.body.starts_with(b"<< this"))]
#[case::binary(json!([{ "binary": 300 }]), |answer: &Answer| answer.body.len() == 300 && answer.body[255] == 255)]
#[case::ten_megabytes(json!([{ "size": 10_000_000 }]), |answer: &Answer| answer.body.len() > 10_000_000)]
#[case::status(json!([{ "status": 500, "body": "<html>" }]), |answer: &Answer| answer.head.contains("500") && answer.body == b"<html>")]
fn what_goes_wrong_goes_wrong_on_the_wire(#[case] rules: Value, #[case] holds: fn(&Answer) -> bool) {
    let stub = Stub::from_json(&rules).unwrap();
    let answer = send(&stub, "/v1/messages", &asking(Anthropic, "go", false));
    assert!(holds(&answer), "{}", answer.head);
}

#[rstest]
#[case::at_once(json!([{ "hang": true }]), 0)]
#[case::in_the_middle(json!([{ "hang": true, "cut": 20 }]), 20)]
fn a_hang_lasts_until_the_stub_is_gone(#[case] rules: Value, #[case] sent: usize) {
    let stub = Stub::from_json(&rules).unwrap();
    let address = stub.url().replace("http://", "");
    let mut stream = TcpStream::connect(&address).unwrap();
    let body = asking(Anthropic, "go", false).to_string();
    write!(stream, "POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .unwrap();
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while sent > 0 && !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let count = stream.read(&mut buffer).unwrap();
        bytes.extend_from_slice(&buffer[..count]);
    }
    if sent == 0 {
        // The request is with the stub, which says nothing.
        while stub.asked().is_empty() {
            std::thread::yield_now();
        }
    }

    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let before = stream.read(&mut buffer);
    drop(stub);
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);

    // Either there was nothing to read, or it is the part before the cut that came on its own.
    assert!(before.is_err() || before.unwrap() <= 20);
    let _ = stream.shutdown(Shutdown::Both);
}

#[test]
fn what_is_wrong_with_rules_is_said() {
    let pattern = Stub::start(vec![Rule::text("x").when("(")]).unwrap_err().to_string();
    assert!(pattern.contains("`(` is no regular expression"), "{pattern}");
    assert!(Stub::from_json(&json!([{ "wen": "x" }])).is_err());
}
