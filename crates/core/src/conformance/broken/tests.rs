//! Each fault is found by the check that names it; the harness has none.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::bounds::{
    HidesErrors, KeepsAllAgents, KeepsAllErrors, NeverTrims, RemovesHalf, RemovesUnfinished, RestartsNumbers,
    RestartsTokens, SkipsSilently, TrimsTheLog, TrimsTooMuch,
};
use super::twists::{
    AcceptsTwins, AmendKeepsAll, AmendResets, BeatsForAnybody, CountsDependencies, ForgetsClaims,
    ForgetsParents, ForgetsSettles, HidesExpiries, HoldTokensReset, IgnoresAvoided, IgnoresCapabilities,
    IgnoresPause, IgnoresPriority, IgnoresVersions, IgnoresWaits, LosesCosts, NeverExpires, PlansHalf,
    RedoForgetsDependants, RedoKeepsCounting, RedoSparesHolders, RedoTrustsOldInputs, ReleaseCharges,
    RenewsAnyToken, RepeatsAppends, SettlesAnyToken, Sound, TokenReused,
};
use super::{Broken, Twist};
use crate::cache::Cache;
use crate::conformance::{Check, Fixture, Memory, Subject, checks};
use crate::memory::MemoryCache;
use crate::time::ManualClock;

/// For what passes: after this long it is stuck, whatever else the machine has to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// For what does not: a broken cache may take for ever.
const LONG: Duration = Duration::from_secs(20);

/// Whether a cache passes a check. Whoever takes longer does not.
async fn passes(check: Check, fixture: Arc<dyn Fixture>, longest: Duration) -> bool {
    let run = tokio::spawn(async move { check.run(fixture).await });
    tokio::time::timeout(longest, run).await.is_ok_and(|run| run.is_ok())
}

fn check(name: &str) -> Check {
    checks().into_iter().find(|check| format!("{check:?}") == name).expect("there is such a check")
}

async fn rejected_by<T: Twist>(name: &str, new: fn(MemoryCache) -> T) {
    let sound = passes(check(name), Arc::new(Memory), PATIENCE).await;
    assert!(sound, "`{name}` rejects the reference");
    let fault = std::any::type_name::<T>();
    let broken = passes(check(name), Arc::new(Broken(new)), LONG).await;
    assert!(!broken, "`{name}` lets `{fault}` pass");
}

macro_rules! rejections {
    ($($fault:ident by $family:ident::$name:ident;)*) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn every_fault_is_found_by_the_check_that_names_it() {
            $(rejected_by(concat!(stringify!($family), "::", stringify!($name)), $fault::new).await;)*
        }
    };
}

rejections! {
    TokenReused by fencing::token_grows_with_every_claim;
    SettlesAnyToken by fencing::late_settle_changes_nothing;
    RenewsAnyToken by fencing::late_renewal_changes_nothing;
    ForgetsSettles by settle::repeated_settle_is_answered_and_changes_nothing;
    CountsDependencies by settle::repeated_settle_unblocks_nothing_early;
    ReleaseCharges by settle::release_costs_no_attempt;
    NeverExpires by claim::held_task_is_refused_until_expiry;
    IgnoresWaits by expiry::waiting_task_is_not_granted_before_its_time;
    PlansHalf by plan::refused_plan_leaves_nothing;
    AmendResets by amend::running_task_keeps_its_lease;
    AmendKeepsAll by redo::redone_tasks_are_worked_again_with_the_attempts_of_new_ones;
    RedoKeepsCounting by redo::redone_tasks_are_worked_again_with_the_attempts_of_new_ones;
    RedoForgetsDependants by redo::who_waits_for_a_redone_task_waits_again;
    RedoSparesHolders by redo::running_task_that_is_another_one_loses_its_lease;
    RedoTrustsOldInputs by redo::running_task_with_new_inputs_is_done_once_more;
    IgnoresCapabilities by claim::required_capabilities_must_be_covered;
    IgnoresPriority by claim::greatest_priority_goes_first;
    IgnoresPause by claim::paused_agent_gets_nothing_until_it_is_resumed;
    ForgetsClaims by claim::repeated_request_is_given_the_same_lease;
    AcceptsTwins by agents::second_living_incarnation_is_refused;
    BeatsForAnybody by agents::replaced_incarnation_is_refused_everywhere;
    RepeatsAppends by streams::repeated_append_adds_nothing;
    HidesExpiries by expiry::expiry_leaves_an_event_and_an_ended_attempt;
    IgnoresVersions by records::other_version_is_a_conflict_and_writes_nothing;
    HoldTokensReset by records::token_of_a_hold_grows_after_its_release;
    RemovesUnfinished by remove::goal_that_may_still_move_is_refused;
    RemovesHalf by remove::goal_and_its_tasks_are_gone;
    RestartsTokens by remove::tokens_of_a_reused_id_stay_above_every_old_one;
    NeverTrims by streams::stream_keeps_its_newest_entries_within_its_limit;
    TrimsTooMuch by streams::stream_keeps_its_newest_entries_within_its_limit;
    TrimsTheLog by streams::log_of_events_is_kept_for_longer;
    SkipsSilently by streams::read_says_what_is_kept_no_more;
    RestartsNumbers by streams::numbers_and_repetitions_go_on_after_a_trim;
    HidesErrors by agents::failed_attempts_are_errors_of_their_agent;
    KeepsAllErrors by agents::newest_hundred_errors_are_kept;
    KeepsAllAgents by agents::agents_gone_for_longest_are_forgotten;
    IgnoresAvoided by nested::avoided_task_is_left_to_others;
    ForgetsParents by nested::claim_under_a_goal_finds_the_tasks_below_it;
    LosesCosts by model::random_fleets_are_answered_as_by_the_reference;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_harness_without_a_fault_passes_all() {
    for check in checks() {
        assert!(passes(check, Arc::new(Broken(Sound::new)), PATIENCE).await, "{check:?}");
    }
}

/// Says that it is durable, and is not.
struct Amnesia;

struct Forgotten {
    cache: Arc<dyn Cache>,
    clock: Arc<ManualClock>,
}

#[async_trait]
impl Fixture for Amnesia {
    async fn open(&self) -> Box<dyn Subject> {
        let clock = Arc::new(ManualClock::default());
        Box::new(Forgotten { cache: Arc::new(MemoryCache::new(clock.clone())), clock })
    }
}

#[async_trait]
impl Subject for Forgotten {
    fn cache(&self) -> Arc<dyn Cache> {
        Arc::clone(&self.cache)
    }

    fn clock(&self) -> &ManualClock {
        &self.clock
    }

    async fn reopen(&mut self) {
        self.cache = Arc::new(MemoryCache::new(self.clock.clone()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_about_crashes_finds_a_cache_that_forgets() {
    for check in checks().into_iter().filter(|check| check.family == "reopen") {
        let survives = matches!(check.name, "name_of_a_silent_agent_is_free_after_a_crash");
        let longest = if survives { PATIENCE } else { LONG };
        assert_eq!(passes(check, Arc::new(Amnesia), longest).await, survives, "{check:?}");
    }
}
