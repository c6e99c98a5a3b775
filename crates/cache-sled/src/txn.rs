//! What an operation reads and writes: the store with what was decided before, under what it has decided
//! itself.

use std::cell::RefCell;
use std::collections::btree_map;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use downbeat_core::cache::CacheError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::IVec;

use crate::layout::{self, Key, prefix};
use crate::store::{Store, corrupt, readable};

/// Decided: for each key its value, or `None` where it is removed.
pub(crate) type Layer = BTreeMap<IVec, Option<IVec>>;

/// A layer that knows which of its keys the layers below do not have: removing such a key leaves
/// nothing to write. Index entries come and go, and are half of what is decided.
#[derive(Debug, Default)]
pub(crate) struct Writes {
    layer: Layer,
    born: BTreeSet<IVec>,
}

impl Writes {
    pub(crate) const fn layer(&self) -> &Layer {
        &self.layer
    }

    pub(crate) fn into_layer(self) -> Layer {
        self.layer
    }

    fn remove(&mut self, key: IVec) {
        if self.born.remove(&key) {
            self.layer.remove(&key);
        } else {
            self.layer.insert(key, None);
        }
    }

    /// Takes what was decided on top of this.
    fn merge(&mut self, above: Self) {
        if self.layer.is_empty() {
            *self = above;
            return;
        }
        for (key, value) in above.layer {
            match value {
                None => self.remove(key),
                value => {
                    self.layer.insert(key, value);
                }
            }
        }
        self.born.extend(above.born);
    }

    /// Takes what was decided on top of this by somebody who did not know of it; `below`: what lies
    /// between this and the store.
    pub(crate) fn take(&mut self, mut above: Self, below: &Layer) {
        // What is removed here or written below is still in the store, or will be.
        above.born.retain(|key| !self.layer.contains_key(key) && !below.contains_key(key));
        self.merge(above);
    }

    /// What a layer says.
    #[cfg(test)]
    pub(crate) const fn of(layer: Layer) -> Self {
        Self { layer, born: BTreeSet::new() }
    }
}

