//! A Unix socket that one user has: made in one step, replaced when its process is gone, never when it lives.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

/// Why a socket cannot be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// A living process listens there.
    #[error("another process listens at {path}")]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// Other users can write to the directory, and so could put a socket of theirs there.
    #[error("other users can write to {path}: `chmod go-w` it")]
    Exposed {
        /// The directory.
        path: PathBuf,
    },
    /// Something that is no socket has its name.
    #[error("{path} is there already, and is no socket")]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// The machine failed.
    #[error("cannot listen at {path}")]
    Failed {
        /// The socket.
        path: PathBuf,
        /// How.
        #[source]
        source: io::Error,
    },
}

/// A directory by its descriptor. Paths through it are short, however long its own is: the address of a socket
/// has room for 108 bytes.
#[derive(Debug)]
struct Directory(File);

impl Directory {
    /// The directory and the name of a path.
    fn of(path: &Path) -> io::Result<(Self, String)> {
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(io::ErrorKind::InvalidInput)?;
        Ok((Self(File::open(parent.unwrap_or(Path::new(".")))?), name.to_owned()))
    }

    fn at(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}/{name}", self.0.as_raw_fd()))
    }
}

/// A Unix socket that is listened at. Dropping it removes it.
#[derive(Debug)]
pub struct ControlSocket {
    pub(crate) listener: UnixListener,
    path: PathBuf,
    directory: Directory,
    name: String,
    // Held for as long as this process listens: what tells a living one from a leftover.
    _lock: File,
}

impl ControlSocket {
    /// Listens at `path`, which only this user can connect to (mode 0600).
    ///
    /// It appears there in one step. What a killed process left there is replaced.
    ///
    /// # Errors
    ///
    /// [`SocketError`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn bind(path: &Path) -> Result<Self, SocketError> {
        let failed = |source| SocketError::Failed { path: path.to_owned(), source };
        let (directory, name) = Directory::of(path).map_err(failed)?;
        let known = directory.0.metadata().map_err(failed)?;
        let me = nix::unistd::geteuid().as_raw();
        if known.mode() & 0o022 != 0 || ![me, 0].contains(&known.uid()) {
            let path = path.parent().unwrap_or(Path::new(".")).to_owned();
            return Err(SocketError::Exposed { path });
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(directory.at(&format!("{name}.lock")))
            .map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SocketError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let there = directory.at(&name);
        match there.symlink_metadata() {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(SocketError::Occupied { path: path.to_owned() });
            }
            // Nobody who keeps to the lock listens there, and whoever does not is left alone.
            Ok(_) if std::os::unix::net::UnixStream::connect(&there).is_ok() => {
                return Err(SocketError::Busy { path: path.to_owned() });
            }
            _ => {}
        }
        let made = directory.at(&format!(".{name}.{}", std::process::id()));
        let _ = std::fs::remove_file(&made);
        let listener = UnixListener::bind(&made).map_err(failed)?;
        std::fs::set_permissions(&made, Permissions::from_mode(0o600))
            .and_then(|()| std::fs::rename(&made, &there))
            .map_err(failed)?;
        Ok(Self { listener, path: path.to_owned(), directory, name, _lock: lock })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // What cannot be removed is a leftover that the next one replaces.
        let _ = std::fs::remove_file(self.directory.at(&self.name));
    }
}

/// Whether the other end of a connection is this user's, or root's.
pub(crate) fn is_own(stream: &UnixStream) -> bool {
    let me = nix::unistd::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| [me, 0].contains(&peer.uid()))
}

/// Connects to a socket, however long its path is.
pub(crate) async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (directory, name) = Directory::of(path)?;
    let stream = UnixStream::connect(directory.at(&name)).await?;
    if !is_own(&stream) {
        let message = "another user listens at this socket";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
    }
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[tokio::test]
    async fn it_is_this_users_alone_and_goes_with_its_owner() {
        let directory = directory();
        let path = directory.path().join("control.sock");
        let socket = ControlSocket::bind(&path).unwrap();
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
        connect(&path).await.unwrap();
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_living_one_is_left_alone_and_a_leftover_replaced() {
        let directory = directory();
        let path = directory.path().join("control.sock");
        let living = ControlSocket::bind(&path).unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::Busy { .. })));
        drop(living);
        // As a killed process leaves it: a socket that nobody listens at.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert_eq!(connect(&path).await.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        let socket = ControlSocket::bind(&path).unwrap();
        connect(socket.path()).await.unwrap();
        // One without a lock, as another program would have it.
        let other = directory.path().join("other.sock");
        let _foreign = std::os::unix::net::UnixListener::bind(&other).unwrap();
        assert!(matches!(ControlSocket::bind(&other), Err(SocketError::Busy { .. })));
    }

    #[tokio::test]
    async fn what_is_no_socket_is_not_overwritten() {
        let directory = directory();
        let path = directory.path().join("control.sock");
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(ControlSocket::bind(&path), Err(SocketError::Occupied { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    }

    #[tokio::test]
    async fn a_directory_that_others_can_write_to_will_not_do() {
        let directory = directory();
        std::fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
        let refused = ControlSocket::bind(&directory.path().join("control.sock"));
        assert!(matches!(refused, Err(SocketError::Exposed { .. })));
    }

    #[tokio::test]
    async fn a_path_may_be_longer_than_an_address() {
        let directory = directory();
        let deep = directory.path().join("d".repeat(120)).join("e".repeat(120));
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::set_permissions(&deep, Permissions::from_mode(0o755)).unwrap();
        let path = deep.join("control.sock");
        let _socket = ControlSocket::bind(&path).unwrap();
        connect(&path).await.unwrap();
    }
}
