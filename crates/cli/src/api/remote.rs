//! The state through a process that serves it over TCP, on this machine or another.

use std::time::Duration;

use downbeat_server::client::ConnectError;
use downbeat_server::{About, Address, HttpCache};

use tokio::time::Instant;

use super::token::{TOKEN, token};
use crate::config::cache::Http;
use crate::error::{CliError, Kind, chain};
use crate::store::BETWEEN;

/// Connects to the process that serves the state at an address. One that is not there yet is waited for, `patience`
/// long.
///
/// # Errors
///
/// Nobody answers, somebody who is no Downbeat, or one that does not let this process in or speaks another
/// version; the token cannot be read.
pub(crate) async fn reach(remote: &Http, patience: Duration) -> Result<(HttpCache, About), CliError> {
    let token = token(remote.token_file.as_deref())?;
    let has_token = token.is_some();
    let address = Address::Tcp { authority: remote.authority.clone(), token };
    let until = Instant::now() + patience;
    loop {
        match HttpCache::connect(address.clone()).await {
            Err(ConnectError::Absent { .. }) if Instant::now() < until => tokio::time::sleep(BETWEEN).await,
            connected => return connected.map_err(|error| refused(&error, has_token)),
        }
    }
}

/// Why a server will not do, and what to do about it.
fn refused(error: &ConnectError, has_token: bool) -> CliError {
    let failed = CliError::new(Kind::Unreachable, chain(error));
    match error {
        ConnectError::Absent { .. } => {
            failed.hint("`downbeat orchestrator --listen`, and `run` and `serve` with it, answer over TCP")
        }
        ConnectError::Refused { code, .. } if code == "unauthorized" => {
            let what = if has_token { "another token is wanted" } else { "a token is wanted" };
            failed.hint(format!("{what}: it comes from `--token-file` or ${TOKEN}"))
        }
        ConnectError::Refused { code, .. } if code == "foreign_host" => failed
            .hint("it listens for its own machine only: `--listen=0.0.0.0` there is for others, with a token")
            .hint("`ssh -L 8003:127.0.0.1:8003 HOST` makes a tunnel; ask at `http://127.0.0.1:8003` then"),
        ConnectError::Version { .. } => {
            failed.hint("use the same version of downbeat for all processes of a project")
        }
        _ => failed.hint("an address is `http://HOST:PORT` as `--listen` says it at the other end"),
    }
}
