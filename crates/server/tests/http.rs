//! What goes over the wire: rejections, streams, and who may ask.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code: a fault ends the test")]

mod place;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Append, Streams, Topic, events_stream};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::RequestId;
use downbeat_core::time::ManualClock;
use downbeat_server::{Address, HttpCache, ListenError};
use place::raw::{at, post, tcp};
use place::{Place, serve};
use serde_json::{Value, json};
use tempfile::TempDir;

fn served() -> (TempDir, Place) {
    let directory = tempfile::tempdir().unwrap();
    let place = serve(directory.path(), &Arc::new(ManualClock::default()));
    (directory, place)
}

fn plan(goal: &str, request: &str) -> Value {
    json!({
        "dag": { "goal_id": goal, "nodes": [{ "id": format!("{goal}.a"), "title": "do it" }], "edges": [] },
        "title": "a goal", "request": request, "max_attempts": 3,
    })
}

fn claim(agent: &str) -> Value {
    json!({ "agent": agent, "incarnation": "1", "request": agent, "ttl_ms": 60_000 })
}

#[tokio::test]
async fn every_rejection_is_a_problem() {
    let (_directory, place) = served();
    let socket = &place.socket;
    let json = [("content-type", "application/json")];

    at(socket, "GET /nowhere", &[], "").await.problem(404, "not_found");
    let wrong = at(socket, "DELETE /v1/goals", &[], "").await;
    wrong.problem(405, "method_not_allowed");
    assert!(wrong.head.contains("allow: get,head,post"), "{wrong:?}");
    at(socket, "GET /v1/goals/..bad", &[], "").await.problem(400, "invalid_parameter");
    at(socket, "GET /v1/goals/nobody", &[], "").await.problem(404, "goal_not_found");
    at(socket, "GET /v1/ready?limit=many", &[], "").await.problem(400, "invalid_parameter");
    at(socket, "GET /v1/ready?limit=10001", &[], "").await.problem(400, "invalid_parameter");
    at(socket, "GET /v1/ready?limits=1", &[], "").await.problem(400, "invalid_parameter");
    at(socket, "GET /v1/events?after=x", &[], "").await.problem(400, "invalid_parameter");
    at(socket, "POST /v1/sweeps", &json, "{\"limit\": 1").await.problem(400, "malformed_json");
    at(socket, "POST /v1/sweeps", &[], "{\"limit\": 1}").await.problem(415, "unsupported_media_type");
    at(socket, "POST /v1/sweeps", &json, "[1]").await.problem(400, "schema_violation");
    let large = "x".repeat(33 * 1024 * 1024);
    at(socket, "POST /v1/sweeps", &json, &large).await.problem(413, "body_too_large");

    let mut faulty = claim("one");
    faulty["ttl"] = json!(1);
    faulty["agent"] = json!("no agent");
    faulty["task"] = json!(7);
    let problem = post(socket, "/v1/claims", &faulty).await.problem(400, "schema_violation");
    let pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(pointers.len(), 3, "all faults at once: {problem}");
    assert!(pointers.contains(&"/agent") && pointers.contains(&"/task"), "{problem}");

    let mut cycle = plan("g", "1");
    cycle["dag"]["edges"] = json!([{ "source": "g.a", "target": "g.a" }]);
    let problem = post(socket, "/v1/goals", &cycle).await.problem(422, "unsound_dag");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 1);
    let mut late = claim("one");
    late["ttl_ms"] = json!(0);
    post(socket, "/v1/claims", &late).await.problem(422, "invalid");
}

#[tokio::test]
async fn a_late_settle_is_told_who_holds_the_task() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::default());
    let place = serve(directory.path(), &clock);
    let socket = &place.socket;
    assert_eq!(post(socket, "/v1/goals", &plan("g", "1")).await.status, 200);
    let first = post(socket, "/v1/claims", &claim("one")).await.json();
    clock.advance(Duration::from_secs(60));
    let second = post(socket, "/v1/claims", &claim("two")).await.json();

    let settle = json!({
        "task": "g.a", "token": first["granted"]["lease"]["token"], "request": "s",
        "outcome": { "done": { "summary": "late" } },
    });
    let problem = post(socket, "/v1/settlements", &settle).await.problem(409, "lease_lost");
    assert_eq!(problem["holder"], "two");
    assert_eq!(problem["current"], second["granted"]["lease"]["token"]);
    assert!(problem["detail"].as_str().unwrap().contains("held_by=`two`"), "{problem}");
}

