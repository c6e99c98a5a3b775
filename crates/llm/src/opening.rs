//! What a transport is opened with.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::{Path, PathBuf};

use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;

/// What a transport is opened with.
#[derive(Debug, Clone, Copy)]
pub struct Opening<'a> {
    /// The whole name, as the user wrote it, such as `claude:opus`: what
    /// [`Transport::name`](crate::transport::Transport::name) gives.
    pub name: &'a str,
    /// What stands behind the first `:`; never empty.
    pub argument: Option<&'a str>,
    /// The directory that relative paths are relative to.
    pub base: &'a Path,
    /// Where keys, addresses and programs are looked for.
    pub environment: &'a Environment,
}

/// Variables of an environment: the process's own, or one that a test made up.
///
/// Its [`Debug`](fmt::Debug) form shows names only: values may be secrets.
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
    guard: Option<PathBuf>,
}

impl Environment {
    /// The same with a program that guards what is started for a model; see
    /// [`Program::guard`](downbeat_process::Program::guard). Without it, what a tool starts may outlive
    /// it, and commands cannot be confined.
    #[must_use]
    pub fn guarded_by(self, guard: impl Into<PathBuf>) -> Self {
        Self { guard: Some(guard.into()), ..self }
    }

    /// The program that guards what is started for a model.
    #[must_use]
    pub fn guard(&self) -> Option<&Path> {
        self.guard.as_deref()
    }

    /// That of this process, as it is now.
    #[must_use]
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// The value of a variable, when there is one and it is not empty.
    #[must_use]
    pub fn get_os(&self, name: &str) -> Option<&OsStr> {
        self.variables.get(OsStr::new(name)).map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// The value of a variable, when there is one, it is not empty, and it is UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_os(name)?.to_str()
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        self.variables.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str()))
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self { variables, guard: None }
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}

/// For a provider that is named but not there.
pub(crate) fn not_built_in_yet(opening: &Opening<'_>) -> LlmError {
    let reason = format!("the model `{}` is not built into this version yet", clip(opening.name, 80));
    LlmError::Unusable { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_do_not_show_and_empty_ones_count_as_none() {
        let environment: Environment = [("API_KEY", "s3cret"), ("EMPTY", "")].into_iter().collect();
        assert_eq!(format!("{environment:?}"), r#"{"API_KEY", "EMPTY"}"#);
        assert_eq!(environment.get("API_KEY"), Some("s3cret"));
        assert_eq!((environment.get("EMPTY"), environment.get("NONE")), (None, None));
    }
}
