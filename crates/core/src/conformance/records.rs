//! Documents change only from the version that was read; named leases belong to one holder.

use super::kit::{Kit, TTL, refused, secs};
use crate::cache::{Acquire, CacheError, Hold, MAX_KEY, MAX_VALUE, StoreIf};

fn write(key: &str, expected: u64, value: &str) -> StoreIf {
    StoreIf { key: key.to_owned(), expected, value: Some(value.to_owned()) }
}

fn remove(key: &str, expected: u64) -> StoreIf {
    StoreIf { key: key.to_owned(), expected, value: None }
}

fn wanted_by(holder: &str) -> Acquire {
    Acquire { name: "leader".to_owned(), holder: holder.to_owned(), ttl: TTL }
}

async fn take(kit: &Kit, holder: &str) -> Option<Hold> {
    kit.cache.acquire(&wanted_by(holder)).await.unwrap()
}

pub async fn document_reads_back_with_its_version_and_time(kit: Kit) {
    assert_eq!(kit.cache.load("k").await.unwrap(), None);

    let version = kit.cache.store_if(&write("k", 0, "ä\n\"v\"")).await.unwrap();

    let record = kit.cache.load("k").await.unwrap().unwrap();
    assert_eq!((record.key.as_str(), record.value.as_str()), ("k", "ä\n\"v\""));
    assert_eq!((record.version, record.updated_at), (version, kit.now()));
}

pub async fn other_version_is_a_conflict_and_writes_nothing(kit: Kit) {
    let first = kit.cache.store_if(&write("k", 0, "one")).await.unwrap();
    let second = kit.cache.store_if(&write("k", first, "two")).await.unwrap();

    for expected in [0, first, second + 1] {
        let result = kit.cache.store_if(&write("k", expected, "three")).await;
        refused!(result, CacheError::Conflict { current, .. } if *current == second);
        refused!(kit.cache.store_if(&remove("k", expected)).await, CacheError::Conflict { .. });
    }
    assert_eq!(kit.cache.load("k").await.unwrap().unwrap().value, "two");
}

pub async fn absent_document_has_version_zero(kit: Kit) {
    refused!(kit.cache.store_if(&write("k", 1, "v")).await, CacheError::Conflict { current: 0, .. });
    let version = kit.cache.store_if(&write("k", 0, "v")).await.unwrap();
    kit.cache.store_if(&remove("k", version)).await.unwrap();

    let result = kit.cache.store_if(&write("k", version, "w")).await;

    refused!(result, CacheError::Conflict { current: 0, .. });
    assert_eq!(kit.cache.load("k").await.unwrap(), None);
}

pub async fn versions_grow_across_removals(kit: Kit) {
    let first = kit.cache.store_if(&write("k", 0, "v")).await.unwrap();
    let removed = kit.cache.store_if(&remove("k", first)).await.unwrap();
    let again = kit.cache.store_if(&remove("k", 0)).await.unwrap();
    let second = kit.cache.store_if(&write("k", 0, "v")).await.unwrap();

    assert!(0 < first && first < removed && removed < again && again < second);
}

pub async fn documents_are_listed_by_key_under_a_prefix(kit: Kit) {
    for key in ["b", "a/2", "a/10", "a/1", "a0", "a", "a/ü"] {
        kit.cache.store_if(&write(key, 0, key)).await.unwrap();
    }
    let version = kit.cache.load("a/2").await.unwrap().unwrap().version;
    kit.cache.store_if(&remove("a/2", version)).await.unwrap();

    let keys = async |prefix: &str, limit| {
        let records = kit.cache.list(prefix, limit).await.unwrap();
        records.into_iter().map(|record| record.key).collect::<Vec<_>>()
    };
    assert_eq!(keys("a/", 9).await, ["a/1", "a/10", "a/ü"]);
    assert_eq!(keys("", 3).await, ["a", "a/1", "a/10"]);
    assert_eq!(keys("zz", 9).await, Vec::<String>::new());
    assert_eq!(keys("a", 0).await, Vec::<String>::new());
}

pub async fn document_out_of_bounds_is_refused(kit: Kit) {
    let long_key = "k".repeat(MAX_KEY + 1);
    let long_value = "v".repeat(MAX_VALUE + 1);

    for store in
        [write("", 0, "v"), write("a\nb", 0, "v"), write(&long_key, 0, "v"), write("k", 0, &long_value)]
    {
        refused!(kit.cache.store_if(&store).await, CacheError::Invalid { .. });
    }
    assert!(kit.cache.list("", 9).await.unwrap().is_empty());
}

