//! Which life of an agent's name may do what, and whether it lives.

use std::time::Duration;

use crate::cache::{CacheError, Liveness};
use crate::ids::{AgentName, Incarnation};
use crate::time::Timestamp;

/// From when on an agent, unheard, counts as silent.
#[must_use]
pub fn silent_from(last_beat_at: Timestamp, ttl: Duration) -> Timestamp {
    last_beat_at.after(ttl)
}

/// Whether an agent was heard within its ttl and has not ended.
#[must_use]
pub fn is_alive(ended: bool, last_beat_at: Timestamp, ttl: Duration, now: Timestamp) -> bool {
    !ended && silent_from(last_beat_at, ttl) > now
}

/// Whether an agent lives, as far as is known at `now`.
#[must_use]
pub fn liveness(ended: bool, last_beat_at: Timestamp, ttl: Duration, now: Timestamp) -> Liveness {
    match (ended, is_alive(ended, last_beat_at, ttl, now)) {
        (true, _) => Liveness::Dead,
        (false, true) => Liveness::Alive,
        (false, false) => Liveness::Unknown,
    }
}

fn replaced(name: &AgentName, presented: &Incarnation) -> CacheError {
    CacheError::AgentReplaced { agent: name.clone(), presented: presented.clone() }
}

/// Whether a life may claim. `registered` is the name's incarnation and whether it has ended; who was
/// never registered may.
///
/// # Errors
///
/// [`CacheError::AgentReplaced`].
pub fn may_claim(
    name: &AgentName,
    presented: &Incarnation,
    registered: Option<(&Incarnation, bool)>,
) -> Result<(), CacheError> {
    match registered {
        Some((incarnation, ended)) if ended || incarnation != presented => Err(replaced(name, presented)),
        _ => Ok(()),
    }
}

/// Whether a life may beat: only the registered one, until it ends.
///
/// # Errors
///
/// [`CacheError::AgentReplaced`].
pub fn may_beat(
    name: &AgentName,
    presented: &Incarnation,
    registered: Option<(&Incarnation, bool)>,
) -> Result<(), CacheError> {
    match registered {
        Some((incarnation, false)) if incarnation == presented => Ok(()),
        _ => Err(replaced(name, presented)),
    }
}

/// Whether a life may write the name's memory: any but one that was replaced. Who was never registered
/// may, and the last one may after its end.
///
/// # Errors
///
/// [`CacheError::AgentReplaced`].
pub fn may_remember(
    name: &AgentName,
    presented: &Incarnation,
    registered: Option<(&Incarnation, bool)>,
) -> Result<(), CacheError> {
    match registered {
        Some((incarnation, _)) if incarnation != presented => Err(replaced(name, presented)),
        _ => Ok(()),
    }
}
