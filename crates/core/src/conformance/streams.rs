//! Streams lose nothing, repeat nothing, and wake those who wait.

use std::sync::Arc;
use std::time::Duration;

use super::kit::{Kit, agent, done, refused, retry, secs};
use crate::cache::{
    Append, CacheError, Directive, EVENTS, MAX_APPEND, MAX_ENTRY, Page, Read, STREAM_SLACK, StreamLimits, Topic,
    events_stream,
};
use crate::ids::StreamName;

/// Longer than any check takes: whoever waits so long waits in vain.
const LONG: Duration = Duration::from_secs(30);

fn name(text: &str) -> StreamName {
    StreamName::new(text).unwrap()
}

async fn number(kit: &Kit, topic: &Topic) -> u64 {
    kit.cache.changed(topic, u64::MAX, Duration::ZERO).await.unwrap()
}

pub async fn entries_are_numbered_from_one_without_a_gap(kit: Kit) {
    assert_eq!(kit.cache.append(&kit.append_of("s", &["a", "b"])).await.unwrap(), 2);
    kit.advance(secs(1));
    assert_eq!(kit.cache.append(&kit.append_of("s", &["c"])).await.unwrap(), 3);

    let entries = kit.stream("s").await;

    assert_eq!(entries.iter().map(|entry| entry.seq).collect::<Vec<_>>(), [1, 2, 3]);
    let texts: Vec<&str> = entries.iter().filter_map(|entry| entry.what.reason.as_deref()).collect();
    assert_eq!(texts, ["a", "b", "c"]);
    assert_eq!((entries[0].at.after(secs(1)), entries[2].at), (kit.now(), kit.now()));
}

pub async fn entry_reads_back_whole(kit: Kit) {
    let mut append = kit.append_of("s", &["ä \" \\ \n 😀"]);
    append.entries[0].data = serde_json::json!({ "z": [1, 2.5, null], "a": { "deep": true } });
    append.entries[0].agent = Some(agent("one"));

    kit.cache.append(&append).await.unwrap();

    assert_eq!(kit.stream("s").await[0].what, append.entries[0]);
}

pub async fn repeated_append_adds_nothing(kit: Kit) {
    let append = kit.append_of("s", &["a", "b"]);

    assert_eq!(kit.cache.append(&append).await.unwrap(), 2);
    assert_eq!(kit.cache.append(&append).await.unwrap(), 2);

    assert_eq!(kit.stream("s").await.len(), 2);
}

pub async fn repetition_is_recognised_among_events_of_moves(kit: Kit) {
    let append = kit.append_of(EVENTS, &["a"]);
    assert_eq!(kit.cache.append(&append).await.unwrap(), 1);
    kit.plan("g", "a").await;

    assert_eq!(kit.cache.append(&append).await.unwrap(), 1);

    assert_eq!(kit.told_since(0).await, ["test.note ", "goal.planned g"]);
}

pub async fn streams_are_apart(kit: Kit) {
    let append = kit.append_of("s", &["a"]);
    kit.cache.append(&append).await.unwrap();
    kit.cache.append(&Append { stream: name("t"), ..append }).await.unwrap();

    assert_eq!((kit.stream("s").await.len(), kit.stream("t").await.len()), (1, 1));
    assert!(kit.events().await.is_empty());
}

pub async fn entries_are_read_a_page_at_a_time(kit: Kit) {
    kit.cache.append(&kit.append_of("s", &["a", "b", "c", "d", "e"])).await.unwrap();

    let mut pages = Vec::new();
    let mut after = 0;
    loop {
        let page = kit.cache.read(&Read { stream: name("s"), after, limit: 2 }).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.seq;
        pages.push(page.len());
    }

    assert_eq!((pages, after), (vec![2, 2, 1], 5));
    let beyond = Read { stream: name("s"), after: u64::MAX, limit: 2 };
    assert!(kit.cache.read(&beyond).await.unwrap().is_empty());
}

pub async fn unknown_stream_is_empty(kit: Kit) {
    assert!(kit.stream("never").await.is_empty());
    assert_eq!(number(&kit, &Topic::Stream(name("never"))).await, 0);
}

