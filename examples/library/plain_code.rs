//! Plain Rust code as an agent: its tasks are leased, verified, retried and logged like any others.

#![expect(clippy::print_stdout, reason = "an example says what it does")]

use async_trait::async_trait;
use downbeat_runtime::Orchestrator;
use downbeat_runtime::library::{Agent, Assignment, Done, Plan, Trouble};

struct Counter;

#[async_trait]
impl Agent for Counter {
    async fn setup(&self) -> Result<(), Trouble> {
        println!("setup");
        Ok(())
    }

    async fn execute(&self, task: Assignment) -> Result<Done, Trouble> {
        if task.node.id.as_str() == "count" {
            if task.attempt == 1 {
                // Tried again after a wait, and told why.
                return Err(Trouble::Retry("the words are not there yet".to_owned()));
            }
            println!("attempt {} of count, after: {}", task.attempt, task.last_error.unwrap_or_default());
            std::fs::write(task.workspace.join("words.txt"), "3\n")?;
            return Ok("three words".into());
        }
        let said: Vec<&str> = task.inputs.iter().map(|input| input.summary.as_str()).collect();
        println!("{} is told: {}", task.node.id, said.join(", "));
        Ok(().into())
    }

    async fn on_stop(&self) {
        println!("on_stop");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let plan = Plan::of("report")
        .task("count", "Count the words")
        .produces("words.txt")
        .task("tell", "Tell how many there are")
        .after("count");
    let report = Orchestrator::builder()
        .workspace(place.path())
        .register_agent("counter", Counter)
        .goal("A report", plan)
        .run()
        .await?;
    println!("complete: {}", report.is_complete());
    Ok(())
}
