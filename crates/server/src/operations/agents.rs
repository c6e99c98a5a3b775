//! The registry of agents.

use async_trait::async_trait;
use downbeat_core::cache::{
    Agent, AgentError, Beat, BeatReply, CacheError, Departure, Registered, Registration,
};
use downbeat_core::ids::{AgentName, Incarnation, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Input, Nothing, Operation, Verb};
use crate::problem::Problem;
use crate::service::Service;

/// Which agent.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct OfAgent {
    /// Its name.
    pub(crate) agent: AgentName,
}

/// All agents that registered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "Agents")]
pub(crate) struct AgentList {
    /// By name.
    pub(crate) agents: Vec<Agent>,
}

/// What was freed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Freed {
    /// The tasks that the agent held.
    pub(crate) freed: Vec<TaskId>,
}

/// What an agent remembers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Memory {
    /// Nothing was ever kept without it.
    pub(crate) snapshot: Option<String>,
}

/// What an agent is to remember.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Remember {
    /// Which life of the agent.
    pub(crate) incarnation: Incarnation,
    /// What it remembers.
    pub(crate) snapshot: String,
}

/// What went wrong in the attempts of an agent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Errors {
    /// Oldest first.
    pub(crate) errors: Vec<AgentError>,
}

/// All agents that registered, by name.
#[derive(Debug)]
pub(crate) struct ListAgents;

#[async_trait]
impl Operation for ListAgents {
    const ID: &'static str = "listAgents";
    const TAG: &'static str = "agents";
    const SUMMARY: &'static str = "All agents that registered, by name";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/agents";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = AgentList;

    async fn carry_out(service: &Service, _input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(AgentList { agents: service.cache.agents().await? })
    }
}

/// Enters an agent, or refreshes it under the same incarnation.
#[derive(Debug)]
pub(crate) struct RegisterAgent;

#[async_trait]
impl Operation for RegisterAgent {
    const ID: &'static str = "registerAgent";
    const TAG: &'static str = "agents";
    const SUMMARY: &'static str = "Enters an agent, or refreshes it under the same incarnation";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/agents";
    const PROBLEMS: &'static [&'static str] = &["agent_name_taken", "invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Registration;
    type Answer = Registered;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(service.cache.register(&input.body).await?)
    }
}

/// One agent, also after its end.
#[derive(Debug)]
pub(crate) struct GetAgent;

#[async_trait]
impl Operation for GetAgent {
    const ID: &'static str = "getAgent";
    const TAG: &'static str = "agents";
    const SUMMARY: &'static str = "One agent, also after its end";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/agents/{agent}";
    const PROBLEMS: &'static [&'static str] = &["agent_not_found"];

    type Path = OfAgent;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Agent;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let OfAgent { agent } = input.path;
        service.cache.agent(&agent).await?.ok_or_else(|| CacheError::AgentNotFound { agent }.into())
    }
}

/// Says that an agent lives, and what it does.
#[derive(Debug)]
pub(crate) struct BeatAgent;

#[async_trait]
impl Operation for BeatAgent {
    const ID: &'static str = "beat";
    const TAG: &'static str = "agents";
    const SUMMARY: &'static str = "Says that an agent lives, and what it does";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/beats";
    const PROBLEMS: &'static [&'static str] = &["agent_replaced", "invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Beat;
    type Answer = BeatReply;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(service.cache.beat(&input.body).await?)
    }
}

/// Ends an agent's registration and frees its leases in the same step.
#[derive(Debug)]
pub(crate) struct DeregisterAgent;

#[async_trait]
impl Operation for DeregisterAgent {
    const ID: &'static str = "deregisterAgent";
    const TAG: &'static str = "agents";
    const SUMMARY: &'static str = "Ends an agent's registration and frees its leases in the same step";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/departures";
    const PROBLEMS: &'static [&'static str] = &["invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Departure;
    type Answer = Freed;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(Freed { freed: service.cache.deregister(&input.body).await? })
    }
}

/// What an agent remembered last.
#[derive(Debug)]
pub(crate) struct GetMemory;

#[async_trait]
impl Operation for GetMemory {
    const ID: &'static str = "getMemory";
    const TAG: &'static str = "agents";
    const SUMMARY: &'static str = "What an agent remembered last";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/agents/{agent}/memory";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = OfAgent;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Memory;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(Memory { snapshot: service.cache.recall(&input.path.agent).await? })
    }
}

/// Keeps an agent's memory, for its next life.
#[derive(Debug)]
pub(crate) struct PutMemory;

#[async_trait]
impl Operation for PutMemory {
    const ID: &'static str = "putMemory";
    const TAG: &'static str = "agents";
    const SUMMARY: &'static str = "Keeps an agent's memory, for its next life";
    const VERB: Verb = Verb::Put;
    const PATH: &'static str = "/v1/agents/{agent}/memory";
    const PROBLEMS: &'static [&'static str] = &["agent_replaced", "invalid"];

    type Path = OfAgent;
    type Query = Nothing;
    type Body = Remember;
    type Answer = Nothing;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let Remember { incarnation, snapshot } = input.body;
        service.cache.remember(&input.path.agent, &incarnation, &snapshot).await?;
        Ok(Nothing {})
    }
}

/// The attempts of an agent that went wrong, oldest first.
#[derive(Debug)]
pub(crate) struct ListErrors;

#[async_trait]
impl Operation for ListErrors {
    const ID: &'static str = "listErrors";
    const TAG: &'static str = "agents";
    const SUMMARY: &'static str = "The attempts of an agent that went wrong, oldest first";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/agents/{agent}/errors";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = OfAgent;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Errors;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(Errors { errors: service.cache.errors(&input.path.agent).await? })
    }
}
