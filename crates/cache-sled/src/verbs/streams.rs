//! Append-only logs.

use downbeat_core::cache::{Append, CacheError, Read};
use downbeat_core::event::Event;
use downbeat_core::rules;

use crate::layout::{Key, prefix};
use crate::step::Step;
use crate::txn::parse;

pub(crate) fn append(step: &mut Step<'_>, append: &Append) -> Result<u64, CacheError> {
    rules::check_append(append)?;
    let mut head = step.head(&append.stream)?;
    if let Some((request, last)) = &head.newest
        && *request == append.request
    {
        return Ok(*last);
    }
    for entry in &append.entries {
        step.add(&append.stream, &mut head, entry.clone())?;
    }
    let last = head.last;
    head.newest = Some((append.request.clone(), last));
    step.put_head(append.stream.clone(), head);
    Ok(last)
}

pub(crate) fn read(step: &Step<'_>, read: &Read) -> Result<Vec<Event>, CacheError> {
    let Some(first) = read.after.checked_add(1) else {
        return Ok(Vec::new());
    };
    let from = Key::Entry { stream: read.stream.clone(), seq: first }.encode();
    let until = prefix::end(&prefix::entries(&read.stream));
    let pairs = step.txn.range(&from, &until).take(read.limit);
    pairs.map(|pair| pair.and_then(|(key, value)| parse(&key, &value))).collect()
}
