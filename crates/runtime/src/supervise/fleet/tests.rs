//! Random histories of random fleets: what must hold in each, and that nobody waits for ever.

use std::collections::HashMap;
use std::time::Duration;

use downbeat_core::backoff::Backoff;
use downbeat_core::ids::{AgentName, GroupName};
use downbeat_core::instructions::{Milestone, Restart};

use super::*;

const TURN: Duration = Duration::from_secs(30);

fn name(n: usize) -> AgentName {
    AgentName::new(format!("a{n}")).unwrap()
}

fn group(n: usize) -> GroupName {
    GroupName::new(format!("g{n}")).unwrap()
}

/// A random fleet, and what happens to it.
struct World {
    random: fastrand::Rng,
    fleet: Fleet,
    max: Option<usize>,
    limits: HashMap<GroupName, usize>,
    now: Duration,
    /// The lives as their spawner knows them: whether they have begun, whether they were asked to end.
    lives: HashMap<AgentName, (bool, bool)>,
    generations: HashMap<AgentName, u64>,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let count = random.usize(1..12);
        let max = random.bool().then(|| random.usize(1..4));
        let members: Vec<_> = (0..count)
            .map(|n| {
                let mut after = Vec::new();
                for other in (0..n).map(name) {
                    if random.u8(..4) == 0 {
                        let until = [Milestone::Started, Milestone::Ready, Milestone::Finished];
                        after.push((other, until[random.usize(..3)]));
                    }
                }
                let policy = Policy {
                    restart: [Restart::Never, Restart::OnFailure, Restart::Always][random.usize(..3)],
                    max_restarts: random.u32(..4),
                    window: Duration::from_secs(60),
                    backoff: Backoff { base: Duration::from_secs(1), ceiling: Duration::from_secs(10) },
                };
                let groups = (0..3).filter(|_| random.u8(..3) == 0).map(group).collect();
                (name(n), Member { after, groups, policy })
            })
            .collect();
        Self {
            fleet: Fleet::new(members, &HashMap::new(), max, TURN),
            random,
            max,
            limits: HashMap::new(),
            now: Duration::ZERO,
            lives: HashMap::new(),
            generations: HashMap::new(),
            log: Vec::new(),
        }
    }

    fn give(&mut self, input: Input) {
        self.log.push(format!("{:?} {input:?}", self.now));
        if let Input::Limit(group, limit) = &input {
            match limit {
                Some(limit) => self.limits.insert(group.clone(), *limit),
                None => self.limits.remove(group),
            };
        }
        let before = self.fleet.clone();
        for action in self.fleet.on(self.now, input) {
            match action {
                Action::Spawn { name, generation } => {
                    assert!(!self.lives.contains_key(&name), "{name} lives twice");
                    let known = self.generations.insert(name.clone(), generation).unwrap_or(0);
                    assert_eq!(generation, known + 1, "{name}");
                    self.lives.insert(name.clone(), (false, false));
                    if let Some(max) = self.max {
                        assert!(self.lives.len() <= max, "more live than may");
                    }
                    let groups = self.fleet.get(&name).unwrap().member.groups.clone();
                    for group in groups {
                        let alive = self
                            .lives
                            .keys()
                            .filter(|name| self.fleet.get(name).unwrap().member.groups.contains(&group));
                        let limit = self.limits.get(&group).copied().unwrap_or(usize::MAX);
                        assert!(alive.count() <= limit, "more of {group} live than may");
                    }
                    // What it depends on was there when it was released; it may have ended while it queued.
                    let agent = before.get(&name).unwrap();
                    if matches!(agent.stage, Stage::Waiting) {
                        for (other, until) in &agent.member.after {
                            assert!(self.fleet.is_reached(other, *until), "{name} before {other}");
                        }
                    }
                }
                Action::Drain(name) => {
                    let life = self.lives.get_mut(&name).expect("only a life is drained");
                    assert!(life.0, "{name} is drained before it began");
                    life.1 = true;
                }
                Action::Changed { name, from } => {
                    assert!(before.get(&name).is_some(), "{name} {from}");
                }
            }
        }
        assert_eq!(self.fleet.alive(), self.lives.len(), "a slot for each life and no other");
    }

    fn some_life(&mut self, wanted: impl Fn(&(bool, bool)) -> bool) -> Option<AgentName> {
        let mut names: Vec<_> =
            self.lives.iter().filter(|(_, life)| wanted(life)).map(|(name, _)| name.clone()).collect();
        names.sort();
        (!names.is_empty()).then(|| names[self.random.usize(..names.len())].clone())
    }

    fn begin(&mut self, name: AgentName) {
        if let Some(life) = self.lives.get_mut(&name) {
            life.0 = true;
        }
        self.give(Input::Began(name));
    }

    fn end(&mut self, name: AgentName, fails: bool) {
        self.lives.remove(&name);
        let draw = self.random.f64();
        self.give(Input::Exited { name, error: fails.then(|| "no luck".to_owned()), draw });
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(self.random.u64(..5_000));
        let any = name(self.random.usize(..self.fleet.order.len()));
        match self.random.u8(..14) {
            0..=2 => {
                if let Some(name) = self.some_life(|life| !life.0) {
                    self.begin(name);
                }
            }
            3 | 4 => {
                if let Some(name) = self.some_life(|life| life.0) {
                    let input = [Input::Ready, Input::Idle, Input::Busy][self.random.usize(..3)];
                    self.give(input(name));
                }
            }
            5 | 6 => {
                let fails = self.random.bool();
                if let Some(name) = self.some_life(|life| life.0 || fails) {
                    self.end(name, fails);
                }
            }
            7 => self.give(Input::Stop(any, "a test".to_owned())),
            8 => self.give(Input::Want(any)),
            9 => self.give(Input::Restart(any, "a test".to_owned())),
            10 => self.give(Input::Work(any)),
            11 => {
                let finished = self.random.bool();
                self.give(if finished { Input::Finished(any) } else { Input::Unfinished(any) });
            }
            12 => {
                let limit = self.random.bool().then(|| self.random.usize(1..3));
                let group = group(self.random.usize(..3));
                self.give(Input::Limit(group, limit));
            }
            _ => self.give(Input::Tick),
        }
    }

    /// All lives do what is asked of them, and time passes: in the end nobody waits for a slot.
    fn rest(&mut self) {
        for _ in 0..2_000 {
            if let Some(name) = self.some_life(|life| !life.0) {
                self.begin(name);
            } else if let Some(name) = self.some_life(|life| life.1) {
                self.end(name, false);
            } else if self.fleet.queue.is_empty() && self.fleet.next_due().is_none() {
                return;
            } else {
                // Lives that are never idle have their turn and no more.
                let names: Vec<_> = self.lives.keys().cloned().collect();
                for name in names {
                    self.give(Input::Ready(name));
                }
                self.now += TURN;
                self.give(Input::Tick);
            }
        }
        panic!("somebody waits for ever: {:#?}", self.fleet);
    }
}

