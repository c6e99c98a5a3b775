//! Every process below this one: found, counted, ended.

use std::collections::HashSet;
use std::fs;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

/// More than this many are not looked for in one pass.
const MOST: usize = 100_000;

/// All processes below this one, parents first, up to `most`.
pub(super) fn descendants(most: usize) -> Vec<Pid> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut next = children(Pid::this());
    while let Some(process) = next.pop() {
        if found.len() >= most {
            break;
        }
        if seen.insert(process) {
            found.push(process);
            next.extend(children(process));
        }
    }
    found
}

/// The children of all threads of a process; none of one that is gone.
fn children(of: Pid) -> Vec<Pid> {
    let Ok(threads) = fs::read_dir(format!("/proc/{of}/task")) else { return Vec::new() };
    let mut found = Vec::new();
    for thread in threads.flatten() {
        match fs::read_to_string(thread.path().join("children")) {
            Ok(line) => found
                .extend(line.split_ascii_whitespace().filter_map(|id| id.parse().ok()).map(Pid::from_raw)),
            // A kernel without `CONFIG_PROC_CHILDREN`.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && of == Pid::this() => {
                return by_parent(of);
            }
            Err(_) => {}
        }
    }
    found
}

/// The same from the list of all processes.
fn by_parent(parent: Pid) -> Vec<Pid> {
    let Ok(all) = fs::read_dir("/proc") else { return Vec::new() };
    let of = |id: i32| -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        // The name before it may hold anything, parentheses too.
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_ascii_whitespace().nth(1)?.parse().ok()
    };
    all.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|id| of(*id) == Some(parent.as_raw()))
        .map(Pid::from_raw)
        .collect()
}

/// Sends a signal to all.
pub(super) fn signal_all(signal: Signal) {
    for process in descendants(MOST) {
        // It may be gone already.
        let _ = kill(process, signal);
    }
}

/// Takes note of all children that ended; says how `child` did, if it was among them.
pub(super) fn reap(child: Pid) -> Option<WaitStatus> {
    let mut ended = None;
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return ended,
            Ok(status @ (WaitStatus::Exited(id, _) | WaitStatus::Signaled(id, _, _))) if id == child => {
                ended = Some(status);
            }
            Ok(_) | Err(Errno::EINTR) => {}
            Err(_) => return ended,
        }
    }
}

/// Ends every process below this one; `wait` waits for a child to end, for some milliseconds at most.
///
/// A process that a signal has reached cannot fork any more, so that a pass which finds nobody new has
/// found all; killing before that would race against those that fork.
pub(super) fn end_all(child: Pid, mut wait: impl FnMut()) {
    let mut frozen = HashSet::new();
    loop {
        reap(child);
        let found = descendants(MOST);
        if found.is_empty() {
            return;
        }
        let mut fresh = false;
        for process in &found {
            if frozen.insert(*process) {
                fresh = true;
                let _ = kill(*process, Signal::SIGSTOP);
            }
        }
        if fresh {
            continue;
        }
        for process in &found {
            let _ = kill(*process, Signal::SIGKILL);
        }
        frozen.clear();
        wait();
    }
}
