//! Every declared goal gets its DAG, or the one that is declared now.

use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{CacheError, Plan};
use downbeat_core::dag::Dag;
use downbeat_core::goal::Usage;
use downbeat_core::ids::GoalId;
use downbeat_core::llm::{AgentProfile, Conduct, Decompose, LlmError, sound_plan};
use downbeat_core::time::Clock as _;
use tracing::{info, warn};

use super::{Orchestrator, RunError};
use crate::entropy;
use crate::load::{ProjectGoal, works_for};

/// How often a model may try to make a sound plan.
const TRIES: u32 = 3;

/// The longest sleep of one that waits for a model.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

impl Orchestrator {
    /// Plans what has no plan and amends what is declared differently. Nothing is stored before all
    /// of it is known to be executable.
    pub(super) async fn plan_goals(&self) -> Result<(), RunError> {
        self.reparse().await?;
        let mut drafts = Vec::new();
        let project = self.project();
        for goal in &project.goals {
            let stored = self.cache.goal(&goal.id).await?;
            let draft = match (&goal.dag, &stored) {
                // A model's plan is kept: asking again would cost again.
                (None, Some(_)) => None,
                _ => Some(self.draft_in_time(goal, &goal.id).await?),
            };
            drafts.push((goal, stored, draft));
        }
        let mut to_check = Vec::new();
        for (goal, _, draft) in &drafts {
            match draft {
                Some((dag, _)) => to_check.push(Arc::clone(dag)),
                None => to_check.extend(self.cache.dag(&goal.id).await?),
            }
        }
        self.check_executable(to_check.iter().map(|dag| (dag, dag.goal())))?;

        for (goal, stored, draft) in drafts {
            let Some((dag, spent)) = draft else {
                self.bring_in_or_wait(goal, false, "INSTRUCTIONS.md").await?;
                continue;
            };
            match stored {
                None => {
                    self.plan_new(goal, dag, spent).await?;
                    self.is_planned(goal).await?;
                }
                Some(_) => self.bring_in_or_wait(goal, false, "INSTRUCTIONS.md").await?,
            }
        }
        Ok(())
    }

    /// The same as [`draft`](Self::draft), but a limit of the model that has an end is waited for.
    pub(super) async fn draft_in_time(
        &self,
        goal: &ProjectGoal,
        root: &GoalId,
    ) -> Result<(Arc<Dag>, Usage), RunError> {
        let mut before = Usage::default();
        loop {
            let source = match self.draft(goal, root).await {
                Err(RunError::Planning { source, .. }) => source,
                answer => return answer.map(|(dag, spent)| (dag, before.plus(spent))),
            };
            let is_limit = matches!(source.error, LlmError::BudgetSpent { .. });
            let parked = self.ledger.closed(&self.models.default.name()).filter(|_| is_limit);
            let Some((reason, until)) = parked.and_then(|parked| Some((parked.reason, parked.until?))) else {
                return Err(RunError::Planning { goal: goal.id.clone(), source });
            };
            before = before.plus(source.usage);
            warn!(target: "orchestrator", "Goal {} is planned when {} may be asked again, at {until}: {reason}",
                goal.id, self.models.default.name());
            // The clock may be set meanwhile: the sleep is only a guess of when to look again.
            loop {
                let left = until.since(self.clock.now());
                if left.is_zero() {
                    break;
                }
                tokio::time::sleep(left.min(LOOK_AGAIN)).await;
            }
        }
    }