#[tokio::test]
async fn the_document_and_the_figures_are_served() {
    let (_directory, place) = served();
    post(&place.socket, "/v1/goals", &plan("g", "1")).await;
    assert_eq!(at(&place.socket, "GET /openapi.json", &[], "").await.json(), downbeat_server::openapi());
    let metrics = at(&place.socket, "GET /metrics", &[], "").await;
    for line in [
        "downbeat_goals{status=\"active\"} 1",
        "downbeat_tasks{status=\"ready\"} 1",
        "downbeat_api_requests_total{operation=\"planGoal\",status=\"200\"} 1",
    ] {
        assert!(metrics.body.contains(line), "{}", metrics.body);
    }
    let status = at(&place.socket, "GET /v1/status", &[], "").await.json();
    assert_eq!(status["goals"][0]["counts"]["ready"], 1);
    let why = at(&place.socket, "GET /v1/tasks/g.a/why", &[], "").await.json();
    assert_eq!(why["causes"][0]["kind"], "no_agent");
}

/// Reads numbers of events until one is `last`.
fn numbers(socket: &Path, header: &str, last: u64) -> Vec<u64> {
    let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
    write!(stream, "GET /v1/events HTTP/1.1\r\nhost: localhost\r\n{header}\r\n").unwrap();
    let mut found = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        if let Some(id) = line.strip_prefix("id: ") {
            found.push(id.parse().unwrap());
            if found.last() == Some(&last) {
                return found;
            }
        }
    }
    panic!("the stream ended after {found:?}");
}

async fn note(cache: &impl Streams, number: u64) {
    let entries = vec![EventDraft::new(EventKind::new("test.note").unwrap()).reason("line\nbreak")];
    let append = Append { stream: events_stream(), entries, request: RequestId(number.to_string()) };
    assert_eq!(cache.append(&append).await.unwrap(), number);
}

#[tokio::test]
async fn events_go_on_where_a_client_left() {
    let (_directory, place) = served();
    for number in 1..=3 {
        note(&place.sled, number).await;
    }
    let follow = |header: &str, last| {
        let (socket, header) = (place.socket.clone(), header.to_owned());
        tokio::task::spawn_blocking(move || numbers(&socket, &header, last))
    };
    assert_eq!(follow("last-event-id: 0\r\n", 2).await.unwrap(), [1, 2]);
    let resumed = follow("last-event-id: 2\r\n", 1_200);
    // News while it listens, more than one page of them.
    for number in 4..=1_200 {
        note(&place.sled, number).await;
    }
    assert_eq!(resumed.await.unwrap(), (3..=1_200).collect::<Vec<u64>>());
}

/// Its store was emptied, or lost its end: what comes next is behind what the client knows.
#[tokio::test]
async fn a_client_that_knows_of_later_events_is_told_that_they_are_gone() {
    let (_directory, place) = served();
    for number in 1..=2 {
        note(&place.sled, number).await;
    }
    let (say, mut lines) = tokio::sync::mpsc::unbounded_channel();
    let mut stream = std::os::unix::net::UnixStream::connect(&place.socket).unwrap();
    let ended = stream.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        stream
            .write_all(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\nlast-event-id: 500\r\n\r\n")
            .unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = say.send(line);
        }
    });
    let mut until = async |beginning: &str| {
        let found = async {
            loop {
                let line = lines.recv().await.unwrap();
                if line.starts_with(beginning) {
                    return line;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(60), found).await.unwrap()
    };
    assert_eq!(until("event: ").await, "event: resync");
    assert_eq!(until("data: ").await, "data: {\"from\":3,\"to\":500}");
    note(&place.sled, 3).await;
    assert_eq!(until("id: ").await, "id: 3");
    ended.shutdown(std::net::Shutdown::Both).unwrap();
    reader.join().unwrap();
}

#[tokio::test]
async fn open_streams_and_waits_do_not_hold_up_the_end() {
    let (_directory, place) = served();
    note(&place.sled, 1).await;
    let (heard, hears) = std::sync::mpsc::channel();
    let socket = place.socket.clone();
    let stream = tokio::task::spawn_blocking(move || {
        let mut stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.write_all(b"GET /v1/events?after=0 HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if line.starts_with("data") {
                heard.send(()).unwrap();
            }
        }
    });
    let client = HttpCache::new(Address::Socket(place.socket.clone())).with_patience(Duration::ZERO);
    let waits = tokio::spawn(async move {
        client.changed(&Topic::Stream(events_stream()), 1, Duration::from_secs(50)).await
    });
    tokio::task::spawn_blocking(move || hears.recv().unwrap()).await.unwrap();

    tokio::time::timeout(Duration::from_secs(30), place.server.stop()).await.unwrap();

    stream.await.unwrap();
    // It is told that nothing is new, asks again, and finds nobody.
    assert!(waits.await.unwrap().is_err());
    assert!(!place.socket.exists());
}

