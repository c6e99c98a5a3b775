//! Agents as tasks inside the process of their orchestrator.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::cache::Cache;
use downbeat_core::ids::GoalId;
use tokio::task::JoinHandle;

use super::spawner::{Adopted, Exit, Hire, Life, SpawnError, Spawner};
use crate::clock::CacheClock;
use crate::orchestrator::Models;
use crate::recruit::{self, Recruit};
use crate::settings::Settings;
use crate::spending::Ledger;
use crate::stop::Stop;

/// Runs agents as tasks of this process.
#[derive(Debug)]
pub(crate) struct InProcess {
    pub(crate) cache: Arc<dyn Cache>,
    pub(crate) models: Models,
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
            ledger: &self.ledger,
            scribe: &self.models.scribe,
            clock: &self.clock,
            settings: &self.settings,
            workspaces: &self.workspaces,
        };
        let worker = recruit.enlist(&hire.name, &hire.agent, hire.goal.clone()).await?;
        let stop = self.stop.child();
        let task = tokio::spawn(recruit::watch_over(worker, stop.clone()));
        Ok(Box::new(Task { task, stop, exit: None }))
    }

    /// None: they ended with their process.
    async fn adopt(&self) -> Vec<Adopted> {
        Vec::new()
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
