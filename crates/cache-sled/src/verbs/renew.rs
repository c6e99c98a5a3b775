//! `renew`: a holder needs more time.

use downbeat_core::cache::{CacheError, Renew, Renewed};
use downbeat_core::rules;
use downbeat_core::state::Move;

use super::settle::refused;
use crate::step::Step;

pub(crate) fn renew(step: &mut Step<'_>, renew: &Renew) -> Result<Renewed, CacheError> {
    rules::check_lease_ttl(renew.ttl)?;
    let doc = step.named_task(&renew.task)?;
    let expires_at = step.now.after(renew.ttl);
    let progress = rules::bounded_progress(renew.progress.as_deref());
    step.make_alone(&renew.task, &doc, &Move::Renew { token: renew.token, expires_at, progress })?
        .map_err(|refusal| refused(&renew.task, &refusal))?;
    Ok(Renewed { expires_at })
}
