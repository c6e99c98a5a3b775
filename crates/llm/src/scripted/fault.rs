//! All that is wrong with a script, as it is found.

use std::fmt;

/// More faults than this help nobody.
const MAX_FAULTS: usize = 200;

/// Where in a script something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The file or directory as a whole.
    File,
    /// A place in a text that is no JSON: lines and columns from 1, columns in bytes.
    Line(usize, usize),
    /// A JSON pointer (RFC 6901).
    Pointer(String),
}

/// One thing that is wrong with a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file, or the directory.
    pub file: String,
    /// Where in it.
    pub place: Place,
    /// What is wrong, lower case.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::File => write!(f, "{}: {}", self.file, self.message),
            Place::Line(line, column) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            Place::Pointer(pointer) => write!(f, "{}#{pointer}: {}", self.file, self.message),
        }
    }
}

/// Why a script cannot be used: every fault at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the script cannot be used:{}{}", lines(faults), more(*dropped))]
#[non_exhaustive]
pub struct ScriptError {
    /// In the order of the files.
    pub faults: Vec<Fault>,
    /// How many more there are.
    pub dropped: usize,
}

fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

fn more(dropped: usize) -> String {
    if dropped == 0 { String::new() } else { format!("\n  and {dropped} more faults") }
}

/// Collects faults, up to a bound.
#[derive(Debug)]
pub(super) struct Faults {
    /// The file that is read at present.
    pub(super) file: String,
    found: Vec<Fault>,
    dropped: usize,
}

impl Faults {
    /// None yet; `file` is read first.
    pub(super) fn of(file: impl fmt::Display) -> Self {
        Self { file: file.to_string(), found: Vec::new(), dropped: 0 }
    }

    pub(super) fn push(&mut self, place: Place, message: impl Into<String>) {
        if self.found.len() < MAX_FAULTS {
            self.found.push(Fault { file: self.file.clone(), place, message: message.into() });
        } else {
            self.dropped += 1;
        }
    }

    /// At a JSON pointer of the present file.
    pub(super) fn at(&mut self, pointer: impl Into<String>, message: impl Into<String>) {
        self.push(Place::Pointer(pointer.into()), message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// `sound`, unless there was a fault.
    pub(super) fn finish<T>(self, sound: T) -> Result<T, ScriptError> {
        if self.found.is_empty() {
            Ok(sound)
        } else {
            Err(ScriptError { faults: self.found, dropped: self.dropped })
        }
    }
}
