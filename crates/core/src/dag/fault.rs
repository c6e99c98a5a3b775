//! What is wrong with a draft: everything at once, each with its place.

use std::collections::BTreeMap;
use std::fmt;

use super::artifact::PathFault;
use super::limits::{MAX_FAULTS, MAX_METADATA_BYTES};
use crate::ids::IdError;

/// How many faults are shown; the others are counted.
const SHOWN: usize = 20;
/// How many tasks of a cycle are shown.
const SHOWN_CYCLE: usize = 12;
/// How much of a text is shown, in characters.
const SHOWN_TEXT: usize = 80;

/// Why a draft is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct DagError {
    /// The faults in the order of the draft, up to [`MAX_FAULTS`] of them. Never empty.
    pub faults: Vec<DagFault>,
    /// How many more there are.
    pub omitted: usize,
}

/// One fault of a draft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DagFault {
    /// Where: a JSON pointer (RFC 6901) into the draft; empty for the whole.
    pub pointer: String,
    /// What.
    pub kind: FaultKind,
}

/// What is wrong.
///
/// Ids are plain text: they stand as written, valid or not, cut when they are longer than any id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// The text is no JSON.
    #[error("line {line}, column {column}: {message}")]
    Syntax {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// The JSON has another shape than the schema.
    #[error("{message}")]
    Schema {
        /// What the schema wants.
        message: String,
    },
    /// There are no tasks.
    #[error("a DAG needs at least one task")]
    Empty,
    /// More tasks than [`MAX_TASKS`](super::MAX_TASKS).
    #[error("a DAG has at most {limit} tasks, this one has {found}")]
    TooManyTasks {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// More dependencies than [`MAX_EDGES`](super::MAX_EDGES).
    #[error("a DAG has at most {limit} edges, this one has {found}")]
    TooManyEdges {
        /// How many there are.
        found: usize,
        /// How many there may be.
        limit: usize,
    },
    /// Not an id.
    #[error("`{}` is not an id: {reason}", shorten(id))]
    InvalidId {
        /// As written.
        id: String,
        /// Why.
        reason: IdError,
    },
    /// Not a capability.
    #[error("`{}` is not a capability: {reason}", shorten(capability))]
    InvalidCapability {
        /// As written.
        capability: String,
        /// Why.
        reason: IdError,
    },
    /// Two tasks have one id.
    #[error("duplicate task id `{}`, first at /nodes/{first}", shorten(id))]
    DuplicateTask {
        /// The id.
        id: String,
        /// Which task has it first, from 0.
        first: usize,
    },
    /// A task waits for itself.
    #[error("task `{}` waits for itself", shorten(id))]
    SelfDependency {
        /// The task.
        id: String,
    },
    /// An edge names a task that is not there.
    #[error("no task is called `{}`{}", shorten(id), Hint(suggestion.as_deref()))]
    UnknownDependency {
        /// As written.
        id: String,
        /// A task with a similar id.
        suggestion: Option<String>,
    },
    /// Tasks wait for each other, so that none of them could ever start.
    #[error("the tasks wait for each other: {}", Path(path))]
    Cycle {
        /// Each waits for the one before; the last is the first again.
        path: Vec<String>,
    },
    /// Not the path of a file in the workspace.
    #[error("artifact `{}` cannot be expected: {reason}", shorten(path))]
    ArtifactPath {
        /// As written.
        path: String,
        /// Why.
        reason: PathFault,
    },
    /// Something that only a task of the other kind has.
    #[error("a task of kind `{kind}` has no {what}{}", Because(help))]
    WrongKind {
        /// The kind that the task is of.
        kind: &'static str,
        /// What it cannot have.
        what: &'static str,
        /// What to write instead; empty for nothing.
        help: &'static str,
    },
    /// A capability that belongs to Downbeat itself.
    #[error("capability `{capability}` is reserved")]
    ReservedCapability {
        /// As written.
        capability: &'static str,
    },
    /// Nothing is written where something is needed.
    #[error("{what} must not be empty")]
    Blank {
        /// What is empty.
        what: &'static str,
    },
    /// A NUL character, which no shell accepts.
    #[error("{what} must not contain a NUL character")]
    Nul {
        /// What contains it.
        what: &'static str,
    },
    /// More than there may be.
    #[error("{what} has {found} {unit}, at most {limit} are allowed")]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it is.
        found: usize,
        /// How long it may be.
        limit: usize,
        /// What is counted, in the plural.
        unit: &'static str,
    },
    /// A number beyond its bounds.
    #[error("{what} is {found}, it must be from {least} to {greatest}")]
    OutOfRange {
        /// Which number.
        what: &'static str,
        /// What it is.
        found: u32,
        /// The least that it may be.
        least: u32,
        /// The greatest that it may be.
        greatest: u32,
    },
    /// More metadata than one task may keep.
    #[error("the metadata of a task has at most {MAX_METADATA_BYTES} bytes as JSON, these are more")]
    MetadataTooLarge,
}

struct Hint<'a>(Option<&'a str>);

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.map_or(Ok(()), |id| write!(f, "; is it `{}`?", shorten(id)))
    }
}

struct Because<'a>(&'a str);

impl fmt::Display for Because<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "; {}", self.0) }
    }
}

