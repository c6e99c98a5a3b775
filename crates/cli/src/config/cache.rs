//! Which cache: what people write for it, and what may be shown of that.

use std::net::Ipv6Addr;
use std::path::PathBuf;

/// The beginnings of URLs that lead to Redis.
const REDIS: [&str; 10] = [
    "redis",
    "rediss",
    "redis+unix",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "valkey",
    "valkeys",
];

/// Which cache was chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Chosen {
    /// The embedded store, at its usual place or in this directory.
    Sled(Option<PathBuf>),
    /// Redis.
    Redis(Redis),
    /// The API of another process.
    Http(Http),
}

/// Where another process serves its state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Http {
    /// `HOST:PORT`.
    pub(crate) authority: String,
    /// A file that holds the token.
    pub(crate) token_file: Option<PathBuf>,
}

impl Http {
    /// As it is written; it has no secrets.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.authority)
    }
}

/// How to reach a Redis server.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Redis {
    /// Where; may carry a password.
    pub(crate) url: String,
    /// Begins every key.
    pub(crate) prefix: String,
    /// Every key of a goal has one hash tag.
    pub(crate) cluster_layout: bool,
    /// How many replicas have to acknowledge a plan and a settle.
    pub(crate) wait: u32,
    /// A file that holds the password.
    pub(crate) password_file: Option<PathBuf>,
    /// Whose certificates are trusted, in place of the system's.
    pub(crate) ca_file: Option<PathBuf>,
    /// This client's certificate, if the server asks for one.
    pub(crate) certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub(crate) key: Option<PathBuf>,
    /// Whether a server that evicts keys will do.
    pub(crate) allow_eviction: bool,
}

impl Redis {
    /// Whether its URL is that of a Redis Cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.url.split("://").next().is_some_and(|scheme| scheme.ends_with("+cluster"))
    }
}

impl std::fmt::Debug for Redis {
    /// Without the password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("url", &redacted(&self.url)).finish_non_exhaustive()
    }
}

/// Reads `sled`, `sled:PATH`, the URL of a Redis server, or that of another process's API.
pub(super) fn parse(text: &str) -> Result<Chosen, String> {
    let text = text.trim();
    // `text` may carry a password: no fault repeats more of it than its beginning.
    let beginning = text.split(':').next().unwrap_or_default();
    match text.split_once(':') {
        None if text == "sled" => Ok(Chosen::Sled(None)),
        Some(("sled", path)) if !path.is_empty() => Ok(Chosen::Sled(Some(PathBuf::from(path)))),
        Some((scheme, rest)) if REDIS.contains(&scheme) && rest.len() > 2 && rest.starts_with("//") => {
            Ok(Chosen::Redis(Redis { url: text.to_owned(), ..Redis::default() }))
        }
        Some(("http", rest)) => Ok(Chosen::Http(Http { authority: authority(rest)?, ..Http::default() })),
        Some(("https", _)) => {
            Err("cannot be `https://`: the API is served without TLS, and reached through a \
             tunnel where the network is not trusted (`ssh -L 8003:127.0.0.1:8003 HOST`, then \
             `http://127.0.0.1:8003`)"
                .to_owned())
        }
        Some(("fakeredis", _)) => Err("cannot be `fakeredis://`, which nobody shares; the embedded store \
             (no `--cache`) is for one machine"
            .to_owned()),
        _ => {
            let near = downbeat_core::suggest::nearest(beginning, REDIS.into_iter().chain(["sled", "http"]));
            let near = near.filter(|near| *near != beginning);
            let near = near.map(|near| format!("; is it `{near}:`?")).unwrap_or_default();
            let said = crate::output::text::cut(&crate::output::text::clean(beginning), 40);
            Err(format!(
                "must be `sled:DIR`, `redis://HOST:PORT`, `rediss://…`, `redis+unix:///SOCKET`, \
                 `redis+sentinel://…`, `redis+cluster://…` or `http://HOST:PORT`, and begins with `{said}`{near}"
            ))
        }
    }
}

