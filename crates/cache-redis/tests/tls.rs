//! TLS: who is trusted, and what is said when sides do not fit.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

mod throwaway;

use std::path::PathBuf;

use downbeat_cache_redis::{Options, RedisCache, Tls};
use downbeat_core::cache::Tasks;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use throwaway::Server;
use throwaway::work::plan;

/// An authority, a server's certificate for `localhost` and a client's.
struct Files {
    directory: TempDir,
}

impl Files {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| std::fs::write(directory.path().join(name), text).unwrap();
        let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
        authority.distinguished_name.push(DnType::CommonName, "an authority");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
        write("ca.pem", authority.pem());
        for (file, name) in [("server", "localhost"), ("client", "downbeat")] {
            let key = KeyPair::generate().unwrap();
            let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
            let certificate = parameters.signed_by(&key, &authority).unwrap();
            write(&format!("{file}.pem"), certificate.pem());
            write(&format!("{file}.key"), key.serialize_pem());
        }
        Self { directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn server(&self, clients: &str) -> Server {
        Server::start_at(|port| {
            let path = |name: &str| self.path(name).display().to_string();
            [
                ["--tls-port", &port.to_string()],
                ["--tls-cert-file", &path("server.pem")],
                ["--tls-key-file", &path("server.key")],
                ["--tls-ca-cert-file", &path("ca.pem")],
                ["--tls-auth-clients", clients],
            ]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
        })
    }
}

fn options(url: String, tls: Tls) -> Options {
    Options { tls, ..Options::new(url) }
}

async fn refused(options: Options) -> String {
    RedisCache::connect(options).await.expect_err("refused").to_string()
}

#[tokio::test]
async fn an_authority_is_trusted_and_a_client_shows_its_certificate() {
    let files = Files::new();
    let server = files.server("yes");
    let url = format!("rediss://localhost:{}", server.port());
    let trusting = Tls { ca_file: Some(files.path("ca.pem")), ..Tls::default() };
    let whole = Tls {
        certificate: Some(files.path("client.pem")),
        key: Some(files.path("client.key")),
        ..trusting.clone()
    };
    let cache = RedisCache::connect(options(url.clone(), whole.clone())).await.unwrap();
    cache.plan(&plan("g", "a")).await.unwrap();

    let said = refused(options(url.clone(), trusting.clone())).await;
    assert!(
        said.starts_with(
            "the Redis server ended the TLS handshake; it may ask for a client certificate: give one with its key"
        ),
        "{said}"
    );
    let said = refused(options(url.clone(), Tls::default())).await;
    let untrusted = "the Redis server's certificate is not trusted; name the authority that signed it as the CA \
                     file, and connect by a name that stands in it place=`";
    assert!(said.starts_with(untrusted), "{said}");
    let said = refused(options(format!("rediss://127.0.0.1:{}", server.port()), trusting.clone())).await;
    assert!(said.starts_with(untrusted), "the name is another: {said}");
    let half = Tls { key: None, ..whole.clone() };
    let said = refused(options(url.clone(), half)).await;
    assert!(said.starts_with("not a URL of a Redis server"), "{said}");
    let broken = Tls { ca_file: Some(files.path("client.key")), ..whole };
    let said = refused(options(url.clone(), broken)).await;
    assert!(said.starts_with("the CA file, certificate or key cannot be used; each is a PEM file"), "{said}");
    let said = refused(options(url, Tls { ca_file: Some(files.path("none")), ..Tls::default() })).await;
    assert!(said.starts_with("the file cannot be read path=`"), "{said}");
}

#[tokio::test]
async fn one_side_speaks_tls() {
    let files = Files::new();
    let expected = "one side speaks TLS and the other does not; write rediss:// for a TLS port and redis:// for a \
                    plain one place=`";
    let secret = files.server("no");
    let said = refused(Options::new(format!("redis://localhost:{}", secret.port()))).await;
    assert!(said.starts_with(expected), "{said}");
    let plain = Server::start_tcp(&[]);
    let trusting = Tls { ca_file: Some(files.path("ca.pem")), ..Tls::default() };
    let said = refused(options(format!("rediss://localhost:{}", plain.port()), trusting)).await;
    assert!(said.starts_with(expected), "{said}");
}
