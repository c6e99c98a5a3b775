//! Where a task stands, and everything that a move may change about it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AgentName, Incarnation, RequestId, Token};
use crate::time::Timestamp;

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TaskStatus {
    /// Waits for a dependency.
    Blocked,
    /// May be claimed, from `not_before` on.
    Ready,
    /// An agent holds it.
    Running,
    /// Finished well.
    Done,
    /// Out of attempts, or a verdict that no retry can change; waits for a person.
    Failed,
    /// Somebody called it off.
    Cancelled,
}

impl TaskStatus {
    /// All of them, in the order of a task's life.
    pub const ALL: [Self; 6] =
        [Self::Blocked, Self::Ready, Self::Running, Self::Done, Self::Failed, Self::Cancelled];

    /// As users type it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Blocked => "blocked",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether nothing happens to it any more by itself.
    #[must_use]
    pub const fn is_finished(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Cancelled)
    }
}

impl fmt::Display for TaskStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Who may write to a task, and until when nobody else may claim it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Holder {
    /// The agent.
    pub agent: AgentName,
    /// Which life of the agent.
    pub incarnation: Incarnation,
    /// The claim that it was granted for, so that a repeated claim is given the same lease.
    pub request: RequestId,
    /// When it was granted.
    pub claimed_at: Timestamp,
    /// From then on others may claim the task.
    pub expires_at: Timestamp,
    /// The deadline has been swept: the task is ready for others, and until one takes it this holder
    /// may still settle or renew.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expired: bool,
}

/// A file that a task produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Artifact {
    /// Relative to the workspace.
    pub path: String,
    /// Its size in bytes.
    pub bytes: u64,
    /// Of its content, hexadecimal.
    pub sha256: String,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// In a sentence.
    pub message: String,
    /// The end of what the attempt printed, or what a model said; context for the next attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Failure {
    /// The longest message in bytes; what is longer is cut with a mark.
    pub const MAX_MESSAGE: usize = 2 * 1024;
    /// The longest detail in bytes; what is longer is cut with a mark.
    pub const MAX_DETAIL: usize = 16 * 1024;

    /// A failure in a sentence, both parts cut to their limits.
    #[must_use]
    pub fn new(message: impl AsRef<str>, detail: Option<&str>) -> Self {
        Self {
            message: crate::text::clip(message.as_ref(), Self::MAX_MESSAGE),
            detail: detail.map(|detail| crate::text::clip_start(detail, Self::MAX_DETAIL)),
        }
    }
}

/// The mutable state of one task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskState {
    /// Where it stands.
    pub status: TaskStatus,
    /// The greater goes first.
    pub priority: u32,
    /// How many dependencies are not done yet.
    pub open: u32,
    /// Worked claims so far, the present one included.
    pub attempt: u32,
    /// It fails when this many attempts failed. A person's retry raises it.
    pub max_attempts: u32,
    /// Attempts that ended because their agent's process did; they cost no attempt.
    #[serde(default)]
    pub interruptions: u32,
    /// The greatest token ever handed out for it.
    pub token: Token,
    /// Who may write, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holder: Option<Holder>,
    /// The agent of the newest attempt, also after its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<AgentName>,
    /// It may not be claimed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
    /// What the holder said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// What was done, in a few sentences.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    /// What it produced.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub artifacts: Vec<Artifact>,
    /// Why the newest failed attempt failed, or why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<Failure>,
    /// The newest settle, so that repeating it is harmless, also when somebody has claimed the task since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_by: Option<RequestId>,
    /// The token of that settle.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_with: Option<Token>,
    /// The attempt under this token works from inputs that are made again: when it is done, the task is
    /// done once more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated: Option<Token>,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When the newest attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// When it was finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl TaskState {
    /// A task just planned, with `open` dependencies that are not done.
    #[must_use]
    pub fn planned(priority: u32, open: u32, max_attempts: u32, now: Timestamp) -> Self {
        Self {
            status: if open == 0 { TaskStatus::Ready } else { TaskStatus::Blocked },
            priority,
            open,
            attempt: 0,
            max_attempts: max_attempts.max(1),
            interruptions: 0,
            token: Token::NONE,
            holder: None,
            owner: None,
            not_before: None,
            progress: None,
            summary: None,
            artifacts: Vec::new(),
            last_error: None,
            settled_by: None,
            settled_with: None,
            outdated: None,
            created_at: now,
            started_at: None,
            ended_at: None,
        }
    }

    /// The moment from which a claim can be granted, if one can be.
    #[must_use]
    pub fn claimable_from(&self) -> Option<Timestamp> {
        (self.status == TaskStatus::Ready).then(|| self.not_before.unwrap_or_default())
    }
}
