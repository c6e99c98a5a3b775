//! Orchestrator, agents and their attempts: everything that happens around a cache and a model.
//!
//! In reading order:
//! - [`load`]: INSTRUCTIONS.md and the files it names, or everything that is wrong with them.
//! - [`orchestrator`]: reconciles what is declared with what is, and runs until all goals rest.
//! - [`live`]: what is declared may change meanwhile.
//! - [`supervise`]: the lives of the agents; [`feed`]: what happens, read once for all parts.
//! - [`spawn`]: agents as child processes.
//! - [`library`]: all of it declared in Rust, with plain code as agents.
//! - [`solo`]: one agent as a process of its own; [`recruit`]: how an agent enters.
//! - [`agent`]: the loop of one agent; [`attempt`]: one task, as a list of steps.
//! - [`memory`]: what an agent remembers.
//! - [`patient`]: a store that does not answer is waited for; [`process`]: who has ended.
//! - [`command`], [`guard`], [`workspace`]: processes and files, within bounds.
//! - [`steering`]: what a person orders, from the command line, the API or a file: one door.
//! - [`heartbeats`]: the files that steer agents, each line once.
//! - [`why`], [`status`], [`report`]: what a person asks.
//! - [`settings`], [`clock`], [`entropy`], [`stop`]: what is passed in.

pub mod agent;
pub mod archive;
pub mod attempt;
pub mod clock;
pub mod doing;
pub mod entropy;
pub mod feed;
pub mod heartbeats;
pub mod library;
pub mod live;
pub mod load;
pub mod memory;
pub mod nested;
pub mod orchestrator;
mod passing;
pub mod patient;
pub mod process;
pub mod recruit;
pub mod report;
pub mod settings;
pub mod solo;
pub mod spawn;
pub mod spending;
pub mod status;
pub mod steering;
pub mod stop;
pub mod supervise;
mod watching;
pub mod why;
pub mod workspace;

pub use downbeat_process::{guard, shell as command};
pub use orchestrator::{Orchestrator, RunError};
pub use report::RunReport;
pub use settings::Settings;
pub use solo::Solo;
pub use stop::Stop;
