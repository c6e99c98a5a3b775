//! What is known of an agent is in the log: another process that opens the same store later knows it too.

#![expect(clippy::print_stdout, reason = "an example says what it does")]

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_cache_sled::{Durability, Options, SledCache};
use downbeat_core::cache::{Cache, ExitStatus, StreamLimits};
use downbeat_core::ids::AgentName;
use downbeat_runtime::Orchestrator;
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::library::stats::stats;
use downbeat_runtime::library::{Agent, Assignment, Done, Plan, Trouble};

struct Clerk;

#[async_trait]
impl Agent for Clerk {
    async fn execute(&self, task: Assignment) -> Result<Done, Trouble> {
        if task.node.id.as_str() == "crash" && std::env::args().nth(2).as_deref() == Some("crash") {
            // Neither the agent nor the store gets to say a word.
            std::process::abort();
        }
        Ok(().into())
    }
}

fn open(place: &Path) -> Result<Arc<dyn Cache>, Box<dyn std::error::Error>> {
    let options = Options {
        path: place.join("store"),
        clock: Arc::new(SystemClock),
        durability: Durability::Power,
        limits: StreamLimits::default(),
        holder: "an example".to_owned(),
    };
    Ok(Arc::new(SledCache::open(options)?))
}

async fn run(place: &Path) -> Result<bool, Box<dyn std::error::Error>> {
    let plan = Plan::of("two").task("easy", "No trouble").task("crash", "Trouble").after("easy");
    let settings = downbeat_runtime::Settings { exclusive: true, ..Default::default() };
    let report = Orchestrator::builder()
        .cache(open(place)?)
        .settings(settings)
        .workspace(place)
        .register_agent("clerk", Clerk)
        .goal("Two tasks", plan)
        .run()
        .await?;
    Ok(report.is_complete())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    if let Some(place) = std::env::args().nth(1) {
        println!("complete: {}", run(Path::new(&place)).await?);
        return Ok(());
    }
    let place = tempfile::tempdir()?;
    let own = std::env::current_exe()?;
    let crashed = std::process::Command::new(&own).arg(place.path()).arg("crash").output()?;
    println!("the first process ended well: {}", crashed.status.success());
    std::process::Command::new(&own).arg(place.path()).status()?;

    let cache = open(place.path())?;
    if let Some(stats) = stats(cache.as_ref(), &AgentName::new("clerk")?).await? {
        for life in &stats.lives {
            let how = match life.exit {
                Some(ExitStatus::Ok) => "ended well",
                Some(_) => "died",
                None => "lives",
            };
            println!("generation {} {how}", life.generation);
        }
        println!("done: {}", stats.done);
    }
    Ok(())
}
