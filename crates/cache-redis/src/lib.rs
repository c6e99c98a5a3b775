//! The [`Cache`](downbeat_core::cache::Cache) of Downbeat on Redis 7 or Valkey, for many machines.
//!
//! In reading order: `keys` names what is stored; `scripts` is the Lua in `lua/`, one file per verb, each
//! one atomic step and one round trip; `options`, `link` and `connect` say where the server is and whether
//! it will do; `server` is the connection, and nearly the only file that sends a command; `batch` sends what
//! waits at the same time as one; `wait` asks replicas; `fault` says what went wrong; `facts` says what a
//! cache stands on; `news` is the connection on which news comes in; `reply` and `layout` read what scripts
//! answer; `requests` writes what they are asked; `cache` is the traits.

mod batch;
mod cache;
mod connect;
mod facts;
mod fault;
mod info;
mod keys;
mod layout;
mod link;
mod news;
mod options;
mod reply;
mod requests;
mod scripts;
mod server;
mod wait;

pub use cache::RedisCache;
pub use connect::ConnectError;
pub use facts::{Facts, Mode};
pub use fault::{Fault, FaultKind};
pub use options::{KeyLayout, Options, Password, Tls};
