//! Layers around any provider, each its own room: [`Retrying`], [`FallingOver`], [`Recording`].

mod fall_over;
mod record;
mod retry;

pub use fall_over::FallingOver;
pub use record::Recording;
pub use retry::Retrying;