/// `HOST:PORT` of what stands behind `http:`. No fault repeats any of it: it may hold a token.
fn authority(rest: &str) -> Result<String, String> {
    let place = rest.strip_prefix("//").unwrap_or_default();
    let place = place.strip_suffix('/').unwrap_or(place);
    if place.contains('@') {
        return Err("must be `http://HOST:PORT` and nothing else: the token comes from `--token-file` or \
             $DOWNBEAT_API_TOKEN"
            .to_owned());
    }
    let is_name = |host: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        !host.is_empty() && host.bytes().all(plain)
    };
    let is_literal = |host: &str| {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
    };
    let sound = place.rsplit_once(':').is_some_and(|(host, port)| {
        (is_name(host) || is_literal(host)) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match sound {
        true => Ok(place.to_owned()),
        false => {
            Err("must be `http://HOST:PORT`, for example `http://127.0.0.1:8003` or `http://[::1]:8003`, \
             without a path"
                .to_owned())
        }
    }
}

/// A URL as it may be shown: without what could be a password.
pub(crate) fn redacted(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    // A password that was not encoded may hold a `?`, and one in a query an `@`: which it is cannot be told.
    if rest.split_once('?').is_some_and(|(_, query)| query.contains('@')) {
        return format!("{scheme}://***");
    }
    let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
    // A password that was not encoded may hold any sign: all before the last `@` is taken for one.
    let rest = match rest.rsplit_once('@') {
        None => rest.to_owned(),
        Some((secret, place)) => match secret.split_once(':') {
            Some((user, _)) => format!("{user}:***@{place}"),
            None => format!("***@{place}"),
        },
    };
    let query = query.map(|query| {
        let shown = query.split('&').map(|pair| match pair.split_once('=') {
            // What none of these is, may be a password under another name.
            Some(("db" | "user" | "protocol", _)) => pair.to_owned(),
            Some((key, _)) => format!("{key}=***"),
            None => "***".to_owned(),
        });
        format!("?{}", shown.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{rest}{}", query.unwrap_or_default())
}

/// Whether a URL carries what may not be shown.
pub(crate) fn has_secret(url: &str) -> bool {
    redacted(url) != url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_a_directory_or_a_server() {
        assert_eq!(parse("sled"), Ok(Chosen::Sled(None)));
        assert_eq!(parse("sled:a/b"), Ok(Chosen::Sled(Some(PathBuf::from("a/b")))));
        for url in ["redis://h", "rediss://u:p@h:1/2", "redis+unix:///s", "redis+sentinel://a,b/m"] {
            assert!(matches!(parse(url), Ok(Chosen::Redis(redis)) if redis.url == url), "{url}");
        }
        for bad in ["", "redis", "redis:", "redis://", "redi://h", "sled:", "/tmp/x", "http://h"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(parse("redsi://h").unwrap_err().contains("is it `redis:`?"));
        assert!(parse("fakeredis://").unwrap_err().contains("nobody shares"));
    }

    #[test]
    fn the_api_of_another_process_is_a_host_and_a_port() {
        for place in ["h:1", "127.0.0.1:8003", "[::1]:8003", "a-b.example:65535"] {
            let Ok(Chosen::Http(http)) = parse(&format!("http://{place}/")) else { panic!("{place}") };
            assert_eq!((http.authority.as_str(), http.url()), (place, format!("http://{place}")));
        }
        for bad in ["h", "h:", "h:0", "h:99999", ":1", "::1:1", "[::1]", "h:1/x", "h:1?x", "h h:1", ""] {
            assert!(parse(&format!("http://{bad}")).unwrap_err().contains("http://HOST:PORT"), "{bad}");
        }
        assert!(parse("http:h:1").is_err());
        for secret in ["http://s3cret@h:1", "http://me:s3cret@h:1", "http://h/s3cret"] {
            assert!(!parse(secret).unwrap_err().contains("s3cret"));
        }
        assert!(parse("https://h:1").unwrap_err().contains("tunnel"));
    }

    #[test]
    fn no_fault_and_no_listing_shows_a_password() {
        assert!(!parse("reddis://me:s3cret@h").unwrap_err().contains("s3cret"));
        for (url, shown) in [
            ("redis://h:6379/1", "redis://h:6379/1"),
            ("redis://u:s3cret@h:6379/1", "redis://u:***@h:6379/1"),
            ("redis://:s3cret@h", "redis://:***@h"),
            ("redis://:s3cr@e/t@h/1", "redis://:***@h/1"),
            ("redis://s3cret@h", "redis://***@h"),
            ("redis+unix:///s?db=1&pass=s3cret", "redis+unix:///s?db=1&pass=***"),
            ("redis+unix:///s?user=me&auth=s3cret", "redis+unix:///s?user=me&auth=***"),
            ("redis+unix:///s?pass=s3@cret", "redis+unix://***"),
            ("redis+unix:///s?pass=s3&cret", "redis+unix:///s?pass=***&***"),
            ("redis://u:s3?cret@h:6379/1", "redis://***"),
            ("rediss://:s3cret?x=1@h", "rediss://***"),
        ] {
            assert_eq!(redacted(url), shown);
            assert_eq!(has_secret(url), shown.contains("***"));
        }
        let redis = Redis { url: "redis://u:s3cret@h".to_owned(), ..Redis::default() };
        assert!(!format!("{redis:?}").contains("s3cret"));
    }
}
