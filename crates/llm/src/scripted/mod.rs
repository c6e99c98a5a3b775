//! Answers from a script: for tests, demonstrations and the reproduction of what went wrong.
//!
//! A script is a file with one exchange, a file with a list of them (`{"exchanges": [...]}`), or a
//! directory with such files, read in the order of their names. An exchange is JSON:
//!
//! ```json
//! {
//!   "note": "for people",
//!   "match": { "kind": "execute", "node": { "id": "count-lines" } },
//!   "files": { "lines.csv": "README.md,12\n" },
//!   "delay_ms": 20,
//!   "reply": { "value": { "status": "done", "notes": "counted 1 file" }, "usage": { "calls": 1 } }
//! }
//! ```
//!
//! | member | means |
//! |---|---|
//! | `request` | the whole request, as JSON of its type with its `kind`; answers this one alone |
//! | `match` | in its place a part of a request, with its `kind`; answers every one that has that part |
//! | `reply` | `value`, and if it matters `usage` and `model` |
//! | `error` | in its place an error, with `usage` beside it if it cost something: `unavailable`, `budget_spent`, `timed_out`, `malformed`, `refused` or `unusable` as `kind`, with `reason`, `excerpt`, `retry_after_ms`, `until_ms`, `limit_ms` as the kind has them |
//! | `times` | how often it answers; 1 without it |
//! | `delay_ms` | how long the answer takes |
//! | `files` | what an `execute` leaves in its workspace before it is answered, by reply or error |
//!
//! In a `match` an object allows further members, `null` is also for what is not there, and lists and
//! everything else must be equal. The directory to work in is written `$WORKSPACE`, there and
//! wherever else in a request its full path stands, so that a script can be replayed anywhere.
//!
//! A request is answered by the first exchange for it that is not used up: `request` before `match`,
//! then in the order of the script. There is no answer by default: a request that nothing is left for
//! is [`LlmError::Unusable`], and the reason tells what the nearest exchange has in its place.

mod answer;
mod canonical;
mod difference;
mod exchange;
mod fault;
mod files;
mod kind;
mod load;
mod missing;
pub(crate) mod recorded;
mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use downbeat_core::dag::{Draft, Node};
use downbeat_core::llm::{
    Assess, Assessment, CallError, Decompose, Execute, Execution, Llm, LlmError, Reply, Select, Selection,
    Summarize, Summary,
};

pub use fault::{Fault, Place, ScriptError};
pub use load::{MAX_FILE_BYTES, MAX_FILES};

use answer::Answer;
use exchange::{Asked, Exchange};
use request::{Question, Request};

/// Replays a script. The [module](self) says what is in one.
///
/// An exchange is used up when it is chosen, also when the caller does not wait for the answer.
#[derive(Debug)]
pub struct Scripted {
    name: String,
    exchanges: Vec<Exchange>,
    /// Exchanges by the key of their whole request.
    exact: HashMap<String, Vec<usize>>,
    /// How often each exchange still answers.
    left: Mutex<Vec<u32>>,
}

impl Scripted {
    /// Reads the file or directory `path`, relative to `base`.
    ///
    /// # Errors
    ///
    /// [`ScriptError`]: everything that is wrong with it.
    pub fn open(path: impl AsRef<Path>, base: &Path) -> Result<Self, ScriptError> {
        let path = path.as_ref();
        Ok(Self::new(&path.display().to_string(), load::load(&base.join(path))?))
    }

    /// Reads a script that is no file; `name` stands for one in messages.
    ///
    /// # Errors
    ///
    /// [`ScriptError`]: everything that is wrong with it.
    pub fn parse(name: &str, text: &str) -> Result<Self, ScriptError> {
        Ok(Self::new(name, load::parse(name, text)?))
    }

    fn new(name: &str, exchanges: Vec<Exchange>) -> Self {
        let mut exact: HashMap<String, Vec<usize>> = HashMap::new();
        for (at, exchange) in exchanges.iter().enumerate() {
            if let Asked::Request(request) = &exchange.asked {
                exact.entry(request.key.clone()).or_default().push(at);
            }
        }
        let left = Mutex::new(exchanges.iter().map(|exchange| exchange.times).collect());
        Self { name: format!("scripted:{name}"), exchanges, exact, left }
    }

    async fn answer<Q: Question>(&self, question: &Q) -> Result<Reply<Q::Answer>, CallError> {
        let request = Request::new(question)?;
        let Some(exchange) = self.take(&request) else {
            return Err(LlmError::Unusable {
                reason: missing::reason(&self.name, &self.exchanges, &request),
            }
            .into());
        };
        if !exchange.delay.is_zero() {
            tokio::time::sleep(exchange.delay).await;
        }
        // Not in another thread: who stops waiting wants no file to appear later.
        if let Some(workspace) = &request.workspace {
            for (path, content) in &exchange.files {
                files::write(workspace, path, content).map_err(|error| LlmError::Unusable {
                    reason: format!("{}: `{path}` cannot be written: {error}", exchange.place),
                })?;
            }
        }
        match &exchange.answer {
            Answer::Reply(reply) => Ok(reply.reply(exchange.delay)?),
            Answer::Error(error, usage) => {
                Err(CallError { error: error.clone().into(), usage: (*usage).into() })
            }
        }
    }

    /// The exchange for `request`, one time less of which is left then.
    fn take(&self, request: &Request) -> Option<&Exchange> {
        let exact = self.exact.get(&request.key).into_iter().flatten().copied();
        let matching = self.exchanges.iter().enumerate().filter_map(|(at, exchange)| {
            let asked = &exchange.asked;
            let fits = matches!(asked, Asked::Match(..)) && asked.differences(request).is_empty();
            fits.then_some(at)
        });
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        for at in exact.chain(matching) {
            if let Some(times) = left.get_mut(at).filter(|times| **times > 0) {
                *times -= 1;
                return self.exchanges.get(at);
            }
        }
        None
    }
}

#[async_trait]
impl Llm for Scripted {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn cannot_execute(&self, _: &Node) -> Option<String> {
        // A script may have an answer to anything; whether it has one is seen when it is asked.
        None
    }

    async fn decompose(&self, request: &Decompose) -> Result<Reply<Draft>, CallError> {
        self.answer(request).await
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        self.answer(request).await
    }

    async fn execute(&self, request: &Execute) -> Result<Reply<Execution>, CallError> {
        self.answer(request).await
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        self.answer(request).await
    }

    async fn assess(&self, request: &Assess) -> Result<Reply<Assessment>, CallError> {
        self.answer(request).await
    }
}
