//! Random numbers and the ids made of them.

use downbeat_core::ids::{Incarnation, RequestId};

/// A request id that nobody draws twice.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where ids are made")]
pub fn request_id() -> RequestId {
    RequestId(uuid::Uuid::now_v7().to_string())
}

/// An incarnation that nobody draws twice: `<uuid>@<identity of this process>`.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where ids are made")]
pub fn incarnation() -> Incarnation {
    Incarnation(format!("{}@{}", uuid::Uuid::now_v7(), crate::process::identity()))
}

/// The [identity](crate::process::identity) of the process that drew an incarnation; empty when it says
/// none.
#[must_use]
pub fn process_of(incarnation: &Incarnation) -> &str {
    incarnation.0.split_once('@').map_or("", |(_, process)| process)
}

/// A uniform random number in `0.0..1.0`, for jitter.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is where random numbers are drawn")]
pub fn draw() -> f64 {
    fastrand::f64()
}
