//! Random edits of a plan that is being worked on, with [`plan_diff`](crate::dag::plan_diff()) between.
//!
//! Every piece of work is remembered with what it was made of and from, so that in the end it shows
//! whether all that is done was made from what is there.
//!
//! `DOWNBEAT_SEED` replays one run, `DOWNBEAT_RUNS` says how many there are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::cache::{Amend, CacheError, Lease, Plan, TaskQuery};
use crate::conformance::kit::{Kit, done, failed, goal, retry, task};
use crate::dag::{self, Dag, Draft, DraftEdge, DraftNode};
use crate::state::{TaskState, TaskStatus};

/// How many things happen in a run.
const STEPS: usize = 60;

/// How many runs there are, unless `DOWNBEAT_RUNS` says otherwise.
const RUNS: u64 = 25;

pub(super) async fn run_all(kit: &Kit) {
    if let Some(seed) = number("DOWNBEAT_SEED") {
        return run(kit.another().await, seed).await;
    }
    let first = fastrand::u64(..) >> 1;
    for seed in first..first + number("DOWNBEAT_RUNS").unwrap_or(RUNS) {
        run(kit.another().await, seed).await;
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: `{text}`")))
}

/// A task as it is drawn: what is to be done, what does not matter, and what it waits for.
#[derive(Debug, Clone, Default)]
struct Spec {
    scope: u32,
    priority: u32,
    waits_for: BTreeSet<usize>,
}

/// A plan as it is drawn. A task waits only for those of a smaller number: no cycle can be drawn.
type Drawing = BTreeMap<usize, Spec>;

fn id(number: usize) -> String {
    format!("t{number}")
}

fn dag(drawing: &Drawing) -> Arc<Dag> {
    let mut draft = Draft { goal_id: "g".to_owned(), ..Draft::default() };
    for (&number, spec) in drawing {
        draft.nodes.push(DraftNode {
            id: id(number),
            title: format!("do {}", spec.scope),
            priority: spec.priority,
            ..DraftNode::default()
        });
        let edges = spec.waits_for.iter();
        draft.edges.extend(edges.map(|&source| DraftEdge { source: id(source), target: id(number) }));
    }
    Arc::new(dag::validate(draft).unwrap())
}

/// What was made of a task: the how-manieth piece of work of all, what of, and from which other pieces.
#[derive(Debug, Clone)]
struct Made {
    work: u64,
    scope: u32,
    from: BTreeMap<usize, u64>,
}

/// Whose input is another one in another drawing.
fn changed(was: &Drawing, is: &Drawing) -> BTreeSet<usize> {
    let mut changed = BTreeSet::new();
    for (number, spec) in is {
        let Some(before) = was.get(number) else { continue };
        let gained = spec.waits_for.iter().any(|other| !before.waits_for.contains(other));
        let reached = spec.waits_for.iter().any(|other| changed.contains(other));
        if before.scope != spec.scope || gained || reached {
            changed.insert(*number);
        }
    }
    changed
}

struct Run {
    kit: Kit,
    seed: u64,
    random: fastrand::Rng,
    drawing: Drawing,
    revision: u64,
    /// What is being made, under which lease, from what was there when it was claimed.
    running: BTreeMap<usize, (Lease, Made)>,
    /// What was made of those that are done.
    made: HashMap<usize, Made>,
    works: u64,
}

async fn run(kit: Kit, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut drawing = Drawing::new();
    for _ in 0..random.usize(2..7) {
        edit(&mut drawing, &mut random, true);
    }
    let plan = Plan { dag: dag(&drawing), ..kit.plan_of("g", "a") };
    kit.cache.plan(&plan).await.unwrap();
    let (running, made) = (BTreeMap::new(), HashMap::new());
    let mut run = Run { kit, seed, random, drawing, revision: 1, running, made, works: 0 };
    for _ in 0..STEPS {
        match run.random.u32(..100) {
            0..45 => run.claim().await,
            45..85 => run.settle().await,
            _ => run.amend().await,
        }
    }
    run.finish().await;
}

/// Changes a drawing in one place.
fn edit(drawing: &mut Drawing, random: &mut fastrand::Rng, add: bool) {
    let some = |drawing: &Drawing, random: &mut fastrand::Rng| *random.choice(drawing.keys()).unwrap();
    match if add { 0 } else { random.u32(..6) } {
        0 => {
            let number = random.usize(..9);
            let mut spec = Spec { scope: random.u32(..4), ..Spec::default() };
            spec.waits_for = drawing.keys().copied().filter(|&other| other < number && random.bool()).collect();
            drawing.entry(number).or_insert(spec);
        }
        1 if drawing.len() > 1 => {
            let gone = some(drawing, random);
            drawing.remove(&gone);
            for spec in drawing.values_mut() {
                spec.waits_for.remove(&gone);
            }
        }
        2 => {
            let number = some(drawing, random);
            drawing.get_mut(&number).unwrap().scope = random.u32(..4);
        }
        3 => {
            let number = some(drawing, random);
            drawing.get_mut(&number).unwrap().priority = random.u32(..4);
        }
        _ => {
            let (one, other) = (some(drawing, random), some(drawing, random));
            let (source, target) = (one.min(other), one.max(other));
            let waits_for = &mut drawing.get_mut(&target).unwrap().waits_for;
            if source != target && !waits_for.remove(&source) {
                waits_for.insert(source);
            }
        }
    }
}

impl Run {
    async fn states(&self) -> BTreeMap<usize, TaskState> {
        let query = TaskQuery { goal: goal("g"), status: None, after: None, limit: usize::MAX };
        let tasks = self.kit.cache.tasks(&query).await.unwrap();
        tasks.into_iter().map(|task| (task.node.id.as_str()[1..].parse().unwrap(), task.state)).collect()
    }

    async fn claim(&mut self) {
        let Some(claimed) = self.kit.grant(&self.kit.claim_of("one")).await else { return };
        let number: usize = claimed.lease.task.as_str()[1..].parse().unwrap();
        // All that it is made from is there: or this panics.
        let spec = &self.drawing[&number];
        let from = spec.waits_for.iter().map(|&before| (before, self.made[&before].work)).collect();
        self.works += 1;
        let made = Made { work: self.works, scope: spec.scope, from };
        assert!(!self.made.contains_key(&number), "t{number} is done twice, seed {}", self.seed);
        self.running.insert(number, (claimed.lease, made));
    }

    async fn settle(&mut self) {
        let Some(&number) = self.random.choice(self.running.keys()) else { return };
        let (lease, made) = self.running.remove(&number).unwrap();
        let outcome = match self.random.u32(..10) {
            0 => failed(),
            1 => retry(0),
            _ => done(),
        };
        if self.kit.settle(&lease, outcome).await.unwrap().status == TaskStatus::Done {
            self.made.insert(number, made);
        }
    }

    async fn amend(&mut self) {
        let seed = self.seed;
        let mut drawing = self.drawing.clone();
        for _ in 0..self.random.usize(1..4) {
            edit(&mut drawing, &mut self.random, false);
        }
        let before = self.states().await;
        let (old, new) = (dag(&self.drawing), dag(&drawing));
        let status = |id: &crate::ids::TaskId| before.get(&id.as_str()[1..].parse().unwrap()).map(|it| it.status);
        let diff = dag::plan_diff(&old, &new, status);
        let amend = Amend {
            dag: new,
            redo: diff.redo().clone(),
            by: "edit".to_owned(),
            ..self.kit.amend_of("g", self.revision, "a")
        };
        self.kit.cache.amend(&amend).await.unwrap();
        self.revision += 1;

        let after = self.states().await;
        let all_changed = changed(&self.drawing, &drawing);
        for (number, state) in &before {
            let Some(now) = after.get(number) else { continue };
            let changed = all_changed.contains(number);
            let rescoped = self.drawing[number].scope != drawing[number].scope;
            let what = format!("t{number} {} to {}, seed {seed}", state.status, now.status);
            match state.status {
                status if status.is_finished() && !changed => {
                    assert_eq!((now.status, now.ended_at), (status, state.ended_at), "{what}");
                    assert_eq!((&now.summary, now.token), (&state.summary, state.token), "{what}");
                }
                TaskStatus::Done | TaskStatus::Failed => assert!(!now.status.is_finished(), "{what}"),
                TaskStatus::Running if !rescoped => {
                    assert_eq!((now.status, &now.holder), (TaskStatus::Running, &state.holder), "{what}");
                }
                TaskStatus::Running => assert!(now.holder.is_none(), "{what}"),
                _ => {}
            }
        }
        // Whose task is gone or another one is refused; everybody else goes on, which later settles show.
        let running = std::mem::take(&mut self.running);
        for (number, (lease, made)) in running {
            let lost = drawing.get(&number).is_none_or(|spec| spec.scope != self.drawing[&number].scope);
            if lost {
                let refused = self.kit.settle(&lease, done()).await.unwrap_err();
                let is_lost = matches!(refused, CacheError::LeaseLost { .. } | CacheError::TaskNotFound { .. });
                assert!(is_lost, "t{number}: {refused}, seed {seed}");
            } else {
                self.running.insert(number, (lease, made));
            }
        }
        self.made.retain(|number, _| after.get(number).is_some_and(|state| state.status == TaskStatus::Done));
        self.check_fates(&diff, &after);
        self.drawing = drawing;
    }

    /// What was foretold has come true.
    fn check_fates(&self, diff: &dag::PlanDiff, after: &BTreeMap<usize, TaskState>) {
        for change in &diff.tasks {
            let state = after.get(&change.task.as_str()[1..].parse().unwrap());
            let status = state.map(|state| state.status);
            let holds = match change.fate {
                dag::Fate::Cancelled | dag::Fate::Forgotten => status.is_none(),
                dag::Fate::Begins | dag::Fate::Again | dag::Fate::Restarts => {
                    matches!(status, Some(TaskStatus::Ready | TaskStatus::Blocked))
                }
                dag::Fate::OnceMore => state.is_some_and(|state| state.outdated == Some(state.token)),
                dag::Fate::Kept => match change.status {
                    Some(TaskStatus::Ready | TaskStatus::Blocked) => {
                        matches!(status, Some(TaskStatus::Ready | TaskStatus::Blocked))
                    }
                    kept => status == kept,
                },
            };
            assert!(holds, "{change:?} became {status:?}, seed {}", self.seed);
        }
    }

    /// Whatever can be done is done; then all that is done was made from what is there.
    async fn finish(mut self) {
        loop {
            let before = (self.running.len(), self.made.len());
            while let Some((number, (lease, made))) = self.running.pop_first() {
                if self.kit.settle(&lease, done()).await.unwrap().status == TaskStatus::Done {
                    self.made.insert(number, made);
                }
            }
            self.claim().await;
            if self.running.is_empty() && before.0 == 0 {
                break;
            }
        }
        for (number, state) in self.states().await {
            let spec = &self.drawing[&number];
            let open = spec.waits_for.iter().filter(|before| !self.made.contains_key(before)).count();
            assert_eq!(state.open as usize, open, "t{number}, seed {}", self.seed);
            assert_eq!(state.status == TaskStatus::Done, self.made.contains_key(&number), "seed {}", self.seed);
            let Some(made) = self.made.get(&number) else { continue };
            let what = format!("{} was made from {made:?}, seed {}", task(&id(number)), self.seed);
            assert_eq!(made.scope, spec.scope, "{what}");
            for before in &spec.waits_for {
                let there = self.made.get(before).map(|made| made.work);
                assert_eq!(made.from.get(before).copied(), there, "{what}, and t{before} is {there:?}");
            }
        }
    }
}
