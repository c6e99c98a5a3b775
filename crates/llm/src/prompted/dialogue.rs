//! A question, its answer, and its repair.

use downbeat_core::goal::Usage;
use downbeat_core::llm::{CallError, LlmError, Reply};
use downbeat_core::text::clip;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::prompt;
use crate::transport::{Answer, Ask, Permissions, Speaker, Transport, Turn};

/// How often an answer is sent back to be repaired.
pub(crate) const MAX_REPAIRS: usize = 2;

/// How much of an answer that could not be used is kept, in bytes.
const EXCERPT: usize = 500;

/// Asks until `judge` takes the answer, at most [`MAX_REPAIRS`] times more than once, all within the
/// question's time.
///
/// # Errors
///
/// The transport's, [`LlmError::TimedOut`] and [`LlmError::Malformed`]; with all that was spent.
pub(super) async fn hold<T>(
    transport: &dyn Transport,
    mut ask: Ask,
    judge: impl Fn(&Answer) -> Result<T, Vec<String>> + Send,
) -> Result<Reply<T>, CallError>
where
    T: Send,
{
    let started = Instant::now();
    let limit = ask.timeout;
    let mut spent = Usage::default();
    let mut repairs = 0;
    loop {
        ask.timeout = limit.saturating_sub(started.elapsed());
        if ask.timeout.is_zero() {
            return Err(CallError { error: LlmError::TimedOut { limit }, usage: spent });
        }
        let answer = match tokio::time::timeout(ask.timeout, transport.ask(&ask)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => return Err(error.after(spent)),
            // The transport should have seen to it itself; what it spent nobody knows.
            Err(_) => return Err(CallError { error: LlmError::TimedOut { limit }, usage: spent }),
        };
        spent = spent.plus(answer.usage);
        ask.observer.spent(answer.usage);
        let faults = match judge(&answer) {
            Ok(value) => {
                return Ok(Reply { value, usage: spent, model: answer.model, duration: started.elapsed() });
            }
            Err(faults) => faults,
        };
        let said = match &answer.structured {
            Some(value) => value.to_string(),
            None => answer.text,
        };
        if repairs == MAX_REPAIRS {
            warn!(target: "llm", "The answer of {} cannot be used, also after {repairs} repairs", transport.name());
            let error = LlmError::Malformed {
                reason: clip(&faults.join("; "), 2 * EXCERPT),
                excerpt: clip(&printable(&said), EXCERPT),
            };
            return Err(CallError { error, usage: spent });
        }
        repairs += 1;
        info!(target: "llm", "The answer of {} has {} faults; asking for a repair ({repairs} of {MAX_REPAIRS})",
            transport.name(), faults.len());
        // Of two wrong answers only the newest is of interest, and each costs tokens.
        ask.exchange = vec![
            Turn { speaker: Speaker::Model, text: prompt::said(&said) },
            Turn { speaker: Speaker::User, text: prompt::repair(&faults) },
        ];
        if let Some(work) = &mut ask.work {
            // The work is done; only its report is wrong. It may still look.
            work.permissions = Permissions::Plan;
        }
    }
}

fn printable(text: &str) -> String {
    text.trim().chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}
