//! What a client writes down: each question before it is asked, each answer when it is there.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use serde_json::{Value, json};

/// The host's time in milliseconds. All processes are on one host.
#[expect(clippy::disallowed_methods, reason = "the true time, beside that of the kernel")]
pub(crate) fn wall() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// One client's record: a line is in the file before the call is made, and before its answer is acted on.
pub(crate) struct Record {
    file: File,
    who: String,
    calls: u64,
}

impl Record {
    pub(crate) fn open(directory: &Path, who: &str) -> Self {
        let path = directory.join(format!("{who}.jsonl"));
        let file = OpenOptions::new().create_new(true).append(true).open(path).unwrap();
        Self { file, who: who.to_owned(), calls: 0 }
    }

    fn write(&mut self, value: &Value) {
        // One write to the kernel: it survives the death of this process at any moment after it.
        self.file.write_all(format!("{value}\n").as_bytes()).unwrap();
    }

    /// A question; its number is given back.
    pub(crate) fn ask(&mut self, what: &str, details: &Value) -> u64 {
        self.calls += 1;
        let line =
            json!({ "n": self.calls, "who": self.who, "asked_at": wall(), "ask": what, "details": details });
        self.write(&line);
        self.calls
    }

    pub(crate) fn told(&mut self, n: u64, answer: &Value) {
        let line = json!({ "n": n, "told_at": wall(), "told": answer });
        self.write(&line);
    }
}

/// A question with its answer, if it had one.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) who: String,
    pub(crate) asked_at: u64,
    pub(crate) told_at: Option<u64>,
    pub(crate) ask: String,
    pub(crate) details: Value,
    pub(crate) told: Value,
}

/// All records of a directory.
pub(crate) fn read_all(directory: &Path) -> Vec<Call> {
    let mut calls = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let first = calls.len();
        for line in text.lines() {
            // The last line of a killed process may be cut off: then nothing was asked or acted on.
            let Ok(line) = serde_json::from_str::<Value>(line) else { continue };
            if line["ask"].is_null() {
                let n = usize::try_from(line["n"].as_u64().unwrap()).unwrap();
                let call: &mut Call = &mut calls[first + n - 1];
                call.told_at = line["told_at"].as_u64();
                call.told = line["told"].clone();
            } else {
                calls.push(Call {
                    who: line["who"].as_str().unwrap().to_owned(),
                    asked_at: line["asked_at"].as_u64().unwrap(),
                    told_at: None,
                    ask: line["ask"].as_str().unwrap().to_owned(),
                    details: line["details"].clone(),
                    told: Value::Null,
                });
            }
        }
    }
    calls
}
