//! [`HttpCache`]: the cache at the other end of the API.

mod pool;
mod verbs;

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use downbeat_core::backoff::Backoff;
use downbeat_core::cache::CacheError;
use downbeat_runtime::entropy;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tokio::time::Instant;

use crate::operation::{Operation, fill};
use crate::operations::service::GetAbout;
use crate::problem::{PROBLEM_JSON, Problem, problem};
use crate::service::{API_VERSION, About};
use pool::{Asked, Broken, Pool};

/// Between two tries to reach a server.
const BETWEEN: Backoff = Backoff { base: Duration::from_millis(20), ceiling: Duration::from_millis(500) };

/// How long an answer may take, beyond what was asked to wait for.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// The problem of an answer that no Downbeat gave, or one of another version.
const NOT_OURS: &str = "failed";

/// Where a server is.
#[derive(Clone)]
pub enum Address {
    /// At a Unix socket.
    Socket(PathBuf),
    /// At `host:port`.
    Tcp {
        /// The host and the port.
        authority: String,
        /// What the server wants to be told.
        token: Option<SecretString>,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(path) => path.display().fmt(f),
            Self::Tcp { authority, .. } => write!(f, "http://{authority}"),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a server cannot be worked with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// Nobody answers.
    #[error("nobody answers at {address}")]
    Absent {
        /// Where.
        address: Address,
        /// How.
        #[source]
        source: std::io::Error,
    },
    /// Somebody answers who is no Downbeat.
    #[error("what answers at {address} cannot be worked with: {reason}")]
    Foreign {
        /// Where.
        address: Address,
        /// Why.
        reason: String,
    },
    /// A Downbeat answers, and does not let this one in.
    #[error("{address} refuses to be asked: {reason}")]
    Refused {
        /// Where.
        address: Address,
        /// Which problem, as in the document of the API: `unauthorized`, `foreign_host`, ….
        code: String,
        /// Its words for it.
        reason: String,
    },
    /// The other program is of a version that this one does not know.
    #[error("{address} speaks version {theirs} of the API, this program version {API_VERSION}")]
    Version {
        /// Where.
        address: Address,
        /// Its version.
        theirs: u32,
    },
}

/// A [`Cache`](downbeat_core::cache::Cache) that another process has, over its API. Clones share its
/// connections, of which there are as many as there are calls at once.
///
/// A call whose connection breaks is made again, within its patience: requests are recognised by their ids, so
/// that a lost answer has one effect. Beyond that it is [`CacheError::Unavailable`].
#[derive(Debug, Clone)]
pub struct HttpCache {
    pool: Pool,
    patience: Duration,
}

impl HttpCache {
    /// The cache at an address, without asking anybody.
    #[must_use]
    pub fn new(address: Address) -> Self {
        Self { pool: Pool::new(address), patience: Duration::from_secs(1) }
    }

    /// Waits for this long for a server that is away, in each call; one second without it.
    #[must_use]
    pub const fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Connects, and makes sure that there is somebody who can be worked with.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(address: Address) -> Result<(Self, About), ConnectError> {
        let cache = Self::new(address.clone()).with_patience(Duration::ZERO);
        let about = match cache.ask::<GetAbout>(&Ask::new()).await {
            Ok(about) => about,
            Err(Failed::Broken(Broken { source, sent: false })) => {
                return Err(match source.downcast::<std::io::Error>() {
                    Ok(source) if source.kind() != std::io::ErrorKind::PermissionDenied => {
                        ConnectError::Absent { address, source: *source }
                    }
                    Ok(source) => ConnectError::Foreign { address, reason: source.to_string() },
                    Err(source) => ConnectError::Foreign { address, reason: source.to_string() },
                });
            }
            Err(Failed::Broken(Broken { source, .. })) => {
                return Err(ConnectError::Foreign { address, reason: source.to_string() });
            }
            Err(Failed::Refused(problem)) if problem.code == NOT_OURS => {
                return Err(ConnectError::Foreign { address, reason: problem.detail });
            }
            Err(Failed::Refused(problem)) => {
                let (code, reason) = (problem.code, problem.detail);
                return Err(ConnectError::Refused { address, code, reason });
            }
        };
        if about.service != "downbeat" {
            let reason = "it is another service".to_owned();
            return Err(ConnectError::Foreign { address, reason });
        }
        if about.api != API_VERSION {
            return Err(ConnectError::Version { address, theirs: about.api });
        }
        Ok((Self::new(address), about))
    }

    /// Where the server is.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.pool.address()
    }

