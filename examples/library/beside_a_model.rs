//! Plain Rust code beside a model: each takes what it is capable of. Here the model is `offline`, which runs
//! the commands of tasks and costs nothing; any other is given in the same way.

#![expect(clippy::print_stdout, clippy::indexing_slicing, reason = "an example")]

use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::llm::Llm;
use downbeat_llm::Offline;
use downbeat_runtime::Orchestrator;
use downbeat_runtime::library::{Agent, Assignment, Declared, Done, Plan, Trouble};

/// Adds up numbers, one in a line.
struct Adder;

#[async_trait]
impl Agent for Adder {
    async fn execute(&self, task: Assignment) -> Result<Done, Trouble> {
        let mut sum = 0_u64;
        for line in std::fs::read_to_string(task.workspace.join("numbers.txt"))?.lines() {
            sum += line.trim().parse::<u64>()?;
        }
        std::fs::write(task.workspace.join("sum.txt"), format!("{sum}\n"))?;
        Ok(format!("the sum is {sum}").into())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = tempfile::tempdir()?;
    let model: Arc<dyn Llm> = Arc::new(Offline);
    let plan = Plan::of("sum")
        .task("numbers", "Write some numbers")
        .needs("shell")
        .run("seq 1 10 > numbers.txt")
        .produces("numbers.txt")
        .task("add", "Add them up")
        .needs("arithmetic")
        .after("numbers")
        .produces("sum.txt");
    let report = Orchestrator::builder()
        .workspace(place.path())
        .scribe(Arc::clone(&model))
        .register_model_agent(Declared::named("clerk").capable_of(["shell"]), model)
        .register_agent(Declared::named("adder").capable_of(["arithmetic"]), Adder)
        .goal("A sum", plan)
        .run()
        .await?;
    for task in &report.goals[0].tasks {
        println!("{}: {}", task.node.id, task.state.summary.as_deref().unwrap_or("nothing"));
    }
    println!("complete: {}", report.is_complete());
    Ok(())
}
