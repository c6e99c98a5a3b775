//! The vocabulary, rules and traits of Downbeat.
//!
//! Core opens no socket, file, process or clock: what it decides follows from its arguments alone.
//!
//! In reading order:
//! - [`ids`], [`time`], [`span`], [`text`]: small words, each with its bounds.
//! - [`diagnostic`], [`instructions`]: what users write, and what is wrong with it.
//! - [`dag`]: a goal's tasks, from a draft to a graph that is sound.
//! - [`state`], [`goal`], [`event`], [`backoff`]: the table of moves and what it leaves behind.
//! - [`cache`]: the shared state, as traits.
//! - [`rules`]: what every cache decides and says alike.
//! - [`llm`]: the model, as a trait.
//! - [`memory`], [`faulty`]: the cache as it should behave, and one that fails on demand.
//! - `conformance` (a feature): the kit that proves an implementation of a cache.

#[macro_use]
mod verbs;

pub mod backoff;
pub mod cache;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod dag;
pub mod diagnostic;
pub mod event;
pub mod faulty;
pub mod goal;
pub mod heartbeat;
pub mod ids;
pub mod instructions;
pub mod llm;
pub mod memory;
pub mod rules;
pub mod schema;
pub mod span;
pub mod state;
pub mod suggest;
pub mod text;
pub mod time;
