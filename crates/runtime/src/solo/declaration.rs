//! As what an agent is declared: by its own file, or by the instructions that are in force.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use downbeat_core::cache::{Cache, CacheError};
use downbeat_core::llm::Llm;
use tracing::{debug, warn};

use crate::live::Versions;
use crate::load::{Project, ProjectAgent, load_kept};
use crate::supervise::is_same;

/// As what an agent is declared, and what follows from that.
#[derive(Debug, Clone)]
pub struct Declaration {
    /// The project that declares it.
    pub project: Project,
    /// As what.
    pub agent: ProjectAgent,
    /// Its model.
    pub llm: Arc<dyn Llm>,
    /// The instructions in force say so, and not only a file of this machine.
    pub in_force: bool,
}

impl Declaration {
    /// Whether an agent would work otherwise by the other one.
    #[must_use]
    pub fn differs_from(&self, other: &Self) -> bool {
        !is_same(&self.agent, &other.agent, &self.project.goals, &other.project.goals)
            || self.project.workspaces() != other.project.workspaces()
    }
}

/// Makes a declaration of a project; `None` when it declares no such agent, and why if it cannot be used here.
pub type Make = dyn Fn(Project) -> Result<Option<Declaration>, String> + Send + Sync;

/// What an agent is declared as by the instructions in force.
#[derive(Clone)]
pub struct Declare {
    /// Where its own file of instructions lies, or would: what paths in the instructions are relative to here.
    pub path: PathBuf,
    /// Finds the agent in a project.
    pub make: Arc<Make>,
}

impl fmt::Debug for Declare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Declare").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What the instructions in force say of an agent.
#[derive(Debug)]
pub enum InForce {
    /// What it is declared as.
    Declared(Box<Declaration>),
    /// No such agent.
    Undeclared,
    /// No instructions are in force, they were too large to be kept, or they cannot be used here: why.
    Unknown(Option<String>),
}

impl Declare {
    /// What the instructions in force say.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub async fn in_force(&self, cache: &dyn Cache) -> Result<InForce, CacheError> {
        let versions = Versions::load(cache).await?;
        let Some(files) = Versions::texts(cache).await? else { return Ok(InForce::Unknown(None)) };
        let main = versions.in_force().and_then(|version| version.path.as_deref());
        let Some(files) = files.as_if_at(main, &self.path) else { return Ok(InForce::Unknown(None)) };
        let made = match load_kept(&self.path, &files) {
            Ok(project) => (self.make)(project),
            Err(error) => Err(error.to_string()),
        };
        Ok(match made {
            Ok(Some(declaration)) => InForce::Declared(Box::new(declaration)),
            Ok(None) => InForce::Undeclared,
            Err(reason) => InForce::Unknown(Some(reason)),
        })
    }

    /// The same, if the instructions in force are others than those with the digest `known`, which this becomes.
    /// A cache that does not answer is asked again later.
    pub(super) async fn news(&self, cache: &dyn Cache, known: &mut Option<String>) -> InForce {
        let looked = async {
            let versions = Versions::load(cache).await?;
            let digest = versions.in_force().map(|version| version.digest.clone());
            if digest == *known {
                return Ok(InForce::Unknown(None));
            }
            let said = self.in_force(cache).await?;
            *known = digest;
            Ok::<_, CacheError>(said)
        };
        match looked.await {
            Ok(InForce::Unknown(Some(reason))) => {
                warn!(target: "runtime", "The instructions in force cannot be followed here, and what was \
                    declared before stays: {reason}");
                InForce::Unknown(None)
            }
            Ok(said) => said,
            Err(error) => {
                debug!(target: "runtime", "looking at the instructions in force: {error}");
                InForce::Unknown(None)
            }
        }
    }
}
