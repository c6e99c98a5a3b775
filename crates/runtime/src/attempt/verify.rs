//! The step that does not believe what was said: artifacts exist, checks pass.

use downbeat_core::cache::Phase;
use downbeat_core::state::{Artifact, Failure};
use tokio_util::sync::CancellationToken;

use super::{Attempt, Executed, Setback};
use crate::workspace::{self, ArtifactError};

impl Attempt<'_> {
    pub(super) async fn verify(
        &self,
        executed: &Executed,
        stop: &CancellationToken,
    ) -> Result<Vec<Artifact>, Setback> {
        let node = &self.claimed.node;
        let mut paths = node.expected_artifacts.clone();
        // What a model says it wrote is looked at like what was expected of it.
        paths.extend(executed.outputs.iter().filter(|path| !node.expected_artifacts.contains(path)).cloned());
        if !node.checks.is_empty() || !paths.is_empty() {
            self.phase(Phase::Validating).await;
        }
        let workspace = self.workspace.clone();
        let looked = tokio::task::spawn_blocking(move || workspace::verify(&workspace, &paths)).await;
        let artifacts = match looked {
            Ok(Ok(artifacts)) => artifacts,
            Ok(Err(errors)) => {
                let said: Vec<String> = errors.iter().map(ArtifactError::to_string).collect();
                return Err(Setback::Retry(Failure::new(said.join("; "), Some(&executed.notes))));
            }
            Err(error) => {
                let message = format!("the artifacts could not be looked at: {error}");
                return Err(Setback::Retry(Failure::new(message, None)));
            }
        };
        for (index, check) in node.checks.iter().enumerate() {
            let what = if node.checks.len() == 1 {
                "check".to_owned()
            } else {
                format!("check {} of {}", index + 1, node.checks.len())
            };
            self.shell(check, &what, stop).await?;
        }
        Ok(artifacts)
    }
}
