//! What an operation reads and writes: the store, under what its group has decided, under what it has
//! itself.

use std::collections::btree_map;
use std::collections::{BTreeMap, BTreeSet};
use std::iter::Peekable;

use downbeat_core::cache::CacheError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sled::IVec;

use crate::layout::{self, Key, prefix};
use crate::store::{Store, corrupt, readable};

/// Decided and not yet written: for each key its value, or `None` where it is removed.
pub(crate) type Layer = BTreeMap<IVec, Option<IVec>>;

/// A layer that knows which of its keys the layers below do not have: removing such a key leaves
/// nothing to write. Index entries that come and go within a group are half of what a group decides.
#[derive(Debug, Clone, Default)]
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
    pub(crate) fn merge(&mut self, above: Self) {
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
    group: &'a Layer,
    own: Writes,
}

impl<'a> Txn<'a> {
    pub(crate) fn new(store: &'a Store, group: &'a Layer) -> Self {
        Self { store, group, own: Writes::default() }
    }

    /// What it wrote.
    pub(crate) fn into_writes(self) -> Writes {
        self.own
    }

    /// What it wrote so far, to go back to.
    pub(crate) fn mark(&self) -> Writes {
        self.own.clone()
    }

    /// Forgets what it wrote since `mark`.
    pub(crate) fn back_to(&mut self, mark: Writes) {
        self.own = mark;
    }

    pub(crate) fn get(&self, key: &Key) -> Result<Option<IVec>, CacheError> {
        self.get_raw(&key.encode())
    }

    fn get_raw(&self, key: &[u8]) -> Result<Option<IVec>, CacheError> {
        match self.own.layer.get(key).or_else(|| self.group.get(key)) {
            Some(value) => Ok(value.clone()),
            None => self.store.get(key),
        }
    }

    pub(crate) fn has(&self, key: &Key) -> Result<bool, CacheError> {
        self.get(key).map(|value| value.is_some())
    }

    pub(crate) fn put(&mut self, key: &Key, value: impl Into<IVec>) {
        self.own.layer.insert(key.encode().into(), Some(value.into()));
    }

    /// Writes under a key that the caller knows not to be there.
    pub(crate) fn put_new(&mut self, key: &Key, value: impl Into<IVec>) {
        let key = IVec::from(key.encode());
        // What is removed below is still in the store.
        if !self.own.layer.contains_key(&key) && !self.group.contains_key(&key) {
            self.own.born.insert(key.clone());
        }
        self.own.layer.insert(key, Some(value.into()));
    }

    pub(crate) fn delete(&mut self, key: &Key) {
        self.own.remove(key.encode().into());
    }

    /// A value that is JSON.
    pub(crate) fn read<T: DeserializeOwned>(&self, key: &Key) -> Result<Option<T>, CacheError> {
        let Some(bytes) = self.get(key)? else {
            return Ok(None);
        };
        parse(&key.encode(), &bytes).map(Some)
    }

    pub(crate) fn write<T: Serialize>(&mut self, key: &Key, value: &T) -> Result<(), CacheError> {
        let bytes = serde_json::to_vec(value)
            .map_err(|error| CacheError::Invalid { reason: format!("cannot be written as JSON: {error}") })?;
        self.put(key, bytes);
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
        self.put(key, number.to_be_bytes().to_vec());
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
        let within = |layer: &'a Layer| {
            let bounds = (Included(from), Excluded(until));
            if from == until { EMPTY.range::<[u8], _>(..) } else { layer.range::<[u8], _>(bounds) }.peekable()
        };
        let own = {
            let bounds = (Included(from), Excluded(until));
            let layer = &self.own.layer;
            if from == until { EMPTY.range::<[u8], _>(..) } else { layer.range::<[u8], _>(bounds) }.peekable()
        };
        Scan {
            layers: [own, within(self.group), within(newer), within(older)],
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
        fn three_layers_read_as_one_map(
            groups in proptest::collection::vec((writes(), writes(), writes()), 1..4),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let mut store = Store::open(directory.path()).unwrap();
            let mut model = Model::new();
            for (first, forgotten, last) in groups {
                let mut group = Writes::default();
                for (writes, stands) in [(first, true), (forgotten, false), (last, true)] {
                    let mut view = model.clone();
                    let mut txn = Txn::new(&store, group.layer());
                    write(&mut txn, &mut view, &writes);
                    check(&txn, &view);
                    if stands {
                        let writes = txn.into_writes();
                        group.merge(writes);
                        model = view;
                    }
                }
                store.write(group).unwrap();
                check(&Txn::new(&store, &Layer::new()), &model);
            }
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

    #[test]
    fn going_back_to_a_mark_forgets_what_came_after() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).unwrap();
        let group = Layer::new();
        let mut txn = Txn::new(&store, &group);
        txn.set_number(&Key::LastOrdinal, 1);
        let mark = txn.mark();
        txn.set_number(&Key::LastOrdinal, 2);
        txn.back_to(mark);
        assert_eq!(txn.number(&Key::LastOrdinal).unwrap(), 1);
    }
}
