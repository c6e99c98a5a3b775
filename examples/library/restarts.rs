//! An agent that crashes is started again, and one that does nothing else is quarantined; `restart` is a
//! person's word, and `agent_stats` tells of every life.

#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]

use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::backoff::Backoff;
use downbeat_core::event::EventKind;
use downbeat_core::ids::AgentName;
use downbeat_runtime::library::{Agent, Assignment, Declared, Done, RunMode, Trouble, Who};
use downbeat_runtime::{Orchestrator, Settings};

struct Steady;

#[async_trait]
impl Agent for Steady {
    async fn execute(&self, _: Assignment) -> Result<Done, Trouble> {
        Ok(().into())
    }
}

struct Shaky;

#[async_trait]
impl Agent for Shaky {
    async fn setup(&self) -> Result<(), Trouble> {
        Err(Trouble::Final("its licence has run out".to_owned()))
    }

    async fn execute(&self, _: Assignment) -> Result<Done, Trouble> {
        Ok(().into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let mut settings = Settings::default();
    settings.restart.backoff = Backoff { base: Duration::from_millis(5), ceiling: Duration::from_millis(5) };
    let (ready, mut readies) = tokio::sync::mpsc::unbounded_channel();
    let (said, mut reasons) = tokio::sync::mpsc::unbounded_channel();
    let running = Orchestrator::builder()
        .workspace(place.path())
        .settings(settings)
        .register_agent("steady", Steady)
        .register_agent(Declared::named("shaky").max_restarts(2), Shaky)
        .register_agent("needy", Steady)
        .add_dependency("needy", "shaky")
        .run_mode(RunMode::Daemon)
        .on(EventKind::AGENT_QUARANTINED, move |event| {
            let _ = said.send(event.what.reason.clone().unwrap_or_default());
        })
        .on(EventKind::AGENT_READY, move |event| {
            let _ = ready.send(event.what.agent.clone());
        })
        .start()
        .await?;

    println!("quarantined: {}", reasons.recv().await.unwrap_or_default());
    let needy = running.wait(&Who::Agent("needy".to_owned()), Duration::from_secs(30)).await?;
    println!("needy: {}", needy[0].1);
    let steady = AgentName::new("steady")?;
    while readies.recv().await != Some(Some(steady.clone())) {}
    running.restart(&steady).await?;
    while readies.recv().await != Some(Some(steady.clone())) {}

    for name in ["steady", "shaky"] {
        let Some(stats) = running.agent_stats(&AgentName::new(name)?).await? else { continue };
        println!("{name}: {} lives, {} restarts", stats.lives.len(), stats.restarts());
        if let Some(ended) = stats.lives.iter().find(|life| life.ended_at.is_some()) {
            let took = ended.duration().is_some_and(|took| took < Duration::from_secs(30));
            println!(
                "  generation {} ended: {}, timed: {took}",
                ended.generation,
                ended.reason.as_deref().unwrap_or_default()
            );
        }
    }
    running.stop();
    running.join().await?;
    Ok(())
}
