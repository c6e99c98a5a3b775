//! What the predecessor's command line asks for beside one of our commands.

use std::path::PathBuf;

use downbeat_runtime::load::Project;

use crate::config::{Config, Origin, Spawn};
use crate::context::{Context, Flags};

/// What the predecessor's command line asks for beside one of our commands.
#[derive(Debug, Default)]
pub(crate) struct Heritage {
    /// Settings that the command's own options do not set.
    pub(super) settings: Vec<(&'static str, String)>,
    /// What has no meaning any more, and why: a line each.
    pub(crate) notes: Vec<String>,
    /// What is probably not intended, a line each.
    pub(crate) warnings: Vec<String>,
}

impl Heritage {
    /// Its settings, as flags.
    pub(crate) fn flags(&self) -> Flags {
        self.settings.iter().map(|(key, text)| (*key, Some(text.clone()))).collect()
    }
}

/// The model that porki asked when nobody named one.
const MODEL: &str = "claude";

/// What nobody set is as it was there: a model, work in the directory where somebody stands, and an
/// orchestrator with agents of its own. Agents that are processes are told the same.
pub(crate) fn settle(context: &mut Context) {
    let Context { config, said, .. } = context;
    if config.llm.is_none() {
        config.llm = Some(MODEL.to_owned());
        said.insert("llm", MODEL.to_owned());
    }
    if config.work_in.is_none() {
        let here = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
        said.insert("work_in", here.display().to_string());
        config.work_in = Some(here);
    }
    config.spawn.get_or_insert(Spawn::InProcess);
}

/// Has the goals that name no workspace worked on where the settings say: a file says it from where it
/// stands, a person from where they stand.
pub(crate) fn place(project: &mut Project, config: &Config) {
    let Some(work_in) = &config.work_in else { return };
    let shown = config.shown.iter().find(|shown| shown.key == "work_in");
    let in_file = shown.is_some_and(|shown| matches!(shown.origin, Origin::File(..)));
    let work_in = if in_file { project.root.join(work_in) } else { work_in.clone() };
    for goal in &mut project.goals {
        if goal.workspace == project.root {
            goal.workspace.clone_from(&work_in);
        }
    }
}
