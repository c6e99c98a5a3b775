//! Why a connection ended before anything was said: what the client library does not show.

use std::time::Duration;

use redis::{Client, ConnectionAddr, RedisError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fault::{Fault, FaultKind};

/// How long one look may take.
const LOOK: Duration = Duration::from_secs(2);
/// For how long a server that talks first is listened to.
const GREETING: Duration = Duration::from_millis(250);

/// What an error at the beginning of a connection means.
pub(crate) async fn of(client: &Client, place: &str, error: &RedisError) -> Fault {
    let fault = Fault::new(place, error);
    let (host, port) = match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, port) => (host, port),
        // A plain server waits for the end of what it takes for a command.
        ConnectionAddr::TcpTls { host, port, .. }
            if error.is_timeout() && speaks_plainly(host, *port).await =>
        {
            return Fault { kind: FaultKind::Tls, ..fault };
        }
        _ => return fault,
    };
    if fault.kind != FaultKind::Unreachable || error.is_connection_refusal() || error.is_timeout() {
        return fault;
    }
    if let Some(said) = greeting(host, *port).await {
        return Fault { kind: FaultKind::Protected, said, ..fault };
    }
    if speaks_tls(host, *port).await {
        return Fault { kind: FaultKind::Tls, ..fault };
    }
    fault
}

/// In protected mode a server refuses a connection before it was asked anything.
async fn greeting(host: &str, port: u16) -> Option<String> {
    let listen = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        let mut said = [0; 512];
        let number = stream.read(&mut said).await.ok()?;
        let said = String::from_utf8_lossy(said.get(..number)?).into_owned();
        said.strip_prefix("-DENIED").map(|_| "DENIED".to_owned())
    };
    tokio::time::timeout(GREETING, listen).await.ok().flatten()
}

/// Whether a TLS handshake goes on until a certificate is looked at.
async fn speaks_tls(host: &str, port: u16) -> bool {
    let addr = ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure: false, tls_params: None };
    let Ok(client) = Client::open(addr) else {
        return false;
    };
    match tokio::time::timeout(LOOK, crate::server::multiplexed(&client)).await {
        Ok(Ok(_)) => true,
        // An answer of a Redis server came through, too.
        Ok(Err(error)) => {
            let fault = Fault::new("", &error);
            let said = ["certificate", "alert"].iter().any(|word| fault.said.contains(word));
            (fault.kind == FaultKind::Tls && said) || fault.kind == FaultKind::Login
        }
        Err(_) => false,
    }
}

/// Whether a server answers without TLS.
async fn speaks_plainly(host: &str, port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((host, port)).await.ok()?;
        stream.write_all(b"PING\r\n").await.ok()?;
        stream.read_u8().await.ok()
    };
    matches!(tokio::time::timeout(LOOK, ask).await, Ok(Some(b'+' | b'-')))
}
