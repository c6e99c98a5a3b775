//! At most so many starts in a second.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::supervise::{Adopted, Hire, Life, SpawnError, Spawner};

/// The time that starts are counted in.
const WINDOW: Duration = Duration::from_secs(1);

/// A spawner that begins at most so many lives in any second; what is too much waits.
#[derive(Debug)]
pub struct Paced {
    inner: Arc<dyn Spawner>,
    limit: usize,
    starts: Mutex<VecDeque<Instant>>,
}

impl Paced {
    /// At most `limit` starts in any second; one when it is 0.
    #[must_use]
    pub fn new(inner: Arc<dyn Spawner>, limit: u32) -> Self {
        let limit = usize::try_from(limit.max(1)).unwrap_or(usize::MAX);
        Self { inner, limit, starts: Mutex::default() }
    }
}

#[async_trait]
impl Spawner for Paced {
    async fn spawn(&self, hire: &Hire) -> Result<Box<dyn Life>, SpawnError> {
        {
            let mut starts = self.starts.lock().await;
            while starts.len() >= self.limit {
                if let Some(first) = starts.pop_front() {
                    tokio::time::sleep_until(first + WINDOW).await;
                }
            }
            starts.push_back(Instant::now());
        }
        self.inner.spawn(hire).await
    }

    async fn adopt(&self) -> Vec<Adopted> {
        self.inner.adopt().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::ProjectAgent;

    #[derive(Debug, Default)]
    struct Counts(Mutex<Vec<Instant>>);

    #[async_trait]
    impl Spawner for Counts {
        async fn spawn(&self, _: &Hire) -> Result<Box<dyn Life>, SpawnError> {
            self.0.lock().await.push(Instant::now());
            Err(SpawnError::Failed { reason: "this one counts".to_owned() })
        }

        async fn adopt(&self) -> Vec<Adopted> {
            Vec::new()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_starts_than_allowed_and_none_is_lost() {
        let counts = Arc::new(Counts::default());
        let paced = Paced::new(counts.clone(), 3);
        let text = "## Agents\n### a\n\n## Goals\n### g\nBrief.\n";
        let source = downbeat_core::diagnostic::Source::new("x", text);
        let spec = downbeat_core::instructions::parse(&source).unwrap().0.agents.remove(0);
        let agent = Arc::new(ProjectAgent { spec, instructions: String::new() });
        let name = agent.spec.name.value.clone();
        let hire = Hire { name, agent, goal: None, generation: 1 };
        let began = Instant::now();
        futures::future::join_all((0..10).map(|_| paced.spawn(&hire))).await;

        let starts = counts.0.lock().await;
        assert_eq!(starts.len(), 10);
        for four in starts.windows(4) {
            assert!(four[3] - four[0] >= WINDOW, "{starts:?}");
        }
        assert!(began.elapsed() < Duration::from_secs(4), "it waits no longer than it must");
    }
}
