//! Which files and networks a program may reach, held up by Landlock where the kernel has it.

use std::io;
use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};
use serde::{Deserialize, Serialize};

/// What rules are made for: Linux 6.12. An older kernel holds up a part of them and says so.
const ABI_WANTED: ABI = ABI::V6;

/// Device files without which shells and tools break.
const DEVICES: [&str; 7] =
    ["/dev/null", "/dev/zero", "/dev/full", "/dev/tty", "/dev/random", "/dev/urandom", "/dev/ptmx"];

/// Which files and networks a program may reach.
///
/// Everything else is refused by the kernel with `EACCES`, for all that the program starts too, and
/// through links as well. What it cannot hold up: the metadata of files anywhere can be read (`stat`,
/// `chdir`), and sockets other than TCP are not covered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confine {
    /// Directories and files that may be read, written and executed.
    pub read_write: Vec<PathBuf>,
    /// Directories and files that may be read and executed. What does not exist is left out.
    pub read: Vec<PathBuf>,
    /// May it open and accept TCP connections?
    pub network: bool,
    /// Refuse to run where the kernel cannot hold all of this up, rather than run less confined.
    pub required: bool,
}

impl Confine {
    /// A program may write below `read_write` only, and read what an installed system consists of.
    #[must_use]
    pub fn to(read_write: impl IntoIterator<Item = PathBuf>) -> Self {
        let read =
            ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/opt", "/nix/store", "/etc", "/proc"];
        Self {
            read_write: read_write.into_iter().collect(),
            read: read.into_iter().map(PathBuf::from).collect(),
            network: false,
            required: false,
        }
    }
}

/// How far the kernel holds up a confinement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// All of it.
    Full,
    /// A part: the kernel's Landlock is older than the rules.
    Partial,
    /// None: the kernel has no Landlock, or it is switched off.
    None,
}

/// Whether this kernel can confine programs, and in words for people.
///
/// Tries it on a thread of its own, which ends with it; nothing else is confined by that.
#[must_use]
pub fn probe() -> (Enforcement, String) {
    let tried = std::thread::spawn(|| restrict(&Confine::to([]))).join();
    match tried {
        Ok(Ok((enforcement, detail))) => (enforcement, detail),
        Ok(Err(error)) => (Enforcement::None, format!("Landlock cannot be used: {error}")),
        Err(_) => (Enforcement::None, "Landlock cannot be tried".to_owned()),
    }
}

/// Confines the calling thread and what it starts from now on, for good.
///
/// # Errors
///
/// The kernel refused, or it cannot hold up what is required; then the thread may be confined in part
/// and should start nothing.
pub(crate) fn apply(confine: &Confine) -> io::Result<Enforcement> {
    let (enforcement, detail) = restrict(confine)?;
    if confine.required && enforcement != Enforcement::Full {
        return Err(io::Error::new(io::ErrorKind::Unsupported, detail));
    }
    Ok(enforcement)
}

fn restrict(confine: &Confine) -> io::Result<(Enforcement, String)> {
    let refused = |error: landlock::RulesetError| io::Error::other(error);
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    rules = rules.handle_access(AccessFs::from_all(ABI_WANTED)).map_err(refused)?;
    rules = rules.scope(Scope::Signal).map_err(refused)?;
    if !confine.network {
        rules = rules.handle_access(AccessNet::from_all(ABI_WANTED)).map_err(refused)?;
        rules = rules.scope(Scope::AbstractUnixSocket).map_err(refused)?;
    }
    let all = AccessFs::from_all(ABI_WANTED);
    let status = rules
        .create()
        .map_err(refused)?
        .add_rules(path_beneath_rules(&confine.read, AccessFs::from_read(ABI_WANTED)))
        .map_err(refused)?
        .add_rules(path_beneath_rules(&confine.read_write, all))
        .map_err(refused)?
        .add_rules(path_beneath_rules(DEVICES, AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::IoctlDev))
        .map_err(refused)?
        .restrict_self()
        .map_err(refused)?;
    let kernel = match status.landlock {
        LandlockStatus::NotEnabled => {
            "Landlock is switched off in this kernel: add it to the kernel parameter `lsm`".to_owned()
        }
        LandlockStatus::NotImplemented => "this kernel has no Landlock: it came with Linux 5.13".to_owned(),
        LandlockStatus::Available { effective_abi, kernel_abi } => match kernel_abi {
            Some(newer) => format!("Landlock, ABI {newer}"),
            None => format!("Landlock, ABI {effective_abi}"),
        },
    };
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => (Enforcement::Full, kernel),
        RulesetStatus::PartiallyEnforced => {
            (Enforcement::Partial, format!("{kernel}, holds up a part of it: Linux 6.12 has all"))
        }
        RulesetStatus::NotEnforced => (Enforcement::None, kernel),
    })
}
