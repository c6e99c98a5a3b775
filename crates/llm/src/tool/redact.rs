//! What never leaves: values of variables that look like secrets.

use std::borrow::Cow;
use std::fmt;

use crate::opening::Environment;

/// Parts of names that say that a value is a secret.
const TELLING: [&str; 6] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"];

/// Shorter values would be found in any text.
const SHORTEST: usize = 8;

/// Takes secrets out of text that comes from a tool. A model that was told to print its environment
/// must not put a key into a log.
#[derive(Clone)]
pub(crate) struct Redactor(Vec<String>);

impl Redactor {
    /// Knows the secrets of this environment.
    pub(crate) fn new(environment: &Environment) -> Self {
        let mut secrets: Vec<String> = environment
            .iter()
            .filter(|(name, _)| {
                let name = name.to_string_lossy().to_uppercase();
                TELLING.iter().any(|part| name.contains(part))
            })
            .filter_map(|(_, value)| value.to_str())
            // A path to a file of secrets is no secret.
            .filter(|value| value.len() >= SHORTEST && !value.starts_with('/'))
            .map(str::to_owned)
            .collect();
        // What contains another goes first.
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        Self(secrets)
    }

    /// The text with `[secret]` in place of each.
    pub(crate) fn clean<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let mut text = Cow::Borrowed(text);
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = Cow::Owned(text.replace(secret.as_str(), "[secret]"));
            }
        }
        text
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_telling_names_go_and_all_else_stays() {
        let environment: Environment = [
            ("ANTHROPIC_API_KEY", "sk-123456789"),
            ("my_token", "sk-123456789-longer"),
            ("HOME", "/home/longname"),
            ("SOME_KEY", "short"),
            ("SSH_KEY_FILE", "/home/longname/key"),
        ]
        .into_iter()
        .collect();
        let redactor = Redactor::new(&environment);
        let text = "a sk-123456789 b sk-123456789-longer c /home/longname/key short";
        assert_eq!(redactor.clean(text), "a [secret] b [secret] c /home/longname/key short");
        assert_eq!(format!("{redactor:?}"), "Redactor(2)");
    }
}
