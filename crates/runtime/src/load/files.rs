//! The texts that a project was read from, wherever they lie.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

/// The files that a project was read from, or was to be: what each said, or nothing where it could not be
/// read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files(pub BTreeMap<PathBuf, Option<String>>);

impl Files {
    /// The SHA-256 of all of them, as 64 hexadecimal digits.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, text) in &self.0 {
            // Lengths keep two lists from reading alike.
            hash.update(format!("{}\n{:?}\n", path.display(), text.as_ref().map(String::len)));
            hash.update(text.as_deref().unwrap_or_default());
        }
        hash.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
    }
}

impl Files {
    /// The same, as if the file of instructions lay at `to` and those that it names as far from it as they do.
    ///
    /// `main` is the file of instructions among them; without it the only one that is called as `to` is taken for
    /// it. `None` when it cannot be told.
    #[must_use]
    pub fn as_if_at(&self, main: Option<&Path>, to: &Path) -> Option<Self> {
        let main = match main.filter(|main| self.0.contains_key(*main)) {
            Some(main) => main,
            None => {
                let mut alike = self.0.keys().filter(|path| path.file_name() == to.file_name());
                let only = alike.next()?;
                if alike.next().is_some() {
                    return None;
                }
                only
            }
        };
        let (from, root) = (root_of(main), root_of(to));
        let moved = self.0.iter().map(|(path, text)| {
            let place = match path.strip_prefix(&from) {
                _ if path == main => to.to_path_buf(),
                Ok(path) => beside(&root, path),
                Err(_) if from == Path::new(".") => beside(&root, path),
                Err(_) => path.clone(),
            };
            (place, text.clone())
        });
        Some(Self(moved.collect()))
    }
}

/// The directory of a file of instructions.
pub(super) fn root_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

/// A path of a file of instructions as people write it: nobody wants to read `./`.
pub(super) fn beside(root: &Path, path: &Path) -> PathBuf {
    if root == Path::new(".") { path.to_path_buf() } else { root.join(path) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(paths: &[&str]) -> Files {
        Files(paths.iter().map(|path| (PathBuf::from(path), Some((*path).to_owned()))).collect())
    }

    fn moved(paths: &[&str], main: Option<&str>, to: &str) -> Option<Vec<String>> {
        let moved = files(paths).as_if_at(main.map(Path::new), Path::new(to))?;
        Some(moved.0.keys().map(|path| path.display().to_string()).collect())
    }

    #[test]
    fn what_a_file_names_lies_as_far_from_it_elsewhere() {
        let here = ["/srv/p/INSTRUCTIONS.md", "/srv/p/a/clerk.md", "/etc/common.md"];
        let there = ["/etc/common.md", "/tmp/x/INSTRUCTIONS.md", "/tmp/x/a/clerk.md"];
        let there = Some(there.map(str::to_owned).to_vec());
        assert_eq!(moved(&here, Some("/srv/p/INSTRUCTIONS.md"), "/tmp/x/INSTRUCTIONS.md"), there);
        // Who started where it lies says no directory, on either side.
        let relative = ["INSTRUCTIONS.md", "a/clerk.md", "/etc/common.md"];
        assert_eq!(moved(&relative, Some("INSTRUCTIONS.md"), "/tmp/x/INSTRUCTIONS.md"), there);
        let plain = Some(["/etc/common.md", "INSTRUCTIONS.md", "a/clerk.md"].map(str::to_owned).to_vec());
        assert_eq!(moved(&here, Some("/srv/p/INSTRUCTIONS.md"), "INSTRUCTIONS.md"), plain);
        // The file may be called otherwise here.
        let other = moved(&["p/one.md"], Some("p/one.md"), "q/two.md");
        assert_eq!(other, Some(vec!["q/two.md".to_owned()]));
    }

    #[test]
    fn which_file_it_is_is_told_by_its_name_at_best() {
        let named = moved(&["p/INSTRUCTIONS.md", "p/x.md"], None, "INSTRUCTIONS.md");
        assert_eq!(named, Some(vec!["INSTRUCTIONS.md".to_owned(), "x.md".to_owned()]));
        assert_eq!(moved(&["p/one.md"], None, "INSTRUCTIONS.md"), None);
        assert_eq!(moved(&["p/a.md", "p/q/a.md"], Some("gone.md"), "a.md"), None);
    }
}
