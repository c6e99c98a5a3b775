//! The five questions, by name.

use std::fmt;

/// Which question a request asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Decompose,
    Select,
    Execute,
    Summarize,
    Assess,
}

impl Kind {
    pub(super) const ALL: [Self; 5] =
        [Self::Decompose, Self::Select, Self::Execute, Self::Summarize, Self::Assess];

    /// As it is written in a script.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Decompose => "decompose",
            Self::Select => "select",
            Self::Execute => "execute",
            Self::Summarize => "summarize",
            Self::Assess => "assess",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
