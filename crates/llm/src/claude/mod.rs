//! Claude Code, headless: `claude[:MODEL]`.
//!
//! `claude -p` with the question on its standard input and events as JSON lines on its standard output;
//! the answer's schema is enforced by the tool itself.

mod events;

use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::llm::LlmError;
use downbeat_process::End;
use serde_json::Value;

use crate::opening::Opening;
use crate::tool::{Manual, Place, Tool, converse, permission_name};
use crate::transport::{Answer, Ask, AskError, Permissions, Probe, Transport};
use events::Events;

static MANUAL: Manual = Manual {
    program: "claude",
    install: "npm install -g @anthropic-ai/claude-code",
    sign_in: "run `claude` once and sign in, or set ANTHROPIC_API_KEY",
    variables: &["ANTHROPIC_*", "CLAUDE_CODE_*", "CLAUDE_CONFIG_DIR"],
};

/// A longer schema stands in the question alone: an argument may not be longer than 128 KiB.
const MAX_SCHEMA: usize = 100 * 1024;

/// Opens it. The argument is a model.
///
/// # Errors
///
/// [`LlmError::Unusable`] when what is behind the `:` cannot be used. Whether the program is there is
/// [`Transport::probe`]'s to say.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    let mut tool = Tool::open(opening, &MANUAL)?;
    // Neither telemetry nor an update in the middle of work.
    tool.set("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1");
    tool.set("DISABLE_AUTOUPDATER", "1");
    Ok(Arc::new(Claude(tool)))
}

#[derive(Debug)]
struct Claude(Tool);

#[async_trait]
impl Transport for Claude {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    async fn probe(&self) -> Probe {
        self.0
            .probe(&["auth", "status"], |_, text| {
                let status: Value = serde_json::from_str(text.trim()).ok()?;
                status.get("loggedIn")?.as_bool()
            })
            .await
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        let place = Place::of(ask)?;
        let mut events = Events::new(&self.0, ask);
        let finished = converse(&self.0, ask, &place, &self.args(ask, place.permissions), &mut events).await;
        let usage = events.usage();
        let spent = |error| AskError { error, usage };
        let finished = finished.map_err(spent)?;
        match events.answer(permission_name(place.permissions)) {
            Some(Ok(answer)) if finished.report.end == End::Exited(0) => Ok(answer),
            Some(Err(error)) => Err(spent(error)),
            _ => Err(spent(finished.fault(&self.0))),
        }
    }
}

impl Claude {
    fn args(&self, ask: &Ask, permissions: Option<Permissions>) -> Vec<String> {
        let mut args: Vec<&str> = vec![
            "-p",
            "--output-format",
            "stream-json",
            "--verbose",
            "--no-session-persistence",
            "--strict-mcp-config",
        ];
        args.extend(match permissions {
            None => ["--permission-mode", "default", "--tools", ""].as_slice(),
            Some(Permissions::Plan) => &["--permission-mode", "plan", "--tools", "Read,Glob,Grep"],
            Some(Permissions::Edit) => {
                &["--permission-mode", "acceptEdits", "--disallowedTools", "WebFetch,WebSearch"]
            }
            Some(Permissions::Full) => &["--permission-mode", "bypassPermissions"],
        });
        if let Some(model) = &self.0.model {
            args.extend(["--model", model]);
        }
        let mut args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let schema = ask.schema.to_string();
        if schema.len() <= MAX_SCHEMA {
            args.extend(["--json-schema".to_owned(), schema]);
        }
        args
    }
}
