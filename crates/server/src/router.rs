//! From the list of operations to what answers requests.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, on};
use bytes::Bytes;
use downbeat_core::schema::Validator;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Request, StatusCode};
use serde_json::Value;
use tokio::time::Instant;

use crate::document::{self, Schemas};
use crate::operation::{Input, Operation, Verb, Visitor};
use crate::operations;
use crate::problem::{PROBLEM_JSON, Problem, problem};
use crate::service::Service;
use crate::{body, metrics, sse};

/// Everything that the API answers.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let document: Bytes = document::document().to_string().into();
    let mut routes = Routes { router: Router::new(), schemas: Schemas::requests() };
    operations::every(&mut routes);
    routes
        .router
        .route("/v1/events", on(MethodFilter::GET, sse::events))
        .route("/metrics", on(MethodFilter::GET, metrics::metrics))
        .route("/openapi.json", on(MethodFilter::GET, async || json(StatusCode::OK, document)))
        .fallback(async |request: Request<Body>| not_found(&request))
        .method_not_allowed_fallback(async |request: Request<Body>| method_not_allowed(&request))
        .with_state(service)
}

struct Routes {
    router: Router<Arc<Service>>,
    schemas: Schemas,
}

impl Visitor for Routes {
    fn visit<O: Operation>(&mut self) {
        let filter = match O::VERB {
            Verb::Get => MethodFilter::GET,
            Verb::Post => MethodFilter::POST,
            Verb::Put => MethodFilter::PUT,
            Verb::Delete => MethodFilter::DELETE,
        };
        let schema = Arc::new(Validator::of(self.schemas.alone::<O::Body>()));
        let handler = async move |State(service): State<Arc<Service>>, request: Request<Body>| {
            let begun = Instant::now();
            let answer = answer::<O>(&service, &schema, request).await;
            let response = match answer {
                Ok(bytes) => json(StatusCode::OK, bytes),
                Err(problem) => problem.into_response(),
            };
            service.meters.count(O::ID, response.status(), begun.elapsed());
            response
        };
        let router = std::mem::take(&mut self.router);
        self.router = router.route(O::PATH, on(filter, handler));
    }
}

async fn answer<O: Operation>(
    service: &Service,
    schema: &Validator,
    request: Request<Body>,
) -> Result<Bytes, Problem> {
    let (mut parts, sent) = request.into_parts();
    let path = path::<O>(&mut parts).await?;
    let query = serde_urlencoded::from_str(parts.uri.query().unwrap_or_default())
        .map_err(|error| problem("invalid_parameter", format!("in the query: {error}")))?;
    let body = match O::VERB.has_body() {
        true => body::read(&parts.headers, sent, schema).await?,
        false => nothing()?,
    };
    let answer = O::carry_out(service, Input { path, query, body }).await?;
    let bytes = serde_json::to_vec(&answer)
        .map_err(|error| problem("failed", format!("the answer cannot be written: {error}")))?;
    Ok(bytes.into())
}

/// The body of an operation that has none.
fn nothing<T: serde::de::DeserializeOwned>() -> Result<T, Problem> {
    serde_json::from_value(Value::Object(serde_json::Map::new()))
        .map_err(|error| problem("failed", error.to_string()))
}

async fn path<O: Operation>(parts: &mut Parts) -> Result<O::Path, Problem> {
    if !O::PATH.contains('{') {
        return nothing();
    }
    let path = Path::<O::Path>::from_request_parts(parts, &()).await;
    path.map(|Path(path)| path).map_err(|error| {
        problem("invalid_parameter", format!("in the path {}: {}", parts.uri.path(), error.body_text()))
    })
}

fn not_found(request: &Request<Body>) -> Response {
    let path = request.uri().path();
    problem("not_found", format!("nothing is at {path}; /openapi.json says what there is")).into_response()
}

fn method_not_allowed(request: &Request<Body>) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    problem("method_not_allowed", format!("{path} takes no {method}")).into_response()
}

/// JSON that is nobody else's to keep.
fn json(status: StatusCode, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = json(self.status, self.to_json().to_string().into());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // Whose methods they are the router adds.
            StatusCode::METHOD_NOT_ALLOWED => {
                headers.remove(ALLOW);
            }
            _ => {}
        }
        response
    }
}
