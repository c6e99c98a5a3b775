//! Any agent that speaks the Agent Client Protocol: `acp:<command>`.
//!
//! The agent is a program below a guard; the protocol runs over its standard streams. Each question is
//! a session of its own. What the agent asks for is answered by `policy`; files it asks us for are
//! served by `files`.

mod files;
mod policy;
mod session;

use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;
use downbeat_process::{Input, Running};

use crate::opening::Opening;
use crate::tool::{Manual, Place, Tool};
use crate::transport::{Answer, Ask, AskError, Probe, Transport};

static MANUAL: Manual = Manual {
    program: "",
    install: "see the manual of the agent",
    sign_in: "start the agent by hand once and sign in, as its manual says",
    variables: &[
        "ANTHROPIC_*",
        "CLAUDE_CODE_*",
        "CLAUDE_CONFIG_DIR",
        "CODEX_HOME",
        "CODEX_API_KEY",
        "OPENAI_*",
        "GEMINI_*",
        "GOOGLE_API_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "GOOGLE_CLOUD_PROJECT",
        "GOOGLE_CLOUD_LOCATION",
        "GOOGLE_GENAI_USE_VERTEXAI",
        "GOOGLE_GENAI_USE_GCA",
        "GOOGLE_GEMINI_BASE_URL",
        "GOOGLE_VERTEX_BASE_URL",
    ],
};

/// Opens it. The argument is the command, as a shell would split it.
///
/// # Errors
///
/// [`LlmError::Unusable`] when what is behind the `:` cannot be used. Whether the program is there is
/// [`Transport::probe`]'s to say.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    let words = opening.argument.and_then(shlex::split).unwrap_or_default();
    let mut words = words.into_iter();
    let Some(program) = words.next() else {
        let reason = format!("`{}` is no command: check its quotes", clip(opening.name, 80));
        return Err(LlmError::Unusable { reason });
    };
    // A path is relative to the project, wherever the agent runs.
    let program = if program.contains('/') {
        opening.base.join(program).to_string_lossy().into_owned()
    } else {
        program
    };
    let tool = Tool::with(opening, &MANUAL, None).called(program);
    Ok(Arc::new(Acp { tool, args: words.collect() }))
}

#[derive(Debug)]
struct Acp {
    tool: Tool,
    args: Vec<String>,
}

#[async_trait]
impl Transport for Acp {
    fn name(&self) -> String {
        self.tool.name.clone()
    }

    async fn probe(&self) -> Probe {
        // What the agent would do with `--version` is not known: it is looked for, not started.
        match self.tool.find() {
            Ok(program) => Probe {
                usable: true,
                found: format!("{}, not started", program.display()),
                remedies: Vec::new(),
            },
            Err(error) => {
                Probe { usable: false, found: error.to_string(), remedies: vec![MANUAL.install.to_owned()] }
            }
        }
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        let place = Place::of(ask)?;
        let mut program = self.tool.program(&self.tool.find()?, &place.directory).args(&self.args);
        program.input = Input::Pipe;
        if let Some(work) = &ask.work {
            program.env.extend(work.env.iter().map(|(name, value)| (name.into(), value.into())));
        }
        let mut running = Running::start(&program).map_err(|error| LlmError::Unusable {
            reason: format!("`{}` cannot be started: {error}", self.tool.name),
        })?;
        let talk = session::talk(&self.tool, ask, &place, &mut running);
        let talked = tokio::time::timeout(ask.timeout, talk).await;
        // Nothing of it is left when this is over; it is not asked twice.
        running.end().await;
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), running.wait()).await;
        match talked {
            Ok(talked) => talked.map_err(|error| AskError {
                // The protocol reports no tokens: that it was asked is all that is known.
                usage: Usage { calls: u64::from(error.asked), ..Usage::default() },
                error: error.error,
            }),
            Err(_) => Err(AskError {
                error: LlmError::TimedOut { limit: ask.timeout },
                usage: Usage { calls: 1, ..Usage::default() },
            }),
        }
    }
}
