//! Where the API is listened at over TCP.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use clap::Args;

use crate::error::CliError;

/// The port without another one.
const PORT: u16 = 8003;

/// The variable of the environment that asks for a port, as earlier tools have it.
const PORT_VARIABLE: &str = "AGENT_ORCHESTRATOR_PORT";

/// Where the API is reached, beside the project's socket.
#[derive(Debug, Default, Args)]
pub(crate) struct Listen {
    /// Serve the API over TCP, too: ADDRESS, PORT or ADDRESS:PORT; other machines need a token [default:
    /// 127.0.0.1:8003, or `$AGENT_ORCHESTRATOR_PORT`]
    #[arg(long, value_name = "ADDRESS", num_args = 0..=1, require_equals = true, default_missing_value = "",
        help_heading = "The API")]
    listen: Option<String>,
}

impl Listen {
    /// The address to listen at, if any.
    ///
    /// # Errors
    ///
    /// What was given is no address.
    pub(super) fn address(&self) -> Result<Option<SocketAddr>, CliError> {
        let port = std::env::var(PORT_VARIABLE).ok().filter(|port| !port.is_empty());
        match (&self.listen, port) {
            (Some(said), None) => parse(said, PORT, "--listen").map(Some),
            (Some(said), Some(port)) => {
                let port = parse(&port, PORT, PORT_VARIABLE)?.port();
                parse(said, port, "--listen").map(Some)
            }
            (None, Some(port)) => parse(&port, PORT, PORT_VARIABLE).map(Some),
            (None, None) => Ok(None),
        }
    }
}

fn parse(said: &str, port: u16, from: &str) -> Result<SocketAddr, CliError> {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let local = match said.strip_prefix("localhost") {
        Some(rest) => format!("127.0.0.1{rest}"),
        None => said.to_owned(),
    };
    let found = match local.as_str() {
        "" => Some(SocketAddr::new(loopback, port)),
        text => {
            (text.parse().ok()).or_else(|| text.parse().ok().map(|ip| SocketAddr::new(ip, port))).or_else(
                || text.trim_start_matches(':').parse().ok().map(|port| SocketAddr::new(loopback, port)),
            )
        }
    };
    found.ok_or_else(|| {
        CliError::bad_input(format!("{from} is no address: `{said}`"))
            .hint("for example `8003`, `127.0.0.1:8003` or `[::1]:8003`; names are not looked up")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_on_this_machine_unless_said() {
        for (said, address) in [
            ("", "127.0.0.1:8003"),
            ("9000", "127.0.0.1:9000"),
            (":9000", "127.0.0.1:9000"),
            ("localhost", "127.0.0.1:8003"),
            ("localhost:1", "127.0.0.1:1"),
            ("0.0.0.0", "0.0.0.0:8003"),
            ("::1", "[::1]:8003"),
            ("[::1]:7", "[::1]:7"),
        ] {
            assert_eq!(parse(said, PORT, "x").unwrap().to_string(), address, "{said}");
        }
        for said in ["example.org", "70000", "1.2.3.4:x", "-1"] {
            assert!(parse(said, PORT, "x").is_err(), "{said}");
        }
    }
}
