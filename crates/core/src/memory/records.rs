//! Versioned documents and named leases.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::time::Duration;

use crate::cache::{Acquire, CacheError, Hold, Record, StoreIf};
use crate::rules;
use crate::time::Timestamp;

/// All of them.
#[derive(Default)]
pub(super) struct Documents {
    documents: BTreeMap<String, Document>,
    holds: HashMap<String, (Hold, bool)>,
}

/// One document. Its version outlives it, so that no version is ever given twice.
struct Document {
    version: u64,
    record: Option<Record>,
}

impl Documents {
    pub(super) fn load(&self, key: &str) -> Result<Option<Record>, CacheError> {
        rules::check_key(key)?;
        Ok(self.documents.get(key).and_then(|document| document.record.clone()))
    }

    pub(super) fn store_if(&mut self, store: &StoreIf, now: Timestamp) -> Result<u64, CacheError> {
        rules::check_store(store)?;
        let (last, present) = self
            .documents
            .get(&store.key)
            .map_or((0, false), |document| (document.version, document.record.is_some()));
        let version = rules::record_version(&store.key, store.expected, last, present)?;
        let record = store.value.as_ref().map(|value| Record {
            key: store.key.clone(),
            version,
            updated_at: now,
            value: value.clone(),
        });
        self.documents.insert(store.key.clone(), Document { version, record });
        Ok(version)
    }

    pub(super) fn list(&self, prefix: &str, limit: usize) -> Vec<Record> {
        self.documents
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(_, document)| document.record.clone())
            .take(limit)
            .collect()
    }

    fn newest(&self, name: &str) -> Option<(&Hold, bool)> {
        self.holds.get(name).map(|(hold, held)| (hold, *held))
    }

    pub(super) fn acquire(
        &mut self,
        acquire: &Acquire,
        epoch: u64,
        now: Timestamp,
    ) -> Result<Option<Hold>, CacheError> {
        let hold = rules::acquire_hold(acquire, self.newest(&acquire.name), epoch, now)?;
        if let Some(hold) = &hold {
            self.holds.insert(hold.name.clone(), (hold.clone(), true));
        }
        Ok(hold)
    }

    pub(super) fn renew_hold(
        &mut self,
        hold: &Hold,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Hold, CacheError> {
        let hold = rules::renew_hold(hold, ttl, self.newest(&hold.name), now)?;
        self.holds.insert(hold.name.clone(), (hold.clone(), true));
        Ok(hold)
    }

    pub(super) fn release_hold(&mut self, hold: &Hold) {
        if rules::release_hold(hold, self.newest(&hold.name))
            && let Some((_, held)) = self.holds.get_mut(&hold.name)
        {
            *held = false;
        }
    }
}
