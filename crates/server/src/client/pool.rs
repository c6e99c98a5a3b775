//! Connections that are kept open: one for each call at a time.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::response::Parts;
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use secrecy::ExposeSecret;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::Address;
use crate::serve::HEAD_TIME;
use crate::socket;

/// The most connections that wait for calls.
const MAX_IDLE: usize = 256;

/// A connection that was idle for so long is not used again: the server may be about to close it.
const FRESH: Duration = HEAD_TIME.saturating_sub(Duration::from_secs(10));

/// The largest answer in bytes.
const MAX_ANSWER: usize = 512 * 1024 * 1024;

/// How long connecting may take.
const CONNECT_TIME: Duration = Duration::from_secs(5);

/// The name that each machine has for itself.
const LOCALHOST: &str = "localhost";

/// What is asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    /// JSON.
    pub(super) body: Option<Bytes>,
    /// How long the answer may take.
    pub(super) within: Duration,
}

/// Nobody answered.
#[derive(Debug)]
pub(super) struct Broken {
    /// Why.
    pub(super) source: Box<dyn Error + Send + Sync>,
    /// Whether the request may have arrived.
    pub(super) sent: bool,
}

impl Broken {
    fn before(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into(), sent: false }
    }

    fn after(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { source: source.into(), sent: true }
    }
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// Under which name the server is asked.
    host: HeaderValue,
    used: Instant,
}

/// Connections to one server.
#[derive(Debug, Clone)]
pub(super) struct Pool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    address: Address,
    authorization: Option<HeaderValue>,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    pub(super) fn new(address: Address) -> Self {
        let token = match &address {
            Address::Socket(_) => None,
            Address::Tcp { token, .. } => token.as_ref(),
        };
        let authorization = token.and_then(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Self(Arc::new(Inner { address, authorization, idle: Mutex::new(Vec::new()) }))
    }

    pub(super) fn address(&self) -> &Address {
        &self.0.address
    }

    /// Asks and reads the whole answer. A kept connection that turns out to be closed is replaced by a new one,
    /// once, if the request did not arrive or `repeatable` says that this does not matter.
    pub(super) async fn exchange(&self, asked: Asked, repeatable: bool) -> Result<(Parts, Bytes), Broken> {
        if let Some(kept) = self.kept() {
            match self.through(kept, &asked).await {
                Err(broken) if repeatable || !broken.sent => {
                    // The others go back to the same server, which has closed them too.
                    self.lock().clear();
                }
                answered => return answered,
            }
        }
        let fresh = self.connect().await?;
        self.through(fresh, &asked).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept(&self) -> Option<Connection> {
        let mut idle = self.lock();
        while let Some(connection) = idle.pop() {
            if connection.sender.is_ready() && connection.used.elapsed() < FRESH {
                return Some(connection);
            }
        }
        None
    }

    async fn through(&self, mut connection: Connection, asked: &Asked) -> Result<(Parts, Bytes), Broken> {
        let request = self.request(asked, connection.host.clone())?;
        let answer = async {
            let response = connection.sender.try_send_request(request).await.map_err(|mut error| {
                let unsent = error.take_message().is_some();
                Broken { source: error.into_error().into(), sent: !unsent }
            })?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(Broken::after)?;
            Ok((parts, body.to_bytes()))
        };
        let answer = tokio::time::timeout(asked.within, answer).await.map_err(|_| {
            Broken::after(io::Error::new(io::ErrorKind::TimedOut, "no answer within its time"))
        })??;
        // The connection is done with this exchange, but may take a moment to know.
        if connection.sender.ready().await.is_ok() {
            connection.used = Instant::now();
            let mut idle = self.lock();
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        }
        Ok(answer)
    }

    fn request(&self, asked: &Asked, host: HeaderValue) -> Result<Request<Full<Bytes>>, Broken> {
        let mut request = Request::builder()
            .method(&asked.method)
            .uri(&asked.target)
            .body(Full::new(asked.body.clone().unwrap_or_default()))
            .map_err(Broken::before)?;
        let headers = request.headers_mut();
        headers.insert(HOST, host);
        if asked.body.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(authorization) = &self.0.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }

    async fn connect(&self) -> Result<Connection, Broken> {
        let connected = async {
            match &self.0.address {
                Address::Socket(path) => {
                    let stream = socket::connect(path).await.map_err(Broken::before)?;
                    shake(stream, HeaderValue::from_static(LOCALHOST)).await
                }
                Address::Tcp { authority, .. } => {
                    let stream = TcpStream::connect(authority).await.map_err(Broken::before)?;
                    let _ = stream.set_nodelay(true);
                    let reached = stream.peer_addr().map_err(Broken::before)?;
                    shake(stream, host(authority, reached)).await
                }
            }
        };
        let late = |_| Broken::before(io::Error::new(io::ErrorKind::TimedOut, "connecting takes too long"));
        tokio::time::timeout(CONNECT_TIME, connected).await.map_err(late)?
    }
}

/// Under which name a server is asked that was reached at an address.
///
/// A server answers to literal addresses and `localhost` only, because a browser that was led to it by a name
/// (DNS rebinding) says that name. Whoever asks here looked the name up, and says what came of it.
fn host(authority: &str, reached: SocketAddr) -> HeaderValue {
    let name = authority.rsplit_once(':').map_or(authority, |(name, _)| name);
    let answered = name.eq_ignore_ascii_case(LOCALHOST) || authority.parse::<SocketAddr>().is_ok();
    let host = if answered { authority.to_owned() } else { reached.to_string() };
    HeaderValue::from_str(&host).unwrap_or_else(|_| HeaderValue::from_static(LOCALHOST))
}

async fn shake<I>(stream: I, host: HeaderValue) -> Result<Connection, Broken>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(Broken::before)?;
    // Ends when the sender is dropped, or the server closes.
    tokio::spawn(connection);
    Ok(Connection { sender, host, used: Instant::now() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_asked_under_a_name_that_it_answers_to() {
        let reached = "10.0.0.7:8003".parse().unwrap();
        for (authority, said) in [
            ("localhost:8003", "localhost:8003"),
            ("127.0.0.1:8003", "127.0.0.1:8003"),
            ("[::1]:8003", "[::1]:8003"),
            ("orchestrator.lan:8003", "10.0.0.7:8003"),
        ] {
            assert_eq!(host(authority, reached), said);
        }
    }
}
