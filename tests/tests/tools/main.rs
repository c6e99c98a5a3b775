//! Command-line agents: what comes of each fault of a tool, with programs that print what the real
//! ones were seen to print.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "what a test needs and does not get fails the test"
)]

mod events;
mod fake;
mod protocol;
