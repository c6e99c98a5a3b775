//! What a script says: rules, tried in order.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::question::Vendor;

/// One line of a script: when it applies, and what happens then.
///
/// The first rule that applies answers. Without any, the answer is the smallest instance of the schema
/// that was asked for, or `ok`. All fields are optional.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rule {
    /// Shown in the log of requests.
    pub name: Option<String>,
    /// A regular expression, searched in all text of the request (system, instructions, messages), case
    /// aside; `.` matches line ends too.
    pub when: Option<String>,
    /// This vendor alone.
    pub vendor: Option<Vendor>,
    /// Words that the schema which is asked for must contain.
    pub schema_has: Vec<String>,
    /// How many conversations it serves; after that the next rule that applies answers.
    pub times: Option<u64>,
    /// Applies to requests that bring back exactly this many tool results, and to no other turn of the
    /// conversation: for what goes wrong in the middle of one.
    pub turn: Option<usize>,

    /// Tool calls to make before the answer, one a turn.
    #[serde(rename = "do")]
    pub steps: Vec<Step>,
    /// The answer, as JSON.
    pub json: Option<Value>,
    /// The answer, as text.
    pub text: Option<String>,
    /// The answer is a text of this many bytes.
    pub size: Option<usize>,
    /// How the answer ends, if not well.
    pub ending: Ending,
    /// The usage to report.
    pub usage: Tokens,

    /// An answer of HTTP's instead: this status, with `headers` and `body`.
    pub status: Option<u16>,
    /// Headers to send with `status`.
    pub headers: BTreeMap<String, String>,
    /// The body to send with `status`; without one, an error of the usual shape. A string is sent as it
    /// is.
    pub body: Option<Value>,
    /// Milliseconds to wait before anything is sent.
    pub delay_ms: u64,
    /// Close the connection with no answer.
    pub drop: bool,
    /// Never answer; with `cut`, stop after that many bytes and keep the connection open.
    pub hang: bool,
    /// Close the connection after this many bytes of the body.
    pub cut: Option<usize>,
    /// Send this many bytes of text that is no JSON in place of the body.
    pub garbage: Option<usize>,
    /// Send this many bytes that are no text, every value among them, in place of the body.
    pub binary: Option<usize>,
}

impl Rule {
    /// A rule that answers with this JSON.
    #[must_use]
    pub fn json(value: Value) -> Self {
        Self { json: Some(value), ..Self::default() }
    }

    /// A rule that answers with this text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }

    /// A rule that fails with this HTTP status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self { status: Some(status), ..Self::default() }
    }

    /// The same, applied only where the request's text matches this regular expression.
    #[must_use]
    pub fn when(mut self, pattern: impl Into<String>) -> Self {
        self.when = Some(pattern.into());
        self
    }

    /// The same, for so many conversations.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// The same, for requests with exactly so many tool results.
    #[must_use]
    pub fn turn(mut self, turn: usize) -> Self {
        self.turn = Some(turn);
        self
    }

    /// The same, after these tool calls.
    #[must_use]
    pub fn steps(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.steps = steps.into_iter().collect();
        self
    }

    /// The same, with this header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.insert(name.into(), value.into());
        self
    }

    /// The same, reporting this usage: tokens in, out, and from the cache.
    #[must_use]
    pub fn usage(mut self, input: u64, output: u64, cached: u64) -> Self {
        self.usage = Tokens { input, output, cached };
        self
    }
}

/// Tokens that are reported for one answer.
///
/// How they relate is each vendor's: Anthropic counts cached tokens beside `input`, the others within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tokens {
    /// That went in.
    pub input: u64,
    /// That came out.
    pub output: u64,
    /// That came from the vendor's prompt cache.
    pub cached: u64,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { input: 100, output: 10, cached: 0 }
    }
}

/// How an answer ends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ending {
    /// As it should.
    #[default]
    Well,
    /// At the limit of tokens: the answer is cut off there.
    Length,
    /// The vendor's content filter stopped it.
    Filter,
    /// The model refuses, in the words of the answer.
    Refusal,
    /// There is no content at all.
    Empty,
}

/// A tool call, or several in one turn.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub enum Step {
    /// A file, written with whichever tool for that the client offers.
    Write {
        /// Which file, and what is in it.
        write: Write,
    },
    /// A command, run with whichever tool for that the client offers.
    Shell {
        /// The command, for a POSIX shell.
        shell: String,
    },
    /// A tool by its name.
    Tool {
        /// The tool.
        tool: String,
        /// What it is given.
        input: Value,
    },
    /// Several calls in one turn.
    Together {
        /// The calls; no group among them.
        together: Vec<Step>,
    },
}

impl Step {
    /// Writes a file.
    #[must_use]
    pub fn write(path: impl Into<String>, content: impl Into<String>) -> Self {
        Self::Write { write: Write { path: path.into(), content: content.into() } }
    }

    /// Runs a command.
    #[must_use]
    pub fn shell(command: impl Into<String>) -> Self {
        Self::Shell { shell: command.into() }
    }

    /// Calls a tool.
    #[must_use]
    pub fn tool(tool: impl Into<String>, input: Value) -> Self {
        Self::Tool { tool: tool.into(), input }
    }

    /// Makes several calls in one turn.
    #[must_use]
    pub fn together(steps: impl IntoIterator<Item = Self>) -> Self {
        Self::Together { together: steps.into_iter().collect() }
    }
}

/// A file to write.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Write {
    /// Where: absolute, or relative to the directory that the client says it works in.
    pub path: String,
    /// What.
    pub content: String,
}
