//! What can go wrong at a cache, in terms of what the caller can do.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::goal::GoalStatus;
use crate::ids::{AgentName, GoalId, Incarnation, TaskId, Token};
use crate::state::{Refusal, TaskStatus};
use crate::time::Timestamp;

/// What a move is called. (Under its own name `&'static str` would be borrowed from what is deserialized.)
type MoveName = &'static str;

/// What to do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Back off and call again with the same request.
    Retry,
    /// Somebody else owns it: stop, and write nothing.
    Abandon,
    /// A person has to look.
    Report,
}

/// Why a cache did not do what it was asked. Nothing of the request took effect.
///
/// As JSON it is an object with the `code` of its variant and its fields, from which the very same error can be
/// made again: the HTTP API and its client do.
#[derive(Debug, thiserror::Error, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CacheError {
    /// No such goal.
    #[error("no such goal goal=`{goal}`")]
    GoalNotFound {
        /// The goal asked for.
        goal: GoalId,
    },
    /// No such task.
    #[error("no such task task=`{task}`")]
    TaskNotFound {
        /// The task asked for.
        task: TaskId,
    },
    /// No such agent is registered.
    #[error("no such agent agent=`{agent}`")]
    AgentNotFound {
        /// The agent asked for.
        agent: AgentName,
    },
    /// The goal has a DAG already; amend it instead.
    #[error("goal is planned already goal=`{goal}`")]
    GoalExists {
        /// The goal.
        goal: GoalId,
    },
    /// The goal is not complete, failed or cancelled: it cannot be removed.
    #[error("goal is not finished: cancel it first, or let it end goal=`{goal}` status={status}")]
    GoalUnfinished {
        /// The goal.
        goal: GoalId,
        /// Where it stands.
        status: GoalStatus,
    },
    /// Tasks of the plan have ids that other goals hold; prefix them with `<goal>.`.
    #[error(
        "task ids are taken by other goals goal=`{goal}` first=`{task}` held_by=`{held_by}` taken={count}",
        task = taken.first().map_or("", |(task, _)| task.as_str()),
        held_by = taken.first().map_or("", |(_, goal)| goal.as_str()),
        count = taken.len(),
    )]
    TasksTaken {
        /// The goal that was to be planned.
        goal: GoalId,
        /// Each taken id with the goal that holds it.
        taken: Vec<(TaskId, GoalId)>,
    },
    /// Another living process has this name.
    #[error(
        "agent name is taken by a living process agent=`{agent}` incarnation=`{incarnation}` \
         last_beat={last_beat_at} silent_from={silent_from}"
    )]
    AgentNameTaken {
        /// The name.
        agent: AgentName,
        /// Who has it.
        incarnation: Incarnation,
        /// When that one was last heard.
        last_beat_at: Timestamp,
        /// From when on the name may be taken over.
        silent_from: Timestamp,
    },
    /// The caller's registration was replaced by another incarnation, or ended.
    #[error("agent was replaced agent=`{agent}` presented=`{presented}`")]
    AgentReplaced {
        /// The name.
        agent: AgentName,
        /// The caller's incarnation.
        presented: Incarnation,
    },
    /// The caller's token is not the newest, or was spent or taken away. Stop working on the task.
    #[error(
        "lease lost task=`{task}` presented={presented} current={current} {}",
        holder.as_ref().map_or_else(|| "nobody holds it now".to_owned(), |holder| format!("held_by=`{holder}`"))
    )]
    LeaseLost {
        /// The task.
        task: TaskId,
        /// The caller's token.
        presented: Token,
        /// The newest token; the same one when it was spent or taken away.
        current: Token,
        /// Who holds the task now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<AgentName>,
    },
    /// The table of moves has no such move.
    #[error("cannot {mv} a {from} task task=`{task}`")]
    IllegalMove {
        /// The task.
        task: TaskId,
        /// Where it stands.
        from: TaskStatus,
        /// What was asked.
        #[serde(rename = "move", deserialize_with = "wire::name_of_move")]
        #[schemars(with = "String")]
        mv: MoveName,
    },
    /// A versioned thing has another version than the caller thought: read it again.
    #[error("version conflict key=`{key}` presented={presented} current={current}")]
    Conflict {
        /// What it is about.
        key: String,
        /// The version that the caller had.
        presented: u64,
        /// The version that is there; 0 when there is none.
        current: u64,
    },
    /// The request is outside the bounds that a cache keeps.
    #[error("invalid request: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: String,
    },
    /// What is stored cannot be read.
    #[error("stored data is corrupt key=`{key}`")]
    Corrupt {
        /// The key.
        key: String,
        /// What reading it said.
        #[source]
        #[serde(default, skip_serializing_if = "Option::is_none", with = "wire::source")]
        #[schemars(with = "Option<String>")]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The store failed for good: nothing can be relied on until it is opened anew. What was asked may
    /// or may not have happened.
    #[error("the store failed and has to be opened anew: {reason}")]
    Failed {
        /// What happened.
        reason: String,
    },
    /// The store does not answer, or cannot do it now. What was asked may or may not have happened: repeat the same
    /// request.
    #[error("the store is not available: {reason}")]
    Unavailable {
        /// What happened.
        reason: String,
        /// The backend's own error.
        #[source]
        #[serde(default, skip_serializing_if = "Option::is_none", with = "wire::source")]
        #[schemars(with = "Option<String>")]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
}

impl CacheError {
    /// What to do about it.
    #[must_use]
    pub const fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable { .. } => Disposition::Retry,
            Self::LeaseLost { .. } | Self::AgentReplaced { .. } | Self::Conflict { .. } => {
                Disposition::Abandon
            }
            _ => Disposition::Report,
        }
    }

    /// A move that was refused, as the error of `task`. `None` for [`Refusal::Repeated`] and
    /// [`Refusal::TooEarly`], which each verb answers in its own way.
    #[must_use]
    pub fn from_refusal(task: &TaskId, refusal: &Refusal) -> Option<Self> {
        match refusal {
            Refusal::LeaseLost { presented, current, holder } => Some(Self::LeaseLost {
                task: task.clone(),
                presented: *presented,
                current: *current,
                holder: holder.clone(),
            }),
            Refusal::Illegal { from, mv } => Some(Self::IllegalMove { task: task.clone(), from: *from, mv }),
            Refusal::Repeated | Refusal::TooEarly { .. } => None,
        }
    }
}

