//! Which declared goals tasks own: read from the plans before anything runs, with every fault in it.
//!
//! A task of kind `goal` names a declared goal, a DAG file, or neither (then a model plans it from the task's
//! own text). Model plans own nothing, so all there is to know is known here.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use downbeat_core::dag::{Dag, Node, NodeKind};
use downbeat_core::ids::{GoalId, TaskId};

use crate::load::ProjectGoal;

/// How many goals may be below each other, the one above all counted.
pub const MAX_DEPTH: usize = 8;

/// How many files of plans may be named by tasks.
const MAX_FILES: usize = 256;

/// The declared goals and plans that tasks own.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    /// Declared goals that tasks own: they start with their task and not by themselves.
    pub goals: Vec<ProjectGoal>,
    /// Plans that tasks name, by the path that is written there.
    pub plans: BTreeMap<String, Arc<Dag>>,
}

/// Something wrong with what a task owns.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The declared goal in whose plan it was found, by its place.
    pub(crate) goal: usize,
    /// The task there, by its place, through which it was found.
    pub(crate) node: usize,
    pub(crate) message: String,
    pub(crate) help: String,
}

/// Where a plan comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Source {
    Goal(usize),
    File(String),
}

struct Reader<'a, R> {
    goals: &'a [ProjectGoal],
    places: HashMap<&'a GoalId, usize>,
    read: R,
    plans: BTreeMap<String, Arc<Dag>>,
    /// Files that are no plan: it was said already.
    unread: HashSet<String>,
    faults: Vec<Fault>,
    /// Plans whose depth is known to be within bounds, with that depth.
    depths: HashMap<Source, usize>,
}

/// A step on the way down: a plan, and the task of it that owns the next.
struct Step {
    source: Source,
    name: String,
    task: Option<TaskId>,
}

/// Finds what tasks own, and takes it from the goals that start by themselves.
///
/// `read` gives the plan in a file, or says itself what is wrong with it.
pub(crate) fn resolve(
    goals: &mut Vec<ProjectGoal>,
    read: impl FnMut(&str, usize, usize) -> Option<Dag>,
) -> Result<Owned, Vec<Fault>> {
    let places = goals.iter().enumerate().map(|(place, goal)| (&goal.id, place)).collect();
    let mut reader = Reader {
        goals,
        places,
        read,
        plans: BTreeMap::new(),
        unread: HashSet::new(),
        faults: Vec::new(),
        depths: HashMap::new(),
    };
    let mut owned: HashSet<usize> = HashSet::new();
    for place in 0..reader.goals.len() {
        let mut path = Vec::new();
        reader.descend(&Source::Goal(place), (place, 0), &mut path, &mut owned);
    }
    let Reader { plans, faults, .. } = reader;
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut below = Owned { goals: Vec::new(), plans };
    let all = std::mem::take(goals);
    for (place, goal) in all.into_iter().enumerate() {
        if owned.contains(&place) { below.goals.push(goal) } else { goals.push(goal) }
    }
    Ok(below)
}

/// The tasks of a plan that own a goal, with their places.
pub(crate) fn owners(dag: &Dag) -> impl Iterator<Item = (usize, &Arc<Node>)> {
    dag.nodes().enumerate().filter(|(_, node)| node.kind == NodeKind::Goal)
}

