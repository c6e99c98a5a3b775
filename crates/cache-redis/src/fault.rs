//! What a server refuses or does not answer: what happened, and what to do about it.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// How much of a server's own words is shown, in bytes.
const MOST_WORDS: usize = 300;

/// What kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// Nobody answers, or the connection ended.
    Unreachable,
    /// The host's name has no address.
    Unknown,
    /// One side speaks TLS and the other does not, or a certificate is not trusted.
    Tls,
    /// The server takes connections of its own machine alone.
    Protected,
    /// The user or the password is missing or wrong.
    Login,
    /// The user lacks a right.
    Right,
    /// The server reads its data.
    Loading,
    /// The server runs somebody's script.
    Busy,
    /// The server's memory is full.
    Memory,
    /// The server could not save.
    Disk,
    /// The server is a replica.
    Replica,
    /// The server has too few replicas.
    Replicas,
    /// A part of the cluster has no master.
    Cluster,
    /// The slot moves or moved to another node.
    Moved,
    /// A key is of another type.
    WrongType,
    /// What is in a key is not what was written there.
    Corrupt,
    /// The server has no database of that number.
    Database,
    /// What else a server may say.
    Other,
}

/// Something that a server refuses, or that keeps it from answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// The server's address.
    pub place: String,
    /// What it said, or what its connection came to. Without arguments of commands: they may be secret.
    pub said: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, place, said } = self;
        let (what, todo) = kind.words(said);
        write!(f, "{what}; {todo} place=`{place}`")?;
        if !said.is_empty() && !matches!(kind, FaultKind::Protected) {
            write!(f, " said=`{said}`")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

impl FaultKind {
    /// What happened, and what to do.
    fn words(self, said: &str) -> (&'static str, &'static str) {
        match self {
            Self::Unreachable if said.contains("refused") => {
                ("nobody listens there", "start the Redis server, or correct host and port")
            }
            Self::Unreachable if said.contains("No such file") => {
                ("there is no such socket", "start the Redis server, or correct the path to its unixsocket")
            }
            Self::Unreachable => (
                "the Redis server does not answer",
                "look whether it runs and can be reached; what was asked is asked again",
            ),
            Self::Unknown => ("the host's name has no address", "correct it, or look at the name server"),
            Self::Tls if said.contains("certificate") => (
                "the Redis server's certificate is not trusted",
                "name the authority that signed it as the CA file, and connect by a name that stands in it",
            ),
            Self::Tls if said.contains("alert") => (
                "the Redis server ended the TLS handshake",
                "it may ask for a client certificate: give one with its key",
            ),
            Self::Tls => (
                "one side speaks TLS and the other does not",
                "write rediss:// for a TLS port and redis:// for a plain one",
            ),
            Self::Protected => (
                "the Redis server is in protected mode: it takes connections of its own machine alone",
                "give its users a password, or bind it to the right interface",
            ),
            Self::Login if said.starts_with("NOAUTH") => (
                "the Redis server wants a password and was given none",
                "give one in a file, an environment variable or the URL",
            ),
            Self::Login => (
                "the Redis server refuses the user or the password",
                "check both; on the server, ACL LIST names its users",
            ),
            Self::Right => (
                "the Redis user lacks a right",
                "grant it with ACL SETUSER; docs/redis.md lists the rights that are needed",
            ),
            Self::Loading => ("the Redis server still reads its data from disk", "wait until it is done"),
            Self::Busy => (
                "the Redis server is busy with a long script",
                "wait for it; if it is not Downbeat's, SCRIPT KILL ends one that wrote nothing",
            ),
            Self::Memory => (
                "the Redis server's memory is full, so that nothing was written",
                "raise its maxmemory, or archive finished goals; what is stored is safe",
            ),
            Self::Disk => (
                "the Redis server refuses writes because it cannot save to its disk",
                "make room there and look at its log; what is stored is safe",
            ),
            Self::Replica => (
                "the Redis server is a replica and takes no writes",
                "connect to its master, or through sentinels: redis+sentinel://host/mymaster",
            ),
            Self::Replicas => (
                "the Redis server has fewer replicas in step than its min-replicas-to-write",
                "bring its replicas back",
            ),
            Self::Cluster => (
                "the Redis Cluster has slots that no master serves",
                "look at CLUSTER INFO on a node, and bring the missing master back",
            ),
            Self::Moved => (
                "the slot of this deployment is on its way to another node",
                "wait until it is there; nothing is written meanwhile",
            ),
            Self::WrongType => (
                "a key of this deployment has a type that Downbeat never writes",
                "another program uses the same names: give one of both a prefix of its own",
            ),
            Self::Corrupt => (
                "a record of this deployment is not what Downbeat wrote",
                "put right what was written by hand, or remove what it belongs to",
            ),
            Self::Database => (
                "the Redis server has no such database",
                "write a number below its `databases` at the end of the URL: 0 to 15, unless it is set otherwise",
            ),
            Self::Other => ("the Redis server refuses a command", "see what it said"),
        }
    }

    /// Whether another connection may do better: what was asked was lost, or this is the wrong server.
    pub(crate) const fn is_elsewhere(self) -> bool {
        matches!(self, Self::Unreachable | Self::Replica | Self::Moved | Self::Cluster)
    }

    /// Whether the same server may do better in a moment. It did nothing of what was asked.
    pub(crate) const fn is_later(self) -> bool {
        matches!(self, Self::Loading | Self::Busy | Self::Replicas)
    }
}

impl Fault {
    /// The line of our script that the server names, as those of Redis 7.0 do in place of the command that
    /// they refuse.
    pub(crate) fn line(&self) -> Option<usize> {
        let (_, place) = self.said.split_once("on @user_")?;
        let (_, line) = place.split_once(':')?;
        line.trim_end_matches('.').parse().ok()
    }

    /// What an error of the client library means.
    pub(crate) fn new(place: &str, error: &RedisError) -> Self {
        let said = words(error);
        let kind = kind(error, &said);
        // The library says in its own words that a password is wrong.
        let is_own = kind == FaultKind::Login && error.kind() == ErrorKind::AuthenticationFailed;
        Self { kind, place: place.to_owned(), said: if is_own { String::new() } else { said } }
    }
}

fn kind(error: &RedisError, said: &str) -> FaultKind {
    use FaultKind as Kind;
    // A script's error begins with the command's own, or holds it.
    let code = said.split_whitespace().next().unwrap_or_default();
    match code {
        "NOAUTH" | "WRONGPASS" => return Kind::Login,
        "NOPERM" => return Kind::Right,
        "DENIED" => return Kind::Protected,
        "LOADING" => return Kind::Loading,
        "BUSY" => return Kind::Busy,
        "OOM" => return Kind::Memory,
        "MISCONF" => return Kind::Disk,
        "READONLY" => return Kind::Replica,
        "NOREPLICAS" => return Kind::Replicas,
        "MASTERDOWN" | "CLUSTERDOWN" => return Kind::Cluster,
        "MOVED" | "ASK" | "TRYAGAIN" => return Kind::Moved,
        "WRONGTYPE" => return Kind::WrongType,
        "CORRUPT" => return Kind::Corrupt,
        _ => {}
    }
    let has = |parts: &[&str]| parts.iter().any(|part| said.contains(part));
    if has(&["DB index is out of range", "invalid DB index"]) {
        Kind::Database
    } else if has(&["non local key"]) {
        Kind::Moved
    } else if has(&["cluster is down"]) {
        Kind::Cluster
    } else if has(&["ACL failure", "executing the script can't"]) {
        Kind::Right
    } else if error.kind() == ErrorKind::AuthenticationFailed {
        Kind::Login
    } else if has(&["lookup address", "Name or service not known", "No address found"]) {
        Kind::Unknown
    } else if has(&[
        "peer certificate",
        "corrupt message",
        "InvalidContentType",
        "HandshakeFailure",
        "received fatal alert",
    ]) || error.kind() == ErrorKind::Parse && !matches!(error.kind(), ErrorKind::Server(_))
    {
        Kind::Tls
    } else if matches!(error.kind(), ErrorKind::Server(ServerErrorKind::NoPerm)) {
        Kind::Right
    } else if error.is_io_error() || error.is_connection_dropped() || error.is_timeout() {
        Kind::Unreachable
    } else {
        Kind::Other
    }
}

/// What the client library says, without the name that the kind of error has in its code.
pub(crate) fn plain(error: &RedisError) -> String {
    let text = error.to_string();
    let kind = format!(" - {:?}", error.kind());
    text.strip_suffix(&kind).map_or_else(|| text.replace(&format!("{kind}: "), ": "), str::to_owned)
}

/// What was said, on one line, bounded, and without what may be secret.
fn words(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), detail) => format!("{code} {}", detail.unwrap_or_default()),
        (None, _) => plain(error),
    };
    let line = text.lines().next().unwrap_or_default();
    // A server that does not know a command answers with its arguments, and AUTH's is a password.
    let line = line.split(", with args").next().unwrap_or_default().trim();
    let end = (0..=MOST_WORDS.min(line.len())).rev().find(|&end| line.is_char_boundary(end));
    line.get(..end.unwrap_or(0)).unwrap_or_default().trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(code: &str, detail: &str) -> Fault {
        let error = redis::make_extension_error(code.to_owned(), Some(detail.to_owned()));
        Fault::new("h:1", &error)
    }

    #[test]
    fn each_refusal_is_one_sentence_and_what_to_do() {
        for (code, kind) in [
            ("NOAUTH", FaultKind::Login),
            ("DENIED", FaultKind::Protected),
            ("MISCONF", FaultKind::Disk),
            ("NOREPLICAS", FaultKind::Replicas),
            ("ELSE", FaultKind::Other),
        ] {
            let fault = fault(code, "x");
            assert_eq!(fault.kind, kind, "{code}");
            assert!(fault.to_string().contains("place=`h:1`") && fault.to_string().contains("; "), "{fault}");
        }
    }

    #[test]
    fn arguments_are_not_repeated() {
        let said = fault("ERR", "unknown command 'AUTH', with args beginning with: 'hunter2'").to_string();
        assert!(!said.contains("hunter2") && said.contains("unknown command"), "{said}");
        assert!(fault("ERR", &"ä".repeat(1000)).said.len() <= MOST_WORDS);
    }
}
