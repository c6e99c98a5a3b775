//! What `doctor` says of models: which could be asked, and what is missing for the others.

use std::path::Path;

use downbeat_llm::transport::Probe;
use downbeat_process::{Enforcement, confine};
use tokio::task::JoinSet;

use crate::models;

/// Each way to a model: how it is called in the list, and what is opened to look at it.
const PROVIDERS: [(&str, &str); 7] = [
    ("claude", "claude"),
    ("codex", "codex"),
    ("gemini", "gemini"),
    ("anthropic", "anthropic:any"),
    ("openai", "openai:any"),
    ("gemini-api", "gemini-api:any"),
    ("ollama", "ollama:any"),
];

/// Looks at all of them at a time; no model is asked, nothing is spent. In the order of the list.
pub(crate) async fn look(asking: models::Asking<'_>) -> Vec<(&'static str, Probe)> {
    let environment = models::environment(asking);
    let mut looks = JoinSet::new();
    for (place, (name, opened)) in PROVIDERS.into_iter().enumerate() {
        match downbeat_llm::transport_in(opened, Path::new(""), &environment) {
            Ok(transport) => {
                looks.spawn(async move { (place, name, transport.probe().await) });
            }
            Err(error) => {
                let probe = Probe { usable: false, found: error.to_string(), remedies: Vec::new() };
                looks.spawn(async move { (place, name, probe) });
            }
        }
    }
    let mut found = looks.join_all().await;
    found.sort_by_key(|(place, _, _)| *place);
    found.into_iter().map(|(_, name, probe)| (name, probe)).collect()
}

/// Whether the kernel confines what a model's commands may reach, and in words.
pub(crate) fn confinement() -> (bool, String) {
    let (enforcement, detail) = confine::probe();
    let said = match enforcement {
        Enforcement::Full => format!("{detail}: commands of HTTP models keep to their workspace"),
        Enforcement::Partial => detail,
        Enforcement::None => {
            format!("{detail}; nothing but permissions keeps commands of HTTP models in their workspace")
        }
    };
    (enforcement == Enforcement::Full, said)
}