pub async fn append_out_of_bounds_adds_nothing(kit: Kit) {
    let none = Append { entries: Vec::new(), ..kit.append_of("s", &["a"]) };
    let one = kit.append_of("s", &["a"]);
    let many = Append { entries: vec![one.entries[0].clone(); MAX_APPEND + 1], ..one };
    let long = "x".repeat(MAX_ENTRY + 1);
    let large = kit.append_of("s", &["small", &long]);

    for append in [none, many, large] {
        refused!(kit.cache.append(&append).await, CacheError::Invalid { .. });
    }
    assert!(kit.stream("s").await.is_empty());
}

pub async fn most_entries_of_one_append_fit(kit: Kit) {
    let one = kit.append_of("s", &["a"]);
    let most = Append { entries: vec![one.entries[0].clone(); MAX_APPEND], ..one };

    let last = u64::try_from(MAX_APPEND).unwrap();
    assert_eq!(kit.cache.append(&most).await.unwrap(), last);
}

pub async fn news_from_before_the_wait_is_answered_at_once(kit: Kit) {
    kit.cache.append(&kit.append_of("s", &["a", "b"])).await.unwrap();

    assert_eq!(kit.cache.changed(&Topic::Stream(name("s")), 1, LONG).await.unwrap(), 2);
}

pub async fn wait_without_news_ends(kit: Kit) {
    kit.cache.append(&kit.append_of("s", &["a"])).await.unwrap();

    let waited = kit.cache.changed(&Topic::Stream(name("s")), 1, Duration::from_millis(5)).await;

    assert_eq!(waited.unwrap(), 1);
}

/// Begins to wait for a topic, and gives the wait a chance to begin before it returns.
async fn waiting(kit: &Arc<Kit>, topic: Topic) -> tokio::task::JoinHandle<(u64, u64)> {
    let seen = number(kit, &topic).await;
    let (kit, begun) = (Arc::clone(kit), Arc::new(tokio::sync::Notify::new()));
    let wait = tokio::spawn({
        let begun = Arc::clone(&begun);
        async move {
            begun.notify_one();
            (seen, kit.cache.changed(&topic, seen, LONG).await.unwrap())
        }
    });
    begun.notified().await;
    tokio::task::yield_now().await;
    wait
}

pub async fn append_wakes_who_waits_for_its_stream(kit: Kit) {
    let kit = Arc::new(kit);
    let wait = waiting(&kit, Topic::Stream(name("s"))).await;

    kit.cache.append(&kit.append_of("s", &["a"])).await.unwrap();

    assert_eq!(wait.await.unwrap(), (0, 1));
}

pub async fn move_wakes_who_waits_for_events(kit: Kit) {
    let kit = Arc::new(kit);
    kit.plan("g", "a").await;
    let wait = waiting(&kit, Topic::Stream(events_stream())).await;

    kit.lease("one").await;

    assert_eq!(wait.await.unwrap(), (1, 2));
}

pub async fn new_work_wakes_who_waits_for_it(kit: Kit) {
    let kit = Arc::new(kit);

    let wait = waiting(&kit, Topic::Ready).await;
    kit.plan("g", "a; b: a").await;
    let (seen, now) = wait.await.unwrap();
    assert!(now > seen, "a plan");

    let lease = kit.lease("one").await;
    let wait = waiting(&kit, Topic::Ready).await;
    kit.settle(&lease, done()).await.unwrap();
    let (seen, now) = wait.await.unwrap();
    assert!(now > seen, "an unblocked task");

    let lease = kit.lease("one").await;
    let wait = waiting(&kit, Topic::Ready).await;
    kit.settle(&lease, retry(0)).await.unwrap();
    let (seen, now) = wait.await.unwrap();
    assert!(now > seen, "a retry");

    kit.steer(Directive::Pause { agent: agent("one") }).await;
    let wait = waiting(&kit, Topic::Ready).await;
    kit.steer(Directive::Resume { agent: agent("one") }).await;
    let (seen, now) = wait.await.unwrap();
    assert!(now > seen, "a resumed agent");

    kit.work("one", "b", retry(1)).await;
    let wait = waiting(&kit, Topic::Ready).await;
    kit.advance(secs(1));
    kit.sweep(9).await;
    let (seen, now) = wait.await.unwrap();
    assert!(now > seen, "the end of a wait");
}

