//! The HTTP API of Downbeat over any [`Cache`](downbeat_core::cache::Cache), and its client, which is one again.
//!
//! In reading order:
//! - `operation`, `operations`: what the API can do, once: routed, sent and documented from the same list.
//! - `problem`: why something was not done, from an error of a cache and back.
//! - `body`, `router`, `sse`, `metrics`: requests and answers; `document`: the OpenAPI document.
//! - `gate`, [`socket`], [`serve`]: who may ask, and where.
//! - [`client`]: the cache at the other end.

mod body;
pub mod client;
mod document;
mod gate;
mod metrics;
mod operation;
mod operations;
mod problem;
mod router;
pub mod serve;
mod service;
pub mod socket;
mod sse;

pub use client::{Address, HttpCache};
pub use serve::{ListenError, Server};
pub use service::{API_VERSION, About};
pub use socket::{ControlSocket, SocketError};

/// The OpenAPI 3.1 document of the API, as it is served at `/openapi.json`.
#[must_use]
pub fn openapi() -> serde_json::Value {
    document::document()
}
