//! The step that does the task: its command, or its agent's model.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{CacheError, Disposition, Phase};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::Token;
use downbeat_core::llm::{Conduct, Execute, Execution, ExecutionStatus, Input, LlmError};
use downbeat_core::state::Failure;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::watching::Watch;
use super::{Attempt, Executed, Setback, unfinished};
use crate::command::{self, CommandEnd, CommandReport, ShellCommand};
use crate::library::{Done, Trouble};

/// The most finished dependencies whose results a model is told of.
const MAX_INPUTS: usize = 50;

/// The longest excerpt of the last failure in a command's environment, in bytes.
const MAX_ENV_ERROR: usize = 4 * 1024;

impl Attempt<'_> {
    pub(super) async fn execute(&mut self, stop: &CancellationToken) -> Result<Executed, Setback> {
        if let Err(error) = tokio::fs::create_dir_all(&self.workspace).await {
            let message = format!("the workspace {} cannot be made: {error}", self.workspace.display());
            return Err(Setback::Retry(Failure::new(message, None)));
        }
        match self.claimed.node.run.clone() {
            Some(script) => {
                self.phase(Phase::Executing).await;
                if let Ok(Some(unfinished)) = self.unfinished().await {
                    self.left_behind = unfinished::environment(&unfinished);
                }
                let report = self.shell(&script, "command", stop).await?;
                Ok(Executed { notes: report.tail, summary: None, outputs: Vec::new() })
            }
            None => {
                // What it is to be asked is put together.
                self.phase(Phase::Reasoning).await;
                self.ask().await
            }
        }
    }

    /// Runs a shell command of the task; `what` names it in a failure.
    pub(super) async fn shell(
        &self,
        script: &str,
        what: &str,
        stop: &CancellationToken,
    ) -> Result<CommandReport, Setback> {
        let settings = &self.worker.settings;
        let timeout = self.limit();
        let log = self.log();
        let command = ShellCommand {
            script,
            directory: &self.workspace,
            env: self.environment(),
            pass_env: &settings.pass_env,
            timeout,
            max_output: settings.max_output,
            grace: settings.kill_grace,
            log,
            guard: settings.guard.as_deref(),
        };
        let report = match command::run(&command, stop).await {
            Ok(report) => report,
            Err(error) => {
                let message = format!("the {what} could not be run: {error}");
                return Err(Setback::Retry(Failure::new(message, None)));
            }
        };
        match report.end {
            CommandEnd::Cancelled => return Err(Setback::Stopped),
            CommandEnd::TimedOut { .. } => self.tell_timeout(timeout).await,
            _ => {}
        }
        match report.failure() {
            None => Ok(report),
            Some(reason) => {
                let message = match last_line(&report.tail) {
                    Some(line) => format!("the {what} {reason}: {line}"),
                    None => format!("the {what} {reason}"),
                };
                Err(Setback::Retry(Failure::new(message, Some(&report.tail))))
            }
        }
    }

    /// How long the attempt may take.
    fn limit(&self) -> Duration {
        let own = self.claimed.node.timeout.map(|timeout| timeout.get());
        own.or(self.worker.timeout).unwrap_or(self.worker.settings.task_timeout)
    }

    async fn tell_timeout(&self, limit: Duration) {
        let lease = &self.claimed.lease;
        let mut event = EventDraft::new(EventKind::AGENT_TIMEOUT)
            .goal(&lease.goal)
            .agent(&lease.agent)
            .reason(format!("attempt {} took longer than {limit:?}", lease.attempt));
        event.task = Some(lease.task.clone());
        event.token = Some(lease.token);
        event.attempt = Some(lease.attempt);
        if let Err(error) = crate::orchestrator::tell(self.worker.cache.as_ref(), event).await {
            debug!(target: "runtime", agent = %lease.agent, "telling of a timeout: {error}");
        }
    }

    /// What a command is told; the README lists it.
    fn environment(&self) -> Vec<(String, OsString)> {
        let lease = &self.claimed.lease;
        let mut env: Vec<(String, OsString)> = [
            ("DOWNBEAT_GOAL", lease.goal.as_str().to_owned()),
            ("DOWNBEAT_TASK", lease.task.as_str().to_owned()),
            ("DOWNBEAT_AGENT", lease.agent.as_str().to_owned()),
            ("DOWNBEAT_ATTEMPT", lease.attempt.to_string()),
            ("DOWNBEAT_MAX_ATTEMPTS", lease.max_attempts.to_string()),
            ("DOWNBEAT_TOKEN", lease.token.to_string()),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
        let workspace = self.workspace.canonicalize().unwrap_or_else(|_| self.workspace.clone());
        env.push(("DOWNBEAT_WORKSPACE".to_owned(), workspace.into()));
        if let Some(failure) = &self.claimed.last_error {
            let said = downbeat_core::text::clip(&failure.message, MAX_ENV_ERROR).replace('\0', "");
            env.push(("DOWNBEAT_LAST_ERROR".to_owned(), said.into()));
        }
        let left_behind = self.left_behind.iter();
        env.extend(left_behind.map(|(name, value)| ((*name).to_owned(), value.into())));
        env
    }

    /// Where the output of this attempt is kept.
    fn log(&self) -> Option<PathBuf> {
        let lease = &self.claimed.lease;
        self.log_of(lease.attempt, lease.token)
    }

    /// Where the output of an attempt at this task is kept.
    pub(super) fn log_of(&self, attempt: u32, token: Token) -> Option<PathBuf> {
        let logs = self.worker.settings.logs.as_ref()?;
        Some(logs.join(self.claimed.lease.task.as_str()).join(format!("{attempt}-{token}.log")))
    }

    /// How a model is to do the task.
    fn conduct(&self, limit: Duration) -> Conduct {
        let settings = &self.worker.settings;
        let watch = Watch::new(self.log().as_deref(), settings.max_output, self.progress.clone());
        // What is no text a model's tool could not name either.
        let env = self.environment().into_iter();
        let env = env.filter_map(|(name, value)| Some((name, value.into_string().ok()?))).collect();
        Conduct { observer: Arc::new(watch), permissions: settings.permissions, env, timeout: Some(limit) }
    }

    async fn ask(&mut self) -> Result<Executed, Setback> {
        let lease = &self.claimed.lease;
        let asked = async { Ok::<_, CacheError>((self.inputs().await?, self.unfinished().await?)) };
        let (inputs, unfinished) = match asked.await {
            Ok(known) => known,
            Err(error) => {
                let message = format!("the results of its dependencies could not be read: {error}");
                return Err(Setback::Retry(Failure::new(message, None)));
            }
        };
        self.phase(Phase::Executing).await;
        let limit = self.limit();
        let request = Execute {
            goal: lease.goal.clone(),
            agent: lease.agent.clone(),
            instructions: self.worker.instructions.clone(),
            node: self.claimed.node.as_ref().clone(),
            attempt: lease.attempt,
            last_error: self.claimed.last_error.clone(),
            unfinished,
            inputs,
            memory: self.worker.memory().await,
            workspace: self.workspace.clone(),
            conduct: self.conduct(limit),
        };
        if let Some(code) = &self.worker.code {
            let done = tokio::time::timeout(limit, code.execute(&request)).await;
            return match done {
                Ok(Ok(Done { summary, outputs })) => {
                    Ok(Executed { notes: String::new(), summary: Some(summary), outputs })
                }
                Ok(Err(Trouble::Retry(reason))) => Err(Setback::Retry(Failure::new(reason, None))),
                Ok(Err(Trouble::Final(reason))) => Err(Setback::Final(Failure::new(reason, None))),
                Err(_) => {
                    self.tell_timeout(limit).await;
                    let message = format!("the agent's code did not end within {limit:?}");
                    Err(Setback::Retry(Failure::new(message, None)))
                }
            };
        }
        // Its time is up within the call: what it waits for before costs it none.
        let reply = self.worker.llm.execute(&request).await;
        if let Err(error) = &reply
            && matches!(error.error, LlmError::TimedOut { .. })
        {
            self.tell_timeout(limit).await;
        }
        let reply = reply.map_err(|error| {
            self.spent = self.spent.plus(error.usage);
            if let LlmError::BudgetSpent { reason, .. } = &error.error {
                // It says nothing about the task: the attempt is given back, and costs none.
                return Setback::Parked(format!("the model is not asked now: {reason}"));
            }
            let failure = Failure::new(error.to_string(), None);
            match error.disposition() {
                Disposition::Retry => Setback::Retry(failure),
                Disposition::Abandon | Disposition::Report => Setback::Final(failure),
            }
        })?;
        self.spent = self.spent.plus(reply.usage);
        let Execution { status, outputs, notes, summary } = reply.value;
        match status {
            ExecutionStatus::Done => Ok(Executed { notes, summary, outputs }),
            ExecutionStatus::Failed => {
                Err(Setback::Retry(Failure::new(format!("the model says it failed: {notes}"), Some(&notes))))
            }
            ExecutionStatus::Blocked => {
                let message = format!("the model says it cannot be done: {notes}");
                Err(Setback::Final(Failure::new(message, Some(&notes))))
            }
        }
    }

    /// What the tasks that this one waited for left behind.
    async fn inputs(&self) -> Result<Vec<Input>, CacheError> {
        let lease = &self.claimed.lease;
        let Some(dag) = self.worker.cache.dag(&lease.goal).await? else { return Ok(Vec::new()) };
        let mut inputs = Vec::new();
        for dependency in dag.dependencies(&lease.task).into_iter().take(MAX_INPUTS) {
            if let Some(found) = self.worker.cache.task(dependency).await? {
                let state = found.task.state;
                inputs.push(Input {
                    task: dependency.clone(),
                    summary: state.summary.unwrap_or_default(),
                    artifacts: state.artifacts,
                });
            }
        }
        Ok(inputs)
    }
}

/// The last line that says something, cut to a message's length.
fn last_line(tail: &str) -> Option<String> {
    let line = tail.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(downbeat_core::text::clip(line, 300))
}
