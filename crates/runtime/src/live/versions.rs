//! The versions of the instructions that were in force, kept in the cache.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};

use downbeat_core::cache::{Cache, CacheError, MAX_VALUE, StoreIf};
use downbeat_core::diagnostic::{Report, Severity};
use downbeat_core::text::clip;
use downbeat_core::time::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::load::Files;

/// How many versions are kept.
const KEPT: usize = 50;

/// How many faults of a refused version are kept, and how long each may be, in bytes.
const FAULTS: usize = 20;
const FAULT: usize = 500;

/// The document with the versions.
const VERSIONS: &str = "instructions:versions";

/// The document with the texts of the newest one.
const TEXTS: &str = "instructions:texts";

/// What was, and what is, in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Versions {
    /// Oldest first; the last is in force.
    pub versions: VecDeque<Version>,
    /// What stands in the files now, if that cannot be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<Refused>,
    /// Goals that are declared otherwise than they are planned: why that waits to be asked for.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub waiting: BTreeMap<String, String>,
    /// How many orders to read the instructions again were carried out, by what they were about.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub reparses: BTreeMap<String, u64>,
}

/// The instructions as they were once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// From 1.
    pub number: u64,
    /// The SHA-256 of all files, hexadecimal.
    pub digest: String,
    /// When it came into force.
    pub at: Timestamp,
    /// The files that it was read from.
    pub files: Vec<PathBuf>,
    /// Which of them is the file of instructions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

/// A version that never came into force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Refused {
    /// The SHA-256 of all files, hexadecimal.
    pub digest: String,
    /// When it was found.
    pub at: Timestamp,
    /// What is wrong with it.
    pub faults: Vec<Fault>,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// The file.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl Fault {
    /// The errors among these, within bounds. The texts that they are about are left out.
    pub(super) fn of(reports: &[Report]) -> Vec<Self> {
        let all = reports.iter().flat_map(|report| {
            let places = report.source.positions(report.diagnostics.iter().map(|it| it.span.start));
            report.diagnostics.iter().zip(places).map(move |(diagnostic, place)| (report, diagnostic, place))
        });
        let errors = all.filter(|(_, diagnostic, _)| diagnostic.severity == Severity::Error);
        errors
            .take(FAULTS)
            .map(|(report, diagnostic, place)| Self {
                file: clip(&report.source.name, FAULT),
                line: place.line,
                column: place.column,
                message: clip(&diagnostic.message, FAULT),
            })
            .collect()
    }
}

impl Versions {
    /// What is kept; nothing in a cache where no instructions were ever in force.
    ///
    /// # Errors
    ///
    /// What the cache says; [`CacheError::Corrupt`] for a document that is none of ours.
    pub async fn load(cache: &dyn Cache) -> Result<Self, CacheError> {
        Ok(read(cache).await?.0)
    }

    /// The version in force.
    #[must_use]
    pub fn in_force(&self) -> Option<&Version> {
        self.versions.back()
    }

    /// The files of the version in force, as they were, if they were small enough to be kept.
    ///
    /// # Errors
    ///
    /// As [`load`](Self::load).
    pub async fn texts(cache: &dyn Cache) -> Result<Option<Files>, CacheError> {
        let Some(record) = cache.load(TEXTS).await? else { return Ok(None) };
        let texts: BTreeMap<PathBuf, Option<String>> =
            serde_json::from_str(&record.value).map_err(|error| CacheError::Corrupt {
                key: record.key.clone(),
                source: Some(Box::new(error)),
            })?;
        Ok(Some(Files(texts)))
    }

    /// Puts a version behind the others, if it is another one than the last. Says whether it did.
    pub(super) fn add(&mut self, files: &Files, path: &Path, at: Timestamp) -> bool {
        let digest = files.digest();
        let mended = self.refused.take().is_some();
        if self.in_force().is_some_and(|version| version.digest == digest) {
            return mended;
        }
        let number = self.in_force().map_or(0, |version| version.number).saturating_add(1);
        let (path, files) = (Some(path.to_path_buf()), files.0.keys().cloned().collect());
        self.versions.push_back(Version { number, digest, at, files, path });
        let excess = self.versions.len().saturating_sub(KEPT);
        self.versions.drain(..excess);
        true
    }
}

async fn read(cache: &dyn Cache) -> Result<(Versions, u64), CacheError> {
    let Some(record) = cache.load(VERSIONS).await? else { return Ok((Versions::default(), 0)) };
    let versions = serde_json::from_str(&record.value)
        .map_err(|error| CacheError::Corrupt { key: record.key.clone(), source: Some(Box::new(error)) })?;
    Ok((versions, record.version))
}

/// Changes what is kept, in one step; `change` may run again, and says whether there is anything to write.
pub(super) async fn update(
    cache: &dyn Cache,
    mut change: impl FnMut(&mut Versions) -> bool,
) -> Result<Option<Versions>, CacheError> {
    loop {
        let (mut versions, expected) = read(cache).await?;
        if !change(&mut versions) {
            return Ok(None);
        }
        let value = serde_json::to_string(&versions).map_err(|error| CacheError::Invalid {
            reason: format!("versions cannot be written: {error}"),
        })?;
        let store = StoreIf { key: VERSIONS.to_owned(), expected, value: Some(value) };
        match cache.store_if(&store).await {
            Ok(_) => return Ok(Some(versions)),
            Err(CacheError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
}

/// Keeps the texts of the version in force, so that it outlives what is written into the files.
pub(super) async fn keep_texts(cache: &dyn Cache, files: &Files) -> Result<(), CacheError> {
    let value = serde_json::to_string(&files.0).ok().filter(|value| value.len() <= MAX_VALUE);
    loop {
        let kept = cache.load(TEXTS).await?;
        if kept.as_ref().map(|record| &record.value) == value.as_ref() {
            return Ok(());
        }
        let expected = kept.map_or(0, |record| record.version);
        let store = StoreIf { key: TEXTS.to_owned(), expected, value: value.clone() };
        match cache.store_if(&store).await {
            Err(CacheError::Conflict { .. }) => {}
            written => return written.map(|_| ()),
        }
    }
}
