//! `downbeat run -p TEXT`: one question to a model, and its answer.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_llm::transport::{self, Step, Unobserved};
use serde_json::json;

use crate::args::Cli;
use crate::commands::in_runtime;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::Out;
use crate::output::text::clean_block;
use crate::{exit, models};

/// The longest that an answer is waited for.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// A question.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(super) prompt: String,
    pub(super) llm: Option<String>,
}

/// Asks, and prints the answer.
///
/// # Errors
///
/// The model cannot be asked, or has no answer.
pub(super) fn ask(ask: &Ask, cli: &Cli, out: &Out) -> Result<u8, CliError> {
    // A question belongs to no project.
    let mut flags = cli.heritage.as_ref().map(super::Heritage::flags).unwrap_or_default();
    flags.push(("llm", ask.llm.clone()));
    let mut context = Context::new(&cli.global, Some(Path::new(".")), flags)?;
    super::heritage::settle(&mut context);
    let config = &context.config;
    let name = config.llm.as_deref().unwrap_or_default();
    let environment = models::environment(config.asking());
    let unusable = |error: downbeat_core::llm::LlmError| CliError::new(Kind::BadInput, error.to_string());
    let way = downbeat_llm::transport_in(name, Path::new(""), &environment).map_err(unusable)?;
    let question = transport::Ask {
        step: Step::Summarize,
        system: "Answer what follows. Your answer is the text in the field `answer`.".to_owned(),
        prompt: ask.prompt.clone(),
        exchange: Vec::new(),
        schema: Arc::new(json!({
            "type": "object",
            "properties": { "answer": { "type": "string" } },
            "required": ["answer"],
            "additionalProperties": false,
        })),
        work: None,
        timeout: LONGEST,
        observer: Arc::new(Unobserved),
    };
    let answer = in_runtime(async {
        way.ask(&question).await.map_err(|failed| CliError::new(Kind::Failed, failed.error.to_string()))
    })?;
    let structured = answer.structured.or_else(|| serde_json::from_str(&answer.text).ok());
    let said = structured.as_ref().and_then(|value| value.get("answer")?.as_str());
    let said = said.unwrap_or(&answer.text).trim();
    match out.is_json() {
        true => out.value(&json!({ "answer": said, "model": answer.model }))?,
        false => out.line(clean_block(said))?,
    }
    Ok(exit::COMPLETE)
}
