//! What a person and a monitor ask.

use async_trait::async_trait;
use downbeat_runtime::status::{self, Status};
use downbeat_runtime::why::{self, Company, Why};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::tasks::OfTask;
use crate::operation::{Input, Nothing, Operation, Verb};
use crate::problem::Problem;
use crate::service::{About, Service};

/// That the store answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Health {
    /// Always `ok`: a problem is answered otherwise.
    pub(crate) status: String,
}

/// What is going on, at a glance.
#[derive(Debug)]
pub(crate) struct GetStatus;

#[async_trait]
impl Operation for GetStatus {
    const ID: &'static str = "getStatus";
    const TAG: &'static str = "service";
    const SUMMARY: &'static str = "What is going on, at a glance";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/status";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Status;

    async fn carry_out(service: &Service, _input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(status::status(service.cache.as_ref(), service.clock.now()).await?)
    }
}

/// Every cause that a task is not running, and what would end it.
#[derive(Debug)]
pub(crate) struct GetWhy;

#[async_trait]
impl Operation for GetWhy {
    const ID: &'static str = "getWhy";
    const TAG: &'static str = "service";
    const SUMMARY: &'static str = "Every cause that a task is not running, and what would end it";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1/tasks/{task}/why";
    const PROBLEMS: &'static [&'static str] = &["task_not_found"];

    type Path = OfTask;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Why;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let cache = service.cache.as_ref();
        Ok(why::why(cache, &input.path.task, service.clock.now(), Company::Shared).await?)
    }
}

/// Who answers here.
#[derive(Debug)]
pub(crate) struct GetAbout;

#[async_trait]
impl Operation for GetAbout {
    const ID: &'static str = "getAbout";
    const TAG: &'static str = "service";
    const SUMMARY: &'static str = "Who answers here";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/v1";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = About;

    async fn carry_out(service: &Service, _input: Input<Self>) -> Result<Self::Answer, Problem> {
        Ok(service.about.clone())
    }
}

/// Whether the store answers.
#[derive(Debug)]
pub(crate) struct GetHealth;

#[async_trait]
impl Operation for GetHealth {
    const ID: &'static str = "getHealth";
    const TAG: &'static str = "service";
    const SUMMARY: &'static str = "Whether the store answers";
    const VERB: Verb = Verb::Get;
    const PATH: &'static str = "/healthz";
    const PROBLEMS: &'static [&'static str] = &[];

    type Path = Nothing;
    type Query = Nothing;
    type Body = Nothing;
    type Answer = Health;

    async fn carry_out(service: &Service, _input: Input<Self>) -> Result<Self::Answer, Problem> {
        service.cache.load("healthz").await?;
        Ok(Health { status: "ok".to_owned() })
    }
}
