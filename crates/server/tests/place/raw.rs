//! Requests as bytes, to see answers as they are.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::Value;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    fn read(mut from: impl Read) -> Self {
        let mut all = Vec::new();
        match from.read_to_end(&mut all) {
            // A server that refuses a request before it has read all of it ends the connection with what is left,
            // which comes behind its answer.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            read => drop(read.unwrap()),
        }
        let all = String::from_utf8(all).unwrap();
        let (head, body) = all.split_once("\r\n\r\n").unwrap_or((&all, ""));
        let status = head.split(' ').nth(1).unwrap_or("0").parse().unwrap();
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// That it is a problem with this status and code, and says so in every way.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some(code), Some(status.into())));
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
        problem
    }
}

fn request(line: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{line} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        text.push_str("host: localhost\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        text.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    text + "\r\n" + body
}

/// Asks at a socket: `line` is the method and the path.
pub async fn at(socket: &Path, line: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let (socket, text) = (socket.to_owned(), request(line, headers, body));
    let ask = move || {
        let mut stream = UnixStream::connect(socket).unwrap();
        // The answer may come before all is sent.
        let _ = stream.write_all(text.as_bytes());
        Answer::read(stream)
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}

/// Sends JSON to a socket.
pub async fn post(socket: &Path, path: &str, body: &Value) -> Answer {
    let headers = [("content-type", "application/json")];
    at(socket, &format!("POST {path}"), &headers, &body.to_string()).await
}

/// Asks over TCP.
pub async fn tcp(address: SocketAddr, line: &str, headers: &[(&str, &str)]) -> Answer {
    let text = request(line, headers, "");
    let ask = move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        Answer::read(stream)
    };
    tokio::task::spawn_blocking(ask).await.unwrap()
}
