//! URLs: what they say, and what options add to it.

use redis::{
    Client, ClientTlsConfig, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisError, TlsCertificates,
};

use crate::connect::ConnectError;
use crate::options::{Options, Tls, contents};

/// What answers at the addresses.
pub(super) enum Kind {
    Single,
    Sentinel { master: String },
    Cluster,
}

/// One address, with what a connection to it needs.
pub(super) struct Address {
    pub(super) info: ConnectionInfo,
    /// `None` without TLS.
    pub(super) certificates: Option<TlsCertificates>,
}

impl Address {
    pub(super) fn client(&self) -> Result<Client, RedisError> {
        match &self.certificates {
            Some(certificates) => Client::build_with_tls(self.info.clone(), certificates.clone()),
            None => Client::open(self.info.clone()),
        }
    }

    /// The same way to another host.
    pub(super) fn other(&self, host: String, port: u16) -> Self {
        let addr = match self.info.addr() {
            ConnectionAddr::TcpTls { insecure, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: None }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        Self { info: self.info.clone().set_addr(addr), certificates: self.certificates.clone() }
    }

    pub(super) fn host(&self) -> Option<&str> {
        match self.info.addr() {
            ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => Some(host),
            _ => None,
        }
    }
}

/// All of them, without passwords.
pub(super) fn places(addresses: &[Address]) -> String {
    let places: Vec<String> = addresses.iter().map(|address| address.info.addr().to_string()).collect();
    places.join(",")
}

fn bad(what: &'static str) -> ConnectError {
    ConnectError::Url { what: what.to_owned() }
}

/// Reads the URL and what belongs to it.
pub(super) fn parse(options: &Options) -> Result<(Kind, Vec<Address>), ConnectError> {
    let (scheme, rest) = options.url.split_once("://").ok_or_else(|| bad("it has no scheme"))?;
    if rest.contains('#') {
        // The library's `#insecure` among them.
        return Err(bad("it has a fragment"));
    }
    let (scheme, kind) = match scheme.split_once('+') {
        Some((scheme @ ("redis" | "rediss"), kind @ ("sentinel" | "cluster"))) => (scheme, kind),
        _ => (scheme, ""),
    };
    if kind.is_empty() {
        let kind = if options.is_cluster() { Kind::Cluster } else { Kind::Single };
        return Ok((kind, vec![address(options, &options.url)?]));
    }
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) =
        authority.rsplit_once('@').map_or((None, authority), |(user, hosts)| (Some(user), hosts));
    let (kind, database, port) = if kind == "sentinel" {
        let (master, database) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() {
            return Err(bad("it names no master: redis+sentinel://host:26379/mymaster"));
        }
        (Kind::Sentinel { master: master.to_owned() }, database, Some(26379))
    } else {
        (Kind::Cluster, path, None)
    };
    let mut addresses = Vec::new();
    for host in hosts.split(',') {
        if host.is_empty() {
            return Err(bad("a host is empty"));
        }
        // An IPv6 address has colons within its brackets.
        let has_port = host.rsplit(']').next().is_some_and(|end| end.contains(':'));
        let port = port.filter(|_| !has_port).map(|port| format!(":{port}")).unwrap_or_default();
        let user = user.map(|user| format!("{user}@")).unwrap_or_default();
        addresses.push(address(options, &format!("{scheme}://{user}{host}{port}/{database}"))?);
    }
    Ok((kind, addresses))
}

/// One address by its URL.
fn address(options: &Options, url: &str) -> Result<Address, ConnectError> {
    let info = url.into_connection_info().map_err(|error| ConnectError::url(&error))?;
    let mut redis = info.redis_settings().clone();
    if let Some(user) = &options.user {
        redis = redis.set_username(user);
    }
    if let Some(password) = options.password.read()? {
        redis = redis.set_password(password);
    }
    let info = info.set_redis_settings(redis);
    let certificates = match info.addr() {
        ConnectionAddr::TcpTls { .. } => Some(certificates(&options.tls)?),
        _ => {
            let Tls { ca_file, certificate, key } = &options.tls;
            if ca_file.is_some() || certificate.is_some() || key.is_some() {
                return Err(bad("it asks for no TLS, but files for TLS are given; write rediss://"));
            }
            None
        }
    };
    Ok(Address { info, certificates })
}

fn certificates(tls: &Tls) -> Result<TlsCertificates, ConnectError> {
    let client_tls = match (&tls.certificate, &tls.key) {
        (Some(certificate), Some(key)) => {
            Some(ClientTlsConfig { client_cert: contents(certificate)?, client_key: contents(key)? })
        }
        (None, None) => None,
        _ => return Err(bad("a client certificate and its key are given together or not at all")),
    };
    let root_cert = tls.ca_file.as_deref().map(contents).transpose()?;
    if let (Some(path), Some(text)) = (&tls.ca_file, &root_cert)
        && !String::from_utf8_lossy(text).contains("-----BEGIN CERTIFICATE-----")
    {
        return Err(ConnectError::Certificates {
            files: format!("ca_file=`{}`", path.display()),
            what: "it holds no certificate".to_owned(),
        });
    }
    Ok(TlsCertificates { client_tls, root_cert })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Password;

    fn places_of(url: &str) -> Result<String, String> {
        parse(&Options::new(url)).map(|(_, addresses)| places(&addresses)).map_err(|error| error.to_string())
    }

    #[test]
    fn hosts_are_listed() {
        assert_eq!(places_of("redis://h").unwrap(), "h:6379");
        assert_eq!(places_of("redis+cluster://a:1,b").unwrap(), "a:1,b:6379");
        assert_eq!(places_of("redis+sentinel://a,b:2,[::1]/m/3").unwrap(), "a:26379,b:2,::1:26379");
        assert_eq!(places_of("redis+unix:///tmp/s").unwrap(), "/tmp/s");
    }

    #[test]
    fn what_is_wrong_with_a_url_is_said_without_it() {
        for (url, said) in [
            ("host", "no scheme"),
            ("http://x:secret@h", "did not parse"),
            ("redis+sentinel://u:secret@h", "names no master"),
            ("redis+cluster://u:secret@h,", "a host is empty"),
            ("rediss://u:secret@h/#insecure", "a fragment"),
            ("redis://u:secret@h/x", "database"),
        ] {
            let error = places_of(url).unwrap_err();
            assert!(error.contains(said), "{url}: {error}");
            assert!(!error.contains("secret"), "{url}: {error}");
        }
    }

    #[test]
    fn options_come_before_the_url() {
        let options = Options {
            user: Some("ann".to_owned()),
            password: Password::Text("p".to_owned()),
            ..Options::new("redis+sentinel://u:q%40@h/m/3")
        };
        let (_, addresses) = parse(&options).unwrap();
        let redis = addresses[0].info.redis_settings();
        assert_eq!((redis.username(), redis.password(), redis.db()), (Some("ann"), Some("p"), 3));
        let (_, addresses) = parse(&Options { user: None, password: Password::Url, ..options }).unwrap();
        let redis = addresses[0].info.redis_settings();
        assert_eq!((redis.username(), redis.password()), (Some("u"), Some("q@")));
    }
}
