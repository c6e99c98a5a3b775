//! A sled store behind the API on a Unix socket.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "test code: a fault ends the test"
)]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

pub mod raw;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use downbeat_cache_sled::{Durability, Options, SledCache};
use downbeat_core::cache::StreamLimits;
use downbeat_core::time::{Clock, ManualClock};
use downbeat_server::{About, ControlSocket, Server};

/// A store, who serves it, and where.
pub struct Place {
    pub sled: SledCache,
    pub server: Server,
    pub socket: PathBuf,
}

pub fn open_sled<C: Clock + 'static>(path: &Path, clock: &Arc<C>) -> SledCache {
    let clock: Arc<dyn Clock> = clock.clone();
    SledCache::open(Options {
        path: path.to_owned(),
        clock,
        durability: Durability::Power,
        limits: StreamLimits::default(),
        holder: "a test".to_owned(),
    })
    .unwrap()
}

pub fn serve_at(sled: &SledCache, clock: &Arc<ManualClock>, socket: &Path) -> Server {
    let server = Server::new(Arc::new(sled.clone()), clock.clone(), About::new("a test", "store"));
    server.open_socket(ControlSocket::bind(socket).unwrap());
    server
}

/// Opens a store below a directory, and serves it.
pub fn serve(directory: &Path, clock: &Arc<ManualClock>) -> Place {
    let sled = open_sled(&directory.join("store"), clock);
    let socket = directory.join("control.sock");
    let server = serve_at(&sled, clock, &socket);
    Place { sled, server, socket }
}

/// What a kill would leave of a store that goes on meanwhile: it brings what an opening found in a journal into
/// sled, and removes it. So journals come first, and what is gone by then is in what comes after it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    let mut entries: Vec<_> = std::fs::read_dir(from).unwrap().map(Result::unwrap).collect();
    entries.sort_by_key(|entry| !entry.file_name().to_string_lossy().starts_with("journal."));
    for entry in entries {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            let copied = std::fs::copy(entry.path(), &target);
            assert!(copied.is_ok() || !entry.path().exists(), "{copied:?}");
        }
    }
}
