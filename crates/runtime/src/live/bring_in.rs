//! A goal that is declared otherwise than it is planned.

use std::sync::Arc;

use downbeat_core::cache::{Amend, Cache, CacheError};
use downbeat_core::dag::{Dag, Fate, PlanDiff};
use downbeat_core::goal::{Goal, Usage};
use downbeat_core::ids::TaskId;
use downbeat_core::state::TaskStatus;
use tracing::{debug, info};

use super::briefs::{self, Brief, Drafted};
use super::foresee::{Foreseen, foresee};
use crate::entropy;
use crate::load::ProjectGoal;
use crate::orchestrator::{Orchestrator, RunError};
use crate::steering::notice;

/// How often a plan that changes meanwhile is looked at again.
const TRIES: usize = 5;

/// The plan that is declared for a goal now, as far as it is known without asking a model.
///
/// For a goal that a model plans it is the one in force while its brief is the same, or the one that was made
/// for a changed brief by whoever asked; `None` when a model would have to be asked.
///
/// # Errors
///
/// What the cache says.
pub async fn declared(cache: &dyn Cache, goal: &ProjectGoal) -> Result<Option<Arc<Dag>>, CacheError> {
    if let Some(dag) = &goal.dag {
        return Ok(Some(Arc::clone(dag)));
    }
    let Some(stored) = cache.dag(&goal.id).await? else { return Ok(None) };
    let (now, kept) = (briefs::digest(goal), briefs::load(cache, &goal.id).await?);
    if kept.planned.is_empty() || kept.planned == now {
        return Ok(Some(stored));
    }
    Ok(kept.draft.filter(|draft| draft.brief == now).and_then(|draft| draft.dag()).map(Arc::new))
}

/// What became of a goal's plan.
#[derive(Debug, Clone)]
pub(crate) enum Brought {
    /// It is planned as it is declared.
    Same,
    /// Its plan was changed.
    Amended,
    /// It waits to be asked for, for this reason.
    Waits(String),
}

impl Orchestrator {
    /// Brings the plan of a goal that has one in line with what is declared, as far as that is `asked` for or
    /// costs nothing. `by` is told with the change.
    pub(crate) async fn bring_in(
        &self,
        goal: &ProjectGoal,
        asked: bool,
        by: &str,
    ) -> Result<Brought, RunError> {
        if self.cache.goal(&goal.id).await?.is_none() {
            return Ok(Brought::Same);
        }
        for _ in 0..TRIES {
            let Some((dag, spent)) = self.wanted(goal, asked).await? else {
                return Ok(Brought::Waits("its brief changed, and a model plans it".to_owned()));
            };
            let Some(foreseen) = foresee(self.cache.as_ref(), &goal.id, &dag).await? else {
                return Ok(Brought::Same);
            };
            if foreseen.goal.digest == foreseen.dag.digest() {
                self.is_planned(goal).await?;
                return Ok(Brought::Same);
            }
            if !asked && !foreseen.is_free() {
                return Ok(Brought::Waits(foreseen.cost()));
            }
            self.check_executable([(&foreseen.dag, &goal.id)])?;
            match self.amend(&foreseen, spent, by).await {
                // Somebody else was faster: what is to be done may be something else now.
                Err(RunError::Cache(CacheError::Conflict { .. })) => {}
                Err(error) => return Err(error),
                Ok(amended) => {
                    self.is_planned(goal).await?;
                    info!(target: "orchestrator", "The plan of goal {} changed: it is at revision {}; {}",
                        amended.id, amended.revision, foreseen.cost());
                    return Ok(Brought::Amended);
                }
            }
        }
        Ok(Brought::Waits("its plan was changed by others all the while".to_owned()))
    }

