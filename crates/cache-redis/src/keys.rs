//! The keys that are named outside of Lua. All others are named in `lua/`, and all in `docs/keys.md`.

use downbeat_core::ids::{AgentName, StreamName};

/// Names keys of one deployment.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Written before replicas are asked for their acknowledgement.
    pub(crate) fn waits(&self) -> String {
        format!("{}index:waited", self.prefix)
    }

    /// How often history may have been lost, the high part of every token. The scripts take the prefix of
    /// all keys from it.
    pub(crate) fn epoch(&self) -> String {
        format!("{}epoch", self.prefix)
    }

    /// On which history that was taken.
    pub(crate) fn epoch_taken(&self) -> String {
        format!("{}epoch:taken", self.prefix)
    }

    /// How keys are laid out.
    pub(crate) fn layout(&self) -> String {
        format!("{}layout", self.prefix)
    }

    /// A pattern, as of `SCAN`, of all keys of the deployment.
    pub(crate) fn own(&self) -> String {
        let mut pattern = String::new();
        for sign in self.prefix.chars() {
            if matches!(sign, '*' | '?' | '[' | ']' | '\\' | '^') {
                pattern.push('\\');
            }
            pattern.push(sign);
        }
        pattern.push('*');
        pattern
    }

    /// Whether a key holds tasks or a graph: nobody writes those without an epoch but another program.
    pub(crate) fn is_of_tasks(&self, key: &str) -> bool {
        let Some(name) = key.strip_prefix(&self.prefix) else { return false };
        name.starts_with("task:") || (name.starts_with("dag:") && name.ends_with(":nodes"))
    }

    /// The channel that says how often work appeared.
    pub(crate) fn work_news(&self) -> String {
        format!("{}news", self.prefix)
    }

    /// The channel that says how long a stream is.
    pub(crate) fn stream_news(&self, stream: &StreamName) -> String {
        format!("{}news:{stream}", self.prefix)
    }

    pub(crate) fn memory(&self, agent: &AgentName) -> String {
        format!("{}agent:{agent}:memory", self.prefix)
    }

    pub(crate) fn record(&self, key: &str) -> String {
        format!("{}record:{key}", self.prefix)
    }
}
