//! From the name of a provider to the provider.

use std::path::Path;
use std::sync::Arc;

use downbeat_core::llm::{Llm, LlmError};
use downbeat_core::text::clip;

use crate::{Offline, Scripted};

/// What can be opened, for people.
const AVAILABLE: &str = "`offline` (no model) and `scripted:<file or directory>` (recorded answers)";

/// Names that users of other versions or of the manual may expect; what is before a `:` counts.
const PLANNED: [&str; 10] = [
    "claude",
    "codex",
    "gemini",
    "acp",
    "anthropic",
    "openai",
    "gemini-api",
    "ollama",
    "openai-compatible",
    "record",
];

/// Opens the provider called `name`: `offline`, or `scripted:<file or directory>`, whose path is
/// relative to `base`.
///
/// # Errors
///
/// [`LlmError::Unusable`]: there is no such provider, and the reason lists those that there are; or
/// the script cannot be used, and the reason lists all that is wrong with it.
pub fn open(name: &str, base: &Path) -> Result<Arc<dyn Llm>, LlmError> {
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
        (provider, _) if PLANNED.contains(&provider) => {
            unusable(format!("the model `{shown}` is not built into this version yet; there are {AVAILABLE}"))
        }
        _ => unusable(format!("there is no model called `{shown}`; there are {AVAILABLE}")),
    }
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
    fn a_name_that_is_planned_says_so_and_what_there_is() {
        for name in
            ["claude", "claude:opus", "codex", "gemini", "acp:my agent", "anthropic:x", "record:a.json"]
        {
            let reason = refused(name);
            assert!(reason.contains("not built into this version yet"), "{reason}");
            assert!(reason.contains("`offline`") && reason.contains("`scripted:"), "{reason}");
        }
    }

    #[test]
    fn an_unknown_name_lists_what_there_is() {
        for name in ["", "none", "Offline", "gpt", ":x"] {
            let reason = refused(name);
            assert!(reason.contains(&format!("no model called `{name}`")), "{reason}");
            assert!(reason.contains("`offline`") && reason.contains("`scripted:"), "{reason}");
        }
    }

    #[test]
    fn an_argument_that_is_missing_or_too_much_is_pointed_out() {
        assert!(refused("offline:x").contains("takes nothing"));
        assert!(refused("scripted").contains("names no script"));
        assert!(refused("scripted:").contains("names no script"));
        assert!(refused("scripted:none.json").contains("none.json"));
    }
}
