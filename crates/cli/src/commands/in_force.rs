//! The instructions that a service carries on with when those in the files cannot be read.

use downbeat_runtime::live::Versions;
use downbeat_runtime::load::{self, Project};

use super::run;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::store;

/// The project in the files. A service that cannot read it carries on with the version that was in force when
/// it ended: nobody may be there who could mend a file in the night.
pub(crate) async fn load(context: &Context, is_service: bool) -> Result<Project, CliError> {
    let error = match run::load(context) {
        Err(error) if is_service && matches!(error.kind, Kind::BadInput | Kind::Faults) => error,
        loaded => return loaded,
    };
    match kept(context).await {
        Ok(Some((number, project))) => {
            context.out.reports(&error.reports);
            context.out.warning(format!(
                "{}; version {number} of the instructions, which was in force, stays in force",
                error.message
            ));
            Ok(project)
        }
        // Whatever is wrong with the store, this was wrong first.
        _ => Err(error),
    }
}

/// The version that was in force, with its number.
async fn kept(context: &Context) -> Result<Option<(u64, Project)>, CliError> {
    if let store::Lies::Here(path) = &context.store
        && !path.exists()
    {
        return Ok(None);
    }
    let cache = store::open(&context.how("downbeat")).await?;
    let versions = Versions::load(cache.as_ref()).await?;
    let files = Versions::texts(cache.as_ref()).await?;
    let (Some(version), Some(files)) = (versions.in_force(), files) else { return Ok(None) };
    let project = load::load_kept(&context.place.instructions, &files).ok();
    Ok(project.map(|project| (version.number, project)))
}
