//! What a run looks like while it runs: finished tasks as lines, and below them, on a terminal, what
//! every agent does.
//!
//! In reading order: [`board`] is what the events said so far; [`lines`] and [`frame`] draw it;
//! [`follow`] reads the events as they come.

pub(crate) mod board;
pub(crate) mod follow;
mod frame;
mod lines;

#[cfg(test)]
mod tests;
