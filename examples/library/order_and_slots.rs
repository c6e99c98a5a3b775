//! Who starts when: `add_dependency` orders the starts, `max_workers` bounds how many live at once. An agent
//! that has nothing to do gives its slot to one that waits, and comes back when there is something for it.

#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use downbeat_core::event::EventKind;
use downbeat_core::instructions::Milestone;
use downbeat_runtime::Orchestrator;
use downbeat_runtime::library::{Agent, Assignment, Declared, Done, Plan, Trouble};

struct Worker;

#[async_trait]
impl Agent for Worker {
    async fn execute(&self, task: Assignment) -> Result<Done, Trouble> {
        println!("{} does {}", task.agent, task.node.id);
        Ok(().into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let started = Arc::new(Mutex::new(Vec::new()));
    let heard = Arc::clone(&started);
    let able = |name: &str| Declared::named(name).capable_of([name]);
    // From hand to hand, and back to the first.
    let plan = Plan::of("relay")
        .task("one", "Begin")
        .needs("first")
        .task("two", "Go on")
        .needs("second")
        .after("one")
        .task("three", "Go on")
        .needs("third")
        .after("two")
        .task("four", "End")
        .needs("first")
        .after("three");
    let report = Orchestrator::builder()
        .workspace(place.path())
        // Declared the wrong way round: the dependencies say who comes first.
        .register_agent(able("third"), Worker)
        .register_agent(able("second"), Worker)
        .register_agent(able("first"), Worker)
        .add_dependency("second", "first")
        .add_dependency_until("third", "second", Milestone::Started)
        .max_workers(1)
        .goal("A relay", plan)
        .on(EventKind::AGENT_STARTED, move |event| {
            if let (Some(agent), Ok(mut all)) = (&event.what.agent, heard.lock()) {
                all.push(agent.to_string());
            }
        })
        .run()
        .await?;
    if let Ok(all) = started.lock() {
        println!("first three starts: {}", all[..3].join(", "));
    }
    println!("complete: {}", report.is_complete());
    Ok(())
}
