//! The one list of promises, and what is made of it.

/// Hands every promise, by family, to the macro `$emit`: the registry and the tests both come from it.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_promises {
    ([$($emit:tt)*] $($context:tt)*) => {
        $($emit)*! {
            [$($context)*]
            plan {
                tasks_without_dependencies_are_ready_at_once
                tasks_with_dependencies_are_blocked
                goal_is_told_with_its_counts
                one_event_tells_of_the_whole_plan
                repeated_request_is_answered_as_the_first
                second_plan_of_a_goal_is_refused
                taken_ids_are_all_named_with_their_goals
                refused_plan_leaves_nothing
                dag_reads_back_as_it_was_planned
                goals_are_listed_by_id
                tasks_are_paged_in_the_order_of_the_plan
                tasks_are_filtered_by_status
                tasks_of_an_unknown_goal_are_an_error
                unknown_things_are_none
                node_may_have_its_own_attempts
                cost_of_planning_is_counted
                request_without_an_id_is_refused
                title_beyond_its_bounds_is_refused
            }
            claim {
                greatest_priority_goes_first
                among_equals_the_earliest_planned_goes_first
                blocked_task_is_not_granted
                held_task_is_refused_until_expiry
                required_capabilities_must_be_covered
                best_task_is_found_over_all_sets_of_capabilities
                only_tasks_of_the_named_goal_are_granted
                named_task_is_granted_before_better_ones
                named_task_that_cannot_be_claimed_is_not_granted
                named_task_that_does_not_exist_is_an_error
                failed_claim_does_no_upkeep
                paused_agent_gets_nothing_until_it_is_resumed
                repeated_request_is_given_the_same_lease
                repeated_request_is_given_the_renewed_deadline
                request_whose_lease_ended_is_a_new_claim
                nothing_names_the_next_deadline_of_a_lease
                nothing_names_the_next_end_of_a_wait
                nothing_names_no_moment_when_time_changes_nothing
                lease_says_what_was_granted
                last_error_is_handed_on
                agent_that_never_registered_may_claim
                another_incarnation_of_a_registered_agent_is_refused
                agent_that_ended_is_refused
                claim_leaves_an_event_and_a_count
                claim_out_of_bounds_is_refused
                ready_list_is_best_first_and_claims_nothing
            }
            nested {
                goal_says_what_it_is_below
                claim_under_a_goal_finds_the_tasks_below_it
                goal_below_another_is_none_to_claim_under
                ready_list_under_a_goal_has_the_tasks_below_it
                tasks_below_a_goal_at_rest_can_be_claimed
                removed_goal_leaves_the_tasks_below_it_claimable
                avoided_task_is_left_to_others
                named_task_that_is_avoided_is_not_granted
                claim_of_a_settle_avoids_too
                avoided_task_that_is_all_there_is_changes_nothing
            }
            expiry {
                expired_lease_is_claimable_by_another
                lease_lasts_to_its_last_millisecond
                expiry_leaves_an_event_and_an_ended_attempt
                last_attempt_that_expires_fails_the_task
                late_holder_whom_nobody_replaced_may_settle
                late_holder_whom_nobody_replaced_may_renew
                late_holder_may_settle_before_any_sweep
                late_settle_of_a_task_that_waits_wakes_its_goal
                renewal_moves_the_deadline_from_now
                renewal_may_shorten_a_lease
                renewal_out_of_bounds_is_refused
                waiting_task_is_not_granted_before_its_time
                end_of_a_wait_is_told
                claim_does_upkeep_before_it_chooses
                leases_expire_in_the_order_of_their_deadlines
                leases_of_one_deadline_expire_by_id
            }
            fencing {
                token_grows_with_every_claim
                late_settle_changes_nothing
                late_renewal_changes_nothing
                token_that_was_never_handed_out_is_refused
                lost_lease_names_both_tokens
                lost_lease_names_who_holds_the_task_now
                token_is_spent_by_settling
                task_that_nobody_claimed_cannot_be_written
                task_that_does_not_exist_cannot_be_written
                dropped_holder_lost_its_lease
                cancelled_holder_lost_its_lease
                refused_settle_claims_nothing_next
                paused_holder_keeps_its_lease
            }
            settle {
                done_task_unblocks_its_dependants
                dependant_waits_for_all_of_its_dependencies
                repeated_settle_is_answered_and_changes_nothing
                repeated_settle_unblocks_nothing_early
                repeated_settle_claims_nothing_more
                repeated_settle_is_recognised_when_another_holds_the_task
                settle_of_a_later_attempt_is_not_a_repetition
                retry_waits_for_as_long_as_it_asked
                retry_without_a_wait_is_claimable_at_once
                retry_of_the_last_attempt_fails_the_task
                verdict_fails_the_task_with_attempts_left
                release_costs_no_attempt
                last_task_completes_the_goal
                goal_stalls_when_all_that_is_left_waits_for_a_failure
                settles_of_other_goals_leave_a_goal_alone
                cost_of_an_attempt_is_counted_once
                next_task_is_claimed_in_the_same_step
                next_claim_without_work_says_so
                next_claim_of_a_paused_agent_gets_nothing
                next_claim_that_fails_does_not_undo_the_settle
                settle_out_of_bounds_changes_nothing
                events_tell_cause_before_effect
                summary_and_artifacts_are_kept
                failed_attempts_are_kept_oldest_first
                newest_fifty_failed_attempts_are_kept
                texts_beyond_their_bounds_are_cut
                progress_is_kept_and_told_when_it_is_news
                wide_unblocking_is_one_step
            }
            amend {
                revision_grows_and_the_dag_is_the_new_one
                other_revision_is_a_conflict
                repeated_amendment_is_answered_as_the_first
                unknown_goal_cannot_be_amended
                taken_ids_refuse_the_whole_amendment
                finished_tasks_stay_finished
                running_task_keeps_its_lease
                task_rewired_while_it_ran_waits_once_it_is_given_back
                waiting_task_keeps_its_wait
                removed_holder_loses_its_lease
                removed_tasks_are_claimable_no_more
                removed_ids_are_free_again
                new_task_waits_only_for_what_is_not_done
                kept_task_is_blocked_by_a_new_dependency
                kept_task_is_freed_of_a_removed_dependency
                new_capabilities_are_required_at_once
                new_priority_counts_at_once
                elevated_priority_outlives_an_amendment
                new_tasks_are_younger_than_kept_ones
                complete_goal_is_active_again
                removing_what_failed_ends_a_stall
                amendment_lifts_the_cancellation_of_a_goal
                cost_of_amending_is_counted
            }
            redo {
                redone_tasks_are_worked_again_with_the_attempts_of_new_ones
                redone_task_forgets_its_result_and_its_tokens_grow
                chain_that_is_redone_is_worked_in_order
                who_waits_for_a_redone_task_waits_again
                finished_dependants_of_a_redone_task_stay_unless_named
                running_task_that_is_another_one_loses_its_lease
                running_task_with_new_inputs_is_done_once_more
                late_holder_of_a_redone_task_is_refused
                called_off_task_is_redone_only_if_it_is_another_one
                task_that_nobody_worked_on_is_not_told_to_be_redone
                redo_of_a_task_that_is_not_planned_refuses_the_whole
                repeated_redo_is_answered_as_the_first
                redo_is_told_with_who_wants_it
                random_edits_have_done_again_what_changed_and_nothing_else
            }
            remove {
                goal_and_its_tasks_are_gone
                event_tells_of_the_removal
                goal_that_may_still_move_is_refused
                goal_that_ended_at_another_moment_is_refused
                removal_of_what_is_not_there_changes_nothing
                other_goals_are_left_alone
                removed_ids_are_free_for_any_goal
                tokens_of_a_reused_id_stay_above_every_old_one
                tokens_of_an_id_amended_away_stay_above_every_old_one
                late_holder_of_a_removed_task_is_refused
                directives_on_what_was_removed_are_refused
                large_goal_is_removed
                what_is_counted_returns_to_what_it_was
            }
            steer {
                pause_may_come_before_the_agent
                second_pause_is_applied_and_changes_nothing
                dropped_task_is_claimable_and_cost_no_attempt
                only_a_running_task_can_be_dropped
                elevated_task_goes_first
                too_great_a_priority_is_refused
                failed_task_is_tried_again
                retry_ends_the_wait_of_a_task
                task_that_waits_for_nothing_cannot_be_retried
                cancelled_task_is_claimable_no_more
                cancelled_task_may_be_retried
                cancelled_goal_ends_every_unfinished_task
                goal_at_its_end_cannot_be_cancelled
                stalled_goal_can_be_cancelled
                retry_lifts_the_cancellation_of_a_goal
                memory_is_emptied
                what_does_not_exist_is_refused_with_an_event
                repeated_directive_has_one_effect
                event_says_who_gave_the_directive
                directive_without_an_id_is_refused
            }
            sweep {
                expired_leases_and_ended_waits_are_found
                limit_holds_for_each_kind_and_the_rest_is_due
                nothing_is_swept_before_its_time
                next_due_is_the_earliest_of_all
                silence_of_an_agent_is_told_once
                agent_that_left_is_not_silent
                settled_tasks_leave_nothing_to_sweep
            }
            agents {
                registration_reads_back
                agents_are_listed_by_name
                same_incarnation_refreshes_without_an_event
                second_living_incarnation_is_refused
                silent_incarnation_is_replaced_and_its_tasks_are_freed
                replaced_incarnation_is_refused_everywhere
                late_departure_of_a_replaced_incarnation_changes_nothing
                beat_postpones_silence
                beat_after_silence_is_welcome
                beat_of_nobody_is_refused
                beat_tells_whether_the_agent_is_paused
                phase_and_task_are_those_of_the_last_beat
                departing_agent_gives_its_tasks_back
                an_end_says_with_what_and_of_which_life
                quarantined_agent_is_dead_and_what_it_held_is_free
                second_departure_changes_nothing
                death_costs_an_attempt_only_beyond_the_limit
                name_is_free_after_a_departure
                settled_tasks_are_not_freed
                liveness_follows_the_clock
                memory_outlives_its_incarnation
                memory_beyond_its_bounds_is_refused
                registration_out_of_bounds_is_refused
                failed_attempts_are_errors_of_their_agent
                attempts_given_back_are_no_errors
                errors_outlive_the_agent_and_the_task
                newest_hundred_errors_are_kept
                agents_gone_for_longest_are_forgotten
                agent_that_holds_a_task_is_not_forgotten
            }
            streams {
                entries_are_numbered_from_one_without_a_gap
                entry_reads_back_whole
                repeated_append_adds_nothing
                repetition_is_recognised_among_events_of_moves
                streams_are_apart
                entries_are_read_a_page_at_a_time
                unknown_stream_is_empty
                append_out_of_bounds_adds_nothing
                most_entries_of_one_append_fit
                news_from_before_the_wait_is_answered_at_once
                wait_without_news_ends
                append_wakes_who_waits_for_its_stream
                move_wakes_who_waits_for_events
                new_work_wakes_who_waits_for_it
                claims_are_no_news_of_work
                stream_keeps_its_newest_entries_within_its_limit
                read_says_what_is_kept_no_more
                numbers_and_repetitions_go_on_after_a_trim
                log_of_events_is_kept_for_longer
            }
            records {
                document_reads_back_with_its_version_and_time
                other_version_is_a_conflict_and_writes_nothing
                absent_document_has_version_zero
                versions_grow_across_removals
                documents_are_listed_by_key_under_a_prefix
                document_out_of_bounds_is_refused
                hold_is_of_one_until_its_time_is_up
                holder_is_given_its_hold_again
                hold_whose_time_is_up_begins_anew
                renewed_hold_lasts_from_now
                late_hold_that_nobody_took_may_be_renewed
                hold_that_another_took_cannot_be_renewed
                released_hold_is_free_at_once
                token_of_a_hold_grows_after_its_release
                late_release_takes_nothing_from_the_newest_holder
                holds_are_apart_from_documents_and_each_other
                hold_out_of_bounds_is_refused
            }
            races {
                one_hundred_claimers_get_each_task_once
                a_fleet_does_every_task_once_in_order
                one_of_many_settles_of_a_lease_wins
                repeated_settle_that_overtakes_itself_has_one_effect
                last_two_dependencies_unblock_once
                one_of_many_plans_of_a_goal_wins
                one_of_many_goals_gets_a_wanted_id
                one_of_many_incarnations_gets_the_name
                counter_under_compare_and_set_loses_nothing
                appends_of_many_are_all_there_in_one_order
                one_of_many_gets_a_hold
                expired_task_goes_to_one_of_many
            }
            reopen {
                plan_is_there_again
                goal_below_another_is_there_again
                done_stays_done
                repeated_settle_is_still_recognised
                tokens_grow_across_a_crash
                holder_from_before_a_crash_is_fenced_once_replaced
                waits_and_leases_end_after_a_crash
                log_goes_on_where_it_ended
                trimmed_stream_goes_on_where_it_ended
                removed_goal_stays_removed
                tokens_of_a_reused_id_grow_across_a_crash
                errors_of_an_agent_are_there_again
                documents_are_there_with_their_versions
                tokens_of_holds_grow_across_a_crash
                directives_hold_and_are_recognised
                repeated_plans_and_amendments_are_still_recognised
                order_of_planning_goes_on
                name_of_a_silent_agent_is_free_after_a_crash
                work_goes_on_after_many_crashes
            }
            model {
                random_fleets_are_answered_as_by_the_reference
                random_nonsense_is_answered_as_by_the_reference
            }
        }
    };
}

/// Makes one test of each promise, in a module for each family.
///
/// The argument opens caches: an expression of a type that is a
/// [`Fixture`](crate::conformance::Fixture).
#[macro_export]
macro_rules! conformance_suite {
    ($fixture:expr $(,)?) => {
        fn conformance_fixture() -> ::std::sync::Arc<dyn $crate::conformance::Fixture> {
            ::std::sync::Arc::new($fixture)
        }

        $crate::conformance_promises! { [$crate::conformance_tests] }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! conformance_tests {
    ([] $($family:ident { $($name:ident)* })*) => {
        $(mod $family {
            $(#[test]
            fn $name() {
                $crate::conformance::prove(
                    super::conformance_fixture(),
                    $crate::conformance::$family::$name,
                );
            })*
        })*
    };
}
