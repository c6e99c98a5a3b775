//! A DAG as received: from a file, a checklist or a model; nothing is checked yet.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::json;
use super::kind::{NodeKind, ORCHESTRATOR_CAPABILITY};
use super::limits::{
    MAX_ARTIFACT_PATH, MAX_ARTIFACTS, MAX_ATTEMPTS, MAX_CAPABILITIES, MAX_CHECKS, MAX_COMMAND,
    MAX_DESCRIPTION, MAX_EDGES, MAX_METADATA_KEYS, MAX_PRIORITY, MAX_TASKS, MAX_TITLE,
};
use crate::ids::{Capability, GoalId, MAX_ID_LEN, TaskId};
use crate::span::HumanDuration;

/// A DAG as received. [`validate`](super::validate) makes a [`Dag`](super::Dag) of it, or says
/// everything that is wrong with it.
///
/// Ids are plain text here, so that a fault is reported with its place and beside all the others.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    title = "Downbeat DAG",
    description = "A DAG as received: it is taken as a whole, or every fault is told with its place."
)]
pub struct Draft {
    /// The goal that the DAG is for.
    #[schemars(regex(pattern = crate::ids::ID_PATTERN))]
    pub goal_id: String,
    /// The tasks.
    #[serde(deserialize_with = "json::objects::<_, _, MAX_TASKS>")]
    #[schemars(length(min = 1, max = MAX_TASKS))]
    pub nodes: Vec<DraftNode>,
    /// Who waits for whom.
    #[serde(default, deserialize_with = "json::objects::<_, _, MAX_EDGES>")]
    #[schemars(length(max = MAX_EDGES))]
    pub edges: Vec<DraftEdge>,
}

/// One task as received.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftNode {
    /// Unique in the cache: ASCII letters, digits, `_`, `-` and `.`.
    #[schemars(regex(pattern = crate::ids::ID_PATTERN))]
    pub id: String,
    /// What is to be done, in a line.
    #[schemars(length(min = 1, max = MAX_TITLE))]
    pub title: String,
    /// What is to be done, in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = MAX_DESCRIPTION))]
    pub description: Option<String>,
    /// The greater goes first, among those that are ready.
    #[serde(default)]
    #[schemars(range(max = MAX_PRIORITY))]
    pub priority: u32,
    /// Files that must exist when the task is done, relative to the workspace.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::at_most::<_, _, MAX_ARTIFACTS>"
    )]
    #[schemars(length(max = MAX_ARTIFACTS), inner(length(min = 1, max = MAX_ARTIFACT_PATH)))]
    pub expected_artifacts: Vec<String>,
    /// What an agent must be capable of to take the task.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::at_most::<_, _, MAX_CAPABILITIES>"
    )]
    #[schemars(length(max = MAX_CAPABILITIES), inner(regex(pattern = crate::ids::ID_PATTERN)))]
    pub capabilities: Vec<String>,
    /// A shell command that does the task without a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_COMMAND))]
    pub run: Option<String>,
    /// Shell commands that must all exit with 0 for the task to be done.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "json::at_most::<_, _, MAX_CHECKS>"
    )]
    #[schemars(length(max = MAX_CHECKS), inner(length(min = 1, max = MAX_COMMAND)))]
    pub checks: Vec<String>,
    /// How many attempts the task gets; without it the deployment's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = MAX_ATTEMPTS))]
    pub max_attempts: Option<u32>,
    /// How long one attempt may take; without it the deployment's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// What the task is: work for an agent, or a goal of its own.
    #[serde(default, skip_serializing_if = "NodeKind::is_task")]
    pub kind: NodeKind,
    /// Of kind `goal`: the declared goal that the task owns. Without it and without `plan`, a model plans
    /// one from the task's title and description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = crate::ids::ID_PATTERN))]
    pub goal: Option<String>,
    /// Of kind `goal`: a DAG file with the plan of the goal, relative to the file of instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = MAX_ARTIFACT_PATH))]
    pub plan: Option<String>,
    /// Anything else that the planner wants to keep with the task.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "json::metadata")]
    #[schemars(extend("maxProperties" = MAX_METADATA_KEYS))]
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// `target` waits for `source`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DraftEdge {
    /// The task that is done first.
    #[schemars(length(min = 1, max = MAX_ID_LEN))]
    pub source: String,
    /// The task that waits for it.
    #[schemars(length(min = 1, max = MAX_ID_LEN))]
    pub target: String,
}

/// One task of a checked DAG. It never changes, except through an amendment of the whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Node {
    /// Unique in the cache.
    pub id: TaskId,
    /// What is to be done, in a line.
    pub title: String,
    /// What is to be done, in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The greater goes first. A task's own may be elevated later.
    #[serde(default)]
    pub priority: u32,
    /// Files that must exist when the task is done, relative to the workspace, `/` between parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_artifacts: Vec<String>,
    /// What an agent must be capable of: sorted, none twice. Of kind `goal`, `_orchestrator` alone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub capabilities: Vec<Capability>,
    /// A shell command that does the task without a model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// Shell commands that must all exit with 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<String>,
    /// How many attempts the task gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_attempts: Option<u32>,
    /// How long one attempt may take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<HumanDuration>,
    /// What the task is.
    #[serde(default, skip_serializing_if = "NodeKind::is_task")]
    pub kind: NodeKind,
    /// Of kind `goal`: the declared goal that it owns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<GoalId>,
    /// Of kind `goal`: the DAG file of its plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Anything else that the planner wanted to keep.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// The parts of a DAG as it is stored: what [`Dag::to_parts`](super::Dag::to_parts) gives and
/// [`Dag::from_parts`](super::Dag::from_parts) takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DagParts {
    /// The goal that the DAG is for.
    pub goal_id: GoalId,
    /// The tasks, in the order of the draft.
    pub nodes: Vec<Node>,
    /// `(source, target)`: `target` waits for `source`.
    pub edges: Vec<(TaskId, TaskId)>,
}

impl From<Node> for DraftNode {
    fn from(node: Node) -> Self {
        Self {
            id: node.id.into(),
            title: node.title,
            description: node.description,
            priority: node.priority,
            expected_artifacts: node.expected_artifacts,
            capabilities: node
                .capabilities
                .into_iter()
                .filter(|capability| capability.as_str() != ORCHESTRATOR_CAPABILITY)
                .map(String::from)
                .collect(),
            run: node.run,
            checks: node.checks,
            max_attempts: node.max_attempts,
            timeout: node.timeout,
            kind: node.kind,
            goal: node.goal.map(String::from),
            plan: node.plan,
            metadata: node.metadata,
        }
    }
}

impl From<DagParts> for Draft {
    fn from(parts: DagParts) -> Self {
        Self {
            goal_id: parts.goal_id.into(),
            nodes: parts.nodes.into_iter().map(DraftNode::from).collect(),
            edges: parts
                .edges
                .into_iter()
                .map(|(source, target)| DraftEdge { source: source.into(), target: target.into() })
                .collect(),
        }
    }
}
