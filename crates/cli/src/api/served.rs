//! The API of this process, from the moment that it holds the state until its end.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Cache, Liveness, Topic, events_stream};
use downbeat_server::{About, ControlSocket, ListenError, Server, SocketError};
use tokio::time::Instant;
use tracing::{info, warn};

use super::token::{TOKEN, token};
use super::{Listen, identity, place};
use crate::context::Context;
use crate::error::{CliError, chain};

/// How long agents of other processes are given to see that all goals rest.
const FAREWELL: Duration = Duration::from_secs(3);

/// The API of this process.
#[derive(Debug)]
pub(crate) struct Served {
    server: Server,
    cache: Arc<dyn Cache>,
    /// Where it is reached, each as a person reads it.
    pub(crate) at: Vec<String>,
}

/// Serves the state to other processes: at the project's socket, and over TCP if that is asked for.
///
/// A socket that cannot be made is warned of: the work itself does not need it.
///
/// # Errors
///
/// What was asked for cannot be had: an address, or a token.
pub(crate) async fn serve(
    context: &Context,
    cache: &Arc<dyn Cache>,
    role: &str,
    listen: &Listen,
) -> Result<Served, CliError> {
    let (address, token) = (listen.address()?, token(context.token_file().as_deref())?);
    let about = About::new(role, &identity(context));
    let server = Server::new(Arc::clone(cache), Arc::clone(&context.clock), about);
    let path = place(context);
    if let Some(directory) = path.parent().filter(|directory| *directory == context.place.own()) {
        keep_to_oneself(directory);
    }
    let mut at = Vec::new();
    match ControlSocket::bind(&path) {
        Ok(socket) => {
            at.push(path.display().to_string());
            server.open_socket(socket);
        }
        Err(SocketError::Busy { .. }) if context.is_shared() => {
            info!(target: "server", "Another process of this project answers at {}", path.display());
        }
        Err(error) => {
            context.out.warning(format!("other commands cannot ask this process: {}", chain(&error)));
        }
    }
    if let Some(address) = address {
        let open = token.is_none();
        let address = server.open_tcp(address, token).await.map_err(|error| refused(&error))?;
        at.push(format!("http://{address}"));
        info!(target: "server", "The API is at http://{address}");
        if open {
            warn!(target: "server", "Every user of this machine can use http://{address}: `--token-file` asks \
                for a token");
        }
    }
    Ok(Served { server, cache: Arc::clone(cache), at })
}

impl Served {
    /// Ends the API. `at_rest` says that nothing is left to do: agents of other processes are then given a
    /// moment to see it.
    pub(crate) async fn end(self, at_rest: bool) {
        if at_rest {
            let _ = tokio::time::timeout(FAREWELL, self.farewell()).await;
        }
        self.server.stop().await;
    }

    async fn farewell(&self) {
        let until = Instant::now() + FAREWELL;
        let topic = Topic::Stream(events_stream());
        loop {
            let Ok(seen) = self.cache.changed(&topic, u64::MAX, Duration::ZERO).await else { return };
            match self.cache.agents().await {
                Ok(agents) if agents.iter().any(|agent| agent.liveness == Liveness::Alive) => {}
                _ => return,
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.cache.changed(&topic, seen, left).await.is_err() {
                return;
            }
        }
    }
}

/// Takes write permission on a directory of ours from other users, who could put a socket of theirs there.
fn keep_to_oneself(directory: &Path) {
    if let Ok(known) = directory.metadata()
        && known.mode() & 0o022 != 0
        && known.uid() == nix::unistd::geteuid().as_raw()
    {
        let mode = std::fs::Permissions::from_mode(known.mode() & 0o7755);
        // The socket is refused, with the reason, if this did not help.
        let _ = std::fs::set_permissions(directory, mode);
    }
}

fn refused(error: &ListenError) -> CliError {
    let refused = CliError::bad_input(chain(error));
    match error {
        ListenError::TokenNeeded { .. } => {
            refused.hint(format!("`--token-file FILE`, or ${TOKEN}; `openssl rand -hex 32` makes one"))
        }
        ListenError::WeakToken => refused.hint("`openssl rand -hex 32` makes one"),
        _ => refused,
    }
}
