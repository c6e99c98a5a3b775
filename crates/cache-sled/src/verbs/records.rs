//! Versioned documents and named leases.

use std::time::Duration;

use downbeat_core::cache::{Acquire, CacheError, Hold, Record, StoreIf};
use downbeat_core::rules;

use crate::layout::{HoldDoc, Key, RecordDoc, prefix};
use crate::step::{Step, damaged};
use crate::txn::parse;

pub(crate) fn load(step: &Step<'_>, key: &str) -> Result<Option<Record>, CacheError> {
    rules::check_key(key)?;
    let doc: Option<RecordDoc> = step.txn.read(&Key::Record(key.to_owned()))?;
    Ok(doc.and_then(|doc| record(key.to_owned(), doc)))
}

pub(crate) fn store_if(step: &mut Step<'_>, store: &StoreIf) -> Result<u64, CacheError> {
    rules::check_store(store)?;
    let key = Key::Record(store.key.clone());
    let doc: Option<RecordDoc> = step.txn.read(&key)?;
    let (last, present) = doc.map_or((0, false), |doc| (doc.version, doc.value.is_some()));
    let version = rules::record_version(&store.key, store.expected, last, present)?;
    let doc = RecordDoc { version, updated_at: step.now, value: store.value.clone() };
    step.txn.write(&key, &doc)?;
    Ok(version)
}

pub(crate) fn list(step: &Step<'_>, beginning: &str, limit: usize) -> Result<Vec<Record>, CacheError> {
    let mut found = Vec::new();
    for pair in step.txn.under(&prefix::records(beginning)) {
        if found.len() >= limit {
            break;
        }
        let (stored, value) = pair?;
        let Some(Key::Record(key)) = Key::decode(&stored) else {
            return Err(damaged(&stored));
        };
        found.extend(record(key, parse(&stored, &value)?));
    }
    Ok(found)
}

fn record(key: String, doc: RecordDoc) -> Option<Record> {
    let RecordDoc { version, updated_at, value } = doc;
    value.map(|value| Record { key, version, updated_at, value })
}

fn newest(step: &Step<'_>, name: &str) -> Result<Option<HoldDoc>, CacheError> {
    step.txn.read(&Key::Hold(name.to_owned()))
}

fn put(step: &mut Step<'_>, hold: &Hold, held: bool) -> Result<(), CacheError> {
    step.txn.write(&Key::Hold(hold.name.clone()), &HoldDoc { hold: hold.clone(), held })
}

fn told(newest: Option<&HoldDoc>) -> Option<(&Hold, bool)> {
    newest.map(|doc| (&doc.hold, doc.held))
}

pub(crate) fn acquire(step: &mut Step<'_>, acquire: &Acquire) -> Result<Option<Hold>, CacheError> {
    let newest = newest(step, &acquire.name)?;
    let hold = rules::acquire_hold(acquire, told(newest.as_ref()), step.epoch, step.now)?;
    if let Some(hold) = &hold {
        put(step, hold, true)?;
    }
    Ok(hold)
}

pub(crate) fn renew_hold(step: &mut Step<'_>, hold: &Hold, ttl: Duration) -> Result<Hold, CacheError> {
    let newest = newest(step, &hold.name)?;
    let hold = rules::renew_hold(hold, ttl, told(newest.as_ref()), step.now)?;
    put(step, &hold, true)?;
    Ok(hold)
}

pub(crate) fn release_hold(step: &mut Step<'_>, hold: &Hold) -> Result<(), CacheError> {
    let newest = newest(step, &hold.name)?;
    match newest {
        Some(doc) if rules::release_hold(hold, told(Some(&doc))) => put(step, &doc.hold, false),
        _ => Ok(()),
    }
}
