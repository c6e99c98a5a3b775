//! Small processes between us and a program, so that nothing of it outlives us, its time, or itself.
//!
//! A program runs below two guards: we start the outer one, it starts the inner one, and that starts
//! the program. Each guard is a *subreaper*: whatever below it loses its parent, by a double fork, by
//! `setsid`, by a kill, becomes its child and so is still found. Each holds a socket to its starter;
//! when that closes, because the starter wants it or because it was killed, or when the program ends,
//! the guard ends every process below it: it freezes them first, so that none can fork away, and then
//! kills them. Two, because then it does not matter which one is killed: the inner one sees its socket
//! close, and what a killed inner one leaves behind becomes the outer one's.
//!
//! The inner guard also takes on the limits and the confinement that the program inherits.

mod serve;
mod tree;
pub(crate) mod wire;

pub use serve::main;

/// The hidden sub-command by which a program is asked to be a guard.
pub const ARGUMENT: &str = "internal-guard";
