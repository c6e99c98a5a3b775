//! INSTRUCTIONS.md: which agents there are, and what for.

pub mod types;

pub use types::{AgentSpec, GoalSpec, Instructions, LogLevel, PlanSource, Spanned};
