//! The shared state of one deployment, as traits.
//!
//! [`Cache`] is four small traits in one: [`Tasks`], [`Agents`], [`Streams`], [`Records`]. What an
//! implementation must hold beyond the signatures is said at each verb and proved by the conformance
//! kit.

mod agents;
mod error;
mod records;
mod streams;
mod tasks;

pub use agents::{
    Agent, AgentError, Agents, Beat, BeatReply, Departure, ExitStatus, Leave, Liveness, MAX_AGENT_ERRORS,
    MAX_MEMORY, Phase, Registered, Registration,
};
pub use error::{CacheError, Disposition};
pub use records::{Acquire, Hold, MAX_KEY, MAX_VALUE, Record, Records, StoreIf};
pub use streams::{
    Append, EVENTS, MAX_APPEND, MAX_ENTRY, Page, Read, STREAM_SLACK, StreamLimits, Streams, Topic,
    events_stream,
};
pub use tasks::{
    Amend, Claim, ClaimReply, Claimed, Directive, Lease, MAX_AVOID, MAX_ENDED_ATTEMPTS, Plan, ReadyQuery,
    Remove, Removed, Renew, Renewed, Settle, Settled, Steer, Steered, Sweep, Swept, Task, TaskDetail,
    TaskQuery, Tasks,
};

/// Shared state of one deployment.
///
/// # Contract
///
/// - Each method is one atomic step: it takes effect whole or not at all.
/// - A method that takes a token compares it with the stored one inside that step and changes nothing
///   when the stored one is newer, or when the token was spent or taken away.
/// - Time is the cache's own. A wrong clock can delay work or let it be claimed early; it can never
///   let two agents write, because the token decides that.
/// - `plan`, `amend`, `settle`, `steer`, `append` and `store_if` are durable before they answer; a
///   claim survives the death of the process that made it. Renewals and beats may be forgotten: a
///   forgotten one delays nothing and allows nothing.
/// - Every move appends its event in the same step.
/// - Repeating a request that has a [`RequestId`](crate::ids::RequestId), after its answer was lost,
///   has no further effect.
pub trait Cache: Tasks + Agents + Streams + Records + std::fmt::Debug {}

impl<T: Tasks + Agents + Streams + Records + std::fmt::Debug> Cache for T {}
