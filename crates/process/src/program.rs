//! What to run, and within which bounds.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::confine::Confine;

/// Variables that every program is given if this process has them: what shells and tools need to
/// find programs, files and a language. Nothing that names a secret.
pub const STANDARD_ENV: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// A program to run, and its bounds.
#[derive(Debug, Clone)]
pub struct Program {
    /// What is looked up on `PATH`, or a path.
    pub program: OsString,
    /// Its arguments. They are visible to every user of the machine: never a secret, never a prompt.
    pub args: Vec<OsString>,
    /// The directory to run in; it must exist.
    pub directory: PathBuf,
    /// Variables beside the standard ones.
    pub env: Vec<(OsString, OsString)>,
    /// Names of further variables to pass on from this process. Everything else stays here.
    pub pass_env: Vec<String>,
    /// Pass on the standard variables ([`STANDARD_ENV`]) of this process.
    pub standard_env: bool,
    /// What it reads.
    pub input: Input,
    /// Both outputs through one pipe, so that their order is kept; else each through its own.
    pub merge_outputs: bool,
    /// How long it may take.
    pub timeout: Duration,
    /// Between asking it to end and ending it.
    pub grace: Duration,
    /// What it may use up.
    pub limits: Limits,
    /// Where its output goes as it comes, appended; nowhere without it.
    pub log: Option<PathBuf>,
    /// How much of its output is kept in the log, in bytes.
    pub max_log: u64,
    /// The program that guards it, called as `<guard> internal-guard`; see [`guard`](crate::guard).
    /// Without it, what leaves the process group survives, everything does when this process is
    /// killed, and neither [`Limits`] nor [`Confine`] can be had.
    pub guard: Option<PathBuf>,
    /// Which files and networks it may reach; all that the user may without it.
    pub confine: Option<Confine>,
}

/// What a program reads from its standard input.
#[derive(Debug, Clone, Default)]
pub enum Input {
    /// Nothing.
    #[default]
    Nothing,
    /// These bytes.
    Bytes(Vec<u8>),
    /// This file, from its beginning.
    File(PathBuf),
    /// What the caller of [`Running::start`](crate::Running::start) writes.
    Pipe,
}

/// What a program and all that it starts may use up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// The longest file that may be written, in bytes. A longer write ends the program (`SIGXFSZ`).
    pub file_size: Option<u64>,
    /// The most processes at a time; more end the program. Counted ten times a second, because the
    /// kernel's own limit is one for the whole user, and none for root.
    pub processes: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self { file_size: None, processes: Some(1024) }
    }
}

impl Program {
    /// A program without arguments, input or log, within an hour, in `directory`.
    #[must_use]
    pub fn new(program: impl AsRef<OsStr>, directory: impl Into<PathBuf>) -> Self {
        Self {
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            directory: directory.into(),
            env: Vec::new(),
            pass_env: Vec::new(),
            standard_env: true,
            input: Input::Nothing,
            merge_outputs: false,
            timeout: Duration::from_secs(60 * 60),
            grace: Duration::from_secs(2),
            limits: Limits::default(),
            log: None,
            max_log: 10 * 1024 * 1024,
            guard: None,
            confine: None,
        }
    }

    /// The same with further arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// The whole environment that it is given.
    pub(crate) fn environment(&self) -> Vec<(OsString, OsString)> {
        let standard = STANDARD_ENV.iter().copied().filter(|_| self.standard_env);
        standard
            .chain(self.pass_env.iter().map(String::as_str))
            .filter_map(|name| Some((OsString::from(name), std::env::var_os(name)?)))
            .chain(self.env.iter().cloned())
            .collect()
    }
}
