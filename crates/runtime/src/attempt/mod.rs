//! One attempt at one task, as steps that can be read aloud: execute, verify, summarize, settle,
//! remember. Choosing and claiming come before it, in [`agent`](crate::agent); the lease is renewed
//! beside it, by a keeper.

mod execute;
mod keeper;
mod noting;
mod settle;
mod unfinished;
mod verify;
mod watching;

use std::path::PathBuf;

use downbeat_core::cache::{Claim, Claimed, Phase, Settled};
use downbeat_core::goal::Usage;
use downbeat_core::llm::{Conduct, Summarize};
use downbeat_core::state::{Artifact, Failure, Outcome};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::agent::{Held, Worker};
use crate::stop::Stop;
use keeper::{Keeper, Loss};

/// How an attempt ended, as far as its agent is concerned.
#[derive(Debug)]
pub enum End {
    /// The cache has the outcome.
    Settled {
        /// What the cache said.
        settled: Box<Settled>,
        /// When it was asked.
        asked: Instant,
        /// The claim that went with it, if its answer was lost.
        unanswered: Option<Claim>,
    },
    /// Somebody else owns the task, or nobody knows whether we do: nothing was written.
    Lost,
}

/// What the work on a task came to.
struct Verdict {
    outcome: Outcome,
    spent: Usage,
    /// No model may be asked now: the agent takes no further task with this one's end.
    is_parked: bool,
}

/// What executing came to.
struct Executed {
    /// For the summary: what a command printed last, or what a model noted.
    notes: String,
    /// The summary, when it came with the execution.
    summary: Option<String>,
    /// Files that the execution says it produced, beside the expected ones.
    outputs: Vec<String>,
}

/// Why there is nothing to verify.
enum Setback {
    /// Another attempt may do better.
    Retry(Failure),
    /// None can.
    Final(Failure),
    /// The work was stopped from outside; it says nothing about the task.
    Stopped,
    /// No model may be asked now, for this reason; it says nothing about the task.
    Parked(String),
}

/// An attempt in progress.
pub(crate) struct Attempt<'a> {
    worker: &'a Worker,
    claimed: &'a Claimed,
    workspace: PathBuf,
    spent: Usage,
    progress: watch::Sender<Option<String>>,
    /// What a command is told of the attempt before, if that was cut off.
    left_behind: Vec<(&'static str, PathBuf)>,
}

/// Works on a claimed task and settles it. `next` is claimed in the same step.
pub(crate) async fn run(worker: &Worker, held: &Held, stop: &Stop, next: Option<Claim>) -> End {
    let claimed = &held.claimed;
    let lease = &claimed.lease;
    info!(target: "runtime", agent = %lease.agent, "Acquired lease for task {} (attempt {} of {})",
        lease.task, lease.attempt, lease.max_attempts);
    let (progress, news) = watch::channel(None);
    let noting = noting::note(worker, claimed, news.clone());
    let keeper = Keeper::start(worker, lease, held.asked, news);
    let work = stop.for_work();
    let workspace = worker.workspace(&lease.goal).await;
    let mut attempt =
        Attempt { worker, claimed, workspace, spent: Usage::default(), progress, left_behind: Vec::new() };
    let verdict = tokio::select! {
        verdict = attempt.work(&work) => Some(verdict),
        never = noting => match never {},
        loss = keeper.lost() => {
            // Dropping the work ends its process group.
            match loss {
                Loss::Taken(error) => warn!(target: "runtime", agent = %lease.agent,
                    "Stopped work on task {}: {error}", lease.task),
                Loss::Silent => warn!(target: "runtime", agent = %lease.agent,
                    "Stopped work on task {}: its lease could not be renewed in time", lease.task),
            }
            None
        }
    };
    let Some(verdict) = verdict else {
        worker.remember(&lease.task, None).await;
        return End::Lost;
    };
    let is_parked = verdict.is_parked;
    let next = match &verdict.outcome {
        // Somebody else tries it first, if there is anybody.
        Outcome::Retry { after, .. } => {
            let left =
                worker.passing.leave(worker.cache.as_ref(), &worker.name, &lease.goal, &claimed.node, *after);
            if let Err(error) = left.await {
                warn!(target: "runtime", agent = %lease.agent, "Looking for another agent for task {}: {error}", lease.task);
            }
            next.map(|next| Claim { avoid: worker.passing.now(), ..next })
        }
        _ => next,
    };
    let end =
        settle::settle(worker, claimed, verdict, stop, next.filter(|_| !stop.is_draining() && !is_parked))
            .await;
    drop(keeper);
    end
}

impl Attempt<'_> {
    async fn work(&mut self, stop: &tokio_util::sync::CancellationToken) -> Verdict {
        let mut is_parked = false;
        let outcome = match self.steps(stop).await {
            Ok((summary, artifacts)) => Outcome::Done { summary, artifacts },
            Err(Setback::Stopped) => {
                Outcome::Release { reason: "the run was stopped before the task was done".to_owned() }
            }
            Err(Setback::Parked(reason)) => {
                is_parked = true;
                Outcome::Release { reason }
            }
            Err(Setback::Final(failure)) => Outcome::Failed { failure },
            Err(Setback::Retry(failure)) => Outcome::Retry { after: self.backoff(), failure },
        };
        Verdict { outcome, spent: self.spent, is_parked }
    }

    async fn steps(
        &mut self,
        stop: &tokio_util::sync::CancellationToken,
    ) -> Result<(String, Vec<Artifact>), Setback> {
        let is_command = self.claimed.node.run.is_some();
        self.phase(Phase::Assigned).await;
        let executed = tokio::select! {
            executed = self.execute(stop) => executed?,
            () = stopped_unless_command(stop, is_command) => return Err(Setback::Stopped),
        };
        let artifacts = self.verify(&executed, stop).await?;
        let summary = match executed.summary {
            Some(summary) if !summary.trim().is_empty() => summary,
            _ => self.summarize(executed.notes, &artifacts).await,
        };
        Ok((summary, artifacts))
    }

    /// A summary of what a command printed, or of the notes of a model that gave none: by a template,
    /// since a further call would cost more than it says. Finished work is never failed for the want of
    /// one.
    async fn summarize(&mut self, notes: String, artifacts: &[Artifact]) -> String {
        let lease = &self.claimed.lease;
        let request = Summarize {
            goal: lease.goal.clone(),
            agent: lease.agent.clone(),
            node: self.claimed.node.as_ref().clone(),
            notes,
            artifacts: artifacts.to_vec(),
            conduct: Conduct::default(),
        };
        match self.worker.scribe.summarize(&request).await {
            Ok(reply) => {
                self.spent = self.spent.plus(reply.usage);
                reply.value.summary
            }
            Err(error) => {
                self.spent = self.spent.plus(error.usage);
                warn!(target: "runtime", agent = %lease.agent, "No summary of task {}: {error}", lease.task);
                format!("{} (no summary: {error})", self.claimed.node.title)
            }
        }
    }

    fn backoff(&self) -> std::time::Duration {
        let failures =
            std::num::NonZeroU32::new(self.claimed.lease.attempt).unwrap_or(std::num::NonZeroU32::MIN);
        self.worker.settings.backoff.delay(failures, crate::entropy::draw())
    }

    async fn phase(&self, phase: Phase) {
        self.worker.enter(phase, Some(&self.claimed.lease.task)).await;
    }
}

/// A command ends its process group itself when it is stopped; a model's call is just dropped.
async fn stopped_unless_command(stop: &tokio_util::sync::CancellationToken, is_command: bool) {
    if is_command {
        std::future::pending::<()>().await;
    }
    stop.cancelled().await;
}