struct Path<'a>(&'a [String]);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = self.0.len().saturating_sub(SHOWN_CYCLE);
        for (index, id) in self.0.iter().enumerate() {
            let last = index + 1 == self.0.len();
            if hidden > 0 && !last && index + 1 == SHOWN_CYCLE {
                write!(f, " -> ({hidden} more)")?;
            } else if hidden == 0 || last || index + 1 < SHOWN_CYCLE {
                let arrow = if index == 0 { "" } else { " -> " };
                write!(f, "{arrow}`{}`", shorten(id))?;
            }
        }
        Ok(())
    }
}

/// `text` cut for a message, on one line.
pub(crate) fn shorten(text: &str) -> String {
    cut(text, SHOWN_TEXT)
}

/// The first `limit` characters of `text`, on one line, `…` after them if there are more.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    let mut cut = String::new();
    for (index, character) in text.chars().enumerate() {
        if index == limit {
            cut.push('…');
            break;
        }
        if character.is_control() {
            cut.extend(character.escape_default());
        } else {
            cut.push(character);
        }
    }
    cut
}

impl fmt::Display for DagFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pointer.is_empty() { self.kind.fmt(f) } else { write!(f, "{}: {}", self.pointer, self.kind) }
    }
}

impl fmt::Display for DagError {
    /// One fault a line, the first 20 of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().take(SHOWN).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            fault.fmt(f)?;
        }
        let more = self.faults.len().saturating_sub(SHOWN) + self.omitted;
        if more > 0 {
            write!(f, "\nand {more} more")?;
        }
        Ok(())
    }
}

impl std::error::Error for DagError {}

impl DagError {
    /// One fault alone.
    pub(super) fn one(pointer: impl Into<String>, kind: FaultKind) -> Self {
        Self { faults: vec![DagFault { pointer: pointer.into(), kind }], omitted: 0 }
    }
}

/// The faults found so far.
#[derive(Debug, Default)]
pub(super) struct Faults {
    kept: Vec<DagFault>,
    omitted: usize,
    /// What could not be read, with the reason: nothing is said of what stands there instead.
    pub(super) unreadable: BTreeMap<String, String>,
}

impl Faults {
    /// Adds a fault, unless it is about something that could not be read at all.
    pub(super) fn push(&mut self, pointer: impl Into<String>, kind: FaultKind) {
        let pointer = pointer.into();
        if self.is_unreadable(&pointer) {
            return;
        }
        if self.kept.len() < MAX_FAULTS {
            self.kept.push(DagFault { pointer, kind });
        } else {
            self.omitted += 1;
        }
    }

    fn is_unreadable(&self, pointer: &str) -> bool {
        if self.unreadable.is_empty() {
            return false;
        }
        let ends = pointer.match_indices('/').map(|(at, _)| at).chain([pointer.len()]);
        ends.filter_map(|end| pointer.get(..end)).any(|prefix| self.unreadable.contains_key(prefix))
    }

    /// Adds one that the schema found, unless more is known about its place already.
    pub(super) fn push_schema(&mut self, pointer: String, message: String) {
        if self.kept.len() >= MAX_FAULTS {
            self.omitted += 1;
        } else {
            self.kept.push(DagFault { pointer, kind: FaultKind::Schema { message } });
        }
    }

    /// The places of all that are kept.
    pub(super) fn pointers(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(|fault| fault.pointer.as_str())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The faults in the order of the draft.
    pub(super) fn into_error(mut self) -> DagError {
        self.kept.sort_by_cached_key(|fault| place(&fault.pointer));
        DagError { faults: self.kept, omitted: self.omitted }
    }
}

/// Where a pointer stands in the draft, for sorting: the part, the number in it, whether deeper.
fn place(pointer: &str) -> (u8, usize, bool) {
    let mut steps = pointer.split('/').skip(1);
    let part = match steps.next() {
        None => 0,
        Some("goal_id") => 1,
        Some("nodes") => 2,
        Some("edges") => 3,
        Some(_) => 4,
    };
    // The array itself goes before what is in it.
    let number = steps.next().and_then(|step| step.parse().ok()).map_or(0, |number: usize| number + 1);
    (part, number, steps.next().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_shows_the_first_faults_and_counts_the_others() {
        let mut faults = Faults::default();
        for index in 0..1_500 {
            faults.push(format!("/nodes/{index}/title"), FaultKind::Blank { what: "title" });
        }
        let error = faults.into_error();
        assert_eq!((error.faults.len(), error.omitted), (1_000, 500));
        let text = error.to_string();
        assert_eq!(text.lines().count(), 21);
        assert!(text.starts_with("/nodes/0/title: title must not be empty\n"));
        assert!(text.ends_with("\nand 1480 more"), "{text}");
    }

    #[test]
    fn a_long_cycle_is_shown_in_part() {
        let path: Vec<String> = (0..100).chain([0]).map(|n| format!("t{n}")).collect();
        let text = FaultKind::Cycle { path }.to_string();
        assert!(text.contains("`t0` -> `t1` ->"), "{text}");
        assert!(text.ends_with("`t10` -> (89 more) -> `t0`"), "{text}");
        let path = vec!["a".into(), "b".into(), "a".into()];
        assert_eq!(FaultKind::Cycle { path }.to_string(), "the tasks wait for each other: `a` -> `b` -> `a`");
    }

    #[test]
    fn a_text_is_cut_and_stays_on_one_line() {
        assert_eq!(cut("ab\ncd", 4), "ab\\nc…");
        assert_eq!(cut("äöü", 3), "äöü");
    }
}