#[test]
fn random_fleets_keep_their_bounds_and_starve_nobody() {
    for seed in 0..3_000 {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(seed);
            world.give(Input::Begin);
            for _ in 0..60 {
                world.step();
            }
            world.rest();
            let blocked = |stage: &Stage| matches!(stage, Stage::Ended { end: End::Prerequisite(_) });
            for (name, agent) in world.fleet.agents().filter(|(_, agent)| blocked(&agent.stage)) {
                let hopeless = |(other, _): &(AgentName, _)| world.fleet.is_hopeless(other).is_some();
                assert!(agent.member.after.iter().any(hopeless), "{name} waits for nobody in vain");
            }
            world.give(Input::Close("the end".to_owned()));
            while let Some(name) = world.some_life(|life| !life.0) {
                world.begin(name);
            }
            while let Some(name) = world.some_life(|_| true) {
                assert!(world.lives[&name].1, "{name} was not asked to end");
                world.end(name, false);
            }
            let over = |stage: &Stage| match stage {
                Stage::Ended { .. } | Stage::Quarantined { .. } => true,
                stage => *stage == Stage::Resting { finished: true },
            };
            assert!(world.fleet.agents().all(|(_, agent)| over(&agent.stage)));
            for input in [Input::Want(name(0)), Input::Restart(name(0), "a test".to_owned()), Input::Tick] {
                assert_eq!(world.fleet.on(world.now, input), [], "nobody starts after the end");
            }
        });
        assert!(run.is_ok(), "seed {seed}");
    }
}

