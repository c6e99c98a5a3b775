//! How large a DAG and its parts may be. The schema and [`validate`](super::validate()) share them.

/// The longest text that [`parse`](super::parse) reads, in bytes.
pub const MAX_TEXT_BYTES: usize = 128 * 1024 * 1024;
/// The most tasks of one DAG.
pub const MAX_TASKS: usize = 100_000;
/// The most dependencies of one DAG, as written; those written twice count twice.
pub const MAX_EDGES: usize = 1_000_000;
/// The longest title, in characters.
pub const MAX_TITLE: usize = 500;
/// The longest description, in characters.
pub const MAX_DESCRIPTION: usize = 65_536;
/// The greatest priority. Zero is the least and the default.
pub const MAX_PRIORITY: u32 = 1_000_000;
/// The most expected artifacts of one task.
pub const MAX_ARTIFACTS: usize = 256;
/// The longest path of an artifact, in characters.
pub const MAX_ARTIFACT_PATH: usize = 1_024;
/// The most capabilities that one task needs.
pub const MAX_CAPABILITIES: usize = 32;
/// The most checks of one task.
pub const MAX_CHECKS: usize = 64;
/// The longest shell command, in characters.
pub const MAX_COMMAND: usize = 65_536;
/// The most attempts that a task may ask for.
pub const MAX_ATTEMPTS: u32 = 1_000;
/// The most keys of one task's metadata.
pub const MAX_METADATA_KEYS: usize = 64;
/// The largest metadata of one task, in bytes of its compact JSON.
pub const MAX_METADATA_BYTES: usize = 16 * 1024;
/// The most faults that a [`DagError`](super::DagError) keeps; the others are counted.
pub const MAX_FAULTS: usize = 1_000;