fn as_nobody(socket: &Path) -> String {
    let command = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        "curl",
        "--silent",
        "--show-error",
        "--unix-socket",
    ];
    let ran =
        Command::new("setpriv").args(command).arg(socket).arg("http://localhost/v1/goals").output().unwrap();
    String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr)
}

#[tokio::test]
async fn a_second_user_cannot_use_the_socket() {
    if !nix::unistd::geteuid().is_root() {
        eprintln!("note: only root can become another user: nothing is proved");
        return;
    }
    let (directory, place) = served();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let asked = |socket: PathBuf| tokio::task::spawn_blocking(move || as_nobody(&socket));

    let said = asked(place.socket.clone()).await.unwrap();
    assert!(said.contains("Could not connect") || said.contains("Couldn't connect"), "{said}");

    // Even when the permissions of the file do not help.
    std::fs::set_permissions(&place.socket, PermissionsExt::from_mode(0o666)).unwrap();
    let said = asked(place.socket.clone()).await.unwrap();
    assert!(said.contains("\"status\":403") && said.contains("foreign_user"), "{said}");
}

#[tokio::test]
async fn tcp_is_for_this_machine_and_for_who_knows_the_token() {
    let (_directory, place) = served();
    let any = "127.0.0.1:0".parse().unwrap();
    let open = place.server.open_tcp(any, None).await.unwrap();
    let token: &str = "a-token-of-some-length";
    let shut = place.server.open_tcp(any, Some(token.to_owned().into())).await.unwrap();

    assert_eq!(tcp(open, "GET /v1/goals", &[]).await.status, 200);
    let rebound = [("host", "attacker.example")];
    tcp(open, "GET /v1/goals", &rebound).await.problem(421, "foreign_host");
    let page = [("origin", "http://attacker.example")];
    tcp(open, "GET /v1/goals", &page).await.problem(403, "cross_origin");
    let preflight = tcp(open, "OPTIONS /v1/goals", &page).await;
    assert!(!preflight.head.contains("access-control"), "{preflight:?}");
    preflight.problem(403, "cross_origin");

    tcp(shut, "GET /v1/goals", &[]).await.problem(401, "unauthorized");
    let wrong = [("authorization", "Bearer a-token-of-some-lengtH")];
    let refused = tcp(shut, "GET /v1/goals", &wrong).await;
    refused.problem(401, "unauthorized");
    assert!(refused.head.contains("www-authenticate: bearer"), "{refused:?}");
    let authority = shut.to_string();
    let known = Address::Tcp { authority: authority.clone(), token: Some(token.to_owned().into()) };
    assert!(!format!("{known:?}").contains(token));
    HttpCache::connect(known).await.unwrap();
    assert!(HttpCache::connect(Address::Tcp { authority, token: None }).await.is_err());

    let everywhere = "0.0.0.0:0".parse().unwrap();
    let refused = place.server.open_tcp(everywhere, None).await;
    assert!(matches!(refused, Err(ListenError::TokenNeeded { .. })));
    let weak = place.server.open_tcp(everywhere, Some("short".to_owned().into())).await;
    assert!(matches!(weak, Err(ListenError::WeakToken)));
}
