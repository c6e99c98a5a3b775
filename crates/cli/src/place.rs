//! Which project a command is about, and where its store lies.

use std::path::{Path, PathBuf};

use crate::error::CliError;

/// The file that makes a directory a project.
pub(crate) const INSTRUCTIONS: &str = "INSTRUCTIONS.md";
/// The directory beside it that is Downbeat's own.
pub(crate) const OWN: &str = ".downbeat";
/// The settings beside it.
pub(crate) const CONFIG: &str = "downbeat.toml";

/// A project's place. Nothing says that its files exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file of instructions.
    pub(crate) instructions: PathBuf,
    /// Its directory.
    pub(crate) root: PathBuf,
    /// What to repeat in commands so that they are about this project, if anything.
    pub(crate) said: Option<PathBuf>,
}

impl Place {
    /// The project that `said` names, or else the one that `here` lies in.
    ///
    /// # Errors
    ///
    /// Nothing is said, and neither `here` nor any directory above it is a project.
    pub(crate) fn find(said: Option<&Path>, here: &Path) -> Result<Self, CliError> {
        if let Some(path) = said {
            let full = here.join(path);
            let instructions = if full.is_dir() { path.join(INSTRUCTIONS) } else { path.to_path_buf() };
            let mut place = Self::of(instructions);
            // Commands that are typed here find this project by themselves.
            let found = Self::above(here);
            let same =
                found.is_some_and(|found| here.join(&found.instructions) == here.join(&place.instructions));
            place.said = (!same).then(|| path.to_path_buf());
            return Ok(place);
        }
        Self::above(here).ok_or_else(|| {
            CliError::bad_input(format!("no {INSTRUCTIONS} in {} or above it", here.display()))
                .hint("`downbeat init` writes an example that runs without any model")
                .hint("`--project PATH` names a project that lies elsewhere")
        })
    }

    /// The nearest directory at or above `here` that is a project.
    fn above(here: &Path) -> Option<Self> {
        let mut up = PathBuf::new();
        for directory in here.ancestors() {
            // A link to nothing or a pipe is refused by name, not passed over.
            let has_file = directory.join(INSTRUCTIONS).symlink_metadata().is_ok();
            if has_file || directory.join(OWN).is_dir() {
                return Some(Self::of(up.join(INSTRUCTIONS)));
            }
            up.push("..");
        }
        None
    }

    fn of(instructions: PathBuf) -> Self {
        let root = match instructions.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
            _ => PathBuf::from("."),
        };
        Self { instructions, root, said: None }
    }

    /// Downbeat's own directory.
    pub(crate) fn own(&self) -> PathBuf {
        tidy(&self.root.join(OWN))
    }

    /// The settings, if the project has any.
    pub(crate) fn config(&self) -> PathBuf {
        tidy(&self.root.join(CONFIG))
    }

    /// A command to type for this project: `downbeat <words>`.
    pub(crate) fn command(&self, words: &str) -> String {
        match &self.said {
            Some(path) => format!("downbeat {words} --project {}", quoted(path)),
            None => format!("downbeat {words}"),
        }
    }
}

/// A path without `.` parts, which nobody wants to read.
pub(crate) fn tidy(path: &Path) -> PathBuf {
    let tidied: PathBuf =
        path.components().filter(|part| !matches!(part, std::path::Component::CurDir)).collect();
    if tidied.as_os_str().is_empty() { PathBuf::from(".") } else { tidied }
}

/// A path as a shell reads it as one word.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | '@');
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_found_from_below() {
        let root = tempfile::tempdir().unwrap();
        let below = root.path().join("a/b");
        std::fs::create_dir_all(&below).unwrap();
        assert!(Place::find(None, &below).is_err());
        std::fs::write(root.path().join(INSTRUCTIONS), "").unwrap();

        let place = Place::find(None, &below).unwrap();
        assert_eq!(place.instructions, Path::new("../../INSTRUCTIONS.md"));
        assert_eq!(place.own(), Path::new("../../.downbeat"));
        assert_eq!(place.command("why x"), "downbeat why x");

        let place = Place::find(None, root.path()).unwrap();
        assert_eq!(place.instructions, Path::new(INSTRUCTIONS));
        assert_eq!(place.own(), Path::new(".downbeat"));
    }

    #[test]
    fn commands_repeat_a_project_that_they_would_not_find() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("my project")).unwrap();
        std::fs::write(root.path().join("my project").join(INSTRUCTIONS), "").unwrap();
        let place = Place::find(Some(Path::new("my project")), root.path()).unwrap();
        assert_eq!(place.root, Path::new("my project"));
        assert_eq!(place.command("why x"), "downbeat why x --project 'my project'");

        std::fs::write(root.path().join(INSTRUCTIONS), "").unwrap();
        let place = Place::find(Some(Path::new(INSTRUCTIONS)), root.path()).unwrap();
        assert_eq!(place.command("status"), "downbeat status");
        let place = Place::find(Some(Path::new("other.md")), root.path()).unwrap();
        assert_eq!(place.command("run"), "downbeat run --project other.md");
    }
}