    /// Asks for an operation, again and again within patience while nobody answers.
    async fn call<O: Operation>(&self, ask: Ask<'_, O>) -> Result<O::Answer, CacheError>
    where
        O::Answer: DeserializeOwned,
    {
        self.tried(&ask).await.map_err(Problem::into_error)
    }

    /// As [`call`](Self::call); what a cache answers with nothing is `None`.
    async fn find<O: Operation>(&self, absent: &str, ask: Ask<'_, O>) -> Result<Option<O::Answer>, CacheError>
    where
        O::Answer: DeserializeOwned,
    {
        match self.tried(&ask).await {
            Ok(found) => Ok(Some(found)),
            Err(problem) if problem.code == absent => Ok(None),
            Err(problem) => Err(problem.into_error()),
        }
    }

    async fn tried<O: Operation>(&self, ask: &Ask<'_, O>) -> Result<O::Answer, Problem>
    where
        O::Answer: DeserializeOwned,
    {
        let mut begun: Option<Instant> = None;
        let mut tries = std::num::NonZeroU32::MIN;
        loop {
            let broken = match self.ask(ask).await {
                Ok(answer) => return Ok(answer),
                Err(Failed::Refused(problem)) => return Err(problem),
                Err(Failed::Broken(broken)) => broken,
            };
            let since = *begun.get_or_insert_with(Instant::now);
            let wait = BETWEEN.delay(tries, entropy::draw()).max(BETWEEN.base / 4);
            // What was sent and cannot be recognised is not sent again: whoever asked has to look.
            let again = ask.repeatable || !broken.sent;
            if !again || since.elapsed() + wait > self.patience {
                let reason = format!("{}: {}", self.address(), broken.source);
                return Err(CacheError::Unavailable { reason, source: None }.into());
            }
            tokio::time::sleep(wait).await;
            tries = tries.saturating_add(1);
        }
    }

    async fn ask<O: Operation>(&self, ask: &Ask<'_, O>) -> Result<O::Answer, Failed>
    where
        O::Answer: DeserializeOwned,
    {
        let unfit =
            |what: &str, error: String| Failed::Refused(problem(NOT_OURS, format!("{what}: {error}")));
        let mut target = fill(O::PATH, &ask.path);
        let query = serde_urlencoded::to_string(&ask.query)
            .map_err(|error| unfit("the request cannot be written", error.to_string()))?;
        if !query.is_empty() {
            target.push('?');
            target.push_str(&query);
        }
        let body = match &ask.body {
            Some(body) => body(),
            None => Ok(Bytes::new()),
        };
        let body = body.map_err(|error| unfit("the request cannot be written", error.to_string()))?;
        let asked = Asked {
            method: O::VERB.method(),
            target,
            body: O::VERB.has_body().then_some(body),
            within: ANSWER_TIME + ask.wait,
        };
        let (parts, bytes) = self.pool.exchange(asked, ask.repeatable).await.map_err(Failed::Broken)?;
        if parts.status == StatusCode::OK {
            return serde_json::from_slice(&bytes).map_err(|error| {
                unfit("the answer is no Downbeat's, or another version's", error.to_string())
            });
        }
        let told = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == PROBLEM_JSON);
        let read = told.then(|| serde_json::from_slice(&bytes).ok()).flatten();
        Err(Failed::Refused(
            read.and_then(|read| Problem::from_json(parts.status, &read)).unwrap_or_else(|| {
                problem(NOT_OURS, format!("it answered {} without a reason", parts.status))
            }),
        ))
    }
}

/// What became of a request that was not answered as it should.
#[derive(Debug)]
enum Failed {
    /// Nobody answered.
    Broken(Broken),
    /// It was answered with a problem.
    Refused(Problem),
}

/// Writes a body.
type Body<'a> = Box<dyn Fn() -> Result<Bytes, serde_json::Error> + Send + Sync + 'a>;

/// A request for an operation.
struct Ask<'a, O: Operation> {
    path: O::Path,
    query: O::Query,
    body: Option<Body<'a>>,
    /// Whether asking twice is asking once.
    repeatable: bool,
    /// How long the server is asked to wait.
    wait: Duration,
}

impl<O: Operation> Ask<'_, O>
where
    O::Path: Default,
    O::Query: Default,
{
    fn new() -> Self {
        Self::at(O::Path::default())
    }
}

impl<'a, O: Operation> Ask<'a, O> {
    fn at(path: O::Path) -> Self
    where
        O::Query: Default,
    {
        Self::with(path, O::Query::default())
    }

    fn with(path: O::Path, query: O::Query) -> Self {
        Self { path, query, body: None, repeatable: true, wait: Duration::ZERO }
    }

    /// Sends `body`: the operation's own, or what is written alike.
    fn body<B: serde::Serialize + Sync + ?Sized>(mut self, body: &'a B) -> Self {
        self.body = Some(Box::new(move || serde_json::to_vec(body).map(Bytes::from)));
        self
    }

    /// Only once, when it may have arrived.
    fn once(mut self) -> Self {
        self.repeatable = false;
        self
    }

    fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}
