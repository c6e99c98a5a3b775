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