impl<R: FnMut(&str, usize, usize) -> Option<Dag>> Reader<'_, R> {
    fn dag(&self, source: &Source) -> Option<Arc<Dag>> {
        match source {
            Source::Goal(place) => self.goals.get(*place)?.dag.clone(),
            Source::File(path) => self.plans.get(path).cloned(),
        }
    }

    fn name(&self, source: &Source) -> String {
        match source {
            Source::Goal(place) => self.goals.get(*place).map(|goal| goal.id.to_string()).unwrap_or_default(),
            Source::File(path) => path.clone(),
        }
    }

    /// Goes through all that a plan owns; says how many goals are below each other from it on, itself
    /// counted. `from` is the declared goal and the task of it through which the plan was reached.
    fn descend(
        &mut self,
        source: &Source,
        from: (usize, usize),
        path: &mut Vec<Step>,
        owned: &mut HashSet<usize>,
    ) -> usize {
        if let Some(depth) = self.depths.get(source) {
            return *depth;
        }
        if let Some(at) = path.iter().position(|step| step.source == *source) {
            let mut said: Vec<String> = path
                .iter()
                .skip(at)
                .map(|step| match &step.task {
                    Some(task) => format!("`{}` (task `{task}`)", step.name),
                    None => format!("`{}`", step.name),
                })
                .collect();
            said.push(format!("`{}`", self.name(source)));
            self.fault(
                from,
                format!("goals own each other: {}", said.join(" -> ")),
                "each owns the next, so that none could ever be done; take one of the tasks out",
            );
            return 0;
        }
        if path.len() >= MAX_DEPTH {
            self.fault(
                from,
                format!("more than {MAX_DEPTH} goals are below each other"),
                "let a goal higher up own it",
            );
            return 0;
        }
        let mut depth = 1;
        if let Some(dag) = self.dag(source) {
            path.push(Step { source: source.clone(), name: self.name(source), task: None });
            for (node_place, node) in owners(&dag) {
                if let Some(step) = path.last_mut() {
                    step.task = Some(node.id.clone());
                }
                let from = match source {
                    Source::Goal(place) if path.len() == 1 => (*place, node_place),
                    _ => from,
                };
                let Some(next) = self.owned_by(node, from) else { continue };
                if let Source::Goal(place) = &next {
                    owned.insert(*place);
                }
                depth = depth.max(1 + self.descend(&next, from, path, owned));
            }
            path.pop();
        }
        // What was known already may be deep itself.
        if depth > MAX_DEPTH {
            self.fault(
                from,
                format!("more than {MAX_DEPTH} goals are below each other"),
                "let a goal higher up own it",
            );
        }
        self.depths.insert(source.clone(), depth);
        depth
    }

    /// What a task owns, if its plan is known.
    fn owned_by(&mut self, node: &Node, from: (usize, usize)) -> Option<Source> {
        if let Some(goal) = &node.goal {
            if let Some(place) = self.places.get(goal) {
                return Some(Source::Goal(*place));
            }
            let known: Vec<&str> = self.goals.iter().map(|goal| goal.id.as_str()).collect();
            let help = match downbeat_core::suggest::nearest(goal.as_str(), known.iter().copied()) {
                Some(near) => format!("is it `{near}`?"),
                None => format!("declare it: `### {goal}: …` below `## Goals`"),
            };
            self.fault(
                from,
                format!("task `{}` owns goal `{goal}`, and no such goal is declared", node.id),
                &help,
            );
            return None;
        }
        let path = node.plan.clone()?;
        if self.unread.contains(&path) {
            return None;
        }
        if !self.plans.contains_key(&path) {
            if self.plans.len() >= MAX_FILES {
                self.fault(from, format!("tasks name more than {MAX_FILES} files of plans"), "name fewer");
                return None;
            }
            match (self.read)(&path, from.0, from.1) {
                Some(dag) => self.plans.insert(path.clone(), Arc::new(dag)),
                None => {
                    self.unread.insert(path);
                    return None;
                }
            };
        }
        Some(Source::File(path))
    }

    fn fault(&mut self, (goal, node): (usize, usize), message: String, help: &str) {
        let fault = Fault { goal, node, message, help: help.to_owned() };
        // One slip is found from every goal above it.
        if !self.faults.iter().any(|known| known.message == fault.message) {
            self.faults.push(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn dag(goal: &str, owners: &[(&str, &str, &str)]) -> Dag {
        let nodes: Vec<_> = owners
            .iter()
            .map(|(id, goal, plan)| {
                let mut node = serde_json::json!({ "id": id, "title": id });
                if !goal.is_empty() {
                    node["kind"] = "goal".into();
                    node["goal"] = (*goal).into();
                } else if !plan.is_empty() {
                    node["kind"] = "goal".into();
                    node["plan"] = (*plan).into();
                }
                node
            })
            .collect();
        downbeat_core::dag::from_value(&serde_json::json!({ "goal_id": goal, "nodes": nodes })).unwrap()
    }

    fn goal(id: &str, owners: &[(&str, &str, &str)]) -> ProjectGoal {
        ProjectGoal {
            id: GoalId::new(id).unwrap(),
            title: id.to_owned(),
            brief: String::new(),
            dag: Some(Arc::new(dag(id, owners))),
            workspace: PathBuf::from("."),
        }
    }

    fn ids(goals: &[ProjectGoal]) -> Vec<&str> {
        goals.iter().map(|goal| goal.id.as_str()).collect()
    }

    #[test]
    fn owned_goals_do_not_start_by_themselves() {
        let mut goals = vec![
            goal("leaf", &[("l", "", "")]),
            goal("top", &[("t1", "mid", ""), ("t2", "leaf", "")]),
            goal("mid", &[("m", "leaf", "")]),
            goal("alone", &[("a", "", "")]),
        ];
        let owned = resolve(&mut goals, |_, _, _| None).unwrap();
        assert_eq!(ids(&goals), ["top", "alone"]);
        assert_eq!(ids(&owned.goals), ["leaf", "mid"]);
    }

    #[test]
    fn a_cycle_is_refused_with_its_path_once() {
        let mut goals = vec![goal("a", &[("x", "b", "")]), goal("b", &[("w", "", ""), ("y", "a", "")])];
        let faults = resolve(&mut goals, |_, _, _| None).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert_eq!(faults[0].message, "goals own each other: `a` (task `x`) -> `b` (task `y`) -> `a`");
        assert_eq!((faults[0].goal, faults[0].node), (0, 0));
        let mut goals = vec![goal("a", &[("x", "a", "")])];
        let faults = resolve(&mut goals, |_, _, _| None).unwrap_err();
        assert_eq!(faults[0].message, "goals own each other: `a` (task `x`) -> `a`");
    }

    #[test]
    fn a_cycle_through_files_is_refused() {
        let mut goals = vec![goal("a", &[("x", "", "one.json")])];
        let read = |path: &str, _: usize, _: usize| {
            Some(dag("any", &[("f", "", if path == "one.json" { "two.json" } else { "one.json" })]))
        };
        let faults = resolve(&mut goals, read).unwrap_err();
        assert!(faults[0].message.contains("`one.json` (task `f`) -> `two.json` (task `f`) -> `one.json`"));
    }

    #[test]
    fn an_unknown_goal_is_told_with_what_is_near() {
        let mut goals = vec![goal("top", &[("t", "midle", "")]), goal("middle", &[("m", "", "")])];
        let faults = resolve(&mut goals, |_, _, _| None).unwrap_err();
        assert!(faults[0].message.contains("no such goal is declared"));
        assert_eq!(faults[0].help, "is it `middle`?");
    }

    #[test]
    fn depth_is_bounded_however_the_goals_are_ordered() {
        let chain = |number: usize| -> Vec<ProjectGoal> {
            (0..number)
                .map(|n| match n + 1 == number {
                    true => goal(&format!("g{n}"), &[("t", "", "")]),
                    false => goal(&format!("g{n}"), &[("t", &format!("g{}", n + 1), "")]),
                })
                .collect()
        };
        assert!(resolve(&mut chain(MAX_DEPTH), |_, _, _| None).is_ok());
        assert!(resolve(&mut chain(MAX_DEPTH + 1), |_, _, _| None).is_err());
        let mut backwards: Vec<_> = chain(MAX_DEPTH + 1).into_iter().rev().collect();
        assert!(resolve(&mut backwards, |_, _, _| None).is_err());
    }
}
