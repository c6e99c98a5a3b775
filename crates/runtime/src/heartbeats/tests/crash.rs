//! A crash between any two steps: what was decided is done once, and nothing is lost.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use downbeat_core::cache::{Agents, CacheError, Records, Steer, Streams, Tasks};
use downbeat_core::ids::RequestId;

use super::*;

/// A cache that answers so many calls that change something, and then none any more: as a process that is
/// killed there. The call it dies at is still carried out, or is not.
#[derive(Debug)]
struct Dying {
    inner: Arc<dyn Cache>,
    left: AtomicI64,
    carries_out_the_last: bool,
    /// What the cache would be without names for requests.
    forgets_requests: bool,
}

impl Dying {
    fn changes(verb: &str) -> bool {
        matches!(verb, "store_if" | "steer" | "append" | "remember")
    }
}

macro_rules! dying {
    ($($family:ident { $($verb:ident($($arg:ident: $type:ty),*) -> $answer:ty;)* })*) => {
        $(
            #[async_trait]
            impl $family for Dying {
                $(async fn $verb(&self, $($arg: $type),*) -> Result<$answer, CacheError> {
                    let dead = || CacheError::Unavailable { reason: "dead".to_owned(), source: None };
                    if !Self::changes(stringify!($verb)) {
                        if self.left.load(Ordering::SeqCst) <= 0 {
                            return Err(dead());
                        }
                        return self.inner.$verb($($arg),*).await;
                    }
                    let left = self.left.fetch_sub(1, Ordering::SeqCst);
                    if left < 1 || (left == 1 && !self.carries_out_the_last) {
                        return Err(dead());
                    }
                    let answer = dying!(@call self, $verb, $($arg),*)?;
                    if left == 1 { Err(dead()) } else { Ok(answer) }
                })*
            }
        )*
    };
    (@call $self:ident, steer, $steer:ident) => {
        match $self.forgets_requests {
            true => $self.inner.steer(&Steer { request: crate::entropy::request_id(), ..$steer.clone() }).await,
            false => $self.inner.steer($steer).await,
        }
    };
    (@call $self:ident, $verb:ident, $($arg:ident),*) => { $self.inner.$verb($($arg),*).await };
}

downbeat_core::cache_verbs! { dying }

/// Edits the file, and after each edit reads it with a life that dies at its `nth` change and then with one
/// that does not. Returns all that was done, and whether a life died at all.
async fn with_deaths(nth: i64, carries_out_the_last: bool, forgets_requests: bool) -> (Vec<String>, bool) {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("heartbeat")).unwrap();
    let cache = memory();
    let mut died = false;
    let mut text = String::new();
    for edit in [
        "DROP-TASK a\nPAUSE\nELEVATE a 3\nREPARSE\nWRONG\n",
        "FLUSH-MEMORY\nDROP-TASK a\n",
        "REPARSE\nRESUME\n",
    ] {
        text.push_str(edit);
        std::fs::write(root.path().join(NAME), &text).unwrap();
        let left = AtomicI64::new(nth);
        let dying =
            Arc::new(Dying { inner: Arc::clone(&cache), left, carries_out_the_last, forgets_requests });
        let mut reader = Reader::new(Arc::clone(&dying) as Arc<dyn Cache>, steering(root.path()));
        died |= reader.look().await.is_err();
        Reader::new(Arc::clone(&cache), steering(root.path())).look().await.unwrap();
    }
    (lines(cache.as_ref()).await, died)
}

const EXPECTED: [&str; 9] = [
    "DROP-TASK a",
    "PAUSE",
    "ELEVATE a 3",
    "REPARSE",
    "!5",
    "FLUSH-MEMORY",
    "DROP-TASK a",
    "REPARSE",
    "RESUME",
];

/// Every point at which a life can end.
#[tokio::test(start_paused = true)]
async fn a_life_that_ends_anywhere_leaves_nothing_undone_and_nothing_done_twice() {
    for carries_out_the_last in [false, true] {
        let mut nth = 1;
        loop {
            let (got, died) = with_deaths(nth, carries_out_the_last, false).await;
            assert_eq!(got, EXPECTED, "died at change {nth}, carried out: {carries_out_the_last}");
            if !died {
                break;
            }
            nth += 1;
        }
        assert!(nth > 9, "lives ended at {nth} places only");
    }
}

/// The names of the requests are what holds it up: the test above would notice their loss.
#[tokio::test(start_paused = true)]
async fn without_names_for_requests_something_is_done_twice() {
    let mut twice = 0;
    for nth in 1..12 {
        twice += usize::from(with_deaths(nth, true, true).await.0.len() > EXPECTED.len());
    }
    assert!(twice > 0);
}

/// Whoever reads the same file, and how many at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_readers_of_one_file_do_nothing_twice() {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("heartbeat")).unwrap();
    let cache = memory();
    let mut expected = Vec::new();
    let mut text = String::new();
    for round in 0..20 {
        let line = format!("ELEVATE t{} {round}", round % 3);
        text.push_str(&format!("{line}\nREPARSE\n"));
        expected.extend([line, "REPARSE".to_owned()]);
        std::fs::write(root.path().join(NAME), &text).unwrap();
        let looks = (0..4).map(|_| {
            let mut reader = Reader::new(Arc::clone(&cache), steering(root.path()));
            tokio::spawn(async move { reader.look().await })
        });
        for look in futures::future::join_all(looks).await {
            look.unwrap().unwrap();
        }
    }
    let mut got = lines(cache.as_ref()).await;
    got.sort();
    expected.sort();
    assert_eq!(got, expected);
}

#[test]
fn a_name_for_a_request_is_within_bounds() {
    let request = RequestId(format!("heartbeat-{}-{}-{}", "f".repeat(16), u64::MAX, usize::MAX));
    assert!(request.0.len() <= 128);
}
