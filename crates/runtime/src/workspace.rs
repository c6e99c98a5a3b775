//! The directory that a goal's tasks work in, and what they leave there.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use downbeat_core::state::Artifact;
use sha2::{Digest, Sha256};

/// Why an expected artifact is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// Nothing is there.
    #[error("expected artifact `{path}` is missing")]
    Missing {
        /// As the plan names it.
        path: String,
    },
    /// A link leads out of the workspace.
    #[error("expected artifact `{path}` lies outside the workspace: it leads to `{target}`")]
    Outside {
        /// As the plan names it.
        path: String,
        /// Where it really is.
        target: PathBuf,
    },
    /// Neither a file nor a directory.
    #[error("expected artifact `{path}` is neither a file nor a directory")]
    Special {
        /// As the plan names it.
        path: String,
    },
    /// It cannot be read.
    #[error("expected artifact `{path}` cannot be read: {source}")]
    Unreadable {
        /// As the plan names it.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// Looks at every expected artifact: it exists, and lies inside the workspace with all links resolved.
///
/// Blocks on files.
///
/// # Errors
///
/// Every artifact that is not accepted.
pub fn verify(workspace: &Path, expected: &[String]) -> Result<Vec<Artifact>, Vec<ArtifactError>> {
    let mut found = Vec::new();
    let mut errors = Vec::new();
    for path in expected {
        match verify_one(workspace, path) {
            Ok(artifact) => found.push(artifact),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(found) } else { Err(errors) }
}

fn verify_one(workspace: &Path, path: &str) -> Result<Artifact, ArtifactError> {
    let unreadable = |source: io::Error| {
        if matches!(source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) {
            ArtifactError::Missing { path: path.to_owned() }
        } else {
            ArtifactError::Unreadable { path: path.to_owned(), source }
        }
    };
    let root = workspace.canonicalize().map_err(unreadable)?;
    let target = root.join(path).canonicalize().map_err(unreadable)?;
    if !target.starts_with(&root) {
        return Err(ArtifactError::Outside { path: path.to_owned(), target });
    }
    let kind = target.metadata().map_err(unreadable)?;
    if kind.is_dir() {
        return Ok(Artifact { path: path.to_owned(), bytes: 0, sha256: String::new() });
    }
    // A device or a pipe could be read for ever.
    if !kind.is_file() {
        return Err(ArtifactError::Special { path: path.to_owned() });
    }
    let (bytes, sha256) = digest(&target).map_err(unreadable)?;
    Ok(Artifact { path: path.to_owned(), bytes, sha256 })
}

fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut file = std::fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut bytes: u64 = 0;
    loop {
        let count = file.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        hasher.update(buffer.get(..count).unwrap_or_default());
        bytes = bytes.saturating_add(u64::try_from(count).unwrap_or_default());
    }
    let digest = hasher.finalize();
    Ok((bytes, digest.iter().map(|byte| format!("{byte:02x}")).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_lies_inside_is_accepted() {
        let place = tempfile::tempdir().unwrap();
        let (workspace, outside) = (place.path().join("work"), place.path().join("secret"));
        std::fs::create_dir_all(workspace.join("sub")).unwrap();
        std::fs::write(&outside, "x").unwrap();
        std::fs::write(workspace.join("sub/a.txt"), "abc").unwrap();
        std::os::unix::fs::symlink(&outside, workspace.join("link")).unwrap();
        std::os::unix::fs::symlink(place.path(), workspace.join("up")).unwrap();
        std::os::unix::fs::symlink("sub", workspace.join("fine")).unwrap();

        let good = verify(&workspace, &["sub/a.txt".into(), "fine/a.txt".into(), "sub".into()]).unwrap();
        assert_eq!(good[0].bytes, 3);
        assert_eq!(good[0].sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(good[0].sha256, good[1].sha256);

        let bad = ["missing".into(), "link".into(), "up/secret".into(), "sub/a.txt/b".into()];
        let errors: Vec<String> =
            verify(&workspace, &bad).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(errors[0].contains("`missing` is missing"), "{errors:?}");
        assert!(errors[1].contains("outside the workspace"), "{errors:?}");
        assert!(errors[2].contains("outside the workspace"), "{errors:?}");
        assert!(errors[3].contains("is missing"), "{errors:?}");
    }
}
