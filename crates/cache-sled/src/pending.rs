//! What is in the journal and not in sled yet, and what is looked through too often to be read from there.

use std::sync::Arc;

use sled::IVec;

use crate::layout::is_index;
use crate::txn::{Layer, Writes};

/// What is laid over sled.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// Since the newest journal began.
    active: Writes,
    bytes: usize,
    /// Of the journal before, while it is being applied.
    frozen: Option<Arc<Layer>>,
    /// All index entries there are. Entries are consumed from the front: were they looked up under what
    /// has been removed since the journal began, each claim would step over all of that.
    index: Layer,
}

static NOTHING: Layer = Layer::new();

impl Pending {
    /// On top of a sled with these index entries, to which this layer is being applied.
    pub(crate) fn new(mut index: Layer, frozen: Option<Arc<Layer>>) -> Self {
        for (key, value) in frozen.iter().flat_map(|layer| layer.iter()).filter(|(key, _)| is_index(key)) {
            note(&mut index, key, value.as_ref());
        }
        Self { index, frozen, ..Self::default() }
    }

    /// What is known of a key: its value, or that it is removed. `None`: sled knows.
    pub(crate) fn get(&self, key: &[u8]) -> Option<Option<IVec>> {
        if is_index(key) {
            return Some(self.index.get(key).cloned().flatten());
        }
        self.active.layer().get(key).or_else(|| self.frozen.as_ref()?.get(key)).cloned()
    }

    /// The layers over sled for keys from `from` on, the newest first, and whether sled is needed.
    pub(crate) fn layers(&self, from: &[u8], until: &[u8]) -> ([&Layer; 2], bool) {
        // The keys of one index have one tag; a wider range sees the index through the other layers.
        if is_index(from) && until.first().is_some_and(|end| from.first().is_some_and(|tag| *end <= tag + 1))
        {
            return ([&self.index, &NOTHING], false);
        }
        ([self.active.layer(), self.frozen.as_deref().unwrap_or(&NOTHING)], true)
    }

    /// Takes what a group decided.
    pub(crate) fn take(&mut self, writes: Writes) {
        for (key, value) in writes.layer() {
            self.bytes += key.len() + value.as_ref().map_or(0, |value| value.len());
            if is_index(key) {
                note(&mut self.index, key, value.as_ref());
            }
        }
        let frozen = self.frozen.as_deref().unwrap_or(&NOTHING);
        self.active.take(writes, frozen);
    }

    /// How many keys and bytes the newest journal brought.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.active.layer().len(), self.bytes)
    }

    /// Whether an older journal is being applied.
    pub(crate) const fn is_frozen(&self) -> bool {
        self.frozen.is_some()
    }

    /// From now on a new journal is written: what the old one brought, to be applied.
    pub(crate) fn freeze(&mut self) -> Arc<Layer> {
        self.bytes = 0;
        let layer = Arc::new(std::mem::take(&mut self.active).into_layer());
        self.frozen = Some(Arc::clone(&layer));
        layer
    }

    /// What was frozen is in sled.
    pub(crate) fn thaw(&mut self) {
        self.frozen = None;
    }
}

/// Keeps the index as it is now.
fn note(index: &mut Layer, key: &IVec, value: Option<&IVec>) {
    match value {
        Some(value) => index.insert(key.clone(), Some(value.clone())),
        None => index.remove(key),
    };
}
