//! What an agent is permitted when it asks.

use std::path::{Component, Path, PathBuf};

use agent_client_protocol::v1::schema::{
    PermissionOptionKind, RequestPermissionOutcome, RequestPermissionRequest, SelectedPermissionOutcome,
    ToolCallContent, ToolCallUpdateFields, ToolKind,
};

use crate::transport::Permissions;

/// Whether what is asked for is given: nothing without work and under `plan`, files below `workspace`
/// under `edit`, everything under `full`. What does not say which files it is about is not given.
pub(super) fn allows(
    permissions: Option<Permissions>,
    call: &ToolCallUpdateFields,
    workspace: &Path,
) -> bool {
    match permissions {
        None | Some(Permissions::Plan) => false,
        Some(Permissions::Full) => true,
        Some(Permissions::Edit) => {
            let about_files = matches!(
                call.kind,
                Some(ToolKind::Read | ToolKind::Search | ToolKind::Edit | ToolKind::Delete | ToolKind::Move)
            );
            let locations = call.locations.iter().flatten().map(|location| location.path.clone());
            let diffs = call.content.iter().flatten().filter_map(|content| match content {
                ToolCallContent::Diff(diff) => Some(diff.path.clone()),
                _ => None,
            });
            let paths: Vec<PathBuf> = locations.chain(diffs).collect();
            about_files && !paths.is_empty() && paths.iter().all(|path| is_inside(path, workspace))
        }
    }
}

/// The answer to a request: an option of the right kind, never one by its name or place.
pub(super) fn outcome(request: &RequestPermissionRequest, allowed: bool) -> RequestPermissionOutcome {
    let kinds = if allowed {
        [PermissionOptionKind::AllowOnce, PermissionOptionKind::AllowAlways]
    } else {
        [PermissionOptionKind::RejectOnce, PermissionOptionKind::RejectAlways]
    };
    let option = kinds.iter().find_map(|kind| request.options.iter().find(|option| option.kind == *kind));
    match option {
        Some(option) => {
            RequestPermissionOutcome::Selected(SelectedPermissionOutcome::new(option.option_id.clone()))
        }
        None => RequestPermissionOutcome::Cancelled,
    }
}

/// Whether a path leads below `workspace`, links followed as far as the path exists.
pub(super) fn is_inside(path: &Path, workspace: &Path) -> bool {
    let Ok(workspace) = workspace.canonicalize() else { return false };
    let path = workspace.join(path);
    if path.components().any(|part| part == Component::ParentDir) {
        return false;
    }
    // The nearest that exists; what comes behind it is made new, and is no link.
    let existing = path.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
    existing
        .and_then(|existing| existing.canonicalize().ok())
        .is_some_and(|existing| existing.starts_with(&workspace))
}

#[cfg(test)]
mod tests {
    use agent_client_protocol::v1::schema::ToolCallLocation;

    use super::*;

    #[test]
    fn only_files_of_the_workspace_are_given_to_an_editor() {
        let place = tempfile::tempdir().unwrap();
        let workspace = place.path().join("workspace");
        std::fs::create_dir_all(workspace.join("sub")).unwrap();
        std::os::unix::fs::symlink("/etc", workspace.join("link")).unwrap();
        let asks = |kind: ToolKind, paths: &[&str]| {
            let locations: Vec<_> =
                paths.iter().map(|path| ToolCallLocation::new(workspace.join(path))).collect();
            ToolCallUpdateFields::new().kind(kind).locations(locations)
        };
        for (kind, paths, edit) in [
            (ToolKind::Edit, ["new/deep/file"].as_slice(), true),
            (ToolKind::Delete, &["sub"], true),
            (ToolKind::Edit, &[], false),
            (ToolKind::Edit, &["file", "/etc/passwd"], false),
            (ToolKind::Edit, &["../outside"], false),
            (ToolKind::Read, &["link/passwd"], false),
            (ToolKind::Execute, &["file"], false),
            (ToolKind::Fetch, &["file"], false),
        ] {
            let call = asks(kind, paths);
            assert_eq!(allows(Some(Permissions::Edit), &call, &workspace), edit, "{kind:?} {paths:?}");
            assert!(allows(Some(Permissions::Full), &call, &workspace));
            assert!(!allows(Some(Permissions::Plan), &call, &workspace));
            assert!(!allows(None, &call, &workspace));
        }
    }
}
