//! What a server says about itself: the answer to `INFO`.

use std::collections::HashMap;

/// Its fields, of all sections.
#[derive(Debug)]
pub(crate) struct Info(HashMap<String, String>);

impl Info {
    pub(crate) fn parse(text: &str) -> Self {
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Self(fields.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect())
    }

    /// A field; empty when there is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A field that is a number; 0 when there is none.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.get(name).parse().unwrap_or(0)
    }

    pub(crate) fn is_valkey(&self) -> bool {
        self.0.contains_key("valkey_version")
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.get("cluster_enabled") == "1"
    }

    /// Its version, of Valkey its own.
    pub(crate) fn version(&self) -> &str {
        self.get(if self.is_valkey() { "valkey_version" } else { "redis_version" })
    }
}
