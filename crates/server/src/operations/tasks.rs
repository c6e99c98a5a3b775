//! Tasks and their leases.

use std::collections::BTreeSet;

use async_trait::async_trait;
use downbeat_core::cache::{
    CacheError, Claim, ClaimReply, ReadyQuery, Renew, Renewed, Settle, Settled, Steer, Steered, Sweep, Swept,
    Task, TaskDetail, TaskQuery,
};
use downbeat_core::ids::{Capability, GoalId, TaskId};
use downbeat_core::state::TaskStatus;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Limit;
use super::goals::OfGoal;
use crate::operation::{Input, Nothing, Operation, Verb};
use crate::problem::Problem;
use crate::service::Service;

/// Which task.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfTask {
    /// Its id.
    pub(crate) task: TaskId,
}

/// Which tasks of a goal.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// Only those that stand here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<TaskStatus>,
    /// Only those behind this ordinal: the last one of the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<u64>,
    /// At most this many.
    #[serde(default)]
    pub(crate) limit: Limit,
}

/// Which ready tasks.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichReady {
    /// Only of this goal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<GoalId>,
    /// What the asker is capable of, by commas.
    #[serde(default)]
    pub(crate) capabilities: Capabilities,
    /// At most this many.
    #[serde(default)]
    pub(crate) limit: Limit,
}

/// Capabilities by commas.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Capabilities(pub(crate) BTreeSet<Capability>);

impl JsonSchema for Capabilities {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Capabilities".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}(,[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})*)?$" })
    }
}

impl TryFrom<String> for Capabilities {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let names = text.split(',').map(Capability::new).collect::<Result<_, _>>();
        names.map(Self).map_err(|error| error.to_string())
    }
}

impl From<Capabilities> for String {
    fn from(names: Capabilities) -> Self {
        names.0.iter().map(Capability::as_str).collect::<Vec<_>>().join(",")
    }
}

/// Tasks.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Tasks")]
pub(crate) struct TaskList {
    /// In the order that was asked for.
    pub(crate) tasks: Vec<Task>,
}

/// Tasks of a goal in the order of its plan, a page at a time.
#[derive(Debug)]
pub(crate) struct ListTasks;

#[async_trait]
impl Operation for ListTasks {
    const ID: &'static str = "listTasks";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str = "Tasks of a goal in the order of its plan, a page at a time";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/goals/{goal}/tasks";
    const PROBLEMS: &'static [&'static str] = &["goal_not_found"];

    type Path = OfGoal;
    type Query = Which;
    type Body = Nothing;
    type Answer = TaskList;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let Which { status, after, limit } = input.query;
        let query = TaskQuery { goal: input.path.goal, status, after, limit: limit.get() };
        Ok(TaskList { tasks: service.cache.tasks(&query).await? })
    }
}

/// One task, with its attempts.
#[derive(Debug)]
pub(crate) struct GetTask;

#[async_trait]
impl Operation for GetTask {
    const ID: &'static str = "getTask";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str = "One task, with its attempts";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/tasks/{task}";
    const PROBLEMS: &'static [&'static str] = &["task_not_found"];

    type Path = OfTask;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = TaskDetail;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let OfTask { task } = input.path;
        service.cache.task(&task).await?.ok_or_else(|| CacheError::TaskNotFound { task }.into())
    }
}

/// What could be claimed now, best first, without claiming it.
#[derive(Debug)]
pub(crate) struct ListReady;

#[async_trait]
impl Operation for ListReady {
    const ID: &'static str = "listReady";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str = "What could be claimed now, best first, without claiming it";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/ready";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = WhichReady;
    type Body = Nothing;
    type Answer = TaskList;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let WhichReady { goal, capabilities, limit } = input.query;
        let query = ReadyQuery { goal, capabilities: capabilities.0, limit: limit.get() };
        Ok(TaskList { tasks: service.cache.ready(&query).await? })
    }
}

/// Leases one task to an agent: the best ready one it may take, or the one it names.
#[derive(Debug)]
pub(crate) struct ClaimTask;

#[async_trait]
impl Operation for ClaimTask {
    const ID: &'static str = "claimTask";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str =
        "Leases one task to an agent: the best ready one it may take, or the one it names";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/claims";
    const PROBLEMS: &'static [&'static str] = &["task_not_found", "agent_replaced", "invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Claim;
    type Answer = ClaimReply;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(service.cache.claim(&input.body).await?)
    }
}

/// Extends a lease, and says how far its holder is.
#[derive(Debug)]
pub(crate) struct RenewLease;

#[async_trait]
impl Operation for RenewLease {
    const ID: &'static str = "renewLease";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str = "Extends a lease, and says how far its holder is";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/renewals";
    const PROBLEMS: &'static [&'static str] = &["task_not_found", "lease_lost", "invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Renew;
    type Answer = Renewed;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(service.cache.renew(&input.body).await?)
    }
}

/// Ends an attempt, and claims the next task in the same step if that is wanted.
#[derive(Debug)]
pub(crate) struct SettleTask;

#[async_trait]
impl Operation for SettleTask {
    const ID: &'static str = "settleTask";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str =
        "Ends an attempt, and claims the next task in the same step if that is wanted";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/settlements";
    const PROBLEMS: &'static [&'static str] = &["task_not_found", "lease_lost", "illegal_move", "invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Settle;
    type Answer = Settled;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(service.cache.settle(&input.body).await?)
    }
}

/// Carries out a directive of the cache itself. It is the client's side of [`Tasks::steer`]; people give orders,
/// which are heard by those at work, too.
///
/// [`Tasks::steer`]: downbeat_core::cache::Tasks::steer
#[derive(Debug)]
pub(crate) struct GiveDirective;

#[async_trait]
impl Operation for GiveDirective {
    const ID: &'static str = "giveDirective";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str =
        "Carries out a directive in the cache alone; `/v1/orders` also tells those at work";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/directives";
    const PROBLEMS: &'static [&'static str] = &["invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Steer;
    type Answer = Steered;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(service.cache.steer(&input.body).await?)
    }
}

/// One pass of upkeep: expired leases, waits that are over, agents that fell silent.
#[derive(Debug)]
pub(crate) struct SweepDue;

#[async_trait]
impl Operation for SweepDue {
    const ID: &'static str = "sweep";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str =
        "One pass of upkeep: expired leases, waits that are over, agents that fell silent";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/sweeps";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Sweep;
    type Answer = Swept;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(service.cache.sweep(&input.body).await?)
    }
}
