//! What every operation works with.

use std::sync::Arc;

use downbeat_core::cache::Cache;
use downbeat_core::time::Clock;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::metrics::Meters;

/// The version of the API: the first part of its paths.
pub const API_VERSION: u32 = 1;

/// Who answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct About {
    /// Always `downbeat`.
    pub service: String,
    /// The version of the program.
    pub version: String,
    /// The version of the API.
    pub api: u32,
    /// What the process is, such as `downbeat run`.
    pub role: String,
    /// Its process id.
    pub pid: u32,
    /// Where the state lies, without secrets.
    pub store: String,
}

impl About {
    /// This process as `role`, over what lies at `store`.
    #[must_use]
    pub fn new(role: &str, store: &str) -> Self {
        Self {
            service: "downbeat".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            api: API_VERSION,
            role: role.to_owned(),
            pid: std::process::id(),
            store: store.to_owned(),
        }
    }

    /// Who holds the state, in words.
    #[must_use]
    pub fn holder(&self) -> String {
        format!("held by `{}` (process {}), which answers", self.role, self.pid)
    }
}

/// What every operation works with.
#[derive(Debug)]
pub(crate) struct Service {
    /// The state.
    pub(crate) cache: Arc<dyn Cache>,
    /// By which a person's questions are answered.
    pub(crate) clock: Arc<dyn Clock>,
    /// Who answers.
    pub(crate) about: About,
    /// Nobody waits here any more once it is cancelled.
    pub(crate) ending: CancellationToken,
    /// What was asked how often.
    pub(crate) meters: Meters,
}