/// A view of the store that reads its own writes. Dropping it forgets them.
#[derive(Debug)]
pub(crate) struct Txn<'a> {
    store: &'a Store,
    own: Writes,
    /// What it wrote before a part that may be taken back.
    before: Option<Writes>,
    /// Where keys and values are put together.
    scratch: RefCell<Vec<u8>>,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(store: &'a Store) -> Self {
        Self { store, own: Writes::default(), before: None, scratch: RefCell::default() }
    }

    /// What it wrote.
    pub(crate) fn into_writes(mut self) -> Writes {
        self.keep_part();
        self.own
    }

    /// Begins a part that may be taken back. One at a time.
    pub(crate) fn begin_part(&mut self) {
        self.keep_part();
        self.before = Some(std::mem::take(&mut self.own));
    }

    /// The part stands.
    pub(crate) fn keep_part(&mut self) {
        if let Some(mut before) = self.before.take() {
            before.merge(std::mem::take(&mut self.own));
            self.own = before;
        }
    }

    /// Forgets what it wrote since the part began.
    pub(crate) fn drop_part(&mut self) {
        if let Some(before) = self.before.take() {
            self.own = before;
        }
    }

    /// What it has itself decided on a key.
    fn decided(&self, key: &[u8]) -> Option<&Option<IVec>> {
        self.own.layer.get(key).or_else(|| self.before.as_ref()?.layer.get(key))
    }

    /// Whether it wrote or removed a key itself.
    pub(crate) fn wrote(&self, key: &Key) -> bool {
        let nothing = self.own.layer.is_empty() && self.before.as_ref().is_none_or(|w| w.layer.is_empty());
        !nothing && self.with_key(key, |key| self.decided(key).is_some())
    }

    fn with_key<T>(&self, key: &Key, look: impl FnOnce(&[u8]) -> T) -> T {
        let mut scratch = self.scratch.take();
        scratch.clear();
        key.encode_to(&mut scratch);
        let seen = look(&scratch);
        self.scratch.replace(scratch);
        seen
    }

    fn stored_key(&self, key: &Key) -> IVec {
        self.with_key(key, |key| IVec::from(key))
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<IVec>, CacheError> {
        self.with_key(key, |key| match self.decided(key) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(key),
        })
    }

    pub(crate) fn has(&self, key: &Key) -> Result<bool, CacheError> {
        self.get(key).map(|value| value.is_some())
    }

    pub(crate) fn put(&mut self, key: &Key, value: impl Into<IVec>) {
        let key = self.stored_key(key);
        self.own.layer.insert(key, Some(value.into()));
    }

    /// Writes under a key that the caller knows not to be there.
    pub(crate) fn put_new(&mut self, key: &Key, value: impl Into<IVec>) {
        let key = self.stored_key(key);
        // What is removed below is still in the store.
        if self.decided(&key).is_none() {
            self.own.born.insert(key.clone());
        }
        self.own.layer.insert(key, Some(value.into()));
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        let key = self.stored_key(key);
        self.own.remove(key);
    }

    /// A value that is JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, CacheError> {
        let Some(bytes) = self.get(key)? else {
            return Ok(None);
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| corrupt(&readable(&key.encode()), error))
    }

    pub(crate) fn write<T: Serialize>(&mut self, key: &Key, value: &T) -> Result<(), CacheError> {
        let scratch = self.scratch.get_mut();
        scratch.clear();
        serde_json::to_writer(&mut *scratch, value)
            .map_err(|error| CacheError::Invalid { reason: format!("cannot be written as JSON: {error}") })?;
        let value = IVec::from(scratch.as_slice());
        self.put(key, value);
        Ok(())
    }

    /// A number; 0 where there is none.
    pub(crate) fn number(&self, key: &Key) -> Result<u64, CacheError> {
        match self.get(key)? {
            None => Ok(0),
            Some(bytes) => layout::number(&bytes)
                .ok_or_else(|| CacheError::Corrupt { key: format!("{key:?}"), source: None }),
        }
    }

    pub(crate) fn set_number(&mut self, key: &Key, number: u64) {
        self.put(key, &number.to_be_bytes());
    }

    /// All pairs whose key begins with `beginning`, in order.
    pub(crate) fn under(&self, beginning: &[u8]) -> Scan<'_> {
        self.range(beginning, &prefix::end(beginning))
    }

    /// All pairs from `from` to before `until`, in order.
    pub(crate) fn range(&self, from: &[u8], until: &[u8]) -> Scan<'_> {
        use std::ops::Bound::{Excluded, Included};
        // An empty range is one that ends where it begins, never before.
        let until = if until < from { from } else { until };
        let ([newer, older], stored) = self.store.over(from, until);
        let within = |layer| {
            // An empty layer has no range that would be wrong.
            let layer: &Layer = if from == until { &EMPTY } else { layer };
            let bounds = (Included(from), Excluded(until));
            if layer.is_empty() { layer.range::<[u8], _>(..) } else { layer.range::<[u8], _>(bounds) }
                .peekable()
        };
        let before = self.before.as_ref().map_or(&EMPTY, Writes::layer);
        Scan {
            layers: [within(&self.own.layer), within(before), within(newer), within(older)],
            stored: stored.map(Iterator::peekable),
            store: self.store,
        }
    }
}

static EMPTY: Layer = Layer::new();

/// A value of JSON, read.
pub(crate) fn parse<T: DeserializeOwned>(key: &[u8], value: &[u8]) -> Result<T, CacheError> {
    serde_json::from_slice(value).map_err(|error| corrupt(&readable(key), error))
}

/// Pairs in order, the newest layer's where several have a key.
pub(crate) struct Scan<'a> {
    /// The newest first.
    layers: [Peekable<btree_map::Range<'a, IVec, Option<IVec>>>; 4],
    stored: Option<Peekable<sled::Iter>>,
    store: &'a Store,
}