pub async fn hold_is_of_one_until_its_time_is_up(kit: Kit) {
    let hold = take(&kit, "one").await.unwrap();
    assert_eq!((hold.name.as_str(), hold.holder.as_str()), ("leader", "one"));
    assert_eq!(hold.expires_at, kit.now().after(TTL));

    kit.advance(TTL - secs(1));
    assert_eq!(take(&kit, "two").await, None);
    kit.advance(secs(1));
    let second = take(&kit, "two").await.unwrap();

    assert!(second.token > hold.token);
    assert_eq!(take(&kit, "one").await, None);
}

pub async fn holder_is_given_its_hold_again(kit: Kit) {
    let first = take(&kit, "one").await.unwrap();
    kit.advance(secs(30));

    let second = take(&kit, "one").await.unwrap();

    assert_eq!((second.token, second.expires_at), (first.token, kit.now().after(TTL)));
}

pub async fn hold_whose_time_is_up_begins_anew(kit: Kit) {
    let first = take(&kit, "one").await.unwrap();
    kit.advance(TTL);

    assert!(take(&kit, "one").await.unwrap().token > first.token);
}

pub async fn renewed_hold_lasts_from_now(kit: Kit) {
    let hold = take(&kit, "one").await.unwrap();
    kit.advance(secs(50));

    let renewed = kit.cache.renew_hold(&hold, TTL).await.unwrap();

    assert_eq!((renewed.token, renewed.expires_at), (hold.token, kit.now().after(TTL)));
    kit.advance(secs(50));
    assert_eq!(take(&kit, "two").await, None);
}

pub async fn late_hold_that_nobody_took_may_be_renewed(kit: Kit) {
    let hold = take(&kit, "one").await.unwrap();
    kit.advance(TTL * 2);

    kit.cache.renew_hold(&hold, TTL).await.unwrap();

    assert_eq!(take(&kit, "two").await, None);
}

pub async fn hold_that_another_took_cannot_be_renewed(kit: Kit) {
    let late = take(&kit, "one").await.unwrap();
    kit.advance(TTL);
    let newest = take(&kit, "two").await.unwrap();

    let result = kit.cache.renew_hold(&late, TTL).await;
    refused!(result, CacheError::Conflict { current, .. } if *current == newest.token.as_u64());
    let never = Hold { name: "never".to_owned(), ..late };
    refused!(kit.cache.renew_hold(&never, TTL).await, CacheError::Conflict { current: 0, .. });
}

pub async fn released_hold_is_free_at_once(kit: Kit) {
    let hold = take(&kit, "one").await.unwrap();

    kit.cache.release_hold(&hold).await.unwrap();

    refused!(kit.cache.renew_hold(&hold, TTL).await, CacheError::Conflict { .. });
    assert!(take(&kit, "two").await.is_some());
}

pub async fn token_of_a_hold_grows_after_its_release(kit: Kit) {
    let first = take(&kit, "one").await.unwrap();
    kit.cache.release_hold(&first).await.unwrap();

    assert!(take(&kit, "one").await.unwrap().token > first.token);
}

pub async fn late_release_takes_nothing_from_the_newest_holder(kit: Kit) {
    let late = take(&kit, "one").await.unwrap();
    kit.advance(TTL);
    take(&kit, "two").await.unwrap();

    kit.cache.release_hold(&late).await.unwrap();

    assert_eq!(take(&kit, "three").await, None);
}

pub async fn holds_are_apart_from_documents_and_each_other(kit: Kit) {
    take(&kit, "one").await.unwrap();

    let other = Acquire { name: "other".to_owned(), ..wanted_by("two") };
    assert!(kit.cache.acquire(&other).await.unwrap().is_some());
    assert_eq!(kit.cache.load("leader").await.unwrap(), None);
    assert!(kit.cache.list("", 9).await.unwrap().is_empty());
}

pub async fn hold_out_of_bounds_is_refused(kit: Kit) {
    let bad = [
        Acquire { ttl: secs(0), ..wanted_by("one") },
        Acquire { name: String::new(), ..wanted_by("one") },
        Acquire { holder: "a\0b".to_owned(), ..wanted_by("one") },
    ];

    for acquire in bad {
        refused!(kit.cache.acquire(&acquire).await, CacheError::Invalid { .. });
    }
    assert!(take(&kit, "two").await.is_some());
}
