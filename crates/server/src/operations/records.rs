//! Versioned documents and named leases.

use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{Acquire, Hold, MAX_KEY, Record, StoreIf};
use downbeat_core::rules;
use downbeat_core::time::millis;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Limit;
use crate::operation::{Input, Nothing, Operation, Verb};
use crate::problem::{Problem, problem};
use crate::service::Service;

/// The key of a document: any text without control characters.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(inline, extend("pattern" = "^[^\\x00-\\x1f\\x7f-\\x9f]+$", "minLength" = 1, "maxLength" = MAX_KEY))]
pub(crate) struct Key(pub(crate) String);

impl TryFrom<String> for Key {
    type Error = String;

    fn try_from(key: String) -> Result<Self, String> {
        rules::check_key(&key).map_err(|error| error.to_string())?;
        Ok(Self(key))
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.0
    }
}

/// Which document.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfKey {
    /// Its key, percent-encoded.
    pub(crate) key: Key,
}

/// Which documents.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WhichRecords {
    /// Only those whose key begins so.
    #[serde(default)]
    pub(crate) prefix: String,
    /// At most this many.
    #[serde(default)]
    pub(crate) limit: Limit,
}

/// Documents.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Records")]
pub(crate) struct RecordList {
    /// By key.
    pub(crate) records: Vec<Record>,
}

/// What a document shall say.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Document {
    /// The version that was read; 0 for "there is none".
    pub(crate) expected: u64,
    /// What it shall say.
    pub(crate) value: String,
}

/// What is to be removed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    /// The version that was read.
    pub(crate) expected: u64,
}

/// A document was written or removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Version {
    /// Its new version.
    pub(crate) version: u64,
}

/// Whether a named lease was granted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Acquired {
    /// The lease; somebody else has it without.
    pub(crate) hold: Option<Hold>,
}

/// A named lease to extend.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct HoldRenewal {
    /// The lease as it was granted.
    pub(crate) hold: Hold,
    /// How much longer, from now.
    #[serde(rename = "ttl_ms", with = "millis")]
    #[schemars(with = "u64")]
    pub(crate) ttl: Duration,
}

/// Documents whose key begins with a text, by key.
#[derive(Debug)]
pub(crate) struct ListRecords;

#[async_trait]
impl Operation for ListRecords {
    const ID: &'static str = "listRecords";
    const TAG: &'static str = "records";
    const SUMMARY: &'static str = "Documents whose key begins with a text, by key";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/records";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = WhichRecords;
    type Body = Nothing;
    type Answer = RecordList;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let WhichRecords { prefix, limit } = input.query;
        Ok(RecordList { records: service.cache.list(&prefix, limit.get()).await? })
    }
}

/// One document.
#[derive(Debug)]
pub(crate) struct GetRecord;

#[async_trait]
impl Operation for GetRecord {
    const ID: &'static str = "getRecord";
    const TAG: &'static str = "records";
    const SUMMARY: &'static str = "One document";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/records/{key}";
    const PROBLEMS: &'static [&'static str] = &["record_not_found"];

    type Path = OfKey;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Record;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let key = input.path.key.0;
        let found = service.cache.load(&key).await?;
        found.ok_or_else(|| problem("record_not_found", format!("no such document key=`{key}`")))
    }
}

/// Writes a document if it still has the version that was read.
#[derive(Debug)]
pub(crate) struct PutRecord;

#[async_trait]
impl Operation for PutRecord {
    const ID: &'static str = "putRecord";
    const TAG: &'static str = "records";
    const SUMMARY: &'static str = "Writes a document if it still has the version that was read";
    const VERB: Verb = Verb::Put;
    const PATH: &'static str = "/v1/records/{key}";
    const PROBLEMS: &'static [&'static str] = &["conflict", "invalid"];

    type Path = OfKey;
    type Query = Nothing;
    type Body = Document;
    type Answer = Version;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let Document { expected, value } = input.body;
        let store = StoreIf { key: input.path.key.0, expected, value: Some(value) };
        Ok(Version { version: service.cache.store_if(&store).await? })
    }
}

/// Removes a document if it still has the version that was read.
#[derive(Debug)]
pub(crate) struct RemoveRecord;

#[async_trait]
impl Operation for RemoveRecord {
    const ID: &'static str = "removeRecord";
    const TAG: &'static str = "records";
    const SUMMARY: &'static str = "Removes a document if it still has the version that was read";
    const VERB: Verb = Verb::Delete;
    const PATH: &'static str = "/v1/records/{key}";
    const PROBLEMS: &'static [&'static str] = &["conflict", "invalid"];

    type Path = OfKey;
    type Query = Expected;
    type Body = Nothing;
    type Answer = Version;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let store = StoreIf { key: input.path.key.0, expected: input.query.expected, value: None };
        Ok(Version { version: service.cache.store_if(&store).await? })
    }
}

/// Takes a named lease, if nobody holds it or its holder's time is up.
#[derive(Debug)]
pub(crate) struct AcquireHold;

#[async_trait]
impl Operation for AcquireHold {
    const ID: &'static str = "acquireHold";
    const TAG: &'static str = "records";
    const SUMMARY: &'static str = "Takes a named lease, if nobody holds it or its holder's time is up";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/holds";
    const PROBLEMS: &'static [&'static str] = &["invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Acquire;
    type Answer = Acquired;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(Acquired { hold: service.cache.acquire(&input.body).await? })
    }
}

/// Extends a named lease.
#[derive(Debug)]
pub(crate) struct RenewHold;

#[async_trait]
impl Operation for RenewHold {
    const ID: &'static str = "renewHold";
    const TAG: &'static str = "records";
    const SUMMARY: &'static str = "Extends a named lease";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/holds/renewals";
    const PROBLEMS: &'static [&'static str] = &["conflict", "invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = HoldRenewal;
    type Answer = Hold;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let HoldRenewal { hold, ttl } = input.body;
        Ok(service.cache.renew_hold(&hold, ttl).await?)
    }
}

/// Gives a named lease back.
#[derive(Debug)]
pub(crate) struct ReleaseHold;

#[async_trait]
impl Operation for ReleaseHold {
    const ID: &'static str = "releaseHold";
    const TAG: &'static str = "records";
    const SUMMARY: &'static str = "Gives a named lease back";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/holds/releases";
    const PROBLEMS: &'static [&'static str] = &["invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Hold;
    type Answer = Nothing;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        service.cache.release_hold(&input.body).await?;
        Ok(Nothing {})
    }
}
