//! A proof by chaos: eight worker processes on one Redis, under everything that can happen to them.
//!
//! Each worker writes its own record of what it asked and what it was told; a checker compares all records
//! with the event log. The same chaos on kernels that are broken on purpose must be found out, or the
//! checker proves nothing. `DOWNBEAT_PROOF_SECONDS` says how long the sound kernel is tried,
//! `DOWNBEAT_PROOF_SEED` repeats the nemesis' choices.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "test code: a fault ends the test"
)]

mod checker;
mod nemesis;
mod proxy;
mod record;
#[path = "../../../crates/cache-redis/tests/throwaway/mod.rs"]
mod throwaway;
mod worker;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use nemesis::run;
use worker::Kernel;

/// How long the sound kernel is tried unless somebody says otherwise.
const SECONDS: u64 = 20;
/// How long one try of a broken kernel takes, and how many there are: two minutes with what surrounds them.
const TRY: Duration = Duration::from_secs(8);
const TRIES: u64 = 8;

/// Two of these at once would take the machine from each other and look like faults.
static ALONE: Mutex<()> = Mutex::new(());

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}: `{text}`")))
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(work)
}

/// Not a test: what the tests below start as processes.
#[test]
#[ignore = "a worker of the other tests"]
fn worker_process() {
    if std::env::var_os(worker::URL).is_some() {
        block_on(worker::work());
    }
}

#[test]
fn nothing_is_lost_or_done_twice_under_chaos() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let seed = number("DOWNBEAT_PROOF_SEED").unwrap_or_else(|| fastrand::u64(..) >> 1);
    let seconds = number("DOWNBEAT_PROOF_SECONDS").unwrap_or(SECONDS);
    println!("DOWNBEAT_PROOF_SEED={seed}");

    let history = block_on(run(Kernel::Sound, seed, Duration::from_secs(seconds)));

    println!("{}", history.summary());
    let faults = checker::check(&history);
    assert!(faults.is_empty(), "DOWNBEAT_PROOF_SEED={seed}\n{}", faults.join("\n"));
    assert!(history.is_a_trial(), "too little happened to prove anything: {}", history.summary());
}

/// A kernel with this fault is found out, by a fault that says this.
fn found_out(kernel: Kernel, says: &str) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for seed in (fastrand::u64(..) >> 1..).take(usize::try_from(TRIES).unwrap()) {
        println!("{kernel:?} DOWNBEAT_PROOF_SEED={seed}");
        let history = block_on(run(kernel, seed, TRY));
        let faults = checker::check(&history);
        println!("{}", history.summary());
        if let Some(fault) = faults.iter().find(|fault| fault.contains(says)) {
            println!("found: {fault}");
            return;
        }
        println!("not found yet; other faults: {faults:#?}");
    }
    panic!("{kernel:?} was not found out");
}

#[test]
fn a_kernel_without_the_fence_is_found_out() {
    found_out(Kernel::WithoutFence, "stale");
}

#[test]
fn a_release_that_looks_first_and_deletes_later_is_found_out() {
    found_out(Kernel::GetThenDel, "stale");
}

#[test]
fn the_time_of_hosts_in_place_of_the_servers_is_found_out() {
    found_out(Kernel::HostTime, "taken before its time");
}
