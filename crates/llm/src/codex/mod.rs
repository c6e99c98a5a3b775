//! Codex, headless: `codex[:MODEL]`.
//!
//! `codex exec --json` with the question on its standard input and events as JSON lines on its standard
//! output. Its commands run in its own sandbox.

mod events;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::llm::LlmError;
use downbeat_process::End;

use crate::opening::Opening;
use crate::schema;
use crate::tool::{Manual, Place, Tool, converse};
use crate::transport::{Answer, Ask, AskError, Permissions, Probe, Transport};
use events::Events;

static MANUAL: Manual = Manual {
    program: "codex",
    install: "npm install -g @openai/codex",
    sign_in: "run `codex login`, or set CODEX_API_KEY",
    variables: &["CODEX_HOME", "CODEX_API_KEY", "CODEX_ACCESS_TOKEN", "CODEX_CA_CERTIFICATE", "OPENAI_*"],
};

/// Opens it. The argument is a model.
///
/// # Errors
///
/// [`LlmError::Unusable`] when what is behind the `:` cannot be used. Whether the program is there is
/// [`Transport::probe`]'s to say.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Ok(Arc::new(Codex(Tool::open(opening, &MANUAL)?)))
}

#[derive(Debug)]
struct Codex(Tool);

#[async_trait]
impl Transport for Codex {
    fn name(&self) -> String {
        self.0.name.clone()
    }

    async fn probe(&self) -> Probe {
        let other_ways = self.0.get("CODEX_API_KEY").is_some() || self.has_own_provider();
        self.0
            .probe(&["login", "status"], |report, _| match report.end {
                End::Exited(0) => Some(true),
                // Keys and other providers are not what it looks at.
                End::Exited(_) if other_ways => None,
                End::Exited(_) => Some(false),
                _ => None,
            })
            .await
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        let place = Place::of(ask)?;
        // It demands the strict mode of schemas.
        let schema = place.write("schema.json", &schema::strict(&ask.schema).to_string())?;
        let mut args: Vec<String> =
            ["exec", "--json", "--skip-git-repo-check", "--ephemeral", "--color", "never", "--output-schema"]
                .map(str::to_owned)
                .to_vec();
        args.push(schema.to_string_lossy().into_owned());
        let rights: &[&str] = match place.permissions {
            None => &["-s", "read-only", "--disable", "shell_tool"],
            Some(Permissions::Plan) => &["-s", "read-only"],
            Some(Permissions::Edit) => &["-s", "workspace-write"],
            Some(Permissions::Full) => &["--dangerously-bypass-approvals-and-sandbox"],
        };
        args.extend(rights.iter().copied().map(str::to_owned));
        if let Some(model) = &self.0.model {
            args.extend(["--model".to_owned(), model.clone()]);
        }
        args.push("-".to_owned());
        let mut events = Events::new(&self.0, ask);
        let finished = converse(&self.0, ask, &place, &args, &mut events).await;
        let usage = events.usage;
        let spent = |error| AskError { error, usage };
        let finished = finished.map_err(spent)?;
        match events.answer() {
            Some(Ok(answer)) if finished.report.end == End::Exited(0) => Ok(answer),
            Some(Err(error)) => Err(spent(error)),
            _ => Err(spent(finished.fault(&self.0))),
        }
    }
}

impl Codex {
    /// Whether its settings name a provider that needs no sign-in with OpenAI.
    fn has_own_provider(&self) -> bool {
        let home = self.0.get("CODEX_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(PathBuf::from(self.0.get("HOME")?).join(".codex")));
        home.and_then(|home| std::fs::read_to_string(home.join("config.toml")).ok()).is_some_and(|settings| {
            settings.lines().any(|line| line.trim_start().starts_with("model_provider"))
        })
    }
}
