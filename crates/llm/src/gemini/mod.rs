//! Gemini CLI, headless: `gemini[:MODEL]`.
//!
//! `gemini -p` with the question on its standard input and events as JSON lines on its standard output.
//! It takes no schema: the question says what the answer must look like.

mod events;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::llm::LlmError;
use downbeat_process::End;

use crate::opening::Opening;
use crate::tool::{Manual, Place, Tool, converse, permission_name};
use crate::transport::{Answer, Ask, AskError, Permissions, Probe, Transport};
use events::Events;

static MANUAL: Manual = Manual {
    program: "gemini",
    install: "npm install -g @google/gemini-cli",
    sign_in: "run `gemini` once and sign in, or set GEMINI_API_KEY",
    variables: &[
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

/// A policy under which no tool is offered to the model.
const NO_TOOLS: &str = "[[rule]]\ntoolName = \"*\"\ndecision = \"deny\"\npriority = 999\n";

/// Opens it. The argument is a model.
///
/// # Errors
///
/// [`LlmError::Unusable`] when what is behind the `:` cannot be used. Whether the program is there is
/// [`Transport::probe`]'s to say.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    let mut tool = Tool::open(opening, &MANUAL)?;
    // It would start itself a second time to get more memory.
    tool.set("GEMINI_CLI_NO_RELAUNCH", "true");
    tool.set("NO_COLOR", "1");
    Ok(Arc::new(Gemini(tool)))
}

#[derive(Debug)]
struct Gemini(Tool);

#[async_trait]
impl Transport for Gemini {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    async fn probe(&self) -> Probe {
        // It has no command that says it.
        let variables =
            ["GEMINI_API_KEY", "GOOGLE_API_KEY", "GOOGLE_GENAI_USE_VERTEXAI", "GOOGLE_GENAI_USE_GCA"];
        let by_variable = variables.iter().any(|name| self.0.get(name).is_some());
        let by_file = self.0.get("HOME").is_some_and(|home| {
            let settings = Path::new(home).join(".gemini");
            settings.join("oauth_creds.json").exists() || settings.join("google_accounts.json").exists()
        });
        self.0.probe(&[], |_, _| Some(by_variable || by_file)).await
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        let place = Place::of(ask)?;
        // What stands behind `-p` is put after standard input; without it the tool would be interactive.
        let mut args: Vec<String> =
            ["-p", "", "-o", "stream-json", "--skip-trust"].map(str::to_owned).to_vec();
        let mode = match place.permissions {
            None | Some(Permissions::Plan) => "plan",
            Some(Permissions::Edit) => "auto_edit",
            Some(Permissions::Full) => "yolo",
        };
        args.extend(["--approval-mode".to_owned(), mode.to_owned()]);
        if place.permissions.is_none() {
            let policy = place.write("no-tools.toml", NO_TOOLS)?;
            args.extend(["--policy".to_owned(), policy.to_string_lossy().into_owned()]);
        }
        if let Some(model) = &self.0.model {
            args.extend(["--model".to_owned(), model.clone()]);
        }
        let mut events = Events::new(&self.0, ask);
        let finished = converse(&self.0, ask, &place, &args, &mut events).await;
        let usage = events.usage;
        let spent = |error| AskError { error, usage };
        let finished = finished.map_err(spent)?;
        match events.answer(permission_name(place.permissions)) {
            Some(Ok(answer)) if finished.report.end == End::Exited(0) => Ok(answer),
            Some(Err(error)) => Err(spent(error)),
            _ => Err(spent(finished.fault(&self.0))),
        }
    }
}
