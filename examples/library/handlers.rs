//! Code that is called when something happens. One that panics is logged, and the rest goes on.

#![expect(clippy::print_stdout, clippy::panic, reason = "an example")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use downbeat_core::event::EventKind;
use downbeat_runtime::Orchestrator;
use downbeat_runtime::library::{Agent, Assignment, Declared, Done, Plan, Trouble};

struct Slow;

#[async_trait]
impl Agent for Slow {
    async fn execute(&self, task: Assignment) -> Result<Done, Trouble> {
        if task.attempt == 1 {
            // Longer than it may take: the attempt is ended, and there is another.
            std::future::pending::<()>().await;
        }
        Ok(().into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What a handler that panics says is logged; here nobody reads the log.
    std::panic::set_hook(Box::new(|_| {}));
    let place = tempfile::tempdir()?;
    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let said = |word: &'static str| move |_: &downbeat_core::event::Event| println!("{word}");
    Orchestrator::builder()
        .workspace(place.path())
        .register_agent(Declared::named("slow").timeout(std::time::Duration::from_millis(50)), Slow)
        .goal("One task", Plan::of("one").task("only", "Take your time"))
        .on(EventKind::TASK_DONE, |_| panic!("a handler with a fault"))
        .on(EventKind::TASK_DONE, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        })
        .on(EventKind::AGENT_REGISTERED, said("registered"))
        .on(EventKind::AGENT_STARTED, said("started"))
        .on(EventKind::AGENT_READY, said("ready"))
        .on(EventKind::AGENT_TIMEOUT, said("timeout"))
        .on(EventKind::TASK_RETRY, said("retry"))
        .on(EventKind::AGENT_TERMINATED, |event| {
            let exit = event.what.data.get("exit").and_then(|exit| exit.as_str());
            println!("terminated {}", exit.unwrap_or("nobody knows how"));
        })
        .on(EventKind::AGENTS_ALL_TERMINATED, said("all terminated"))
        .run()
        .await?;
    println!("done: {}", done.load(Ordering::Relaxed));
    Ok(())
}
