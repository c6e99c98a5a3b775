use proptest::prelude::*;

use super::*;

const IDLE_FOR: Duration = Duration::from_secs(10);
const NOW: Duration = Duration::from_secs(1_000);

fn name(text: String) -> AgentName {
    AgentName::new(text).unwrap()
}

fn set(text: &str) -> BTreeSet<Capability> {
    text.chars().map(|one| Capability::new(one.to_string()).unwrap()).collect()
}

/// A pool of a letter: each copy in a state, and none below the number of letters.
fn pool(letter: char, capabilities: &str, bounds: (usize, usize), states: &[State]) -> Pool {
    let replicas = states
        .iter()
        .enumerate()
        .map(|(number, state)| Replica { name: name(format!("{letter}-{}", number + 1)), state: *state });
    Pool {
        goal: None,
        capabilities: set(capabilities),
        parallel: 1,
        min: bounds.0,
        max: bounds.1,
        copies: replicas.collect(),
    }
}

fn demand(capabilities: &str, ready: usize) -> Demand {
    Demand { goal: GoalId::new("demo").unwrap(), capabilities: set(capabilities), ready }
}

fn bounds(living: usize) -> Bounds {
    Bounds { living, idle_for: IDLE_FOR }
}

const IDLE: State = State::Idle { since: Duration::from_secs(999) };
const LONG_IDLE: State = State::Idle { since: Duration::from_secs(1) };

/// `+a-1` for a start, `-a-1` for a drain.
fn said(steps: &[Step]) -> String {
    let words: Vec<String> = steps
        .iter()
        .map(|step| match step {
            Step::Start(name) => format!("+{name}"),
            Step::Drain(name) => format!("-{name}"),
        })
        .collect();
    words.join(" ")
}

#[test]
fn what_is_left_after_the_idle_is_what_is_started() {
    use State::{Coming, Off, Working};
    let pools = [pool('a', "x", (1, 5), &[Working, IDLE, Coming, Off, Off])];
    assert_eq!(said(&decide(NOW, &[demand("x", 2)], &pools, bounds(9))), "");
    assert_eq!(said(&decide(NOW, &[demand("x", 3)], &pools, bounds(9))), "+a-4");
    assert_eq!(said(&decide(NOW, &[demand("x", 9)], &pools, bounds(9))), "+a-4 +a-5");
    assert_eq!(said(&decide(NOW, &[demand("x", 9)], &pools, bounds(4))), "+a-4");
    assert_eq!(said(&decide(NOW, &[demand("y", 9)], &pools, bounds(9))), "");
    let busy = Pool { parallel: 4, ..pools[0].clone() };
    assert_eq!(said(&decide(NOW, &[demand("x", 8)], std::slice::from_ref(&busy), bounds(9))), "");
    assert_eq!(said(&decide(NOW, &[demand("x", 12)], &[busy], bounds(9))), "+a-4");
}

#[test]
fn the_least_able_take_what_they_can_so_that_the_able_stay_free() {
    use State::Off;
    let pools = [pool('a', "xy", (0, 2), &[Off, Off]), pool('b', "x", (0, 2), &[Off, Off])];
    let both = [demand("x", 1), demand("y", 1)];
    assert_eq!(said(&decide(NOW, &both, &pools, bounds(9))), "+a-1 +b-1");
    let pools = [pool('a', "xy", (0, 2), &[IDLE, Off]), pool('b', "x", (0, 2), &[Off, Off])];
    assert_eq!(said(&decide(NOW, &both, &pools, bounds(9))), "+b-1");
}

#[test]
fn only_what_was_idle_for_long_is_drained_and_the_last_copy_first() {
    use State::{Off, Working};
    let pools = [pool('a', "x", (1, 4), &[LONG_IDLE, Working, LONG_IDLE, IDLE])];
    assert_eq!(said(&decide(NOW, &[], &pools, bounds(9))), "-a-3 -a-1");
    let pools = [pool('a', "x", (2, 3), &[LONG_IDLE, LONG_IDLE, LONG_IDLE])];
    assert_eq!(said(&decide(NOW, &[], &pools, bounds(9))), "-a-3");
    assert_eq!(said(&decide(NOW, &[demand("x", 3)], &pools, bounds(9))), "");
    let full = [pool('a', "x", (0, 2), &[IDLE, IDLE]), pool('b', "y", (0, 2), &[Off, Off])];
    assert_eq!(said(&decide(NOW, &[demand("y", 1)], &full, bounds(2))), "-a-2");
    assert_eq!(said(&decide(NOW, &[demand("y", 1)], &full, bounds(3))), "+b-1");
}

#[test]
fn the_least_number_is_there_without_any_work() {
    use State::{Barred, Off};
    let pools = [pool('a', "x", (2, 4), &[Off, Off, Off]), pool('b', "x", (2, 2), &[Barred, Off])];
    assert_eq!(said(&decide(NOW, &[], &pools, bounds(9))), "+a-1 +a-2 +b-2");
}

fn any_state() -> impl Strategy<Value = State> {
    prop_oneof![
        3 => Just(State::Off),
        1 => Just(State::Barred),
        1 => Just(State::Coming),
        3 => (0_u64..1_000).prop_map(|since| State::Idle { since: Duration::from_secs(since) }),
        2 => Just(State::Working),
        1 => Just(State::Leaving),
    ]
}

fn any_set() -> impl Strategy<Value = String> {
    proptest::sample::subsequence(vec!['x', 'y', 'z'], 0..=3)
        .prop_map(|letters| letters.into_iter().collect())
}

