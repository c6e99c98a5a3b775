//! One process has a store open; a second one is told who.
#![expect(clippy::unwrap_used, reason = "helpers of tests are test code")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use downbeat_cache_sled::{Durability, OpenError, Options, SledCache};
use downbeat_core::cache::{Records, StoreIf, StreamLimits};
use downbeat_core::time::ManualClock;

const DIRECTORY: &str = "DOWNBEAT_BUSY_DIRECTORY";

fn open(path: &Path) -> Result<SledCache, OpenError> {
    SledCache::open(Options {
        path: path.to_owned(),
        clock: Arc::new(ManualClock::default()),
        durability: Durability::Process,
        limits: StreamLimits::default(),
        holder: "downbeat up".to_owned(),
    })
}

/// What the other process does: it holds the store open until its input ends.
#[test]
fn other_process() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let _cache = open(Path::new(&directory)).unwrap();
    println!("\nopened");
    let _ = std::io::stdin().read(&mut [0]);
}

fn start_other(directory: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "other_process", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "opened"), "the other process opens it");
    child
}

#[test]
fn second_process_is_told_who_has_the_store_open() {
    let directory = tempfile::tempdir().unwrap();
    let mut other = start_other(directory.path());

    let error = open(directory.path()).unwrap_err();

    let pid = format!("process {}", other.id());
    assert!(
        matches!(&error, OpenError::Busy { holder: Some(holder), .. }
            if holder.contains(&pid) && holder.contains("downbeat up")),
        "{error:?}"
    );
    assert!(error.to_string().contains("wait for its end"), "{error}");
    other.kill().unwrap();
    other.wait().unwrap();
    open(directory.path()).expect("a killed process holds nothing");
}

#[test]
fn store_can_be_opened_again_as_soon_as_its_last_clone_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for round in 0..20 {
        let cache = open(directory.path()).unwrap();
        assert_eq!(cache.epoch(), round + 1);
        let clone = cache.clone();
        drop(cache);
        let store = StoreIf { key: "k".to_owned(), expected: round, value: Some(round.to_string()) };
        assert_eq!(runtime.block_on(clone.store_if(&store)).unwrap(), round + 1);
        assert!(matches!(open(directory.path()), Err(OpenError::Busy { .. })));
        if round % 2 == 0 {
            runtime.block_on(clone.close());
        }
    }
}
