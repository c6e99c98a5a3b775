//! Files that an agent asks us for: of the workspace, and of nothing else.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;

/// The longest file that is served or taken, in bytes.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The files below a directory; links that lead out of it are not followed.
#[derive(Debug)]
pub(super) struct Files {
    root: PathBuf,
    directory: Dir,
}

impl Files {
    pub(super) fn of(root: &Path) -> io::Result<Self> {
        let root = root.canonicalize()?;
        let directory = Dir::open_ambient_dir(&root, ambient_authority())?;
        Ok(Self { root, directory })
    }

    /// The text of a file, from `line` (the first is 1), at most `limit` lines.
    pub(super) fn read(&self, path: &Path, line: Option<u32>, limit: Option<u32>) -> io::Result<String> {
        let file = self.directory.open(self.relative(path)?)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no file"));
        }
        let mut text = String::new();
        file.take(MAX_FILE).read_to_string(&mut text)?;
        if line.is_none() && limit.is_none() {
            return Ok(text);
        }
        let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
        let skipped = line.map_or(0, |line| count(line).saturating_sub(1));
        let lines = text.split_inclusive('\n').skip(skipped);
        Ok(lines.take(limit.map_or(usize::MAX, count)).collect())
    }

    /// Writes a file, and makes the directories that it lies in.
    pub(super) fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_FILE {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too long"));
        }
        let path = self.relative(path)?;
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            self.directory.create_dir_all(parent)?;
        }
        self.directory.write(path, text)
    }

    fn relative<'p>(&self, path: &'p Path) -> io::Result<&'p Path> {
        if path.is_relative() {
            return Ok(path);
        }
        path.strip_prefix(&self.root)
            .map_err(|_| io::Error::new(io::ErrorKind::PermissionDenied, "this is outside of the workspace"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_workspace_are_served_and_no_others() {
        let place = tempfile::tempdir().unwrap();
        let root = place.path().join("workspace");
        std::fs::create_dir(&root).unwrap();
        std::fs::write(place.path().join("secret"), "s").unwrap();
        std::os::unix::fs::symlink("../secret", root.join("link")).unwrap();
        std::os::unix::fs::symlink("..", root.join("up")).unwrap();
        let files = Files::of(&root).unwrap();
        files.write(Path::new("a/b.txt"), "1\n2\n3\n").unwrap();
        files.write(&root.canonicalize().unwrap().join("c.txt"), "c").unwrap();
        assert_eq!(files.read(Path::new("a/b.txt"), Some(2), Some(1)).unwrap(), "2\n");
        assert_eq!(std::fs::read_to_string(root.join("c.txt")).unwrap(), "c");
        for path in ["link", "up/secret", "../secret", "/etc/passwd", "a", "none"] {
            assert!(files.read(Path::new(path), None, None).is_err(), "{path}");
        }
        for path in ["up/new", "../new", "/tmp/downbeat-new", "a"] {
            assert!(files.write(Path::new(path), "x").is_err(), "{path}");
        }
        assert!(!place.path().join("new").exists());
    }
}
