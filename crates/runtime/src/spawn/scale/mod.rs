//! How many copies of each agent there should be: a pure function of what is ready and who is there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use downbeat_core::ids::{AgentName, Capability, GoalId};

/// What the copies of one declared agent have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// The goal they work for; any without it.
    pub goal: Option<GoalId>,
    /// What they can do.
    pub capabilities: BTreeSet<Capability>,
    /// How many tasks each works on at once; at least 1.
    pub parallel: u32,
    /// So many are always there.
    pub min: usize,
    /// Never more than so many.
    pub max: usize,
    /// The copies, in the order in which they are started.
    pub copies: Vec<Replica>,
}

/// One agent of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// Its name.
    pub name: AgentName,
    /// What it does.
    pub state: State,
}

/// What a copy does. Times are counted from any one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It does not live, and may be started.
    Off,
    /// It neither lives nor may be started: it was stopped, is quarantined, or waits for something.
    Barred,
    /// It is being started, or has not said yet what it does.
    Coming,
    /// It has had nothing to do since then.
    Idle {
        /// When that began.
        since: Duration,
    },
    /// It works.
    Working,
    /// It was asked to end.
    Leaving,
}

impl State {
    /// Whether it takes up a place among the living.
    #[must_use]
    pub const fn is_living(self) -> bool {
        !matches!(self, Self::Off | Self::Barred)
    }

    const fn is_spare(self) -> bool {
        matches!(self, Self::Coming | Self::Idle { .. })
    }
}

/// Ready tasks that the same agents can take.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Demand {
    /// Their goal.
    pub goal: GoalId,
    /// What they need.
    pub capabilities: BTreeSet<Capability>,
    /// How many there are.
    pub ready: usize,
}

/// Within what bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most agents that may live at once, over all pools.
    pub living: usize,
    /// One that has had nothing to do for so long is not needed any more.
    pub idle_for: Duration,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Have this agent end when its work is done; it has none.
    Drain(AgentName),
    /// Start this agent.
    Start(AgentName),
}

/// Which agents to start and which to drain, drains first.
///
/// Idle agents and those on their way take ready tasks first, the least able first, and new ones are
/// started only for what is left. Only an agent that is idle and that no ready task needs is drained: when
/// it has been so for long, or at once when all places are taken and another agent is needed. Two waits
/// keep it from swinging: one that is started counts before it works, and one that is idle stays a while.
#[must_use]
pub fn decide(now: Duration, demands: &[Demand], pools: &[Pool], bounds: Bounds) -> Vec<Step> {
    let mut plan = Plan::new(pools, bounds.living);
    for (index, pool) in pools.iter().enumerate() {
        let missing = pool.min.saturating_sub(living(pool));
        plan.start(index, missing);
    }
    // Those that the fewest can take choose first.
    let mut demands: Vec<(Vec<usize>, &Demand)> =
        demands.iter().map(|demand| (able(pools, demand), demand)).collect();
    demands.sort_by_key(|(able, demand)| (able.len(), *demand));
    let mut unmet = Vec::new();
    for (able, demand) in demands {
        let left = plan.take(&able, demand.ready);
        if left > 0 {
            unmet.push((able, left));
        }
    }
    let mut blocked = 0;
    for (able, left) in unmet {
        // One that was started for others may have room left.
        let mut left = plan.take(&able, left);
        for index in able {
            let Some(parallel) = pools.get(index).map(slots) else { continue };
            let (_, lacked_room) = plan.start(index, left.div_ceil(parallel));
            blocked += lacked_room;
            left = plan.take(&[index], left).saturating_sub(lacked_room.saturating_mul(parallel));
        }
    }
    plan.drain(now, bounds.idle_for, blocked);
    let Plan { mut drains, starts, .. } = plan;
    drains.extend(starts);
    drains
}

/// The pools whose agents can take a task, the least able first.
fn able(pools: &[Pool], demand: &Demand) -> Vec<usize> {
    let can = |pool: &Pool| {
        pool.goal.as_ref().is_none_or(|goal| *goal == demand.goal)
            && demand.capabilities.is_subset(&pool.capabilities)
    };
    let mut able: Vec<(bool, usize, usize)> = pools
        .iter()
        .enumerate()
        .filter(|(_, pool)| can(pool))
        .map(|(index, pool)| (pool.goal.is_none(), pool.capabilities.len(), index))
        .collect();
    able.sort_unstable();
    able.into_iter().map(|(_, _, index)| index).collect()
}

fn living(pool: &Pool) -> usize {
    pool.copies.iter().filter(|copy| copy.state.is_living()).count()
}

/// Whether a spare agent is still coming, its pool, and its number there.
type Place = (bool, usize, usize);