fn plain(after: &[(usize, Milestone)]) -> Member {
    Member {
        after: after.iter().map(|(other, until)| (name(*other), *until)).collect(),
        groups: BTreeSet::new(),
        policy: Policy {
            restart: Restart::OnFailure,
            max_restarts: 1,
            window: Duration::from_secs(60),
            backoff: Backoff { base: Duration::from_secs(2), ceiling: Duration::from_secs(2) },
        },
    }
}

fn spawned(actions: &[Action]) -> Vec<usize> {
    let number = |action: &Action| match action {
        Action::Spawn { name, .. } => Some(name.as_str()[1..].parse().unwrap()),
        _ => None,
    };
    actions.iter().filter_map(number).collect()
}

#[test]
fn milestones_release_one_after_the_other() {
    let order = vec![
        (name(0), plain(&[])),
        (name(1), plain(&[(0, Milestone::Started)])),
        (name(2), plain(&[(0, Milestone::Ready)])),
        (name(3), plain(&[(0, Milestone::Finished)])),
    ];
    let mut fleet = Fleet::new(order, &HashMap::new(), None, TURN);
    let at = Duration::from_secs;
    assert_eq!(spawned(&fleet.on(at(0), Input::Begin)), [0]);
    assert_eq!(fleet.waits_for(&name(3)), [(name(0), Milestone::Finished)]);
    assert_eq!(spawned(&fleet.on(at(1), Input::Began(name(0)))), [1]);
    assert_eq!(spawned(&fleet.on(at(2), Input::Ready(name(0)))), [2]);
    let exited = Input::Exited { name: name(0), error: None, draw: 0.0 };
    assert_eq!(spawned(&fleet.on(at(3), exited)), [3]);
}

#[test]
fn who_was_not_started_for_one_that_failed_waits_again_when_that_is_set_going() {
    let order = vec![
        (name(0), plain(&[])),
        (name(1), plain(&[(0, Milestone::Ready)])),
        (name(2), plain(&[(1, Milestone::Started)])),
    ];
    let mut fleet = Fleet::new(order, &HashMap::new(), None, TURN);
    let at = Duration::from_secs;
    let exited = || Input::Exited { name: name(0), error: Some("oh".to_owned()), draw: 0.0 };
    fleet.on(at(0), Input::Begin);
    fleet.on(at(1), exited());
    fleet.on(at(3), Input::Tick);
    fleet.on(at(3), exited());
    let stages = |fleet: &Fleet| fleet.agents().map(|(_, agent)| agent.stage.as_str()).collect::<Vec<_>>();
    assert_eq!(stages(&fleet), ["quarantined", "blocked", "blocked"]);
    assert_eq!(fleet.waits_for(&name(2)), [(name(1), Milestone::Started)]);

    // Only a person's word ends a quarantine, and with it what follows from it.
    fleet.on(at(99), Input::Tick);
    assert_eq!(stages(&fleet), ["quarantined", "blocked", "blocked"]);
    assert_eq!(spawned(&fleet.on(at(99), Input::Restart(name(0), "a test".to_owned()))), [0]);
    assert_eq!(stages(&fleet), ["starting", "waiting", "waiting"]);
    fleet.on(at(99), Input::Began(name(0)));
    assert_eq!(spawned(&fleet.on(at(99), Input::Ready(name(0)))), [1]);
}

