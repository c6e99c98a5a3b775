//! What the machine can do at best for the same work, measured in the same run.

pub(crate) mod memory;
pub(crate) mod redis;
pub(crate) mod sled;
