//! What a provider is: a way to bring one prompt to a model and its answer back.
//!
//! What a prompt says, which schema the answer must have, how an answer is read and when it is asked
//! again is the same for all providers and lies above this trait; how a vendor wants to be asked lies
//! below it.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::goal::Usage;
pub use downbeat_core::llm::CallError as AskError;
pub use downbeat_core::llm::{Observer, Permissions, Unobserved};
use serde_json::Value;

/// A way to a model: a command-line agent, an agent behind a protocol, an HTTP API.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// What it is called in logs and events: as the user wrote it, such as `claude:opus`.
    fn name(&self) -> String;

    /// Looks whether it could be asked, without asking a model: nothing is spent.
    async fn probe(&self) -> Probe;

    /// Asks once. No retry, no repair, no judgement of the answer's content: that lies above.
    ///
    /// Dropping the future stops all that was started for it, whole process trees included.
    ///
    /// # Errors
    ///
    /// There is no answer; what was spent all the same is in [`AskError::usage`].
    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError>;
}

/// One question.
#[derive(Debug, Clone)]
pub struct Ask {
    /// Which of the five questions it is, for logs and names of schemas.
    pub step: Step,
    /// What is the same for many questions: goes first, so that vendors' prompt caches hit.
    pub system: String,
    /// What is asked now.
    pub prompt: String,
    /// What was said since, when an answer has to be repaired: the answer, then what is wrong with it.
    /// A provider that keeps no conversation puts it behind the prompt.
    pub exchange: Vec<Turn>,
    /// The JSON Schema (2020-12) of the answer.
    pub schema: Arc<Value>,
    /// Where and how the model may work with tools; none for a question that needs none, and then it
    /// must be given none.
    pub work: Option<Work>,
    /// How long it may take in all.
    pub timeout: Duration,
    /// Hears of what goes on, and keeps what was put out so far.
    pub observer: Arc<dyn Observer>,
}

/// Which of the five questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Make a plan.
    Decompose,
    /// Choose a task.
    Select,
    /// Do a task.
    Execute,
    /// Say what was done.
    Summarize,
    /// Judge a failure.
    Assess,
}

impl Step {
    /// Its name: a word of small letters.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Decompose => "decompose",
            Self::Select => "select",
            Self::Execute => "execute",
            Self::Summarize => "summarize",
            Self::Assess => "assess",
        }
    }
}

/// Something said in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who said it.
    pub speaker: Speaker,
    /// What.
    pub text: String,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// We.
    User,
    /// The model.
    Model,
}

/// Where and how a model may work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The directory that it works in and may not leave.
    pub workspace: PathBuf,
    /// What it may do there.
    pub permissions: Permissions,
    /// Variables that its commands are given beside the standard ones, as name and value.
    pub env: Vec<(String, String)>,
}

/// An answer, not yet judged.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// What the vendor's structured field held, if there is one and it was filled.
    pub structured: Option<Value>,
    /// The last text of the model; may be empty when there is a structured answer. At most
    /// [`MAX_ANSWER`] bytes.
    pub text: String,
    /// What the vendor reported: every call, token and cost of this question.
    pub usage: Usage,
    /// Which model answered, as the vendor names it.
    pub model: String,
}

/// The longest answer that is read, in bytes. Longer output of a tool is cut in the middle before.
pub const MAX_ANSWER: usize = 4 * 1024 * 1024;

/// Whether a provider could be asked.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Probe {
    /// Could it, as far as can be known without asking?
    pub usable: bool,
    /// What was found: a version, a path, an address. Never a secret.
    pub found: String,
    /// What is missing and how to get it, a line each.
    pub remedies: Vec<String>,
}
