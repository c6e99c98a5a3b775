//! What a tool is given of the environment, and where its program is.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use downbeat_process::STANDARD_ENV;

use crate::opening::Environment;

/// What every tool needs to reach the network as this machine does, and to keep its settings where the
/// user has them.
const NETWORK: [&str; 14] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NODE_EXTRA_CA_CERTS",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_CACHE_HOME",
];

/// The standard variables, those for the network, and those of the tool.
pub(super) fn given(environment: &Environment, own: &[&str]) -> Vec<(OsString, OsString)> {
    let wanted = |name: &str| {
        STANDARD_ENV.contains(&name)
            || NETWORK.contains(&name)
            || own.iter().any(|own| match own.strip_suffix('*') {
                Some(beginning) => name.starts_with(beginning),
                None => name == *own,
            })
    };
    environment
        .iter()
        .filter(|(name, _)| name.to_str().is_some_and(wanted))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The program called `name` on a `PATH`, or at it when it has a `/`.
pub(super) fn find(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    let is_program = |candidate: &Path| {
        candidate.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(|candidate| is_program(candidate));
    }
    std::env::split_paths(path?)
        // A relative entry would mean another place in each workspace.
        .filter(|directory| directory.is_absolute())
        .map(|directory| directory.join(name))
        .find(|candidate| is_program(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_named_is_given() {
        let environment: Environment = [
            ("PATH", "/bin"),
            ("HOME", "/home/ada"),
            ("HTTPS_PROXY", "http://proxy"),
            ("TOOL_KEY", "k"),
            ("TOOLKIT_KEY", "other"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("EXACT", "e"),
            ("EXACTLY", "no"),
        ]
        .into_iter()
        .collect();
        let names: Vec<OsString> =
            given(&environment, &["TOOL_*", "EXACT"]).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["EXACT", "HOME", "HTTPS_PROXY", "PATH", "TOOL_KEY"]);
    }

    #[test]
    fn a_program_is_a_file_that_can_be_run() {
        let place = tempfile::tempdir().unwrap();
        let path = Some(place.path().as_os_str());
        let file = place.path().join("tool");
        assert_eq!(find("tool", path), None);
        std::fs::write(&file, "").unwrap();
        assert_eq!(find("tool", path), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(find("tool", path), Some(file.clone()));
        assert_eq!(find(file.to_str().unwrap(), None), Some(file));
        assert_eq!(find("tool", Some(OsStr::new("relative:."))), None);
    }
}