    /// The plan that is wanted and what it cost; `None` when a model would have to be asked and that is not
    /// asked for.
    async fn wanted(&self, goal: &ProjectGoal, asked: bool) -> Result<Option<(Arc<Dag>, Usage)>, RunError> {
        if let Some(dag) = &goal.dag {
            return Ok(Some((Arc::clone(dag), Usage::default())));
        }
        let cache = self.cache.as_ref();
        let (now, mut kept) = (briefs::digest(goal), briefs::load(cache, &goal.id).await?);
        if kept.planned.is_empty() {
            // It was planned before briefs were kept.
            now.clone_into(&mut kept.planned);
            briefs::store(cache, &goal.id, &kept).await?;
        }
        if kept.planned == now {
            return Ok(cache.dag(&goal.id).await?.map(|dag| (dag, Usage::default())));
        }
        if !asked {
            return Ok(None);
        }
        self.drafted(goal).await.map(Some)
    }

    /// A model's plan for what a goal's brief says now. It is kept before it is used: whoever wants it for the
    /// same brief, to look at it or to put it into force, does not pay again.
    ///
    /// # Errors
    ///
    /// [`RunError`].
    pub async fn drafted(&self, goal: &ProjectGoal) -> Result<(Arc<Dag>, Usage), RunError> {
        let cache = self.cache.as_ref();
        let (now, mut kept) = (briefs::digest(goal), briefs::load(cache, &goal.id).await?);
        let ready = kept.draft.as_ref().filter(|draft| draft.brief == now);
        if let Some((dag, draft)) = ready.and_then(|draft| Some((draft.dag()?, draft))) {
            return Ok((Arc::new(dag), draft.spent));
        }
        let (dag, spent) = self.draft(goal, &goal.id).await?;
        kept.draft = Some(Drafted { brief: now, plan: dag.to_draft(), spent });
        briefs::store(cache, &goal.id, &kept).await?;
        Ok((dag, spent))
    }

    /// What a goal's brief says now is what its plan was made from. Nothing for one that no model plans.
    pub(crate) async fn is_planned(&self, goal: &ProjectGoal) -> Result<(), RunError> {
        if goal.dag.is_some() {
            return Ok(());
        }
        let wanted = Brief { planned: briefs::digest(goal), draft: None };
        if briefs::load(self.cache.as_ref(), &goal.id).await? != wanted {
            briefs::store(self.cache.as_ref(), &goal.id, &wanted).await?;
        }
        Ok(())
    }

    pub(crate) async fn amend(&self, foreseen: &Foreseen, spent: Usage, by: &str) -> Result<Goal, RunError> {
        let mut amend = Amend {
            dag: Arc::clone(&foreseen.dag),
            revision: foreseen.goal.revision,
            request: entropy::request_id(),
            max_attempts: self.settings.max_attempts,
            spent,
            redo: foreseen.diff.redo().clone(),
            by: by.to_owned(),
        };
        let mut taken = taken(&foreseen.diff);
        let amended = match self.cache.amend(&amend).await {
            Err(CacheError::TasksTaken { .. }) => {
                let prefixed = self.prefixed(&foreseen.dag)?;
                if let Some(again) = foresee(self.cache.as_ref(), &foreseen.goal.id, &prefixed).await? {
                    amend.redo = again.diff.redo().clone();
                    taken = self::taken(&again.diff);
                }
                amend.dag = prefixed;
                self.cache.amend(&amend).await?
            }
            amended => amended?,
        };
        // Those at work on what is no task any more cost money until they hear of it; without this, at the next
        // renewal of their lease.
        if let Err(error) = notice::send_taken(self.cache.as_ref(), &taken).await {
            debug!(target: "orchestrator", "telling who lost a task of goal {}: {error}", amended.id);
        }
        Ok(amended)
    }
}

/// The tasks whose holders lose them by a change of the plan: those that run, and those that somebody may have
/// begun since the look at them.
fn taken(diff: &PlanDiff) -> Vec<TaskId> {
    let open = |status| matches!(status, Some(TaskStatus::Blocked | TaskStatus::Ready));
    let tasks = diff.tasks.iter().filter(|task| {
        task.ends_lease() || open(task.status) && (task.fate == Fate::Cancelled || !task.rescoped.is_empty())
    });
    tasks.map(|task| task.task.clone()).collect()
}
