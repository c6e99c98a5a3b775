//! The vocabulary, rules and traits of Downbeat.
//!
//! Core opens no socket, file, process or clock: what it decides follows from its arguments alone.

pub mod dag;
pub mod diagnostic;
pub mod ids;
pub mod instructions;
pub mod schema;
pub mod span;
pub mod time;
