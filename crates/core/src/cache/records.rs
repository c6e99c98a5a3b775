//! Versioned documents and named leases: what later layers keep their own state in.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::CacheError;
use crate::ids::Token;
use crate::time::{Timestamp, millis};

/// Versioned documents and named leases. Each verb is one atomic step; see [`Cache`](super::Cache).
#[async_trait]
pub trait Records: Send + Sync {
    /// One document.
    async fn load(&self, key: &str) -> Result<Option<Record>, CacheError>;

    /// Writes a document if it still has the version that the caller read.
    ///
    /// # Returns
    ///
    /// The new version: greater than any that the key ever had.
    ///
    /// # Errors
    ///
    /// - [`CacheError::Conflict`]: it has another version.
    /// - [`CacheError::Invalid`]: the key or the value is outside [`MAX_KEY`], [`MAX_VALUE`].
    async fn store_if(&self, store: &StoreIf) -> Result<u64, CacheError>;

    /// Documents whose key begins with `prefix`, by key.
    async fn list(&self, prefix: &str, limit: usize) -> Result<Vec<Record>, CacheError>;

    /// Takes a named lease, if nobody holds it or its holder's time is up.
    ///
    /// The holder that has it is given it again, with the same token and a new deadline.
    ///
    /// # Returns
    ///
    /// `None` when somebody else holds it.
    async fn acquire(&self, acquire: &Acquire) -> Result<Option<Hold>, CacheError>;

    /// Extends a named lease.
    ///
    /// # Errors
    ///
    /// [`CacheError::Conflict`]: the token is not the newest.
    async fn renew_hold(&self, hold: &Hold, ttl: Duration) -> Result<Hold, CacheError>;

    /// Gives a named lease back. Giving back what is held no more changes nothing.
    async fn release_hold(&self, hold: &Hold) -> Result<(), CacheError>;
}

/// The longest key in bytes.
pub const MAX_KEY: usize = 512;

/// The largest document in bytes.
pub const MAX_VALUE: usize = 4 * 1024 * 1024;

/// A document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Record {
    /// Its key.
    pub key: String,
    /// Grows with each write.
    pub version: u64,
    /// When it was written.
    pub updated_at: Timestamp,
    /// What it says.
    pub value: String,
}

/// A document to write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreIf {
    /// Its key: any text without control characters.
    pub key: String,
    /// The version that was read; 0 for "there is none".
    pub expected: u64,
    /// What it shall say; `None` removes it.
    pub value: Option<String>,
}

/// Somebody wants a named lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Acquire {
    /// Its name: any text without control characters.
    pub name: String,
    /// Who wants it: unique among all who may.
    pub holder: String,
    /// For how long.
    #[serde(rename = "ttl_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub ttl: Duration,
}

/// A named lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// Its name.
    pub name: String,
    /// Who has it.
    pub holder: String,
    /// The fencing token: greater than any that the name was ever held under.
    pub token: Token,
    /// From then on others may take it.
    pub expires_at: Timestamp,
}
