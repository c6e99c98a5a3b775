//! What a child does before anything else: it ties itself to its parent, and sits down.

use std::fs::File;
use std::io;
use std::time::Duration;

use nix::sys::prctl;
use nix::sys::signal::{Signal, raise};
use nix::unistd::{dup, getppid};

use super::seat::{Seat, Sitting, Told};
use crate::process;

/// The exit code of a process whose orchestrator is gone and that does not end by itself.
const ABANDONED: i32 = 70;

/// A life that sits in its [`Seat`] until its process and all that it started are gone.
#[derive(Debug)]
pub struct Seated {
    seat: Seat,
    told: Told,
    _lock: File,
}

/// Begins the life of a child. Call it from the process's first thread, before it starts anything.
///
/// With `parent` the kernel ends this process when that one ends, in any way, also while this one is
/// stopped. Its standard input is the lock of its seat, which whatever it starts will inherit.
///
/// # Errors
///
/// Its parent is gone already, or it cannot say who it is: it must end.
pub fn begin(seat: Seat, generation: u64, parent: Option<u32>) -> io::Result<Seated> {
    if let Some(parent) = parent {
        // First the wish, then the look: a parent that ends in between is missed by neither.
        prctl::set_pdeathsig(Signal::SIGKILL)?;
        if u32::try_from(getppid().as_raw()) != Ok(parent) {
            return Err(io::Error::other(format!("process {parent}, which started it, is gone")));
        }
    }
    // Unlike the standard input, which what is started replaces, a copy is inherited.
    let lock = File::from(dup(io::stdin())?);
    let told = Told { process: process::identity(), generation, finished: false };
    seat.tell(&told)?;
    Ok(Seated { seat, told, _lock: lock })
}

/// Begins the life of a process that another supervisor started: it sits down by itself, in a seat that its
/// orchestrator left free for it.
///
/// With `watched` it ends when its orchestrator does, in any way: it is asked to give back its work, as by
/// SIGHUP, and after `patience` it ends.
///
/// # Errors
///
/// Somebody sits there already, or it cannot say who it is: it must end.
#[expect(clippy::disallowed_methods, reason = "a thread of its own: what it waits for has no end to await")]
pub fn begin_apart(seat: Seat, generation: u64, watched: Option<Duration>) -> io::Result<Seated> {
    let Sitting::Free(lock) = seat.take()? else {
        return Err(io::Error::other("another life of it goes on"));
    };
    // A copy is inherited by what is started.
    let lock = File::from(dup(lock)?);
    let told = Told { process: process::identity(), generation, finished: false };
    seat.tell(&told)?;
    if let Some(patience) = watched {
        let seat = seat.clone();
        std::thread::Builder::new().name("watched".to_owned()).spawn(move || {
            if seat.until_unwatched().is_ok() {
                let _ = raise(Signal::SIGHUP);
                std::thread::sleep(patience);
                std::process::exit(ABANDONED);
            }
        })?;
    }
    Ok(Seated { seat, told, _lock: lock })
}

impl Seated {
    /// Says that this life has ended as it should, for those that cannot see how its process ends.
    ///
    /// # Errors
    ///
    /// It cannot be written.
    pub fn finished(self) -> io::Result<()> {
        self.seat.tell(&Told { finished: true, ..self.told })
    }
}
