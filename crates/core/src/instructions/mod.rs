//! INSTRUCTIONS.md: which agents there are, and what for.
//!
//! In reading order: [`types`] is what a file says; [`parse`](parse()) reads it, in the Markdown form
//! or in the YAML form, and reports all that is wrong at once.

mod agent;
mod blocks;
mod brief;
mod check;
mod checklist;
mod cycle;
mod faults;
mod field;
mod goal;
mod header;
mod markdown;
mod marks;
mod node;
mod parse;
mod planner;
mod slug;
mod task;
pub mod types;
mod yaml;

#[cfg(test)]
mod tests;

pub use brief::plan_of_brief;
pub use check::agentless;
pub use parse::{MAX_BYTES, declares_agents, parse};
pub use types::{
    AgentSpec, Dependency, GoalSpec, Instructions, LogLevel, Milestone, PlanSource, Restart, Spanned,
    group_limits,
};
