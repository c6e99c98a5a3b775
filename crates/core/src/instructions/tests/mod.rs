//! Whole files.

mod arbitrary;
mod bad;
mod good;
