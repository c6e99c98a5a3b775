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
