//! Files that a scripted attempt leaves in its workspace.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

/// Why `path` may not be written, if it could lead out of a workspace on any system.
pub(super) fn check(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("a path is empty");
    }
    if path.contains(|letter: char| letter == '\\' || letter == ':' || letter.is_control()) {
        return Err("`\\`, `:` and control characters are not allowed in a path");
    }
    if path.starts_with('/') {
        return Err("a path is relative to the workspace");
    }
    for part in path.split('/') {
        match part {
            "" => return Err("a part of a path is empty"),
            "." | ".." => return Err("`.` and `..` are not allowed in a path"),
            _ => {}
        }
    }
    Ok(())
}

/// Writes `content` to `path` below `workspace`, which must exist.
///
/// No link below the workspace is followed. That holds while nobody else changes the directories on
/// the way; a script is for tests and demonstrations, not for a hostile workspace.
///
/// # Errors
///
/// The file system's, or [`io::ErrorKind::InvalidInput`] for a path that leads out.
pub(super) fn write(workspace: &Path, path: &str, content: &str) -> io::Result<()> {
    check(path).map_err(|why| io::Error::new(io::ErrorKind::InvalidInput, why))?;
    let mut at = PathBuf::from(workspace);
    let (directories, name) = path.rsplit_once('/').unwrap_or(("", path));
    for part in directories.split('/').filter(|part| !part.is_empty()) {
        at.push(part);
        match fs::symlink_metadata(&at) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(in_the_way(&at)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::create_dir(&at)?,
            Err(error) => return Err(error),
        }
    }
    at.push(name);
    match fs::symlink_metadata(&at) {
        // Replaced and not written over: the file may have a second name outside.
        Ok(found) if found.is_file() => fs::remove_file(&at)?,
        Ok(_) => return Err(in_the_way(&at)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    OpenOptions::new().write(true).create_new(true).open(&at)?.write_all(content.as_bytes())
}

fn in_the_way(path: &Path) -> io::Error {
    let message = format!("`{}` is a link or something else that is not written over", path.display());
    io::Error::new(io::ErrorKind::AlreadyExists, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_out_is_refused() {
        for bad in ["", "/etc/x", "../x", "a/../x", "a//b", "a/", "./a", "a\\b", "C:/x", "a\0"] {
            assert!(check(bad).is_err(), "{bad:?}");
            let outside = tempfile::tempdir().unwrap();
            assert!(write(outside.path(), bad, "").is_err(), "{bad:?}");
        }
        for good in ["a", "a/b.md", "a b", ".hidden", "a..b"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn files_and_their_directories_appear_and_are_replaced() {
        let workspace = tempfile::tempdir().unwrap();
        let path = workspace.path().join("a/b/c.md");
        write(workspace.path(), "a/b/c.md", "one, and longer").unwrap();
        write(workspace.path(), "a/b/c.md", "two").unwrap();
        assert_eq!(fs::read_to_string(path).unwrap(), "two");
        assert!(write(workspace.path(), "a/b", "").is_err(), "a directory is in the way");
        assert!(write(&workspace.path().join("none"), "a", "").is_err(), "there is no workspace");
    }

    #[cfg(unix)]
    #[test]
    fn no_link_is_followed() {
        let outside = tempfile::tempdir().unwrap();
        let secret = outside.path().join("secret");
        fs::write(&secret, "kept").unwrap();
        let workspace = tempfile::tempdir().unwrap();
        let inside = |name: &str| workspace.path().join(name);
        std::os::unix::fs::symlink(outside.path(), inside("dir")).unwrap();
        std::os::unix::fs::symlink(&secret, inside("file")).unwrap();
        std::os::unix::fs::symlink(outside.path().join("new"), inside("dangling")).unwrap();
        fs::hard_link(&secret, inside("hard")).unwrap();

        for link in ["dir/secret", "dir/new", "dir/deep/new", "file", "dangling"] {
            let error = write(workspace.path(), link, "changed").unwrap_err();
            assert!(error.to_string().contains("is a link"), "{link}: {error}");
        }
        write(workspace.path(), "hard", "changed").unwrap();

        assert_eq!(fs::read_to_string(&secret).unwrap(), "kept");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }
}
