//! Any agent that speaks the Agent Client Protocol: `acp:<command>`.

use std::sync::Arc;

use downbeat_core::llm::LlmError;

use crate::opening::{Opening, not_built_in_yet};
use crate::transport::Transport;

/// Opens it. The argument is the command, as a shell would split it.
///
/// # Errors
///
/// [`LlmError::Unusable`] when what is behind the `:` cannot be used. Whether the program is there is
/// [`Transport::probe`]'s to say.
pub(crate) fn open(opening: &Opening<'_>) -> Result<Arc<dyn Transport>, LlmError> {
    Err(not_built_in_yet(opening))
}
