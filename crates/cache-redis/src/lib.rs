//! The [`Cache`](downbeat_core::cache::Cache) of Downbeat on Redis 7 or Valkey, for many machines.
//!
//! In reading order: `keys` names what is stored; `scripts` is the Lua in `lua/`, one file per verb, each
//! one atomic step and one round trip; `server` is the connection, and the only file that sends a command;
//! `news` is the connection on which news comes in; `reply` and `layout` read what scripts answer;
//! `requests` writes what they are asked; `cache` is the traits.

mod cache;
mod connect;
mod keys;
mod layout;
mod news;
mod reply;
mod requests;
mod scripts;
mod server;

pub use cache::RedisCache;
pub use connect::{ConnectError, Options};