impl Scan<'_> {
    /// The next key, with its value or `None` where a layer removed it.
    fn step(&mut self) -> Result<Option<(IVec, Option<IVec>)>, CacheError> {
        let stored = match self.stored.as_mut().and_then(Peekable::peek) {
            Some(Ok((key, _))) => Some(key),
            Some(Err(_)) => {
                let error = self.stored.as_mut().and_then(|stored| stored.next()?.err());
                return Err(CacheError::Unavailable {
                    reason: "sled failed".to_owned(),
                    source: error.map(Into::into),
                });
            }
            None => None,
        };
        let decided = self.layers.iter_mut().filter_map(|layer| layer.peek().map(|(key, _)| *key));
        let Some(key) = decided.chain(stored).min().cloned() else {
            return Ok(None);
        };
        // Each layer that has the key moves on; the newest one's value counts.
        let mut newest = None;
        for layer in &mut self.layers {
            let pair = layer.next_if(|(other, _)| **other == key);
            newest = newest.or(pair.map(|(_, value)| value));
        }
        let same = |pair: &sled::Result<(IVec, IVec)>| pair.as_ref().is_ok_and(|(other, _)| *other == key);
        let stored = self.stored.as_mut().and_then(|stored| stored.next_if(same));
        let value = match (newest, stored) {
            (Some(value), _) => value.clone(),
            (None, Some(Ok((_, value)))) => Some(self.store.whole(&key, &value)?),
            (None, _) => None,
        };
        Ok(Some((key, value)))
    }
}

impl Iterator for Scan<'_> {
    type Item = Result<(IVec, IVec), CacheError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.step() {
                Err(error) => return Some(Err(error)),
                Ok(None) => return None,
                Ok(Some((_, None))) => {}
                Ok(Some((key, Some(value)))) => return Some(Ok((key, value))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::apply::PIECE;

    type Model = BTreeMap<String, Vec<u8>>;

    /// Writes to few keys, so that layers meet; `None` removes. Some values are in pieces.
    fn writes() -> impl Strategy<Value = Vec<(String, Option<Vec<u8>>)>> {
        let size = prop_oneof![Just(0), 1..40_usize, PIECE - 1..3 * PIECE];
        let value =
            proptest::option::weighted(0.7, (any::<u8>(), size).prop_map(|(byte, size)| vec![byte; size]));
        proptest::collection::vec(("[ab]{1,3}", value), 0..12)
    }

    fn write(txn: &mut Txn<'_>, model: &mut Model, writes: &[(String, Option<Vec<u8>>)]) {
        for (name, value) in writes {
            let key = Key::Record(name.clone());
            match value {
                Some(value) if model.contains_key(name) => {
                    txn.put(&key, value.as_slice());
                    model.insert(name.clone(), value.clone());
                }
                Some(value) => {
                    txn.put_new(&key, value.as_slice());
                    model.insert(name.clone(), value.clone());
                }
                None => {
                    txn.delete(&key);
                    model.remove(name);
                }
            }
        }
    }

    fn check(txn: &Txn<'_>, model: &Model) {
        for beginning in ["", "a", "ab", "b"] {
            let found: Model = txn
                .under(&prefix::records(beginning))
                .map(|pair| {
                    let (key, value) = pair.unwrap();
                    let Some(Key::Record(name)) = Key::decode(&key) else {
                        panic!("{key:?} is no document");
                    };
                    (name, value.to_vec())
                })
                .collect();
            let expected: Model = model
                .iter()
                .filter(|(name, _)| name.starts_with(beginning))
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            assert_eq!(found, expected, "under {beginning:?}");
        }
        for name in ["a", "b", "ab", "bb", "aaa"] {
            let found = txn.get(&Key::Record(name.to_owned())).unwrap();
            assert_eq!(found.as_deref(), model.get(name).map(Vec::as_slice));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn all_layers_read_as_one_map(
            operations in proptest::collection::vec((writes(), writes(), any::<bool>()), 1..10),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut store = Store::open(directory.path()).unwrap();
            let mut model = Model::new();
            for (first, part, stands) in operations {
                let mut txn = Txn::new(&store);
                write(&mut txn, &mut model, &first);
                txn.begin_part();
                let mut view = model.clone();
                write(&mut txn, &mut view, &part);
                check(&txn, &view);
                if stands {
                    txn.keep_part();
                    model = view;
                } else {
                    txn.drop_part();
                }
                check(&txn, &model);
                let writes = txn.into_writes();
                store.take(writes).unwrap();
                check(&Txn::new(&store), &model);
            }
            store.write().unwrap();
            store.close();
            let keys = Store::open(directory.path()).unwrap().over(b"", &[u8::MAX]).1.unwrap().count();
            let pieces: usize = model
                .values()
                .filter(|value| value.len() > PIECE)
                .map(|value| value.len().div_ceil(PIECE))
                .sum();
            prop_assert_eq!(keys, model.len() + pieces, "no piece is left behind");
        }
    }
}
