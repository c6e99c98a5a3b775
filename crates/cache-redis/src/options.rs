//! What a cache is opened with.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::StreamLimits;
use downbeat_core::time::Clock;

use crate::connect::ConnectError;

/// The hash tag of a deployment that has no prefix of its own.
const TAG: &str = "downbeat";
/// How long replicas have for their acknowledgement unless said otherwise.
const WAIT_TIMEOUT: Duration = Duration::from_secs(5);

/// How keys are named.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeyLayout {
    /// `<prefix>task:task-001`.
    #[default]
    Plain,
    /// `{<prefix>}:task:task-001`: all keys of a deployment on one node of a Redis Cluster.
    Cluster,
}

/// Where a password is taken from. It is read at each opening of a cache, and never shown.
#[derive(Clone, Default)]
pub enum Password {
    /// The URL's, if it has one.
    #[default]
    Url,
    /// This one.
    Text(String),
    /// The first line of a file.
    File(PathBuf),
    /// What an environment variable of this name says.
    Env(String),
}

impl fmt::Debug for Password {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url => f.write_str("Url"),
            Self::Text(_) => f.write_str("Text(<redacted>)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Env(name) => f.debug_tuple("Env").field(name).finish(),
        }
    }
}

impl Password {
    /// What it is. `None` for what the URL says.
    pub(crate) fn read(&self) -> Result<Option<String>, ConnectError> {
        match self {
            Self::Url => Ok(None),
            Self::Text(password) => Ok(Some(password.clone())),
            Self::File(path) => {
                let text = String::from_utf8(contents(path)?).map_err(|_| {
                    let source = io::Error::new(io::ErrorKind::InvalidData, "it is no text in UTF-8");
                    ConnectError::File { path: path.clone(), source }
                })?;
                Ok(Some(text.lines().next().unwrap_or_default().to_owned()))
            }
            Self::Env(name) => match std::env::var(name) {
                Ok(password) => Ok(Some(password)),
                Err(_) => Err(ConnectError::Env { name: name.clone() }),
            },
        }
    }
}

/// A password or a certificate has at most so many bytes.
const MOST: u64 = 1 << 20;

/// All of a file that an option names, which may be a pipe.
pub(crate) fn contents(path: &Path) -> Result<Vec<u8>, ConnectError> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST + 1).read_to_end(&mut bytes));
    let read = read.and_then(|read| match u64::try_from(read) {
        Ok(0..=MOST) => Ok(bytes),
        _ => Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {MOST} bytes"))),
    });
    read.map_err(|source| ConnectError::File { path: path.to_path_buf(), source })
}

/// What `rediss://` trusts, and what it shows. All files are PEM.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// Whose certificates are trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// This client's certificate, if the server asks for one.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
}

/// Where a cache is, and how it is reached.
#[derive(Clone)]
pub struct Options {
    /// One of
    ///
    /// - `redis://[user:password@]host[:port][/database]`, with TLS `rediss://…`
    /// - `redis+unix:///path[?db=…&user=…&pass=…]`
    /// - `redis+sentinel://[user:password@]host[:port][,…]/master[/database]`, with TLS
    ///   `rediss+sentinel://…`; user and password are the server's
    /// - `redis+cluster://[user:password@]host[:port][,…]`, with TLS `rediss+cluster://…`; it implies
    ///   [`KeyLayout::Cluster`]
    pub url: String,
    /// Who logs in; `None` for the URL's user, or else the server's default one.
    pub user: Option<String>,
    /// With which password.
    pub password: Password,
    /// Who logs in at sentinels, if they ask.
    pub sentinel_user: Option<String>,
    /// With which password; [`Password::Url`] for none.
    pub sentinel_password: Password,
    /// For URLs with TLS.
    pub tls: Tls,
    /// Begins every key, so that several deployments share a server. Empty for none.
    pub prefix: String,
    /// How keys are named.
    pub layout: KeyLayout,
    /// Whether a server that evicts keys when its memory is full will do. What it evicts is lost.
    pub allow_eviction: bool,
    /// How many entries streams keep. Those of the newest connection hold for the whole deployment.
    pub limits: StreamLimits,
    /// How many replicas have to acknowledge `plan`, `amend`, `settle`, `append` and `store_if`. With 0
    /// the master's word will do, and a fail-over may lose what it said last.
    pub wait_replicas: u32,
    /// For how long they are waited for; at most 8 seconds.
    pub wait_timeout: Duration,
    /// Only for tests: the time, in place of the server's.
    pub clock: Option<Arc<dyn Clock>>,
}

impl Options {
    /// A deployment of its own at `url`.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            user: None,
            password: Password::Url,
            sentinel_user: None,
            sentinel_password: Password::Url,
            tls: Tls::default(),
            prefix: String::new(),
            layout: KeyLayout::Plain,
            allow_eviction: false,
            limits: StreamLimits::default(),
            wait_replicas: 0,
            wait_timeout: WAIT_TIMEOUT,
            clock: None,
        }
    }

    /// Whether keys are named for a cluster, by option or by URL.
    pub(crate) fn is_cluster(&self) -> bool {
        let scheme = self.url.split("://").next().unwrap_or_default();
        self.layout == KeyLayout::Cluster || scheme.ends_with("+cluster")
    }

    /// What every key begins with.
    pub(crate) fn key_prefix(&self) -> String {
        if !self.is_cluster() || has_tag(&self.prefix) {
            return self.prefix.clone();
        }
        let tag = self.prefix.trim_end_matches(':');
        format!("{{{}}}:", if tag.is_empty() { TAG } else { tag })
    }
}

/// Whether a cluster hashes only a part of the key: what stands between the first braces.
fn has_tag(prefix: &str) -> bool {
    prefix.split_once('{').and_then(|(_, rest)| rest.split_once('}')).is_some_and(|(tag, _)| !tag.is_empty())
}

impl fmt::Debug for Options {
    /// Without the URL, which may carry a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("user", &self.user)
            .field("password", &self.password)
            .field("tls", &self.tls)
            .field("prefix", &self.prefix)
            .field("layout", &self.layout)
            .field("wait_replicas", &self.wait_replicas)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_on_a_cluster_has_one_hash_tag() {
        let prefix = |url: &str, prefix: &str, layout| {
            Options { prefix: prefix.to_owned(), layout, ..Options::new(url) }.key_prefix()
        };
        assert_eq!(prefix("redis://h", "", KeyLayout::Plain), "");
        assert_eq!(prefix("redis://h", "x:", KeyLayout::Plain), "x:");
        assert_eq!(prefix("redis://h", "", KeyLayout::Cluster), "{downbeat}:");
        assert_eq!(prefix("redis+cluster://h", "x:", KeyLayout::Plain), "{x}:");
        assert_eq!(prefix("redis+cluster://h", "a{x}b:", KeyLayout::Plain), "a{x}b:");
        assert_eq!(prefix("redis+cluster://h", "{}:", KeyLayout::Plain), "{{}}:");
    }

    #[test]
    fn no_password_is_shown() {
        let options = Options {
            password: Password::Text("secret-a".to_owned()),
            sentinel_password: Password::Text("secret-b".to_owned()),
            ..Options::new("redis://user:secret-c@host/")
        };
        assert!(!format!("{options:?}").contains("secret"), "{options:?}");
    }
}
