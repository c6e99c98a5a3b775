//! Agents as tasks inside the process of their orchestrator.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::cache::Cache;
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::{AgentName, GoalId};
use tokio::task::JoinHandle;

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
        let task = tokio::spawn(live(worker, stop.clone(), hire.generation));
        Ok(Box::new(Task { task, stop, exit: None }))
    }

    /// None: they ended with their process.
    async fn adopt(&self) -> Vec<Adopted> {
        Vec::new()
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
    match tokio::spawn(worker.run(stop)).await {
        Err(crash) => Exit::Failed { reason: format!("it crashed: {crash}"), code: None },
        Ok(()) if replaced.is_cancelled() => {
            let reason = "its name is another process's now, or was deregistered".to_owned();
            Exit::Failed { reason, code: None }
        }
        Ok(()) => Exit::Finished,
    }
}

/// A life as a task.
#[derive(Debug)]
struct Task {
    task: JoinHandle<Exit>,
    stop: Stop,
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
}

impl Drop for Task {
    fn drop(&mut self) {
        self.stop.now();
    }
}
