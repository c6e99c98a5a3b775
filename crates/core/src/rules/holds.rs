//! The three verbs on named leases, decided from what is stored.
//!
//! What is stored under a name is the newest [`Hold`], also after it was given back, and whether it
//! still is held (`true` until it is released; the deadline is compared here).

use std::time::Duration;

use crate::cache::{Acquire, CacheError, Hold};
use crate::ids::Token;
use crate::time::Timestamp;

/// What `acquire` stores and answers; `None` when somebody else holds the name.
///
/// Who has it is given it again under the same token. Whose time is up begins anew, under a new token,
/// also when nobody came in between.
///
/// # Errors
///
/// [`CacheError::Invalid`], and [`CacheError::Corrupt`] when the tokens are used up.
pub fn acquire_hold(
    acquire: &Acquire,
    newest: Option<(&Hold, bool)>,
    epoch: u64,
    now: Timestamp,
) -> Result<Option<Hold>, CacheError> {
    super::check_acquire(acquire)?;
    let lasting = newest.filter(|(hold, held)| *held && hold.expires_at > now);
    let token = match lasting {
        Some((hold, _)) if hold.holder != acquire.holder => return Ok(None),
        Some((hold, _)) => hold.token,
        None => newest
            .map_or(Token::NONE, |(hold, _)| hold.token)
            .next(epoch)
            .ok_or_else(super::tokens_used_up)?,
    };
    Ok(Some(Hold {
        name: acquire.name.clone(),
        holder: acquire.holder.clone(),
        token,
        expires_at: now.after(acquire.ttl),
    }))
}

/// What `renew_hold` stores and answers. A late holder whom nobody replaced may renew.
///
/// # Errors
///
/// [`CacheError::Conflict`] on `hold:<name>`: the token is not the newest, or was given back.
pub fn renew_hold(
    hold: &Hold,
    ttl: Duration,
    newest: Option<(&Hold, bool)>,
    now: Timestamp,
) -> Result<Hold, CacheError> {
    super::check_key(&hold.name)?;
    super::check_lease_ttl(ttl)?;
    match newest {
        Some((stored, true)) if stored.token == hold.token && stored.holder == hold.holder => {
            Ok(Hold { expires_at: now.after(ttl), ..stored.clone() })
        }
        _ => Err(CacheError::Conflict {
            key: format!("hold:{}", hold.name),
            presented: hold.token.as_u64(),
            current: newest.map_or(0, |(stored, _)| stored.token.as_u64()),
        }),
    }
}

/// Whether `release_hold` frees the name: only the newest token does.
#[must_use]
pub fn release_hold(hold: &Hold, newest: Option<(&Hold, bool)>) -> bool {
    newest.is_some_and(|(stored, held)| held && stored.token == hold.token && stored.holder == hold.holder)
}
