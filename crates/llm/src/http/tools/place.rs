//! The directory that a model works in, and cannot leave.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, FileType, OpenOptions, OpenOptionsExt};
use downbeat_core::dag::normalise_path;
use nix::fcntl::OFlag;

/// Where the state of a run lies; writing there would break it.
const OURS: &str = ".downbeat";

/// The longest file that is read or written whole, in bytes.
pub(super) const LONGEST: usize = 4 * 1024 * 1024;

/// The open workspace.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: Dir,
    root: PathBuf,
}

impl Place {
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(root, ambient_authority())?;
        Ok(Self { dir, root: root.to_owned() })
    }

    /// The path in the workspace that a model means; models like whole paths, so those are taken too.
    ///
    /// This is a rule of letters. That links do not lead outside is the open directory's matter.
    pub(super) fn locate(&self, text: &str) -> Result<PathBuf, String> {
        let inner = Path::new(text).strip_prefix(&self.root).ok().and_then(Path::to_str).unwrap_or(text);
        normalise_path(inner).map(PathBuf::from).map_err(|fault| format!("this path cannot be used: {fault}"))
    }

    /// The same for a directory; the workspace itself by default.
    pub(super) fn locate_directory(&self, text: Option<&str>) -> Result<PathBuf, String> {
        let text = text.unwrap_or(".").trim_end_matches('/');
        if matches!(text, "" | ".") || Path::new(text) == self.root {
            return Ok(PathBuf::from("."));
        }
        self.locate(text)
    }

    /// Opens a file to read. Nothing but a file: opening a pipe or a device could wait for ever, or do
    /// something.
    pub(super) fn file(&self, path: &Path) -> Result<File, String> {
        open_file(&self.dir, path).map_err(|error| said(path, &error))
    }

    /// All of a file, if it is text and not too long.
    pub(super) fn text(&self, path: &Path) -> Result<String, String> {
        let most = u64::try_from(LONGEST).unwrap_or(u64::MAX);
        let mut bytes = Vec::new();
        self.file(path)?
            .take(most.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| said(path, &error))?;
        if bytes.len() > LONGEST {
            return Err(format!("{} is longer than {LONGEST} bytes", path.display()));
        }
        String::from_utf8(bytes).map_err(|_| format!("{} is not UTF-8 text", path.display()))
    }

    /// Puts `content` in the place of a file, at once and whole, and makes the directories above it.
    ///
    /// The file is replaced, not written into: what else has a name for the old one, a hard link from
    /// elsewhere among them, keeps it as it was.
    pub(super) fn replace(&self, path: &Path, content: &[u8]) -> Result<(), String> {
        if path.components().any(|part| part.as_os_str() == OURS) {
            return Err(format!("{OURS} belongs to Downbeat; write somewhere else"));
        }
        let fault = |error: io::Error| said(path, &error);
        let (parent, name) = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => (parent, Path::new(name)),
            _ => return Err("this path names no file".to_owned()),
        };
        let dir = if parent.as_os_str().is_empty() {
            self.dir.try_clone().map_err(fault)?
        } else {
            self.dir.create_dir_all(parent).map_err(fault)?;
            self.dir.open_dir(parent).map_err(fault)?
        };
        let permissions = match dir.symlink_metadata(name) {
            Ok(metadata) if metadata.is_file() => Some(metadata.permissions()),
            Ok(metadata) => {
                return Err(format!("{} is {}, not a file", path.display(), kind(metadata.file_type())));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(fault(error)),
        };
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let draft = PathBuf::from(format!(".downbeat-draft-{}-{count}", std::process::id()));
        let write = || -> io::Result<()> {
            let mut file = dir.open_with(&draft, OpenOptions::new().write(true).create_new(true))?;
            file.write_all(content)?;
            if let Some(permissions) = permissions {
                file.set_permissions(permissions)?;
            }
            drop(file);
            dir.rename(&draft, &dir, name)
        };
        write().map_err(|error| {
            // It may not have been made at all.
            let _ = dir.remove_file(&draft);
            fault(error)
        })
    }
}

/// Opens a file below `dir` to read, and nothing but a file.
pub(super) fn open_file(dir: &Dir, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    // Without waiting: a pipe opens when somebody opens its other end.
    options.read(true).custom_flags((OFlag::O_NONBLOCK | OFlag::O_NOCTTY).bits());
    let file = dir.open_with(path, &options)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(file);
    }
    Err(io::Error::other(format!("it is {}, not a file", kind(metadata.file_type()))))
}

/// What is wrong with a path, for a model: without whole paths of this machine.
pub(super) fn said(path: &Path, error: &io::Error) -> String {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::NotFound => format!("{path} does not exist"),
        // What cap-std says when a path leads out.
        io::ErrorKind::PermissionDenied => {
            format!("{path} leads outside of the workspace, or is not allowed")
        }
        _ => format!("{path} cannot be used: {error}"),
    }
}

/// What something is, for people.
pub(super) fn kind(file_type: FileType) -> &'static str {
    if file_type.is_dir() {
        "a directory"
    } else if file_type.is_symlink() {
        "a link"
    } else {
        "a pipe, socket or device"
    }
}
