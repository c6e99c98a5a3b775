//! `downbeat instructions validate`: whether a file of instructions is sound, with all that it names.

use downbeat_runtime::load;
use serde_json::json;

use super::spoken;
use crate::error::CliError;
use crate::exit;
use crate::output::Out;

/// Reads the file and says how many agents it declares.
///
/// # Errors
///
/// Everything that is wrong with it, or that it is not there.
pub(super) fn validate(args: &spoken::Validate, out: &Out) -> Result<u8, CliError> {
    let project = load::load(&args.path).map_err(|error| CliError::faults(error.reports))?;
    if out.is_json() {
        let goals: Vec<_> = project.goals.iter().map(|goal| &goal.id).collect();
        out.value(
            &json!({ "valid": true, "path": args.path, "agents": project.agents.len(), "goals": goals }),
        )?;
    } else {
        out.reports(&project.warnings);
        out.line(format!("valid: {} agents={}", args.path.display(), project.agents.len()))?;
    }
    Ok(exit::COMPLETE)
}
