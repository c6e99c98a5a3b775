//! The [`Cache`](downbeat_core::cache::Cache) of Downbeat on an embedded sled store, for one machine.
//!
//! In reading order: `layout` is what is stored; `store` is sled under a `journal` of what is not in it yet
//! (`pending`), which `apply` brings there; nothing else calls sled;
//! `txn` is a view that reads its own writes; `kept` is what need not be parsed again; `step` is one
//! operation while it is decided, and the one way in which a task moves; `verbs` has one file per verb;
//! `writer` is the thread that owns the store and decides groups, `syncer` the one that syncs and answers
//! them; `cache` is the traits.

mod apply;
mod audit;
mod cache;
mod epoch;
mod holder;
mod journal;
mod kept;
mod layout;
mod leftovers;
mod open;
mod pending;
mod redo;
mod signals;
mod stats;
mod step;
mod store;
mod syncer;
mod txn;
mod verbs;
mod writer;

pub use cache::SledCache;
pub use epoch::openings;
pub use open::{Durability, OpenError, Options};
pub use stats::Stats;
