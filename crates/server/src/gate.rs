//! Who may ask: the user of a Unix socket, and over TCP who is on this machine and has the token.

use std::net::{IpAddr, SocketAddr};

use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, HOST, ORIGIN};
use http::{HeaderMap, HeaderName};
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

use crate::problem::{Problem, problem};

/// What browsers say about where a request comes from.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Who may ask.
#[derive(Debug)]
pub(crate) enum Gate {
    /// The user that serves, and root.
    Open,
    /// Nobody: another user has found the socket.
    Shut,
    /// Over TCP.
    Tcp {
        /// The address that is listened at.
        address: SocketAddr,
        /// What has to be known.
        token: Option<SecretString>,
    },
}

impl Gate {
    /// Whether a request may pass.
    ///
    /// # Errors
    ///
    /// The answer that it gets instead.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Box<Response>> {
        self.judge(headers).map_err(|problem| Box::new(problem.into_response()))
    }

    fn judge(&self, headers: &HeaderMap) -> Result<(), Problem> {
        let (address, token) = match self {
            Self::Open => return Ok(()),
            Self::Shut => return Err(problem("foreign_user", "this socket is another user's")),
            Self::Tcp { address, token } => (address, token),
        };
        let host = only(headers, &HOST).unwrap_or_default();
        // A page whose name was made to lead here (DNS rebinding) asks under its own name.
        if !is_here(host, *address) {
            return Err(problem("foreign_host", "ask under `localhost` or the address of this machine"));
        }
        let cross = |detail: &str| problem("cross_origin", detail);
        if headers.contains_key(ORIGIN) && only(headers, &ORIGIN) != Some(format!("http://{host}").as_str()) {
            return Err(cross("pages of other origins have no business here"));
        }
        if headers
            .get(SEC_FETCH_SITE)
            .is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
        {
            return Err(cross("pages of other sites have no business here"));
        }
        match token {
            Some(token) if !is_known(headers, token) => {
                Err(problem("unauthorized", "send the token: `Authorization: Bearer TOKEN`"))
            }
            _ => Ok(()),
        }
    }
}

/// The only value of a header; `None` when there is none, or several.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    values.next().filter(|_| values.next().is_none()).and_then(|value| value.to_str().ok())
}

/// Whether a `Host` means this machine without asking anybody: a literal address, or the name that each machine
/// has for itself.
fn is_here(host: &str, listens: SocketAddr) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    match name.parse::<IpAddr>() {
        Ok(address) if listens.ip().is_loopback() => address.is_loopback(),
        Ok(_) => true,
        Err(_) => name.eq_ignore_ascii_case("localhost"),
    }
}

/// Compared in a time that says nothing about where they differ.
fn is_known(headers: &HeaderMap, token: &SecretString) -> bool {
    let sent = only(headers, &AUTHORIZATION).unwrap_or_default();
    let sent = match sent.split_at_checked("Bearer ".len()) {
        Some((scheme, sent)) if scheme.eq_ignore_ascii_case("Bearer ") => sent.trim(),
        _ => return false,
    };
    sent.as_bytes().ct_eq(token.expose_secret().as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(gate: &Gate, headers: &[(&str, &str)]) -> String {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_bytes(name.as_bytes()).unwrap(), value.parse().unwrap()));
        match gate.judge(&headers.collect()) {
            Ok(()) => "ok".to_owned(),
            Err(problem) => problem.code,
        }
    }

    fn tcp(address: &str, token: Option<&str>) -> Gate {
        Gate::Tcp { address: address.parse().unwrap(), token: token.map(|token| token.to_owned().into()) }
    }

    #[test]
    fn only_names_of_this_machine_are_answered() {
        let gate = tcp("127.0.0.1:8003", None);
        for host in ["localhost:8003", "127.0.0.1:8003", "[::1]:8003", "LOCALHOST"] {
            assert_eq!(judged(&gate, &[("host", host)]), "ok", "{host}");
        }
        for host in ["evil.example", "localhost.evil.example:8003", "10.0.0.1", "", "127.0.0.1.evil.example"]
        {
            assert_eq!(judged(&gate, &[("host", host)]), "foreign_host", "{host}");
        }
        assert_eq!(judged(&gate, &[]), "foreign_host");
        assert_eq!(judged(&gate, &[("host", "localhost"), ("host", "evil.example")]), "foreign_host");
    }

    #[test]
    fn pages_of_other_origins_are_refused() {
        let gate = tcp("127.0.0.1:8003", None);
        let host = ("host", "localhost:8003");
        assert_eq!(judged(&gate, &[host, ("origin", "http://localhost:8003")]), "ok");
        for origin in ["http://evil.example", "null", "https://localhost:8003", "http://localhost:9"] {
            assert_eq!(judged(&gate, &[host, ("origin", origin)]), "cross_origin", "{origin}");
        }
        assert_eq!(judged(&gate, &[host, ("sec-fetch-site", "cross-site")]), "cross_origin");
        assert_eq!(judged(&gate, &[host, ("sec-fetch-site", "none")]), "ok");
    }

    #[test]
    fn a_token_is_asked_for_whole() {
        let gate = tcp("0.0.0.0:8003", Some("secret"));
        let host = ("host", "10.0.0.1:8003");
        assert_eq!(judged(&gate, &[host, ("authorization", "Bearer secret")]), "ok");
        for sent in ["Bearer secre", "Bearer secretx", "secret", "Basic secret", "Bearer ", "Bea"] {
            assert_eq!(judged(&gate, &[host, ("authorization", sent)]), "unauthorized", "{sent}");
        }
        assert_eq!(judged(&gate, &[host]), "unauthorized");
        assert_eq!(
            judged(&gate, &[("host", "evil.example"), ("authorization", "Bearer secret")]),
            "foreign_host"
        );
    }
}