prop_compose! {
    fn any_pool(letter: char)(
        capabilities in any_set(), states in proptest::collection::vec(any_state(), 1..7),
        least in 0_usize..4, parallel in 1_u32..4,
    ) -> Pool {
        let most = states.len();
        let mut pool = pool(letter, &capabilities, (least.min(most), most), &states);
        pool.parallel = parallel;
        pool
    }
}

fn any_pools() -> impl Strategy<Value = Vec<Pool>> {
    (any_pool('a'), any_pool('b'), any_pool('c')).prop_map(|(a, b, c)| vec![a, b, c])
}

fn any_demands() -> impl Strategy<Value = Vec<Demand>> {
    proptest::collection::btree_map(any_set(), 0_usize..12, 0..4)
        .prop_map(|all| all.into_iter().map(|(set, ready)| demand(&set, ready)).collect())
}

fn state_of(pools: &[Pool], name: &AgentName) -> State {
    pools.iter().flat_map(|pool| &pool.copies).find(|copy| copy.name == *name).unwrap().state
}

fn after(pools: &[Pool], steps: &[Step]) -> Vec<Pool> {
    let mut pools = pools.to_vec();
    for step in steps {
        let (name, state) = match step {
            Step::Start(name) => (name, State::Coming),
            Step::Drain(name) => (name, State::Leaving),
        };
        let mut all = pools.iter_mut().flat_map(|pool| &mut pool.copies);
        all.find(|copy| copy.name == *name).unwrap().state = state;
    }
    pools
}

fn alive(pools: &[Pool]) -> usize {
    pools.iter().map(living).sum()
}

proptest! {
    #[test]
    fn bounds_hold_and_no_work_is_cut_off(
        pools in any_pools(), demands in any_demands(), most in 0_usize..16,
    ) {
        let steps = decide(NOW, &demands, &pools, bounds(most));
        let then = after(&pools, &steps);
        prop_assert!(alive(&then) <= most.max(alive(&pools)), "{}", said(&steps));
        for (before, then) in pools.iter().zip(&then) {
            prop_assert!(living(then) <= before.max.max(living(before)));
            prop_assert!(stays(then) >= before.min.min(stays(before)), "below its least: {}", said(&steps));
        }
        let mut touched = BTreeSet::new();
        for step in &steps {
            let (Step::Start(name) | Step::Drain(name)) = step;
            prop_assert!(touched.insert(name.clone()), "{name} twice");
            let state = state_of(&pools, name);
            match step {
                Step::Start(_) => prop_assert_eq!(state, State::Off),
                Step::Drain(_) => prop_assert!(matches!(state, State::Idle { .. }), "it was not idle"),
            }
        }
        for pool in &pools {
            let of_pool = |name: &AgentName| pool.copies.iter().any(|copy| copy.name == *name);
            let starts = steps.iter().any(|step| matches!(step, Step::Start(name) if of_pool(name)));
            let drains = steps.iter().any(|step| matches!(step, Step::Drain(name) if of_pool(name)));
            prop_assert!(!(starts && drains), "{}", said(&steps));
        }
    }

    /// Looks that follow each other while nothing else happens soon decide nothing more, and none takes back
    /// what one before decided.
    #[test]
    fn it_comes_to_rest(pools in any_pools(), demands in any_demands(), most in 0_usize..16) {
        let mut all = Vec::new();
        let mut now = pools;
        loop {
            let steps = decide(NOW, &demands, &now, bounds(most));
            if steps.is_empty() {
                break;
            }
            now = after(&now, &steps);
            all.push(said(&steps));
            prop_assert!(all.len() <= 4, "{all:?}");
        }
        let words: Vec<&str> = all.iter().flat_map(|steps| steps.split(' ')).map(|word| &word[1..]).collect();
        let names: BTreeSet<&str> = words.iter().copied().collect();
        prop_assert_eq!(names.len(), words.len(), "{:?}", all);
    }

    /// No agent is started beyond its least number when those that are there and idle can take everything.
    #[test]
    fn the_idle_are_used_first(pools in any_pools(), ready in 0_usize..12, most in 0_usize..16) {
        let demands = [demand("x", ready)];
        let idle: usize = pools.iter()
            .filter(|pool| pool.capabilities.is_superset(&demands[0].capabilities))
            .map(|pool| pool.copies.iter().filter(|copy| copy.state.is_spare()).count() * pool.parallel as usize)
            .sum();
        let steps = decide(NOW, &demands, &pools, bounds(most));
        for pool in &pools {
            let started = pool.copies.iter().filter(|copy| steps.contains(&Step::Start(copy.name.clone()))).count();
            if idle >= ready {
                prop_assert!(started <= pool.min.saturating_sub(living(pool)), "{}", said(&steps));
            }
        }
    }

    /// What is ready and could be taken by somebody who may be started is not left waiting.
    #[test]
    fn whatever_can_be_started_for_ready_tasks_is(
        pools in any_pools(), ready in 1_usize..12, most in 0_usize..16,
    ) {
        let demands = [demand("x", ready)];
        let steps = decide(NOW, &demands, &pools, bounds(most));
        let then = after(&pools, &steps);
        let able = |pool: &&Pool| pool.capabilities.is_superset(&demands[0].capabilities);
        let slots: usize = then.iter().filter(able)
            .map(|pool| pool.copies.iter().filter(|copy| copy.state.is_spare()).count() * pool.parallel as usize)
            .sum();
        let could = then.iter().filter(able).any(|pool| {
            living(pool) < pool.max && pool.copies.iter().any(|copy| copy.state == State::Off)
        });
        prop_assert!(slots >= ready || !could || alive(&then) >= most, "{}", said(&steps));
    }
}
