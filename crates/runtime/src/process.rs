//! Whether a process that wrote something down still lives: told apart from a later one with its number.

use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

/// What a process writes down so that others on its machine can tell whether it lives:
/// `<machine>-<pid>-<start>`, or nothing where the system does not say.
///
/// The machine is this boot of the kernel and this namespace of process ids, so that containers that share
/// a host name are told apart; the start is what tells two processes with one number apart.
#[must_use]
pub fn identity() -> String {
    let pid = std::process::id();
    match (machine(), start_of(pid)) {
        (Some(machine), Some(start)) => format!("{machine}-{pid}-{start}"),
        _ => String::new(),
    }
}

/// Whether the process with this identity is known to have ended. `false` when that cannot be known: it ran
/// on another machine, say.
#[must_use]
pub fn has_ended(identity: &str) -> bool {
    is_there(identity) == Some(false)
}

/// Whether the process with this identity is known to live.
#[must_use]
pub fn lives(identity: &str) -> bool {
    is_there(identity) == Some(true)
}

/// Whether it lives; `None` when that cannot be known.
fn is_there(identity: &str) -> Option<bool> {
    let mut parts = identity.split('-');
    let (Some(there), Some(pid), Some(start), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let pid = pid.parse::<u32>().ok()?;
    (machine()? == there).then(|| start_of(pid).as_deref() == Some(start))
}

/// The number of the process with this identity.
#[must_use]
pub fn number_of(identity: &str) -> Option<u32> {
    identity.split('-').nth(1)?.parse().ok()
}

/// The program that the process with this identity runs; `None` when it does not live, or is not ours to
/// look at.
#[must_use]
pub fn program_of(identity: &str) -> Option<PathBuf> {
    let pid = number_of(identity)?;
    let program = std::fs::read_link(format!("/proc/{pid}/exe")).ok()?;
    // What the kernel says of a program that was replaced while it runs.
    let name = program.as_os_str().as_encoded_bytes();
    let program = match name.strip_suffix(b" (deleted)") {
        Some(name) => PathBuf::from(std::ffi::OsString::from_vec(name.to_vec())),
        None => program,
    };
    lives(identity).then_some(program)
}

fn machine() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::read_link("/proc/self/ns/pid").ok()?;
    let mut hash = Sha256::new();
    hash.update(boot.trim());
    hash.update(namespace.as_os_str().as_encoded_bytes());
    Some(hash.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect())
}

/// When a process started, in the kernel's ticks; `None` for one that has ended, also when nobody has waited
/// for it yet.
fn start_of(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after it are the state, 18 others, the start.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    let start = fields.nth(18)?;
    (!matches!(state, "Z" | "X")).then(|| start.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_have_ended_has() {
        let own = identity();
        assert!(!own.is_empty() && !has_ended(&own) && lives(&own), "{own}");
        assert_eq!(program_of(&own), std::env::current_exe().ok());
        let mut parts: Vec<&str> = own.split('-').collect();
        assert!(has_ended(&format!("{}-{}-1", parts[0], parts[1])), "another one had this number");
        parts[0] = "000000000000";
        assert!(!has_ended(&parts.join("-")) && !lives(&parts.join("-")), "elsewhere");
        assert!(!has_ended("") && !has_ended("a-b-c") && !has_ended("no identity"));

        let mut child = std::process::Command::new("true").spawn().unwrap();
        let identity =
            format!("{}-{}-{}", machine().unwrap(), child.id(), start_of(child.id()).unwrap_or_default());
        child.wait().unwrap();
        assert!(has_ended(&identity) && !lives(&identity));
    }
}
