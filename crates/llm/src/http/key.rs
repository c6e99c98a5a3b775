//! A vendor's key: from a variable or a file, to a header, and nowhere else.

use std::fmt;
use std::io::Read;
use std::path::Path;

use downbeat_core::llm::LlmError;
use secrecy::{ExposeSecret, SecretString};

use super::vendor::Vendor;
use crate::opening::Environment;

/// What stands where a key would.
const REDACTED: &str = "[key]";
/// No key is longer, in bytes.
const LONGEST: u64 = 16 * 1024;

/// A key. Its `Debug` form is where it came from.
#[derive(Clone)]
pub(crate) struct Key {
    secret: SecretString,
    origin: String,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key(from {})", self.origin)
    }
}

impl Key {
    /// The key of `vendor`, if the environment tells of one.
    ///
    /// # Errors
    ///
    /// [`LlmError::Unusable`]: a file that is named cannot be read, or what is there cannot be a key.
    pub(crate) fn find(vendor: &Vendor, environment: &Environment) -> Result<Option<Self>, LlmError> {
        for &name in vendor.key_variables {
            if let Some(value) = environment.get(name) {
                return Self::new(value, format!("${name}")).map(Some);
            }
            let name = format!("{name}_FILE");
            if let Some(path) = environment.get_os(&name).map(Path::new) {
                let origin = format!("{}, which ${name} names,", path.display());
                let text = read(path).map_err(|error| LlmError::Unusable {
                    reason: format!("the key in {origin} cannot be read: {error}"),
                })?;
                return Self::new(&text, origin).map(Some);
            }
        }
        Ok(None)
    }

    fn new(text: &str, origin: String) -> Result<Self, LlmError> {
        let text = text.trim();
        let fault = match text {
            "" => Some("is empty"),
            _ if text.len() < 4 => Some("is too short to be a key"),
            _ if !text.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Some("has blanks, line ends or other characters in it that no key has")
            }
            _ => None,
        };
        match fault {
            Some(fault) => Err(LlmError::Unusable { reason: format!("the key in {origin} {fault}") }),
            None => Ok(Self { secret: text.into(), origin }),
        }
    }

    /// Where it came from, for people.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// A header's value of it, with `before` before it; HTTP libraries do not print it.
    pub(crate) fn header(&self, before: &str) -> Option<reqwest::header::HeaderValue> {
        let text = format!("{before}{}", self.secret.expose_secret());
        let mut value = reqwest::header::HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// `text` without it: a server may send back what it was sent.
    pub(crate) fn scrub(&self, text: String) -> String {
        let secret = self.secret.expose_secret();
        if text.contains(secret) { text.replace(secret, REDACTED) } else { text }
    }
}

fn read(path: &Path) -> std::io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a file"));
    }
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if u64::try_from(read).is_ok_and(|read| read > LONGEST) {
        return Err(std::io::Error::other("it is too long to be a key"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::vendor::{ANTHROPIC, GEMINI};
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Environment {
        variables.iter().copied().collect()
    }

    #[test]
    fn a_key_shows_where_it_came_from_and_never_itself() {
        let key = Key::find(&GEMINI, &environment(&[("GOOGLE_API_KEY", "s3cret")])).unwrap().unwrap();
        assert_eq!(format!("{key:?}"), "Key(from $GOOGLE_API_KEY)");
        assert!(!format!("{:?}", key.header("Bearer ").unwrap()).contains("s3cret"));
        assert_eq!(key.scrub("bad key s3cret!".to_owned()), "bad key [key]!");
    }

    #[test]
    fn a_file_may_hold_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "s3cret\n").unwrap();
        let named = [("ANTHROPIC_API_KEY_FILE", file.path().to_str().unwrap())];
        let key = Key::find(&ANTHROPIC, &environment(&named)).unwrap().unwrap();
        assert_eq!(key.header("").unwrap(), "s3cret");
    }

    #[test]
    fn what_cannot_be_a_key_is_said_without_quoting_it() {
        for (name, value) in [
            ("ANTHROPIC_API_KEY", "two words"),
            ("ANTHROPIC_API_KEY", "x\ny1234"),
            ("ANTHROPIC_API_KEY", "abc"),
            ("ANTHROPIC_API_KEY_FILE", "/dev/zero"),
            ("ANTHROPIC_API_KEY_FILE", "/nowhere/key"),
        ] {
            let error = Key::find(&ANTHROPIC, &environment(&[(name, value)])).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
            assert!(name.ends_with("_FILE") || !error.contains(value), "{error}");
        }
        assert!(Key::find(&ANTHROPIC, &environment(&[])).unwrap().is_none());
    }
}
