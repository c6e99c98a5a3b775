//! What the API can do, once: the server routes it, the client sends it, and the document says it.

use std::fmt;

use async_trait::async_trait;
use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::problem::Problem;
use crate::service::Service;

/// How an operation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Verb {
    /// Reads.
    Get,
    /// Asks for something to be done; what is sent names it.
    Post,
    /// Sets what a path names.
    Put,
    /// Removes what a path names.
    Delete,
}

impl Verb {
    /// As HTTP says it.
    pub(crate) const fn method(self) -> Method {
        match self {
            Self::Get => Method::GET,
            Self::Post => Method::POST,
            Self::Put => Method::PUT,
            Self::Delete => Method::DELETE,
        }
    }

    /// As OpenAPI says it.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
            Self::Put => "put",
            Self::Delete => "delete",
        }
    }

    /// Whether something is sent with it.
    pub(crate) const fn has_body(self) -> bool {
        matches!(self, Self::Post | Self::Put)
    }
}

/// No parameters, or no body.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Nothing {}

/// Parameters of a path or a query.
pub(crate) trait Parameters:
    Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static
{
}

impl<T: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static> Parameters for T {}

/// What an operation is given.
#[derive(Debug)]
pub(crate) struct Input<O: Operation> {
    /// From the path.
    pub(crate) path: O::Path,
    /// From the query.
    pub(crate) query: O::Query,
    /// What was sent.
    pub(crate) body: O::Body,
}

/// One operation of the API.
#[async_trait]
pub(crate) trait Operation: Sized + Send + Sync + fmt::Debug + 'static {
    /// Its name, unique in the API.
    const ID: &'static str;
    /// What it is filed under.
    const TAG: &'static str;
    /// What it does, in a line.
    const SUMMARY: &'static str;
    /// How it is asked for.
    const VERB: Verb;
    /// Where, with the names of parameters in braces.
    const PATH: &'static str;
    /// The codes of the problems that it may answer, beside those that any may.
    const PROBLEMS: &'static [&'static str];

    /// Parameters in the path.
    type Path: Parameters;
    /// Parameters in the query.
    type Query: Parameters;
    /// What is sent.
    type Body: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static;
    /// What is answered.
    type Answer: Serialize + JsonSchema + Send + 'static;

    /// Does it.
    ///
    /// # Errors
    ///
    /// Why it was not done.
    async fn carry_out(service: &Service, input: Input<Self>) -> Result<Self::Answer, Problem>;
}

/// What looks at all operations, one after the other.
pub(crate) trait Visitor {
    /// One of them.
    fn visit<O: Operation>(&mut self);
}

/// What a path need not encode: the characters that RFC 3986 calls unreserved, but for the dot, of which paths
/// give some a meaning of their own.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

/// The path of an operation with its parameters filled in.
pub(crate) fn fill<P: Serialize>(template: &str, parameters: &P) -> String {
    if !template.contains('{') {
        return template.to_owned();
    }
    let values = serde_json::to_value(parameters).unwrap_or_default();
    let mut path = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        path.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let text = values.get(name).and_then(Value::as_str).unwrap_or_default();
        path.extend(utf8_percent_encode(text, SEGMENT));
        rest = after;
    }
    path.push_str(rest);
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize)]
    struct Two {
        a: &'static str,
        b: &'static str,
    }

    #[test]
    fn parameters_stay_in_their_segment() {
        let two = Two { a: "x/../y", b: "ä ?#." };
        assert_eq!(fill("/v1/{a}/to/{b}", &two), "/v1/x%2F%2E%2E%2Fy/to/%C3%A4%20%3F%23%2E");
        assert_eq!(fill("/v1/goals", &Nothing {}), "/v1/goals");
    }
}
