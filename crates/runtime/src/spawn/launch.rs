//! What another supervisor starts in place of a life: it reads what the life is to be given, and becomes it.
//!
//! The environment of an agent holds keys and addresses. A command line would show them to every user of the
//! machine, and a supervisor has an environment of its own; so they go through a file that its owner alone
//! can read and that is removed as soon as it was read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde::{Deserialize, Serialize};

/// The word that makes a program a launcher; the file follows it.
pub const ARGUMENT: &str = "internal-launch";

/// The most bytes of a file.
const MOST: u64 = 8 * 1024 * 1024;

/// What a life is given.
#[derive(Serialize, Deserialize)]
pub(super) struct Launch {
    pub(super) program: PathBuf,
    pub(super) words: Vec<String>,
    /// All of its environment.
    pub(super) env: BTreeMap<String, String>,
    /// Where it works.
    pub(super) directory: PathBuf,
}

impl std::fmt::Debug for Launch {
    /// Without the environment.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch")
            .field("program", &self.program)
            .field("words", &self.words)
            .finish_non_exhaustive()
    }
}

impl Launch {
    /// What `command` would give its process, with all of this process's environment behind it.
    ///
    /// # Errors
    ///
    /// A word of it is no text.
    pub(super) fn of(command: &Command) -> io::Result<Self> {
        let text = |text: &std::ffi::OsStr| {
            text.to_str()
                .map(str::to_owned)
                .ok_or_else(|| io::Error::other("a word of its command is no text"))
        };
        // Variables that are no text are none of ours.
        let inherited = std::env::vars_os();
        let mut env: BTreeMap<String, String> = inherited
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => env.insert(text(name)?, text(value)?),
                None => env.remove(&text(name)?),
            };
        }
        Ok(Self {
            program: command.get_program().into(),
            words: command.get_args().map(text).collect::<io::Result<_>>()?,
            env,
            directory: std::env::current_dir()?,
        })
    }

    /// Writes it where its owner alone can read it.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        // What an earlier life was given and never read may be there, and may be open to others.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        file.write_all(&serde_json::to_vec(self)?)
    }

    fn read(path: &Path) -> io::Result<Self> {
        let mut text = Vec::new();
        fs::File::open(path)?.take(MOST).read_to_end(&mut text)?;
        fs::remove_file(path)?;
        Ok(serde_json::from_slice(&text)?)
    }
}

/// Becomes what the file says that stands behind [`ARGUMENT`]; says why if it cannot.
#[must_use]
pub fn main() -> ExitCode {
    let path: OsString = std::env::args_os().nth(2).unwrap_or_default();
    let error = match Launch::read(Path::new(&path)) {
        Ok(launch) => Command::new(&launch.program)
            .args(&launch.words)
            .env_clear()
            .envs(&launch.env)
            .current_dir(&launch.directory)
            .stdin(Stdio::null())
            .exec(),
        Err(error) => error,
    };
    let _ = writeln!(io::stderr(), "error: {} cannot be launched: {error}", Path::new(&path).display());
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_goes_through_a_file_that_is_its_owner_s_alone_and_is_read_once() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("clerk.launch");
        let mut command = Command::new("/bin/agent");
        command.args(["agent", "--name", "clerk"]).env("KEY", "s3cret").env_remove("PATH");
        let launch = Launch::of(&command).unwrap();
        assert!(!format!("{launch:?}").contains("s3cret"));
        fs::write(&path, "what was left").unwrap();
        launch.write(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = Launch::read(&path).unwrap();
        assert_eq!((read.words.len(), read.env.get("KEY").map(String::as_str)), (3, Some("s3cret")));
        assert!(!read.env.contains_key("PATH") && read.directory.is_absolute());
        assert!(Launch::read(&path).is_err());
    }
}
