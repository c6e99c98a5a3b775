//! The reference keeps every promise that it is the measure of.
#![cfg(feature = "conformance")]

downbeat_core::conformance_suite!(downbeat_core::conformance::Memory);
