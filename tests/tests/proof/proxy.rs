//! A TCP proxy before the server, which cuts connections in the middle of an answer and holds answers back.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};

/// What is done to answers. All connections share it.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// The connection whose answers exceed this many bytes from now on is cut there; none below zero.
    cut_after: AtomicI64,
    /// How long each part of an answer is held back, in milliseconds.
    delay: AtomicU64,
    /// How many connections were cut.
    pub(crate) cuts: AtomicU64,
}

impl Faults {
    pub(crate) fn cut_after(&self, bytes: u16) {
        self.cut_after.store(i64::from(bytes), Ordering::SeqCst);
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// How many of these bytes go through before the cut, if they reach it.
    fn take(&self, bytes: usize) -> Option<usize> {
        let bytes = i64::try_from(bytes).unwrap();
        let before = self.cut_after.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            (left >= 0).then(|| if left < bytes { -1 } else { left - bytes })
        });
        let left = before.ok().filter(|left| *left < bytes)?;
        self.cuts.fetch_add(1, Ordering::SeqCst);
        Some(usize::try_from(left).unwrap())
    }

    pub(crate) fn none(&self) {
        self.cut_after.store(-1, Ordering::SeqCst);
        self.delay(Duration::ZERO);
    }
}

/// Begins to listen. Returns the port; the proxy ends with its runtime.
pub(crate) async fn start(server: PathBuf, faults: Arc<Faults>) -> u16 {
    faults.none();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (server, faults) = (server.clone(), Arc::clone(&faults));
            tokio::spawn(async move {
                // A server that is down looks like one that hangs up.
                if let Ok(server) = UnixStream::connect(server).await {
                    carry(client, server, &faults).await;
                }
            });
        }
    });
    port
}

async fn carry(client: TcpStream, server: UnixStream, faults: &Faults) {
    let _ = client.set_nodelay(true);
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let questions = async { tokio::io::copy(&mut from_client, &mut to_server).await };
    let answers = async {
        let mut part = [0; 4096];
        loop {
            let read = from_server.read(&mut part).await.unwrap_or(0);
            if read == 0 {
                return;
            }
            let delay = faults.delay.load(Ordering::SeqCst);
            if delay > 0 {
                tokio::time::sleep(Duration::from_millis(delay)).await;
            }
            let cut = faults.take(read);
            if to_client.write_all(&part[..cut.unwrap_or(read)]).await.is_err() || cut.is_some() {
                return;
            }
        }
    };
    // Whichever side ends first takes the other with it, as a cut does.
    tokio::select! { _ = questions => (), () = answers => () }
}
