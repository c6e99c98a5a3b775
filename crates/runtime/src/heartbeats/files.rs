//! Which files steer which agents.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use downbeat_core::cache::MAX_KEY;
use downbeat_core::ids::AgentName;
use sha2::{Digest as _, Sha256};

use crate::load::Project;

/// A file that steers agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SteeringFile {
    /// As its project names it: what events show, and what it is remembered by.
    pub name: String,
    /// Where it is, absolute.
    pub path: PathBuf,
    /// Whom it steers: the agents that declare it, and their copies.
    pub agents: BTreeSet<AgentName>,
    /// Those that declare it.
    pub declared: BTreeSet<AgentName>,
    /// Whose it is alone: an agent that is not declared and works as one that is. Then what is said about
    /// tasks is left to whoever reads the file for the declared ones.
    pub only: Option<AgentName>,
}

impl SteeringFile {
    /// The files that a project declares, each once: those of several agents steer them all.
    #[must_use]
    pub fn of_project(project: &Project) -> Vec<Self> {
        let mut files: Vec<Self> = Vec::new();
        for agent in &project.agents {
            let Some(declared) = &agent.spec.heartbeat else { continue };
            let mut file =
                Self::new(&project.root, Path::new(&declared.value), agent.spec.name.value.clone());
            file.agents.extend(agent.spec.copies());
            match files.iter_mut().find(|known| known.path == file.path) {
                Some(known) => {
                    known.agents.extend(file.agents);
                    known.declared.extend(file.declared);
                }
                None => files.push(file),
            }
        }
        files
    }

    /// The file of one agent that is a process of its own, called `name` and declared as `declared`; `path`
    /// is said on the command line, and holds in place of the declared one.
    #[must_use]
    pub fn of_agent(
        project: &Project,
        name: &AgentName,
        declared: &AgentName,
        path: Option<&Path>,
    ) -> Vec<Self> {
        let all = Self::of_project(project);
        let own = match path {
            Some(path) => Some(Self::new(Path::new("."), path, name.clone())),
            None => all.iter().find(|file| file.agents.contains(declared)).cloned(),
        };
        let Some(mut own) = own else { return Vec::new() };
        let known = all.into_iter().find(|file| file.path == own.path);
        if known.as_ref().is_some_and(|known| known.agents.contains(name)) {
            return known.into_iter().collect();
        }
        let Some(known) = known else { return vec![own] };
        own.name.clone_from(&known.name);
        own.agents = BTreeSet::from([name.clone()]);
        own.declared.clear();
        own.only = Some(name.clone());
        vec![known, own]
    }

    /// The file at `path`, which is relative to `root`, for one agent.
    #[must_use]
    pub fn new(root: &Path, path: &Path, agent: AgentName) -> Self {
        let absolute = |path: &Path| plain(&std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()));
        let root = absolute(root);
        let full = absolute(&root.join(path));
        let name = full.strip_prefix(&root).unwrap_or(&full).display().to_string();
        let agents = BTreeSet::from([agent]);
        Self { name, path: full, declared: agents.clone(), agents, only: None }
    }

    /// The key of its cursor.
    pub(super) fn key(&self) -> String {
        let own = self.only.as_ref().map(|agent| format!("@{agent}")).unwrap_or_default();
        let key = format!("heartbeat:{}{own}", self.name);
        if key.len() <= MAX_KEY && !key.contains(char::is_control) {
            return key;
        }
        let digest = Sha256::digest(self.name.as_bytes());
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        format!("heartbeat:{digest}{own}")
    }
}

/// Without `.` and, as far as that can be told from the text, without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
