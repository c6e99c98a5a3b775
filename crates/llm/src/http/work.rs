//! A task, done with tools: a conversation until the model says that it is finished.

use std::sync::Mutex;

use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use downbeat_core::schema::Validator;
use downbeat_core::text::clip;

use super::conversation::{Entry, ToolCall, ToolResult, ToolSpec};
use super::dialect::Reading;
use super::fault::excerpt;
use super::model::{HttpModel, Turn};
use super::tools::{Toolbox, listed};
use crate::transport::{Ask, Work};

/// The tool that ends a task. An answer is taken from its input on every vendor: not all can enforce a
/// schema on the text of an answer while there are tools.
const FINISH: &str = "finish";

/// The most times that a model is asked in one task.
const TURNS: usize = 100;
/// The most that tools may say in one task, in bytes: it is sent again with every turn.
const SAID: usize = 2 * 1024 * 1024;
/// The most calls that are done in one turn.
const CALLS: usize = 32;
/// How often a wrong `finish` is sent back; then it is handed up as it is.
const REPAIRS: usize = 2;

/// Works until the model finishes.
///
/// # Errors
///
/// A turn failed, or the model did not finish within its turns.
pub(super) async fn work(
    model: &HttpModel,
    ask: &Ask,
    work: &Work,
    mut entries: Vec<Entry>,
    spent: &Mutex<Usage>,
) -> Result<Reading, LlmError> {
    let toolbox = Toolbox::open(work, model.guard.clone(), &model.readable, ask.observer.clone())?;
    let answer = Validator::of(ask.schema.as_ref().clone());
    let mut tools = toolbox.specs();
    tools.push(ToolSpec {
        name: FINISH,
        description: "Ends the task and gives the answer. Call it when all is done, or when it cannot be done.",
        schema: ask.schema.as_ref().clone(),
    });
    let mut repairs = 0;
    let mut said = 0_usize;
    for turn in 1..=TURNS {
        let turn_of = Turn { system: &ask.system, entries: &entries, answer: None, tools: &tools };
        let mut reading = model.turn(turn_of, spent).await?;
        if reading.calls.is_empty() {
            // It answered in text: that is read above.
            return Ok(reading);
        }
        entries.push(Entry::Said(reading.said.clone()));
        let mut results = Vec::new();
        for (index, call) in std::mem::take(&mut reading.calls).into_iter().enumerate() {
            if call.name == FINISH {
                let faults = answer.faults(&call.input);
                if faults.is_empty() || repairs >= REPAIRS {
                    ask.observer.progress("finish");
                    return Ok(Reading { structured: Some(call.input), ..reading });
                }
                repairs = repairs.saturating_add(1);
                let output = listed("the answer does not follow its schema; call `finish` again", &faults);
                results.push(ToolResult { call, output, failed: true });
                continue;
            }
            ask.observer.progress(&line(&call));
            let outcome = if index >= CALLS {
                Err(format!("there were more than {CALLS} calls in one turn: call it again"))
            } else if said >= SAID {
                Err("the tools have said all that they may in one task: call `finish` now".to_owned())
            } else {
                toolbox.call(&call.name, call.input.clone()).await
            };
            let failed = outcome.is_err();
            let mut output = model.scrub(outcome.unwrap_or_else(|fault| fault));
            said = said.saturating_add(output.len());
            if turn.saturating_add(2) >= TURNS {
                output.push_str("\n[There is one turn left: call `finish`.]");
            }
            results.push(ToolResult { call, output, failed });
        }
        entries.push(Entry::Results(results));
    }
    Err(LlmError::Malformed {
        reason: format!("it did not finish within {TURNS} turns"),
        excerpt: String::new(),
    })
}

/// What a call is, in one short line.
fn line(call: &ToolCall) -> String {
    let about = ["path", "command", "pattern"].iter().find_map(|key| call.input.get(*key)?.as_str());
    clip(&excerpt(&format!("{} {}", clip(&call.name, 40), about.unwrap_or_default())), 160)
}