/// How the fields that JSON has no form for are written and read.
mod wire {
    use serde::{Deserialize, Deserializer};

    use crate::state::Move;

    /// The name of a move, as this program has it.
    pub(super) fn name_of_move<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static str, D::Error> {
        let name = String::deserialize(deserializer)?;
        // A later version may have a move that this one has no word for.
        Ok(Move::NAMES.into_iter().find(|known| *known == name).unwrap_or("do that"))
    }

    /// A backend's own error: as text, with all that it came from.
    pub(super) mod source {
        use std::error::Error;

        use serde::{Deserialize, Deserializer, Serializer};

        type Source = Option<Box<dyn Error + Send + Sync>>;

        pub(in super::super) fn serialize<S: Serializer>(
            source: &Source,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            let Some(source) = source else { return serializer.serialize_none() };
            let mut text = source.to_string();
            let mut cause = source.source();
            while let Some(error) = cause {
                text.push_str(": ");
                text.push_str(&error.to_string());
                cause = error.source();
            }
            serializer.serialize_some(&text)
        }

        pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Source, D::Error> {
            Ok(Option::<String>::deserialize(deserializer)?.map(Into::into))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::state::Move;

    fn round(error: &CacheError) -> CacheError {
        serde_json::from_value(serde_json::to_value(error).unwrap()).unwrap()
    }

    #[test]
    fn every_field_of_an_error_survives_json() {
        let task = TaskId::new("a").unwrap();
        let lost = CacheError::LeaseLost {
            task: task.clone(),
            presented: Token::from_u64(3),
            current: Token::from_u64(4),
            holder: Some(AgentName::new("two").unwrap()),
        };
        assert_eq!(
            serde_json::to_value(&lost).unwrap(),
            json!({ "code": "lease_lost", "task": "a", "presented": 3, "current": 4, "holder": "two" })
        );
        assert_eq!(lost.to_string(), "lease lost task=`a` presented=3 current=4 held_by=`two`");
        assert_eq!(format!("{:?}", round(&lost)), format!("{lost:?}"));
        for name in Move::NAMES {
            let illegal = CacheError::IllegalMove { task: task.clone(), from: TaskStatus::Done, mv: name };
            assert!(matches!(round(&illegal), CacheError::IllegalMove { mv, .. } if mv == name));
        }
        let inner = std::io::Error::other("the disk is full");
        let failed = CacheError::Unavailable { reason: "no".to_owned(), source: Some(inner.into()) };
        let CacheError::Unavailable { source: Some(source), .. } = round(&failed) else { panic!() };
        assert_eq!(source.to_string(), "the disk is full");
    }
}
