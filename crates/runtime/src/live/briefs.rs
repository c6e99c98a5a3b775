//! Plans that a model made, by what it was asked: the same brief is never paid for twice.

use downbeat_core::cache::{Cache, CacheError, MAX_VALUE, StoreIf};
use downbeat_core::dag::{self, Dag};
use downbeat_core::goal::Usage;
use downbeat_core::ids::GoalId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::load::ProjectGoal;

/// What is kept about a goal that a model plans.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Brief {
    /// Of the brief that the plan in force was made from.
    #[serde(default)]
    pub(crate) planned: String,
    /// A plan that was made and is not in force yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) draft: Option<Drafted>,
}

/// A plan that a model made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Drafted {
    /// Of the brief that it was made from.
    pub(crate) brief: String,
    /// The plan.
    pub(crate) plan: dag::Draft,
    /// What it cost; counted when it comes into force.
    pub(crate) spent: Usage,
}

impl Drafted {
    /// The plan, checked again.
    pub(crate) fn dag(&self) -> Option<Dag> {
        dag::validate(self.plan.clone()).ok()
    }
}

/// What a model is asked about a goal, as a digest. Who may work on it is left out: a new agent is no reason
/// to pay for a new plan.
pub(crate) fn digest(goal: &ProjectGoal) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{}\n{}\n{}\n", goal.id, goal.title.len(), goal.title));
    hash.update(&goal.brief);
    let mut hex = String::with_capacity(64);
    for byte in hash.finalize() {
        use std::fmt::Write as _;
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn key(goal: &GoalId) -> String {
    format!("instructions:brief:{goal}")
}

pub(crate) async fn load(cache: &dyn Cache, goal: &GoalId) -> Result<Brief, CacheError> {
    let Some(record) = cache.load(&key(goal)).await? else { return Ok(Brief::default()) };
    serde_json::from_str(&record.value)
        .map_err(|error| CacheError::Corrupt { key: record.key.clone(), source: Some(Box::new(error)) })
}

/// Writes what is kept about a goal over what was. A plan too large to be kept is not.
pub(crate) async fn store(cache: &dyn Cache, goal: &GoalId, brief: &Brief) -> Result<(), CacheError> {
    let write = |brief: &Brief| serde_json::to_string(brief).unwrap_or_default();
    let mut value = write(brief);
    if value.len() > MAX_VALUE {
        value = write(&Brief { draft: None, ..brief.clone() });
    }
    loop {
        let expected = cache.load(&key(goal)).await?.map_or(0, |record| record.version);
        let store = StoreIf { key: key(goal), expected, value: Some(value.clone()) };
        match cache.store_if(&store).await {
            Err(CacheError::Conflict { .. }) => {}
            written => return written.map(|_| ()),
        }
    }
}