#[test]
fn who_is_queued_knows_what_for() {
    let crew = |mut member: Member| {
        member.groups.insert(group(0));
        member
    };
    let order = vec![(name(0), crew(plain(&[]))), (name(1), crew(plain(&[]))), (name(2), plain(&[]))];
    let mut fleet = Fleet::new(order, &HashMap::new(), Some(2), TURN);
    let at = Duration::from_secs;
    fleet.on(at(0), Input::Limit(group(0), Some(1)));
    assert_eq!(spawned(&fleet.on(at(0), Input::Begin)), [0, 2]);
    assert_eq!(fleet.held_up_by(&name(1)), [(None, 2), (Some(group(0)), 1)]);
    assert_eq!(fleet.held_up_by(&name(0)), [], "it lives");
    fleet.on(at(0), Input::Limit(group(0), None));
    assert_eq!(fleet.held_up_by(&name(1)), [(None, 2)]);
}

#[test]
fn an_idle_agent_makes_room_and_comes_back_when_there_is_work() {
    let order = (0..3).map(|n| (name(n), plain(&[]))).collect();
    let mut fleet = Fleet::new(order, &HashMap::new(), Some(1), TURN);
    let at = Duration::from_secs;
    assert_eq!(spawned(&fleet.on(at(0), Input::Begin)), [0]);
    assert_eq!((fleet.place_of(&name(1)), fleet.place_of(&name(2))), (Some(1), Some(2)));
    fleet.on(at(0), Input::Began(name(0)));
    // One that works keeps its slot until its turn is over.
    assert_eq!(fleet.on(at(1), Input::Busy(name(0))).len(), 1, "it is ready, and that is all");
    assert!(fleet.on(at(2), Input::Idle(name(0))).contains(&Action::Drain(name(0))));
    let exited = |n| Input::Exited { name: name(n), error: None, draw: 0.0 };
    assert_eq!(spawned(&fleet.on(at(3), exited(0))), [1]);
    assert_eq!(fleet.get(&name(0)).unwrap().stage, Stage::Resting { finished: false });
    fleet.on(at(3), Input::Began(name(1)));
    fleet.on(at(3), Input::Busy(name(1)));
    fleet.on(at(4), Input::Work(name(0)));
    assert_eq!(fleet.place_of(&name(0)), Some(2), "behind the one that waited before");
    assert_eq!(fleet.on(at(32), Input::Tick), []);
    assert!(fleet.on(at(33), Input::Tick).contains(&Action::Drain(name(1))), "its turn is over");
    assert_eq!(spawned(&fleet.on(at(34), exited(1))), [2]);
}

#[test]
fn ends_that_are_long_past_count_no_more() {
    let mut fleet = Fleet::new(vec![(name(0), plain(&[]))], &HashMap::from([(name(0), 7)]), None, TURN);
    let mut now = Duration::ZERO;
    let mut lives = Vec::new();
    for action in fleet.on(now, Input::Begin) {
        if let Action::Spawn { generation, .. } = action {
            lives.push(generation);
        }
    }
    for wait in [70, 70, 10] {
        fleet.on(now, Input::Began(name(0)));
        now += Duration::from_secs(wait);
        fleet.on(now, Input::Exited { name: name(0), error: Some("oh".to_owned()), draw: 1.0 });
        let Some(due) = fleet.next_due() else { break };
        assert_eq!(due, now + Duration::from_secs(2));
        assert_eq!(spawned(&fleet.on(due - Duration::from_millis(1), Input::Tick)), [] as [usize; 0]);
        now = due;
        assert_eq!(spawned(&fleet.on(now, Input::Tick)), [0]);
        lives.push(fleet.get(&name(0)).unwrap().generation);
    }
    assert_eq!(lives, [8, 9, 10]);
    let quarantined = &fleet.get(&name(0)).unwrap().stage;
    assert_eq!(quarantined.reason(), Some("it ended 2 times within 1m; the last time oh"));
}
