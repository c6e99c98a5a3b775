//! The API of a process that holds a store: opened here for others, or asked.

mod joined;
mod listen;
mod remote;
mod served;
mod token;

use std::path::PathBuf;
use std::sync::Arc;

use downbeat_core::cache::Cache;
use downbeat_server::client::ConnectError;
use downbeat_server::{About, Address, HttpCache};

use joined::Joined;
pub(crate) use listen::Listen;
pub(crate) use remote::reach;
pub(crate) use served::serve;
pub(crate) use token::TOKEN;

use crate::config::cache::redacted;
use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::store::Lies;

/// The socket of a project.
const SOCKET: &str = "control.sock";

/// Where the process that holds the state listens: in the project's own directory, or beside a store that lies
/// elsewhere.
pub(crate) fn place(context: &Context) -> PathBuf {
    let own = context.place.own();
    match &context.store {
        Lies::Here(path) if *path != own.join("store") => {
            let mut name = path.file_name().unwrap_or_default().to_os_string();
            name.push(".sock");
            path.with_file_name(name)
        }
        _ => own.join(SOCKET),
    }
}

/// What tells one state from another, without secrets.
fn identity(context: &Context) -> String {
    match &context.store {
        Lies::Here(path) => path.canonicalize().unwrap_or_else(|_| path.clone()).display().to_string(),
        Lies::Remote(remote) => remote.url(),
        Lies::Shared(redis) if redis.prefix.is_empty() => redacted(&redis.url),
        Lies::Shared(redis) => format!("{} with prefix {}", redacted(&redis.url), redis.prefix),
    }
}

/// A cache of the process that holds the store, which goes on with the store itself when that process has ended.
pub(crate) fn outliving(holder: Arc<dyn Cache>, context: &Context) -> Arc<dyn Cache> {
    Arc::new(Joined::new(holder, context))
}

/// The state through the process that holds it; `None` when nobody is there who does.
pub(crate) async fn join(context: &Context) -> Result<Option<(Arc<dyn Cache>, About)>, CliError> {
    let path = place(context);
    if path.symlink_metadata().is_err() {
        return Ok(None);
    }
    match HttpCache::connect(Address::Socket(path.clone())).await {
        Ok((cache, about)) if about.store == identity(context) => Ok(Some((Arc::new(cache), about))),
        // It holds another state, and says nothing about this one.
        Ok(_) => Ok(None),
        // A process that was killed left its socket.
        Err(ConnectError::Absent { .. }) => Ok(None),
        Err(error @ ConnectError::Version { .. }) => Err(CliError::new(Kind::Busy, chain(&error))
            .hint("use the same version of downbeat for all processes of a project")),
        Err(error) => Err(CliError::new(Kind::Busy, chain(&error))
            .hint(format!("see who listens there: `ss -xlp src {}`", path.display()))),
    }
}
