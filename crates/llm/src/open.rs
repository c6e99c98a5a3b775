//! From the name of a provider to the provider.

use std::path::Path;
use std::sync::Arc;

use downbeat_core::llm::{Llm, LlmError};
use downbeat_core::text::clip;

use crate::layers::{FallingOver, Recording, Retrying};
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
        ("record", Some(argument)) => {
            let Some((directory, model)) = argument.split_once(':').filter(|(dir, _)| !dir.is_empty()) else {
                return unusable(format!("`{shown}` is not complete: write `record:DIRECTORY:MODEL`"));
            };
            let inner = open_in(model, base, environment)?;
            Ok(Arc::new(Recording::new(inner, &base.join(directory))?))
        }
        ("record", None) => unusable(format!("`{shown}` is not complete: write `record:DIRECTORY:MODEL`")),
        _ => Ok(Arc::new(Prompted::new(transport_in(name, base, environment)?))),
    }
}

/// Opens the way to a model called `name`, or to several: `claude,codex` asks the second when the first
/// cannot answer. Each asks again by itself when it is overloaded.
///
/// # Errors
///
/// As [`open_in`]; also for `offline` and `scripted:`, which are no ways to a model.
pub fn transport_in(
    name: &str,
    base: &Path,
    environment: &Environment,
) -> Result<Arc<dyn Transport>, LlmError> {
    let mut ways = Vec::new();
    for name in alternatives(name) {
        let way = one(name, base, environment)?;
        ways.push(Arc::new(Retrying::new(way)) as Arc<dyn Transport>);
    }
    if ways.len() > 1 {
        return Ok(Arc::new(FallingOver::new(ways)));
    }
    ways.pop().ok_or_else(|| LlmError::Unusable { reason: "no model is named".to_owned() })
}

/// The names in a list of them. A comma divides where the name of a provider follows: commands and
/// addresses may have commas, too.
fn alternatives(names: &str) -> Vec<&str> {
    let mut list = Vec::new();
    let mut rest = names;
    loop {
        let division = rest.match_indices(',').find(|(at, _)| {
            let behind = rest.get(at + 1..).unwrap_or_default().trim_start();
            let name = behind.split([':', ',']).next().unwrap_or_default().trim_end();
            PROVIDERS.iter().any(|provider| provider.name == name)
        });
        let Some((at, _)) = division else {
            list.push(rest.trim());
            return list;
        };
        let (name, behind) = rest.split_at(at);
        list.push(name.trim());
        rest = behind.strip_prefix(',').unwrap_or_default();
    }
}

/// One way, with nothing around it.
fn one(name: &str, base: &Path, environment: &Environment) -> Result<Arc<dyn Transport>, LlmError> {
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

    #[test]
    fn a_comma_divides_only_before_a_provider() {
        assert_eq!(alternatives("claude:opus, codex,gemini:x"), ["claude:opus", "codex", "gemini:x"]);
        assert_eq!(alternatives("acp:agent --list a,b,claude"), ["acp:agent --list a,b", "claude"]);
        assert_eq!(alternatives("acp:agent --list a,b,claudette"), ["acp:agent --list a,b,claudette"]);
    }

    #[test]
    fn a_recording_is_made_of_any_other() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(open("record:tape:offline", place.path()).unwrap().name(), "offline");
        assert!(place.path().join("tape").is_dir());
        for name in ["record", "record:", "record:tape", "record::offline"] {
            assert!(refused(name).contains("write `record:DIRECTORY:MODEL`"), "{}", refused(name));
        }
    }
}
