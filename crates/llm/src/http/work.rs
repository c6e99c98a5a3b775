//! A task, done with tools.

use std::sync::Mutex;

use downbeat_core::goal::Usage;
use downbeat_core::llm::LlmError;

use super::conversation::Entry;
use super::dialect::Reading;
use super::model::{HttpModel, Turn};
use crate::transport::{Ask, Work};

pub(super) async fn work(
    model: &HttpModel,
    ask: &Ask,
    _work: &Work,
    entries: Vec<Entry>,
    spent: &Mutex<Usage>,
) -> Result<Reading, LlmError> {
    model.turn(Turn { system: &ask.system, entries: &entries, answer: None, tools: &[] }, spent).await
}
