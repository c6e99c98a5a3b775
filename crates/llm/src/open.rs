//! From the name of a provider to the provider.

use std::path::Path;
use std::sync::Arc;

use downbeat_core::llm::{Llm, LlmError};
use downbeat_core::text::clip;

use crate::transport::Transport;
use crate::{Environment, Offline, Opening, Prompted, Scripted, acp, claude, codex, gemini, http};

/// A way to a model, as it is registered.
struct Provider {
    /// What stands before the `:`.
    name: &'static str,
    /// How it is written, for people.
    form: &'static str,
    /// Whether something has to stand behind the `:`.
    needs_argument: bool,
    open: fn(&Opening<'_>) -> Result<Arc<dyn Transport>, LlmError>,
}

/// All of them. To add one, write a function that opens it, and a line here.
const PROVIDERS: [Provider; 9] = [
    Provider { name: "claude", form: "claude[:MODEL]", needs_argument: false, open: claude::open },
    Provider { name: "codex", form: "codex[:MODEL]", needs_argument: false, open: codex::open },
    Provider { name: "gemini", form: "gemini[:MODEL]", needs_argument: false, open: gemini::open },
    Provider { name: "acp", form: "acp:COMMAND", needs_argument: true, open: acp::open },
    Provider { name: "anthropic", form: "anthropic:MODEL", needs_argument: true, open: http::anthropic },
    Provider { name: "openai", form: "openai:MODEL", needs_argument: true, open: http::openai },
    Provider { name: "gemini-api", form: "gemini-api:MODEL", needs_argument: true, open: http::gemini },
    Provider { name: "ollama", form: "ollama:MODEL", needs_argument: true, open: http::ollama },
    Provider {
        name: "openai-compatible",
        form: "openai-compatible:URL#MODEL",
        needs_argument: true,
        open: http::openai_compatible,
    },
];

/// What can be opened, for people.
fn available() -> String {
    let forms: Vec<String> = PROVIDERS.iter().map(|provider| format!("`{}`", provider.form)).collect();
    format!("`offline` (no model), `scripted:FILE` (recorded answers), {}", forms.join(", "))
}

/// Opens the provider called `name` with the environment of this process; see [`open_in`].
///
/// # Errors
///
/// As [`open_in`].
pub fn open(name: &str, base: &Path) -> Result<Arc<dyn Llm>, LlmError> {
    open_in(name, base, &Environment::of_process())
}

/// Opens the provider called `name`: `offline`, `scripted:<file or directory>`, or a way to a model;
/// paths in it are relative to `base`.
///
/// # Errors
///
/// [`LlmError::Unusable`]: there is no such provider, and the reason lists those that there are; or
/// the script cannot be used, and the reason lists all that is wrong with it.
pub fn open_in(name: &str, base: &Path, environment: &Environment) -> Result<Arc<dyn Llm>, LlmError> {
    let (provider, argument) =
        name.split_once(':').map_or((name, None), |(provider, argument)| (provider, Some(argument)));
    let shown = clip(name, 80);
    let unusable = |reason: String| Err(LlmError::Unusable { reason });
    match (provider, argument) {
        ("offline", None) => Ok(Arc::new(Offline)),
        ("offline", Some(_)) => unusable(format!("`{shown}` is no model: `offline` takes nothing behind it")),
        ("scripted", Some(path)) if !path.is_empty() => match Scripted::open(path, base) {
            Ok(scripted) => Ok(Arc::new(scripted)),
            Err(error) => unusable(error.to_string()),
        },
        ("scripted", _) => {
            unusable(format!("`{shown}` names no script: write `scripted:<file or directory>`"))
        }
        _ => Ok(Arc::new(Prompted::new(transport_in(name, base, environment)?))),
    }
}

/// Opens the way to a model called `name`, to look whether it can be used.
///
/// # Errors
///
/// As [`open_in`]; also for `offline` and `scripted:`, which are no ways to a model.
pub fn transport_in(
    name: &str,
    base: &Path,
    environment: &Environment,
) -> Result<Arc<dyn Transport>, LlmError> {
    let (before, argument) =
        name.split_once(':').map_or((name, None), |(provider, argument)| (provider, Some(argument)));
    let shown = clip(name, 80);
    let unusable = |reason: String| Err(LlmError::Unusable { reason });
    let Some(provider) = PROVIDERS.iter().find(|provider| provider.name == before) else {
        return unusable(format!("there is no model called `{shown}`; there are {}", available()));
    };
    let argument = argument.map(str::trim).filter(|argument| !argument.is_empty());
    if (provider.needs_argument || name.contains(':')) && argument.is_none() {
        return unusable(format!("`{shown}` is not complete: write `{}`", provider.form));
    }
    (provider.open)(&Opening { name, argument, base, environment })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(name: &str) -> String {
        match open(name, Path::new("/nowhere")) {
            Err(LlmError::Unusable { reason }) => reason,
            other => panic!("{name}: {other:?}"),
        }
    }

    #[test]
    fn offline_needs_nothing() {
        assert_eq!(open("offline", Path::new("/nowhere")).unwrap().name(), "offline");
    }

    #[test]
    fn a_script_is_found_relative_to_the_base() {
        let base = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        let model = open("scripted:llm/count-lines.json", &base).unwrap();
        assert_eq!(model.name(), "scripted:llm/count-lines.json");
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() {
        for name in ["", "none", "Offline", "gpt", ":x"] {
            let reason = refused(name);
            assert!(reason.contains(&format!("no model called `{name}`")), "{reason}");
            assert!(reason.contains("`offline`") && reason.contains("`scripted:"), "{reason}");
            assert!(reason.contains("`claude[:MODEL]`"), "{reason}");
        }
    }

    #[test]
    fn an_argument_that_is_missing_or_too_much_is_pointed_out() {
        assert!(refused("offline:x").contains("takes nothing"));
        assert!(refused("scripted").contains("names no script"));
        assert!(refused("scripted:").contains("names no script"));
        assert!(refused("scripted:none.json").contains("none.json"));
        for name in ["acp", "acp:", "anthropic", "claude:", "ollama: "] {
            assert!(refused(name).contains("is not complete: write `"), "{}", refused(name));
        }
    }
}
