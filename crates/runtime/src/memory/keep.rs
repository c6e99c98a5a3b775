//! How an agent's memory gets into the store and back.

use std::sync::{Arc, PoisonError};

use downbeat_core::cache::{CacheError, Directive};
use downbeat_core::ids::TaskId;
use tokio::sync::broadcast::error::RecvError;
use tracing::{debug, info};

use super::Memory;
use crate::agent::Worker;
use crate::steering::{Standing, Subject};

impl Worker {
    /// What the agent remembers, oldest first: nothing that was flushed before this call.
    pub(crate) async fn memory(&self) -> Vec<String> {
        self.heed_flushes().await;
        self.with_memory(|memory| memory.lines.iter().cloned().collect())
    }

    /// Adds a line to the agent's memory and keeps it. `task` is worked on no more.
    pub(crate) async fn remember(&self, task: &TaskId, line: Option<&str>) {
        let changed = self.with_memory(|memory| {
            if let Some(line) = line {
                memory.add(line);
            }
            memory.put_down(task) || line.is_some()
        });
        if changed {
            self.keep_memory().await;
        }
    }

    /// Keeps how far the agent is with a task, so that its next life knows of it.
    pub(crate) async fn note(&self, task: &TaskId, attempt: u32, note: Option<&str>) {
        if self.with_memory(|memory| memory.note(task, attempt, note)) {
            self.keep_memory().await;
        }
    }

    /// Brings back what an earlier life of the agent remembered.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub async fn recall(&self) -> Result<(), CacheError> {
        let flushes = self.flushes().await?;
        let snapshot = self.cache.recall(&self.name).await?.unwrap_or_default();
        self.with_memory(|memory| *memory = Memory::restored(&snapshot, flushes));
        Ok(())
    }

    /// Forgets as soon as somebody says so.
    pub(crate) async fn hear_flushes(self: Arc<Self>) {
        let mut notices = self.notices.subscribe();
        loop {
            match notices.recv().await {
                Ok(Directive::FlushMemory { agent }) if agent == self.name => self.heed_flushes().await,
                Ok(_) => {}
                Err(RecvError::Lagged(_)) => self.heed_flushes().await,
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn heed_flushes(&self) {
        match self.flushes().await {
            Ok(flushes) if self.with_memory(|memory| memory.flushed(flushes)) => {
                info!(target: "runtime", agent = %self.name, "Memory flushed");
                // A snapshot that was on its way just then may have come after the flush.
                self.keep_memory().await;
            }
            Ok(_) => {}
            Err(error) => debug!(target: "runtime", agent = %self.name, "flushes: {error}"),
        }
    }

    async fn flushes(&self) -> Result<u64, CacheError> {
        let subject = Subject::Agent(self.name.clone());
        Ok(Standing::load(self.cache.as_ref(), &subject).await?.flushes)
    }

    async fn keep_memory(&self) {
        let snapshot = self.with_memory(|memory| serde_json::to_string(memory).unwrap_or_default());
        if let Err(error) = self.cache.remember(&self.name, &self.incarnation, &snapshot).await {
            debug!(target: "runtime", agent = %self.name, "remembering: {error}");
        }
    }

    fn with_memory<T>(&self, act: impl FnOnce(&mut Memory) -> T) -> T {
        act(&mut self.remembered.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
