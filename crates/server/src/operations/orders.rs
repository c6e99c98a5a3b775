//! What people order.

use async_trait::async_trait;
use downbeat_core::cache::Steered;
use downbeat_core::ids::RequestId;
use downbeat_runtime::steering::{Given, Order, give};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{Input, Nothing, Operation, Verb};
use crate::problem::Problem;
use crate::service::Service;

/// An order, and who gives it.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "GivenOrder")]
pub(crate) struct OrderBody {
    /// What is wanted: an object with `do`.
    pub(crate) order: Order,
    /// Who wants it; the event says it behind `api:`.
    #[serde(default)]
    pub(crate) by: String,
    /// Names the request: repeated, it has no further effect.
    pub(crate) request: RequestId,
}

/// Carries out what a person wants; what cannot be done is answered, not refused.
#[derive(Debug)]
pub(crate) struct GiveOrder;

#[async_trait]
impl Operation for GiveOrder {
    const ID: &'static str = "giveOrder";
    const TAG: &'static str = "tasks";
    const SUMMARY: &'static str =
        "Carries out what a person wants; what cannot be done is answered, not refused";
    const VERB: Verb = Verb::Post;
    const PATH: &'static str = "/v1/orders";
    const PROBLEMS: &'static [&'static str] = &["invalid"];

    type Path = Nothing;
    type Query = Nothing;
    type Body = OrderBody;
    type Answer = Steered;

    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem> {
        let OrderBody { order, by, request } = input.body;
        let given = Given { order, by: format!("api:{by}"), request };
        Ok(give(service.cache.as_ref(), &given).await?)
    }
}