pub async fn claims_are_no_news_of_work(kit: Kit) {
    kit.plan("g", "a; b").await;
    let before = number(&kit, &Topic::Ready).await;

    kit.lease("one").await;
    kit.work("one", "b", retry(60)).await;

    assert_eq!(number(&kit, &Topic::Ready).await, before);
}

/// Appends `rounds` times as much as one append may hold.
async fn fill(kit: &Kit, stream: &str, rounds: u64) -> u64 {
    let mut last = 0;
    for _ in 0..rounds {
        let one = kit.append_of(stream, &["a"]);
        let most = Append { entries: vec![one.entries[0].clone(); MAX_APPEND], ..one };
        last = kit.cache.append(&most).await.unwrap();
    }
    last
}

async fn page(kit: &Kit, stream: &str, after: u64, limit: usize) -> Page {
    kit.cache.read(&Read { stream: name(stream), after, limit }).await.unwrap()
}

/// So many appends are more than a stream keeps that is not the log.
fn beyond(limits: StreamLimits) -> u64 {
    (limits.others + STREAM_SLACK) / u64::try_from(MAX_APPEND).unwrap() + 2
}

pub async fn stream_keeps_its_newest_entries_within_its_limit(kit: Kit) {
    let limits = StreamLimits::default();
    let last = fill(&kit, "s", beyond(limits)).await;

    let kept = page(&kit, "s", 0, usize::MAX).await;

    let number = u64::try_from(kept.len()).unwrap();
    assert!((limits.others..=limits.others + STREAM_SLACK).contains(&number), "{number} entries");
    assert_eq!((kept[0].seq, kept[kept.len() - 1].seq), (last - number + 1, last));
    assert!(kept.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "without a gap");
}

pub async fn read_says_what_is_kept_no_more(kit: Kit) {
    let nothing = page(&kit, "s", 0, 9).await;
    assert_eq!((nothing.first, nothing.trimmed, nothing.len()), (1, 0, 0));
    kit.cache.append(&kit.append_of("s", &["a", "b"])).await.unwrap();
    let whole = page(&kit, "s", 0, 1).await;
    assert_eq!((whole.first, whole.trimmed, whole[0].seq), (1, 0, 1));

    let last = fill(&kit, "s", beyond(StreamLimits::default())).await;

    let oldest = page(&kit, "s", 0, 1).await;
    assert!(oldest.first > 1);
    assert_eq!((oldest[0].seq, oldest.trimmed), (oldest.first, oldest.first - 1));
    let later = page(&kit, "s", oldest.first - 3, 2).await;
    assert_eq!((later.first, later.trimmed, later[0].seq), (oldest.first, 2, oldest.first));
    let within = page(&kit, "s", oldest.first - 1, 2).await;
    assert_eq!((within.first, within.trimmed, within[0].seq), (oldest.first, 0, oldest.first));
    let end = page(&kit, "s", last, 2).await;
    assert_eq!((end.first, end.trimmed, end.len()), (oldest.first, 0, 0));
    let none = page(&kit, "s", 0, 0).await;
    assert_eq!((none.first, none.trimmed, none.len()), (oldest.first, oldest.first - 1, 0));
}

pub async fn numbers_and_repetitions_go_on_after_a_trim(kit: Kit) {
    let last = fill(&kit, "s", beyond(StreamLimits::default())).await;
    let append = kit.append_of("s", &["a", "b"]);

    assert_eq!(kit.cache.append(&append).await.unwrap(), last + 2);
    assert_eq!(kit.cache.append(&append).await.unwrap(), last + 2);

    assert_eq!(number(&kit, &Topic::Stream(name("s"))).await, last + 2);
    let read: Vec<u64> = page(&kit, "s", last, 9).await.iter().map(|entry| entry.seq).collect();
    assert_eq!(read, [last + 1, last + 2]);
}

pub async fn log_of_events_is_kept_for_longer(kit: Kit) {
    let last = fill(&kit, EVENTS, beyond(StreamLimits::default())).await;

    let first = page(&kit, EVENTS, 0, 1).await;

    assert_eq!((first.first, first.trimmed, first[0].seq), (1, 0, 1));
    assert_eq!(page(&kit, EVENTS, last - 1, 9).await[0].seq, last);
}