    /// The declared DAG of a goal, or a model's, for the agents that work for `root`.
    pub(crate) async fn draft(
        &self,
        goal: &ProjectGoal,
        root: &GoalId,
    ) -> Result<(Arc<Dag>, Usage), RunError> {
        if let Some(dag) = &goal.dag {
            return Ok((Arc::clone(dag), Usage::default()));
        }
        let project = self.project();
        let agents = project.agents.iter().filter(|agent| works_for(&agent.spec, root));
        let mut request = Decompose {
            goal: goal.id.clone(),
            title: goal.title.clone(),
            brief: goal.brief.clone(),
            agents: agents
                .map(|agent| AgentProfile {
                    name: agent.spec.name.value.clone(),
                    role: agent.spec.role.clone(),
                    capabilities: agent.spec.capabilities.clone(),
                })
                .collect(),
            faults: Vec::new(),
            conduct: Conduct { permissions: self.settings.permissions, ..Conduct::default() },
        };
        let mut spent = Usage::default();
        let mut tries = 0;
        loop {
            tries += 1;
            info!(target: "orchestrator", "Asking {} to plan goal {}", self.models.default.name(), goal.id);
            let reply = self
                .models
                .default
                .decompose(&request)
                .await
                .map_err(|source| RunError::Planning { goal: goal.id.clone(), source })?;
            spent = spent.plus(reply.usage);
            // A model behind a transport has repaired its plan already and only gives a sound one; what
            // does not look itself, such as a script, is asked again here.
            match sound_plan(reply.value, &request) {
                Ok(dag) => return Ok((Arc::new(dag), spent)),
                Err(faults) if tries >= TRIES => {
                    return Err(RunError::UnsoundPlan { goal: goal.id.clone(), tries, faults });
                }
                Err(faults) => {
                    warn!(target: "orchestrator", "The plan of goal {} is unsound: {}", goal.id, faults.join("; "));
                    request.faults = faults;
                }
            }
        }
    }

    async fn plan_new(&self, goal: &ProjectGoal, dag: Arc<Dag>, spent: Usage) -> Result<(), RunError> {
        let mut plan = Plan {
            parent: None,
            dag,
            title: goal.title.clone(),
            request: entropy::request_id(),
            max_attempts: self.settings.max_attempts,
            spent,
        };
        let planned = match self.cache.plan(&plan).await {
            Err(CacheError::TasksTaken { taken, .. }) => {
                info!(target: "orchestrator",
                    "{} task ids of goal {} belong to other goals; its tasks are prefixed with `{}.`",
                    taken.len(), goal.id, goal.id);
                plan.dag = self.prefixed(&plan.dag)?;
                self.cache.plan(&plan).await
            }
            answer => answer,
        };
        let planned = match planned {
            // Another orchestrator, which led for a moment beside this one, was faster.
            Err(CacheError::GoalExists { goal }) => {
                info!(target: "orchestrator", "Goal {goal} was planned meanwhile");
                return Ok(());
            }
            planned => planned?,
        };
        Self::log_planned(&planned, plan.dag.edges().count());
        Ok(())
    }

    pub(crate) fn prefixed(&self, dag: &Dag) -> Result<Arc<Dag>, RunError> {
        let prefixed = dag.with_prefix(dag.goal());
        prefixed.map(Arc::new).map_err(|error| {
            RunError::Cache(CacheError::Invalid {
                reason: format!("task ids of goal `{}` cannot be prefixed: {error}", dag.goal()),
            })
        })
    }

    /// Whether somebody can execute every task that is not done, by what is declared. With each DAG comes the
    /// goal above all others that its own is below.
    pub(crate) fn check_executable<'d>(
        &self,
        dags: impl IntoIterator<Item = (&'d Arc<Dag>, &'d GoalId)>,
    ) -> Result<(), RunError> {
        let project = self.project();
        let mut reasons = Vec::new();
        for (dag, root) in dags {
            for node in dag.nodes().filter(|node| node.run.is_none() && node.kind.is_task()) {
                let able = project.agents.iter().filter(|agent| {
                    works_for(&agent.spec, root)
                        && node.capabilities.iter().all(|needed| agent.spec.capabilities.contains(needed))
                });
                let models: Vec<_> = able.map(|agent| self.models.of(&agent.spec.name.value)).collect();
                // Without any able agent the task waits, and `why` says for what.
                let refusals: Option<Vec<String>> =
                    models.iter().map(|model| model.cannot_execute(node)).collect();
                if let Some(reason) = refusals.and_then(|refusals| refusals.into_iter().next()) {
                    reasons.push(format!("{}: {reason}", node.id));
                }
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(RunError::Unexecutable { reasons }) }
    }
}
