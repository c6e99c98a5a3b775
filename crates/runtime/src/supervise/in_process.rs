//! Agents as tasks inside the process of their orchestrator.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::cache::Cache;
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::{AgentName, GoalId};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::spawner::{Adopted, Exit, Hire, Life, SpawnError, Spawner};
use crate::agent::Worker;
use crate::clock::CacheClock;
use crate::library::Code;
use crate::orchestrator::{Models, tell};
use crate::recruit::Recruit;
use crate::settings::Settings;
use crate::spending::Ledger;
use crate::stop::Stop;

/// Runs agents as tasks of this process.
#[derive(Debug)]
pub(crate) struct InProcess {
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) models: Models,
    /// The agents that are code.
    pub(crate) code: HashMap<AgentName, Code>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) clock: Arc<CacheClock>,
    pub(crate) settings: Arc<Settings>,
    pub(crate) workspaces: Arc<HashMap<GoalId, PathBuf>>,
    /// That of the run: it reaches every life at once.
    pub(crate) stop: Stop,
}

#[async_trait]
impl Spawner for InProcess {
    async fn spawn(&self, hire: &Hire) -> Result<Box<dyn Life>, SpawnError> {
        let recruit = Recruit {
            cache: &self.cache,
            llm: self.models.of(&hire.agent.spec.name.value),
            code: self.code.get(&hire.agent.spec.name.value),
            ledger: &self.ledger,
            scribe: &self.models.scribe,
            clock: &self.clock,
            settings: &self.settings,
            workspaces: &self.workspaces,
        };
        let worker = recruit.enlist(&hire.name, &hire.agent, hire.goal.clone(), hire.generation).await?;
        let stop = self.stop.child();
        let kill = CancellationToken::new();
        let life = live(worker, stop.clone(), hire.generation);
        let task = tokio::spawn(until_killed(life, kill.clone()));
        Ok(Box::new(Task { task, stop, kill, exit: None }))
    }

    /// None: they ended with their process.
    async fn adopt(&self) -> Vec<Adopted> {
        Vec::new()
    }
}

/// One life, ended in the middle when it is killed. A panic ends no more than the life.
async fn until_killed(life: impl Future<Output = Exit> + Send + 'static, kill: CancellationToken) -> Exit {
    let mut life = AbortOnDropHandle::new(tokio::spawn(life));
    let ended = tokio::select! {
        ended = &mut life => ended,
        () = kill.cancelled() => {
            life.abort();
            // What runs on without ever waiting ends when it waits: until then something of it runs.
            life.await
        }
    };
    match ended {
        Ok(exit) => exit,
        Err(error) if error.is_cancelled() => Exit::Failed { reason: "it was ended".to_owned(), code: None },
        Err(crash) => Exit::Failed { reason: format!("it crashed: {crash}"), code: None },
    }
}

/// One life, from the code's word that it is ready to its last.
async fn live(worker: Arc<Worker>, stop: Stop, generation: u64) -> Exit {
    let Some(code) = worker.code.clone() else { return work(worker, stop).await };
    let ready = async {
        if let Err(trouble) = code.agent.setup().await {
            return Err(format!("its setup failed: {trouble}"));
        }
        let ready = EventDraft::new(EventKind::AGENT_READY)
            .agent(&worker.name)
            .data(serde_json::json!({ "generation": generation }));
        tell(worker.cache.as_ref(), ready).await.map_err(|error| error.to_string())
    };
    if let Err(reason) = ready.await {
        return Exit::Failed { reason, code: None };
    }
    let exit = work(worker, stop).await;
    if exit.is_ok() {
        code.agent.on_stop().await;
    }
    exit
}

async fn work(worker: Arc<Worker>, stop: Stop) -> Exit {
    let replaced = worker.replaced.clone();
    worker.run(stop).await;
    if replaced.is_cancelled() {
        let reason = "its name is another process's now, or was deregistered".to_owned();
        return Exit::Failed { reason, code: None };
    }
    Exit::Finished
}

/// A life as a task.
#[derive(Debug)]
struct Task {
    task: JoinHandle<Exit>,
    stop: Stop,
    kill: CancellationToken,
    exit: Option<Exit>,
}

#[async_trait]
impl Life for Task {
    fn process(&self) -> Option<u32> {
        None
    }

    async fn ended(&mut self) -> Exit {
        if let Some(exit) = &self.exit {
            return exit.clone();
        }
        let exit = match (&mut self.task).await {
            Ok(exit) => exit,
            Err(error) => Exit::Failed { reason: format!("it crashed: {error}"), code: None },
        };
        self.exit.insert(exit).clone()
    }

    fn drain(&self) {
        self.stop.drain();
    }

    fn stop(&self) {
        self.stop.now();
    }

    fn kill(&self) {
        self.kill.cancel();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_life_that_never_ends_is_gone_when_it_was_killed() {
        let held = Arc::new(());
        let (kill, own) = (CancellationToken::new(), Arc::clone(&held));
        let life = async move {
            let _own = own;
            std::future::pending().await
        };
        let stop = Stop::new();
        let task = tokio::spawn(until_killed(life, kill.clone()));
        let mut life = Task { task, stop, kill, exit: None };
        life.stop();
        assert_eq!(Arc::strong_count(&held), 2, "it hears nothing");

        life.kill();

        let exit = life.ended().await;
        assert_eq!(exit, Exit::Failed { reason: "it was ended".to_owned(), code: None });
        assert_eq!(Arc::strong_count(&held), 1, "nothing of it is left");
        assert_eq!(life.ended().await, exit);
    }
}
