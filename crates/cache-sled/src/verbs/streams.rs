//! Append-only logs.

use downbeat_core::cache::{Append, CacheError, Page, Read};
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

pub(crate) fn read(step: &Step<'_>, read: &Read) -> Result<Page, CacheError> {
    let oldest = step.head(&read.stream)?.trimmed.saturating_add(1);
    let Some(first) = read.after.checked_add(1).map(|first| first.max(oldest)) else {
        return Ok(Page::new(Vec::new(), oldest, read.after));
    };
    let from = Key::Entry { stream: read.stream.clone(), seq: first }.encode();
    let until = prefix::end(&prefix::entries(&read.stream));
    let pairs = step.txn.range(&from, &until).take(read.limit);
    let entries: Result<Vec<Event>, CacheError> =
        pairs.map(|pair| pair.and_then(|(key, value)| parse(&key, &value))).collect();
    Ok(Page::new(entries?, oldest, read.after))
}
