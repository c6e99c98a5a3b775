//! Goals and their DAGs.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::cache::{Amend, CacheError, Plan, Remove, Removed};
use downbeat_core::dag::{self, Draft};
use downbeat_core::goal::{Goal, Parent, Usage};
use downbeat_core::ids::{GoalId, RequestId, TaskId};
use downbeat_core::state::Redo;
use downbeat_core::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Input, Nothing, Operation, Verb};
use crate::problem::Problem;
use crate::service::Service;

/// Which goal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfGoal {
    /// Its id.
    pub(crate) goal: GoalId,
}

/// All goals.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Goals")]
pub(crate) struct Goals {
    /// By id.
    pub(crate) goals: Vec<Goal>,
}

/// A goal's DAG, to be stored.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Plan")]
pub(crate) struct PlanBody {
    /// The DAG; it names the goal.
    pub(crate) dag: Draft,
    /// What the goal is called.
    pub(crate) title: String,
    /// Names the request: repeated, it has no further effect.
    pub(crate) request: RequestId,
    /// For nodes that say nothing about it.
    pub(crate) max_attempts: u32,
    /// What making the plan cost.
    #[serde(default)]
    pub(crate) spent: Usage,
    /// What the goal is below, if a task of another one owns it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) parent: Option<Parent>,
}

fn by_api() -> String {
    "api".to_owned()
}

/// A goal's new DAG.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Amend")]
pub(crate) struct AmendBody {
    /// The whole new DAG; it names the goal.
    pub(crate) dag: Draft,
    /// The revision that it replaces.
    pub(crate) revision: u64,
    /// Names the request: repeated, it has no further effect.
    pub(crate) request: RequestId,
    /// For new nodes that say nothing about it.
    pub(crate) max_attempts: u32,
    /// What making the plan cost.
    #[serde(default)]
    pub(crate) spent: Usage,
    /// Which tasks are done again and why; nothing else loses its state.
    #[serde(default)]
    pub(crate) redo: BTreeMap<TaskId, Redo>,
    /// Who amends and from where.
    #[serde(default = "by_api")]
    pub(crate) by: String,
}

/// Only if the goal came to rest at this moment.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndedAt {
    /// As the goal said when it was archived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ended_at: Option<Timestamp>,
}

/// All goals.
#[derive(Debug)]
pub(crate) struct ListGoals;

#[async_trait]
impl Operation for ListGoals {
    const ID: &'static str = "listGoals";
    const TAG: &'static str = "goals";
    const SUMMARY: &'static str = "All goals";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/goals";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Goals;

    async fn carry_out(service: &Service, _input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(Goals { goals: service.cache.goals().await? })
    }
}

/// Takes a goal's DAG: everything or nothing.
#[derive(Debug)]
pub(crate) struct PlanGoal;

#[async_trait]
impl Operation for PlanGoal {
    const ID: &'static str = "planGoal";
    const TAG: &'static str = "goals";
    const SUMMARY: &'static str = "Takes a goal's DAG: everything or nothing";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/goals";
    const PROBLEMS: &'static [&'static str] = &["goal_exists", "tasks_taken", "invalid", "unsound_dag"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = PlanBody;
    type Answer = Goal;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let PlanBody { dag, title, request, max_attempts, spent, parent } = input.body;
        let dag = Arc::new(dag::validate(dag)?);
        Ok(service.cache.plan(&Plan { dag, title, request, max_attempts, spent, parent }).await?)
    }
}

/// One goal.
#[derive(Debug)]
pub(crate) struct GetGoal;

#[async_trait]
impl Operation for GetGoal {
    const ID: &'static str = "getGoal";
    const TAG: &'static str = "goals";
    const SUMMARY: &'static str = "One goal";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/goals/{goal}";
    const PROBLEMS: &'static [&'static str] = &["goal_not_found"];

    type Path = OfGoal;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Goal;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let OfGoal { goal } = input.path;
        service.cache.goal(&goal).await?.ok_or_else(|| CacheError::GoalNotFound { goal }.into())
    }
}

/// Forgets a goal that is complete, failed or cancelled, with all of its tasks.
#[derive(Debug)]
pub(crate) struct RemoveGoal;

#[async_trait]
impl Operation for RemoveGoal {
    const ID: &'static str = "removeGoal";
    const TAG: &'static str = "goals";
    const SUMMARY: &'static str =
        "Forgets a goal that is complete, failed or cancelled, with all of its tasks";
    const VERB: Verb = Verb::Delete;
    const PATH: &'static str = "/v1/goals/{goal}";
    const PROBLEMS: &'static [&'static str] = &["goal_unfinished", "conflict"];

    type Path = OfGoal;
    type Query = EndedAt;
    type Body = Nothing;
    type Answer = Removed;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let remove = Remove { goal: input.path.goal, ended_at: input.query.ended_at };
        Ok(service.cache.remove(&remove).await?)
    }
}

/// A goal's DAG.
#[derive(Debug)]
pub(crate) struct GetDag;

#[async_trait]
impl Operation for GetDag {
    const ID: &'static str = "getDag";
    const TAG: &'static str = "goals";
    const SUMMARY: &'static str = "A goal's DAG";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/goals/{goal}/dag";
    const PROBLEMS: &'static [&'static str] = &["goal_not_found"];

    type Path = OfGoal;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Draft;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let OfGoal { goal } = input.path;
        let dag = service.cache.dag(&goal).await?.ok_or(CacheError::GoalNotFound { goal })?;
        Ok(dag.to_draft())
    }
}

/// Replaces a goal's DAG without resetting what is done or running.
#[derive(Debug)]
pub(crate) struct AmendDag;

#[async_trait]
impl Operation for AmendDag {
    const ID: &'static str = "amendDag";
    const TAG: &'static str = "goals";
    const SUMMARY: &'static str = "Replaces a goal's DAG without resetting what is done or running";
    const VERB: Verb = Verb::Put;
    const PATH: &'static str = "/v1/goals/{goal}/dag";
    const PROBLEMS: &'static [&'static str] =
        &["goal_not_found", "tasks_taken", "conflict", "invalid", "unsound_dag"];

    type Path = OfGoal;
    type Query = Nothing;
    type Body = AmendBody;
    type Answer = Goal;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let AmendBody { dag, revision, request, max_attempts, spent, redo, by } = input.body;
        let dag = Arc::new(dag::validate(dag)?);
        if *dag.goal() != input.path.goal {
            let reason = format!("the DAG is of goal `{}`, the path of `{}`", dag.goal(), input.path.goal);
            return Err(CacheError::Invalid { reason }.into());
        }
        Ok(service.cache.amend(&Amend { dag, revision, request, max_attempts, spent, redo, by }).await?)
    }
}
