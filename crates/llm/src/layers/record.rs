//! Writes what is asked and answered, so that `scripted:` can replay it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use downbeat_core::dag::{Draft, Node};
use downbeat_core::llm::{
    Assess, Assessment, CallError, Decompose, Execute, Execution, Llm, LlmError, Reply, Select, Selection,
    Summarize, Summary,
};
use serde_json::{Map, Value, json};
use tracing::warn;

use crate::scripted::recorded;

/// The largest file of a workspace that is recorded, in bytes.
const MAX_FILE: u64 = 1024 * 1024;

/// Records every exchange of a model as a file of a directory, numbered in the order of the answers:
/// a script for [`Scripted`](crate::Scripted).
///
/// What an execution made is recorded with it: the files that it names and those that its task expects,
/// if they are text, no links, and not too large. The files hold what prompts hold: treat them as you
/// treat your project. The environment of a task is never written.
#[derive(Debug)]
pub struct Recording {
    inner: Arc<dyn Llm>,
    directory: PathBuf,
    next: AtomicU64,
}

impl Recording {
    /// Around `inner`, into `directory`, which is made if it is not there. What is in it stays.
    ///
    /// # Errors
    ///
    /// [`LlmError::Unusable`]: the directory cannot be made or read.
    pub fn new(inner: Arc<dyn Llm>, directory: &Path) -> Result<Self, LlmError> {
        let unusable = |error: io::Error| LlmError::Unusable {
            reason: format!("nothing can be recorded in {}: {error}", directory.display()),
        };
        fs::create_dir_all(directory).map_err(unusable)?;
        let mut last = 0;
        for entry in fs::read_dir(directory).map_err(unusable)? {
            let name = entry.map_err(unusable)?.file_name();
            let number = name.to_str().and_then(|name| name.split('-').next()?.parse::<u64>().ok());
            last = last.max(number.unwrap_or_default());
        }
        Ok(Self { inner, directory: directory.to_owned(), next: AtomicU64::new(last + 1) })
    }

    fn keep<Q: recorded::Question>(
        &self,
        question: &Q,
        answer: &Result<Reply<Q::Answer>, CallError>,
        files: Map<String, Value>,
    ) {
        let Some((kind, request)) = recorded::request(question) else { return };
        let mut exchange = Map::new();
        exchange.insert("request".to_owned(), request);
        if !files.is_empty() {
            exchange.insert("files".to_owned(), Value::Object(files));
        }
        match answer {
            Ok(reply) => {
                let value = serde_json::to_value(&reply.value).unwrap_or_default();
                let reply = json!({ "value": value, "usage": reply.usage, "model": reply.model });
                exchange.insert("reply".to_owned(), reply);
            }
            Err(failed) => {
                exchange.insert("error".to_owned(), recorded::error(&failed.error));
                exchange.insert("usage".to_owned(), json!(failed.usage));
            }
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.join(format!("{number:06}-{kind}.json"));
        let text = format!("{:#}\n", Value::Object(exchange));
        if let Err(error) = write(&path, &text) {
            warn!(target: "llm", "{} is not recorded: {error}", path.display());
        }
    }
}

/// Whole or not at all: who replays while something is recorded reads no half.
fn write(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}

/// What an execution made, as far as it can be replayed.
fn files_of(request: &Execute, answer: &Result<Reply<Execution>, CallError>) -> Map<String, Value> {
    let outputs = answer.iter().flat_map(|reply| reply.value.outputs.iter());
    let mut files = Map::new();
    for path in request.node.expected_artifacts.iter().chain(outputs) {
        if let Some(text) = text_of(&request.workspace, path) {
            files.insert(path.clone(), text.into());
        }
    }
    files
}

fn text_of(workspace: &Path, path: &str) -> Option<String> {
    let path = downbeat_core::dag::normalise_path(path).ok()?;
    let root = workspace.canonicalize().ok()?;
    // A link may lead to what the model could not read.
    let file = root.join(&path).canonicalize().ok().filter(|file| *file == root.join(&path))?;
    let found = fs::symlink_metadata(&file).ok()?;
    if !found.is_file() || found.len() > MAX_FILE {
        return None;
    }
    fs::read_to_string(&file).ok()
}

#[async_trait]
impl Llm for Recording {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn cannot_execute(&self, node: &Node) -> Option<String> {
        self.inner.cannot_execute(node)
    }

    async fn decompose(&self, request: &Decompose) -> Result<Reply<Draft>, CallError> {
        let answer = self.inner.decompose(request).await;
        self.keep(request, &answer, Map::new());
        answer
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        let answer = self.inner.select(request).await;
        self.keep(request, &answer, Map::new());
        answer
    }

    async fn execute(&self, request: &Execute) -> Result<Reply<Execution>, CallError> {
        let answer = self.inner.execute(request).await;
        self.keep(request, &answer, files_of(request, &answer));
        answer
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        let answer = self.inner.summarize(request).await;
        self.keep(request, &answer, Map::new());
        answer
    }

    async fn assess(&self, request: &Assess) -> Result<Reply<Assessment>, CallError> {
        let answer = self.inner.assess(request).await;
        self.keep(request, &answer, Map::new());
        answer
    }
}

#[cfg(test)]
mod tests {
    use downbeat_core::goal::Usage;

    use super::*;
    use crate::testing::{self, Played};
    use crate::transport::Answer;
    use crate::{Prompted, Scripted};

    #[tokio::test]
    async fn what_is_recorded_is_replayed() {
        let (place, tape) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let workspace = place.path().canonicalize().unwrap();
        fs::write(workspace.join("a.csv"), "1\n").unwrap();
        fs::write(tape.path().join("000041-assess.json"), "{}").unwrap();
        let usage = Usage { calls: 1, input_tokens: 9, output_tokens: 2, cost_micros: 4 };
        let refused = CallError { error: LlmError::Refused { reason: "no".to_owned() }, usage };
        let done = json!({"status": "done", "outputs": ["a.csv"], "notes": "n", "summary": "s"});
        let played = Played::new(vec![
            Ok(Answer { structured: Some(done), usage, model: "m".to_owned(), ..Answer::default() }),
            Err(refused.clone()),
        ]);
        let model = Recording::new(Arc::new(Prompted::new(Arc::new(played))), tape.path()).unwrap();
        let request = Execute { workspace: workspace.clone(), ..testing::execute("lines") };
        let answer = model.execute(&request).await.unwrap();
        let error = model.decompose(&testing::decompose("x")).await.unwrap_err();
        assert_eq!(error, refused);
        assert!(tape.path().join("000043-decompose.json").is_file());

        fs::remove_file(tape.path().join("000041-assess.json")).unwrap();
        fs::remove_file(workspace.join("a.csv")).unwrap();
        let again = Scripted::open(tape.path(), Path::new("")).unwrap();
        let replayed = again.execute(&request).await.unwrap();
        assert_eq!((replayed.value, replayed.usage, replayed.model), (answer.value, usage, "m".to_owned()));
        assert_eq!(fs::read_to_string(workspace.join("a.csv")).unwrap(), "1\n");
        assert_eq!(again.decompose(&testing::decompose("x")).await.unwrap_err(), refused);
    }

    #[test]
    fn no_link_is_followed_to_be_recorded() {
        let place = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", place.path().join("link")).unwrap();
        fs::write(place.path().join("real"), "x").unwrap();
        assert_eq!(text_of(place.path(), "link"), None);
        assert_eq!(text_of(place.path(), "../real"), None);
        assert_eq!(text_of(place.path(), "real").as_deref(), Some("x"));
    }
}
