//! Names of things: goals, tasks, agents, capabilities, and the numbers that order writes.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The longest id in bytes. Ids become parts of keys, file names and log lines.
pub const MAX_ID_LEN: usize = 128;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdError {
    /// Nothing stands where an id is needed.
    #[error("an id must not be empty")]
    Empty,
    /// Longer than [`MAX_ID_LEN`].
    #[error("an id has at most {MAX_ID_LEN} bytes, this one has {len}")]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// A character that keys, file names or shells could misread.
    #[error(
        "`{character}` at byte {at} is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, \
         and the first must be a letter, a digit or `_`",
        character = character.escape_debug()
    )]
    Character {
        /// The first character that is not allowed.
        character: char,
        /// Where it stands, in bytes.
        at: usize,
    },
}

/// Whether `text` may be an id: ASCII letters, digits, `_`, `-`, `.`; the first is no `-` or `.`.
///
/// The set is this narrow because an id becomes part of a key (`task:<id>:lock`), of a file name and
/// of a command's environment. `:` in particular separates the parts of keys.
///
/// # Errors
///
/// [`IdError`] names the first thing that is wrong.
pub fn check_id(text: &str) -> Result<(), IdError> {
    if text.is_empty() {
        return Err(IdError::Empty);
    }
    if text.len() > MAX_ID_LEN {
        return Err(IdError::TooLong { len: text.len() });
    }
    for (at, character) in text.char_indices() {
        let allowed = character.is_ascii_alphanumeric()
            || character == '_'
            || (at > 0 && matches!(character, '-' | '.'));
        if !allowed {
            return Err(IdError::Character { character, at });
        }
    }
    Ok(())
}

/// The same rule as [`check_id`], as a regular expression for JSON Schema.
pub(crate) const ID_PATTERN: &str = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$";

/// What request ids and incarnations look like, for JSON Schema. That they have at most 128 *bytes* it cannot
/// say: the cache does.
const REQUEST_PATTERN: &str = "^[^\\x00-\\x1f\\x7f-\\x9f]{1,128}$";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, JsonSchema)]
        #[schemars(with = "String", extend("pattern" = ID_PATTERN))]
        pub struct $name(std::sync::Arc<str>);

        // By hand, without the text in between that `into = "String"` makes: ids are half of what a store
        // reads and writes.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;

                impl de::Visitor<'_> for Text {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        f.write_str("a string")
                    }

                    fn visit_str<E: de::Error>(self, text: &str) -> Result<$name, E> {
                        $name::new(text).map_err(E::custom)
                    }
                }

                deserializer.deserialize_str(Text)
            }
        }

        impl $name {
            /// Takes `text` as an id.
            ///
            /// # Errors
            ///
            /// What [`check_id`] says.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                check_id(text.as_ref())?;
                Ok(Self(text.as_ref().into()))
            }

            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.as_ref().to_owned()
            }
        }
    };
}

id! {
    /// A goal: what somebody asked for. It owns one DAG.
    GoalId
}
id! {
    /// A task, unique in a cache over all goals.
    TaskId
}
id! {
    /// An agent's name, unique in a cache among the living.
    AgentName
}
id! {
    /// A group of agents, which are started, stopped, paused and limited together.
    GroupName
}
id! {
    /// Something that an agent can do and a task may need, such as `shell` or `research`.
    Capability
}
id! {
    /// Names an append-only stream, such as `events`.
    StreamName
}

/// Which life of an agent's name this is.
///
/// A process draws it once; two processes under one name never share it, so a cache can tell a
/// renewal from a twin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Incarnation(#[schemars(regex(pattern = REQUEST_PATTERN))] pub String);

impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Names one request, so that repeating it after a lost answer has one effect.
///
/// The caller draws it from a space in which nobody draws the same twice (a UUID).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct RequestId(#[schemars(regex(pattern = REQUEST_PATTERN))] pub String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fencing token: who claimed a task later has the greater one, and only the greatest may write.
///
/// The high 27 bits are the store's epoch, taken anew at every opening, so that a claim that a crash
/// forgot can never be handed out again; the low 26 count a task's claims. It stays below 2^53, which
/// Lua, JSON and JavaScript hold exactly.
///
/// # Source
///
/// Martin Kleppmann, "How to do distributed locking", section "Making the lock safe with fencing".
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Token(#[schemars(range(max = Token::MAX.0))] u64);

impl Token {
    /// How many bits count claims within an epoch. The others leave room for epochs that follow a clock.
    const COUNT_BITS: u32 = 26;
    /// Before any claim.
    pub const NONE: Self = Self(0);
    /// The greatest token there can be.
    pub const MAX: Self = Self((1 << 53) - 1);

    /// A token as it was stored.
    #[must_use]
    pub const fn from_u64(raw: u64) -> Self {
        Self(raw)
    }

    /// The number to store.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The store epoch that it was handed out in.
    #[must_use]
    pub const fn epoch(self) -> u64 {
        self.0 >> Self::COUNT_BITS
    }

    /// The next one in `epoch`: greater than `self`, and greater than all of earlier epochs.
    ///
    /// `None` when the numbers are used up (134 million openings of a store); nothing may be claimed
    /// then.
    #[must_use]
    pub fn next(self, epoch: u64) -> Option<Self> {
        let floor = epoch.checked_mul(1 << Self::COUNT_BITS)?;
        let next = self.0.max(floor).checked_add(1)?;
        (next <= Self::MAX.0).then_some(Self(next))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_out_what_keys_and_shells_would_misread() {
        for good in ["a", "task-001", "t1__recover_2", "_x", "goal.task-1", "9"] {
            assert!(check_id(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", ".", "..", "a:lock", "a b", "a/b", "ä", "a\n", "a\0"] {
            assert!(check_id(bad).is_err(), "{bad:?}");
        }
        assert!(check_id(&"a".repeat(MAX_ID_LEN)).is_ok());
        assert!(check_id(&"a".repeat(MAX_ID_LEN + 1)).is_err());
    }

    #[test]
    fn an_id_from_outside_is_checked_when_it_is_read() {
        assert!(serde_json::from_str::<TaskId>("\"a:b\"").is_err());
        assert_eq!(serde_json::from_str::<TaskId>("\"a\"").unwrap().as_str(), "a");
    }

    #[test]
    fn a_token_of_a_later_epoch_is_greater_than_all_before() {
        let first = Token::NONE.next(1).unwrap();
        let many = (0..1000).fold(first, |token, _| token.next(1).unwrap());
        let later = Token::NONE.next(2).unwrap();
        assert!(first < many && many < later);
        assert_eq!(later.epoch(), 2);
        assert!(many.next(2).unwrap() >= later);
        assert!(Token::NONE.next(1 << 27).is_none());
    }
}
