//! What has to be known to use the API over TCP: for who serves it, and for who asks.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use secrecy::{ExposeSecret, SecretString};

use crate::error::CliError;

/// The variable of the environment that may hold the token.
pub(crate) const TOKEN: &str = "DOWNBEAT_API_TOKEN";

/// A token is one line of a file of at most this many bytes.
const MAX_TOKEN: u64 = 4 * 1024;

/// The token in `file`, or else in the environment, if there is one.
///
/// # Errors
///
/// The file cannot be read, or others can read it; what it holds is no token.
pub(super) fn token(file: Option<&Path>) -> Result<Option<SecretString>, CliError> {
    let (found, from): (SecretString, String) = match file {
        Some(path) => (read(path)?, path.display().to_string()),
        None => match std::env::var(TOKEN).ok().filter(|token| !token.is_empty()) {
            Some(token) => (token.into(), format!("${TOKEN}")),
            None => return Ok(None),
        },
    };
    if found.expose_secret().is_empty() || !found.expose_secret().bytes().all(|byte| byte.is_ascii_graphic())
    {
        let error =
            CliError::bad_input(format!("{from} holds no token: one line of letters, digits and signs"));
        return Err(error.hint("`openssl rand -hex 32` makes one"));
    }
    Ok(Some(found))
}

fn read(path: &Path) -> Result<SecretString, CliError> {
    let failed = |error: std::io::Error| {
        CliError::bad_input(format!("cannot read the token in {}: {error}", path.display()))
    };
    let known = path.metadata().map_err(failed)?;
    if known.mode() & 0o077 != 0 {
        let error = CliError::bad_input(format!("other users can read the token in {}", path.display()));
        return Err(error.hint(format!("chmod 600 {}", crate::place::quoted(path))));
    }
    let mut text = String::new();
    // A pipe does not say how much is in it.
    let file = File::open(path).map_err(failed)?;
    file.take(MAX_TOKEN + 1).read_to_string(&mut text).map_err(failed)?;
    if u64::try_from(text.len()).is_ok_and(|length| length > MAX_TOKEN) {
        return Err(CliError::bad_input(format!("{} is too long for a token", path.display())));
    }
    Ok(text.trim().to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        std::fs::write(&path, "secret\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(read(&path).unwrap_err().message.contains("other users"));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&read(&path).unwrap()), "secret");
        std::fs::write(&path, "secret".repeat(1000)).unwrap();
        assert!(read(&path).unwrap_err().message.contains("too long"));
    }
}
