//! A service: it stays when all goals rest, and ends when it is asked to.

#![expect(clippy::print_stdout, reason = "an example says what it does")]

use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::event::EventKind;
use downbeat_runtime::Orchestrator;
use downbeat_runtime::library::{Agent, Assignment, Done, Plan, RunMode, Trouble, WaitError, Who};

struct Clerk;

#[async_trait]
impl Agent for Clerk {
    async fn execute(&self, task: Assignment) -> Result<Done, Trouble> {
        println!("{} of {}", task.node.id, task.goal);
        Ok(().into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let (over, mut ends) = tokio::sync::mpsc::unbounded_channel();
    let running = Orchestrator::builder()
        .workspace(place.path())
        .register_agent("clerk", Clerk)
        .goal("One task", Plan::of("once").task("only", "The only one"))
        .run_mode(RunMode::Daemon)
        // Nothing waits for it: it is for news that got lost.
        .check_interval(Duration::from_secs(5))
        .on(EventKind::GOAL_COMPLETE, move |_| {
            let _ = over.send(());
        })
        .start()
        .await?;
    ends.recv().await;
    let still = running.wait(&Who::All, Duration::from_millis(20)).await;
    println!("still there: {}", matches!(still, Err(WaitError::TimedOut { .. })));
    running.stop();
    let report = running.join().await?;
    println!("complete: {}", report.is_complete());
    Ok(())
}
