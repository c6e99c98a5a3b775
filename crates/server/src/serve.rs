//! The service at its doors: connections within bounds, and an end that no open stream holds up.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use downbeat_core::cache::Cache;
use downbeat_core::time::Clock;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower_service::Service as _;
use tracing::{debug, warn};

use crate::gate::Gate;
use crate::metrics::Meters;
use crate::router::router;
use crate::service::{About, Service};
use crate::socket::{ControlSocket, is_own};

/// How many connections are open at once; more wait until one closes.
const MAX_CONNECTIONS: usize = 1_024;

/// How long a connection may be silent, and how long the head of a request may take.
pub(crate) const HEAD_TIME: Duration = Duration::from_secs(60);

/// The largest head of a request, and how many headers it may have.
const MAX_HEAD: usize = 64 * 1024;
const MAX_HEADERS: usize = 64;

/// How long answers under way may take once the service ends.
const GRACE: Duration = Duration::from_secs(1);

/// After an accept that failed, such as for want of descriptors.
const BETWEEN_ACCEPTS: Duration = Duration::from_millis(50);

/// The shortest token that is taken: below it guessing is no effort.
const MIN_TOKEN: usize = 16;

/// Why a TCP address cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ListenError {
    /// Anybody who reaches the address could steer.
    #[error("{address} can be reached from other machines: it takes a token")]
    TokenNeeded {
        /// The address.
        address: SocketAddr,
    },
    /// A token that can be guessed.
    #[error("the token has fewer than {MIN_TOKEN} bytes, or some that no header can carry")]
    WeakToken,
    /// The machine refused.
    #[error("cannot listen at {address}")]
    Failed {
        /// The address.
        address: SocketAddr,
        /// How.
        #[source]
        source: io::Error,
    },
}

/// The API of one cache, at any number of doors.
///
/// Dropping it stops accepting; [`Server::stop`] also waits for answers under way.
#[derive(Debug)]
pub struct Server {
    service: Arc<Service>,
    router: Router,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Server {
    /// Serves `cache`. Nobody is let in before a door is opened.
    #[must_use]
    pub fn new(cache: Arc<dyn Cache>, clock: Arc<dyn Clock>, about: About) -> Self {
        let ending = CancellationToken::new();
        let service = Arc::new(Service { cache, clock, about, ending, meters: Meters::default() });
        let router = router(Arc::clone(&service));
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        Self { service, router, permits, tasks: TaskTracker::new() }
    }

    /// Answers at a Unix socket until the server ends.
    pub fn open_socket(&self, socket: ControlSocket) {
        let door = self.door();
        self.tasks.spawn(async move {
            while let Some(permit) = door.permit().await {
                let accepted = tokio::select! {
                    accepted = socket.listener.accept() => accepted,
                    () = door.service.ending.cancelled() => break,
                };
                match accepted {
                    Ok((stream, _)) => {
                        let gate = if is_own(&stream) { Gate::Open } else { Gate::Shut };
                        door.enter(stream, Arc::new(gate), permit);
                    }
                    Err(error) => pause(&error).await,
                }
            }
            drop(socket);
        });
    }

    /// Answers at a TCP address until the server ends. Returns the address, with the port that was given for 0.
    ///
    /// # Errors
    ///
    /// [`ListenError`]: an address that other machines can reach takes a token.
    pub async fn open_tcp(
        &self,
        address: SocketAddr,
        token: Option<SecretString>,
    ) -> Result<SocketAddr, ListenError> {
        if token.is_none() && !address.ip().is_loopback() {
            return Err(ListenError::TokenNeeded { address });
        }
        if let Some(token) = &token {
            let token = token.expose_secret();
            if token.len() < MIN_TOKEN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(ListenError::WeakToken);
            }
        }
        let failed = |source| ListenError::Failed { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let gate = Arc::new(Gate::Tcp { address, token });
        let door = self.door();
        self.tasks.spawn(async move {
            while let Some(permit) = door.permit().await {
                let accepted = tokio::select! {
                    accepted = listener.accept() => accepted,
                    () = door.service.ending.cancelled() => break,
                };
                match accepted {
                    Ok((stream, _)) => {
                        // Answers are written whole: there is nothing to wait for.
                        let _ = stream.set_nodelay(true);
                        door.enter(stream, Arc::clone(&gate), permit);
                    }
                    Err(error) => pause(&error).await,
                }
            }
        });
        Ok(address)
    }

    /// Stops accepting, ends every stream and every wait, and gives answers under way a moment.
    pub async fn stop(self) {
        self.service.ending.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn door(&self) -> Door {
        Door {
            service: Arc::clone(&self.service),
            router: self.router.clone(),
            permits: Arc::clone(&self.permits),
            tasks: self.tasks.clone(),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.service.ending.cancel();
    }
}

async fn pause(error: &io::Error) {
    warn!(target: "server", "Cannot take a connection: {error}");
    tokio::time::sleep(BETWEEN_ACCEPTS).await;
}

/// Where connections come in.
struct Door {
    service: Arc<Service>,
    router: Router,
    permits: Arc<Semaphore>,
    tasks: TaskTracker,
}

impl Door {
    /// Room for one more connection; `None` when the server ends.
    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        tokio::select! {
            permit = Arc::clone(&self.permits).acquire_owned() => permit.ok(),
            () = self.service.ending.cancelled() => None,
        }
    }

    fn enter<I>(&self, stream: I, gate: Arc<Gate>, permit: OwnedSemaphorePermit)
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (service, router) = (Arc::clone(&self.service), self.router.clone());
        self.tasks.spawn(async move {
            service.meters.connections.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = converse(stream, gate, router, &service.ending).await {
                debug!(target: "server", "A connection broke: {error}");
            }
            service.meters.connections.fetch_sub(1, Ordering::Relaxed);
            drop(permit);
        });
    }
}

/// Answers all requests of one connection.
async fn converse<I>(
    stream: I,
    gate: Arc<Gate>,
    router: Router,
    ending: &CancellationToken,
) -> Result<(), hyper::Error>
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request: Request<Incoming>| {
        let refused = gate.check(request.headers());
        let mut router = router.clone();
        async move {
            match refused {
                Err(refused) => Ok(*refused),
                Ok(()) => router.call(request.map(Body::new)).await,
            }
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = ending.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    // What takes longer than this is cut off: its caller repeats it.
    tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
}
