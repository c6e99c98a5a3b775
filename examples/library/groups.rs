//! Groups: stop, start, pause and limit agents together, and wait for them.

#![expect(clippy::print_stdout, reason = "an example says what it does")]

use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::ids::GroupName;
use downbeat_runtime::Orchestrator;
use downbeat_runtime::library::{Agent, Assignment, Done, RunMode, Trouble, WaitError, Who};
use downbeat_runtime::steering::{FleetOrder, Whom};

struct Idler;

#[async_trait]
impl Agent for Idler {
    async fn execute(&self, _: Assignment) -> Result<Done, Trouble> {
        Ok(().into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let running = Orchestrator::builder()
        .workspace(place.path())
        .register_agent("owl", Idler)
        .register_agent("bat", Idler)
        .register_agent("lark", Idler)
        .group("night", ["owl", "bat"])
        .group("day", ["lark"])
        // One of them lives at a time, until somebody orders otherwise.
        .group_limit("night", 1)
        .run_mode(RunMode::Daemon)
        .start()
        .await?;

    let night = GroupName::new("night")?;
    running.order(FleetOrder::Stop { whom: Whom::Group(night) }).await?;
    let ended = running.wait(&Who::Group("night".to_owned()), Duration::from_secs(30)).await?;
    for (agent, how) in ended {
        println!("{agent} {how}");
    }
    match running.wait(&Who::Group("dusk".to_owned()), Duration::ZERO).await {
        Err(error @ WaitError::Unknown { .. }) => println!("{error}"),
        other => println!("unexpected: {other:?}"),
    }
    match running.wait(&Who::Agent("lark".to_owned()), Duration::from_millis(10)).await {
        Err(error @ WaitError::TimedOut { .. }) => println!("{error}"),
        other => println!("unexpected: {other:?}"),
    }
    running.stop();
    let all = running.wait(&Who::All, Duration::from_secs(30)).await?;
    println!("ended: {}", all.len());
    running.join().await?;
    Ok(())
}
