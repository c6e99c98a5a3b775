//! The verbs of a cache as a list, for what treats them all alike.

/// Hands every verb, by trait, to the macro `$emit`: for a cache that wraps another and treats all verbs
/// alike.
///
/// `$emit` is given `Trait { verb(argument: Type, ...) -> Answer; ... }` for each of the four traits.
#[macro_export]
macro_rules! cache_verbs {
    ($emit:ident) => {
        $emit! {
            Tasks {
                plan(plan: &$crate::cache::Plan) -> $crate::goal::Goal;
                amend(amend: &$crate::cache::Amend) -> $crate::goal::Goal;
                goal(goal: &$crate::ids::GoalId) -> Option<$crate::goal::Goal>;
                goals() -> Vec<$crate::goal::Goal>;
                dag(goal: &$crate::ids::GoalId) -> Option<::std::sync::Arc<$crate::dag::Dag>>;
                task(task: &$crate::ids::TaskId) -> Option<$crate::cache::TaskDetail>;
                tasks(query: &$crate::cache::TaskQuery) -> Vec<$crate::cache::Task>;
                ready(query: &$crate::cache::ReadyQuery) -> Vec<$crate::cache::Task>;
                claim(claim: &$crate::cache::Claim) -> $crate::cache::ClaimReply;
                renew(renew: &$crate::cache::Renew) -> $crate::cache::Renewed;
                settle(settle: &$crate::cache::Settle) -> $crate::cache::Settled;
                steer(steer: &$crate::cache::Steer) -> $crate::cache::Steered;
                remove(remove: &$crate::cache::Remove) -> $crate::cache::Removed;
                sweep(sweep: &$crate::cache::Sweep) -> $crate::cache::Swept;
            }
            Agents {
                register(registration: &$crate::cache::Registration) -> $crate::cache::Registered;
                beat(beat: &$crate::cache::Beat) -> $crate::cache::BeatReply;
                deregister(departure: &$crate::cache::Departure) -> Vec<$crate::ids::TaskId>;
                agent(name: &$crate::ids::AgentName) -> Option<$crate::cache::Agent>;
                agents() -> Vec<$crate::cache::Agent>;
                remember(name: &$crate::ids::AgentName, incarnation: &$crate::ids::Incarnation, snapshot: &str) -> ();
                recall(name: &$crate::ids::AgentName) -> Option<String>;
                errors(name: &$crate::ids::AgentName) -> Vec<$crate::cache::AgentError>;
            }
            Streams {
                append(append: &$crate::cache::Append) -> u64;
                read(read: &$crate::cache::Read) -> $crate::cache::Page;
                changed(topic: &$crate::cache::Topic, seen: u64, wait: ::std::time::Duration) -> u64;
            }
            Records {
                load(key: &str) -> Option<$crate::cache::Record>;
                store_if(store: &$crate::cache::StoreIf) -> u64;
                list(prefix: &str, limit: usize) -> Vec<$crate::cache::Record>;
                acquire(acquire: &$crate::cache::Acquire) -> Option<$crate::cache::Hold>;
                renew_hold(hold: &$crate::cache::Hold, ttl: ::std::time::Duration) -> $crate::cache::Hold;
                release_hold(hold: &$crate::cache::Hold) -> ();
            }
        }
    };
}