fn slots(pool: &Pool) -> usize {
    usize::try_from(pool.parallel.max(1)).unwrap_or(usize::MAX)
}

struct Plan<'a> {
    pools: &'a [Pool],
    /// How many more may live.
    room: usize,
    /// What each spare agent can still take.
    spare: BTreeMap<Place, usize>,
    /// Spare agents that some ready task needs.
    needed: BTreeSet<Place>,
    /// How many of each pool were started.
    started: Vec<usize>,
    starts: Vec<Step>,
    drains: Vec<Step>,
}

impl<'a> Plan<'a> {
    fn new(pools: &'a [Pool], living_at_most: usize) -> Self {
        let mut spare = BTreeMap::new();
        for (at, pool) in pools.iter().enumerate() {
            for (number, copy) in pool.copies.iter().enumerate() {
                if copy.state.is_spare() {
                    spare.insert((copy.state == State::Coming, at, number), slots(pool));
                }
            }
        }
        Self {
            pools,
            room: living_at_most.saturating_sub(pools.iter().map(living).sum()),
            spare,
            needed: BTreeSet::new(),
            started: vec![0; pools.len()],
            starts: Vec::new(),
            drains: Vec::new(),
        }
    }

    /// Gives `ready` tasks to spare agents of these pools. Returns how many are left.
    fn take(&mut self, able: &[usize], mut ready: usize) -> usize {
        // Those that are there before those that come.
        for (coming, index) in
            [false, true].into_iter().flat_map(|coming| able.iter().map(move |at| (coming, *at)))
        {
            for (place, slots) in self.spare.range_mut((coming, index, 0)..=(coming, index, usize::MAX)) {
                let taken = ready.min(*slots);
                if taken > 0 {
                    *slots -= taken;
                    ready -= taken;
                    self.needed.insert(*place);
                }
            }
        }
        ready
    }

    /// Starts up to `wanted` copies of a pool. Returns how many, and how many more could be started if
    /// there were room for them.
    fn start(&mut self, index: usize, wanted: usize) -> (usize, usize) {
        let (Some(pool), Some(started)) = (self.pools.get(index), self.started.get_mut(index)) else {
            return (0, 0);
        };
        let off = pool.copies.iter().enumerate().filter(|(_, copy)| copy.state == State::Off);
        let may = pool.max.saturating_sub(living(pool) + *started).min(wanted);
        let chosen: Vec<(usize, &Replica)> = off.skip(*started).take(may).collect();
        let count = chosen.len().min(self.room);
        let lacked_room = chosen.len() - count;
        for (number, copy) in chosen.into_iter().take(count) {
            // It counts before it works.
            self.spare.insert((true, index, number), slots(pool));
            self.starts.push(Step::Start(copy.name.clone()));
        }
        *started += count;
        self.room -= count;
        (count, lacked_room)
    }

    /// Drains what nobody needs: whatever was idle for long, and of the others as many as stand in the way.
    fn drain(&mut self, now: Duration, idle_for: Duration, blocked: usize) {
        let mut candidates: Vec<(Duration, usize, usize)> = Vec::new();
        for (at, pool) in self.pools.iter().enumerate() {
            for (number, copy) in pool.copies.iter().enumerate() {
                if let State::Idle { since } = copy.state
                    && !self.needed.contains(&(false, at, number))
                {
                    candidates.push((since, at, number));
                }
            }
        }
        // Idle the longest first; of those alike, the copy that was started last.
        candidates.sort_unstable_by_key(|(since, at, number)| (*since, *at, std::cmp::Reverse(*number)));
        let mut left: Vec<usize> = self.pools.iter().map(stays).collect();
        let leaving = |pool: &Pool| pool.copies.iter().filter(|copy| copy.state == State::Leaving).count();
        // Those that leave already make room, too.
        let mut blocked = blocked.saturating_sub(self.pools.iter().map(leaving).sum());
        for (since, at, number) in candidates {
            let (Some(pool), Some(left)) = (self.pools.get(at), left.get_mut(at)) else { continue };
            let started = self.started.get(at).copied().unwrap_or_default();
            if *left <= pool.min || started > 0 {
                continue;
            }
            if now.saturating_sub(since) < idle_for && blocked == 0 {
                continue;
            }
            blocked = blocked.saturating_sub(1);
            *left -= 1;
            self.drains.extend(pool.copies.get(number).map(|copy| Step::Drain(copy.name.clone())));
        }
    }
}

/// How many of a pool live and stay.
fn stays(pool: &Pool) -> usize {
    pool.copies.iter().filter(|copy| copy.state.is_living() && copy.state != State::Leaving).count()
}

#[cfg(test)]
mod tests;
