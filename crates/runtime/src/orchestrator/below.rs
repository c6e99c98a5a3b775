//! What the nested orchestrator asks of this one: plans of goals below tasks, and their directories.

use std::path::PathBuf;
use std::sync::Arc;

use downbeat_core::cache::{CacheError, Lease, Plan};
use downbeat_core::dag::{Dag, Node, NodeKind};
use downbeat_core::goal::{Goal, Parent, Usage};
use downbeat_core::ids::GoalId;
use tracing::info;

use super::{Orchestrator, RunError};
use crate::entropy;
use crate::live::foresee;
use crate::load::ProjectGoal;
use crate::nested::chain::Places;

impl Orchestrator {
    /// Whether any declared plan has a task that owns a goal.
    pub(crate) fn owns_goals(&self) -> bool {
        let project = self.project();
        let mut dags = project.goals.iter().filter_map(|goal| goal.dag.as_ref());
        dags.any(|dag| dag.nodes().any(|node| node.kind == NodeKind::Goal))
    }

    /// Plans the goal below a task that is held.
    ///
    /// # Errors
    ///
    /// [`RunError`]: what the task owns cannot be planned, or the cache failed.
    pub(crate) async fn plan_below(
        &self,
        lease: &Lease,
        node: &Node,
        below: &GoalId,
    ) -> Result<(), RunError> {
        let root = match self.cache.goal(&lease.goal).await? {
            Some(goal) => goal.root().clone(),
            None => return Err(CacheError::GoalNotFound { goal: lease.goal.clone() }.into()),
        };
        let source = self.source_of(node, below)?;
        let (dag, spent) = self.draft_in_time(&source, &root).await?;
        let dag = named(&dag, below)?;
        self.check_executable([(&dag, &root)])?;
        let parent =
            Parent { goal: lease.goal.clone(), task: lease.task.clone(), root, declared: node.goal.clone() };
        let plan = Plan {
            dag,
            title: source.title,
            parent: Some(parent),
            request: entropy::request_id(),
            max_attempts: self.settings.max_attempts,
            spent,
        };
        match self.cache.plan(&plan).await {
            Ok(planned) => Self::log_planned(&planned, plan.dag.edges().count()),
            // Another orchestrator, which led for a moment beside this one, was faster.
            Err(CacheError::GoalExists { goal }) => {
                info!(target: "orchestrator", "Goal {goal} was planned meanwhile");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Brings the goal below a task to the plan that is declared now. A model's plan is kept.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub(crate) async fn amend_below(&self, node: &Node, stored: &Goal) -> Result<(), RunError> {
        let Ok(source) = self.source_of(node, &stored.id) else { return Ok(()) };
        let Some(Ok(dag)) = source.dag.map(|dag| named(&dag, &stored.id)) else { return Ok(()) };
        let Some(foreseen) = foresee(self.cache.as_ref(), &stored.id, &dag).await? else { return Ok(()) };
        if foreseen.goal.digest == foreseen.dag.digest() {
            return Ok(());
        }
        if !foreseen.is_free() {
            info!(target: "orchestrator", "The plan of goal {} changed, and is kept as it is: {}", stored.id,
                foreseen.cost());
            return Ok(());
        }
        match self.amend(&foreseen, Usage::default(), "INSTRUCTIONS.md").await {
            // Somebody else was faster; the next look is at what came of that.
            Ok(_) | Err(RunError::Cache(CacheError::Conflict { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The directory that the tasks of a goal work in.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub(crate) async fn place_of(&self, goal: &GoalId) -> Result<PathBuf, RunError> {
        let found = Places::default().find(self.cache.as_ref(), &self.workspaces, goal).await?;
        Ok(found.unwrap_or_else(|| self.project().root.clone()))
    }

    /// What a task owns, as a goal called `below`: a declared goal, a plan in a file, or the task's own text.
    fn source_of(&self, node: &Node, below: &GoalId) -> Result<ProjectGoal, RunError> {
        let absent =
            |what: String| RunError::Cache(CacheError::Invalid { reason: format!("{what} any more") });
        let own = ProjectGoal {
            id: below.clone(),
            title: node.title.clone(),
            brief: node.description.clone().unwrap_or_else(|| node.title.clone()),
            dag: None,
            workspace: PathBuf::new(),
        };
        let project = self.project();
        if let Some(goal) = &node.goal {
            let declared = project.owned.goals.iter().find(|declared| declared.id == *goal);
            let declared = declared.ok_or_else(|| absent(format!("goal `{goal}` is not declared")))?;
            return Ok(ProjectGoal { id: below.clone(), ..declared.clone() });
        }
        if let Some(path) = &node.plan {
            let dag = project.owned.plans.get(path);
            let dag = dag.ok_or_else(|| absent(format!("no task names the plan `{path}`")))?;
            return Ok(ProjectGoal { dag: Some(Arc::clone(dag)), ..own });
        }
        Ok(own)
    }
}

fn named(dag: &Dag, below: &GoalId) -> Result<Arc<Dag>, RunError> {
    dag.below(below).map(Arc::new).map_err(|error| {
        RunError::Cache(CacheError::Invalid {
            reason: format!("task ids of goal `{below}` are too long: {error}"),
        })
    })
}
