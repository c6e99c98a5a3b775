//! From a draft to a sound DAG, or to everything that is wrong with it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use petgraph::graph::{DiGraph, NodeIndex};

use super::artifact::normalise_path;
use super::cycle::cycles;
use super::fault::{DagError, FaultKind, Faults, cut};
use super::kind::{NodeKind, ORCHESTRATOR_CAPABILITY};
use super::limits::{
    MAX_ARTIFACT_PATH, MAX_ARTIFACTS, MAX_ATTEMPTS, MAX_CAPABILITIES, MAX_CHECKS, MAX_COMMAND,
    MAX_DESCRIPTION, MAX_EDGES, MAX_METADATA_BYTES, MAX_METADATA_KEYS, MAX_PRIORITY, MAX_TASKS, MAX_TITLE,
};
use super::{Dag, Draft, DraftNode, Node};
use crate::ids::{Capability, GoalId, IdError, MAX_ID_LEN, TaskId, check_id};
use crate::suggest::nearest;

/// How many unknown dependencies get a suggestion: looking for one compares many ids.
const SUGGESTED: usize = 20;

/// How many ids each of them is compared with, so that many slips in a large draft cost little.
const COMPARED: usize = 10_000;

/// Makes a sound DAG of a draft.
///
/// Edges that are written twice are one, artifact paths get their only spelling, capabilities are
/// sorted. The work is linear in the draft.
///
/// # Errors
///
/// [`DagError`] has every fault of the draft.
pub fn validate(draft: Draft) -> Result<Dag, DagError> {
    let mut faults = Faults::default();
    let edges = check(&draft, &mut faults);
    if !faults.is_empty() {
        return Err(faults.into_error());
    }
    build(draft, edges)
}

/// Finds the faults of `draft`.
///
/// # Returns
///
/// The edges as places of tasks, sorted, each once. Of no use when there are faults.
pub(super) fn check(draft: &Draft, faults: &mut Faults) -> Vec<(usize, usize)> {
    if check_sizes(draft.nodes.len(), draft.edges.len(), faults) {
        return Vec::new();
    }
    check_id_at("/goal_id", &draft.goal_id, faults);
    if draft.nodes.is_empty() {
        faults.push("/nodes", FaultKind::Empty);
    }
    for (index, node) in draft.nodes.iter().enumerate() {
        check_node(index, node, faults);
    }
    let places = index_tasks(draft, faults);
    let edges = resolve(draft, &places, faults);
    check_cycles(draft, &edges, faults);
    edges.into_iter().map(|(source, target, _)| (source, target)).collect()
}

/// Refuses more than the most; says whether it did. Nothing else is looked at then.
pub(super) fn check_sizes(tasks: usize, edges: usize, faults: &mut Faults) -> bool {
    if tasks > MAX_TASKS {
        let (found, limit) = (tasks, MAX_TASKS);
        faults.push("/nodes", FaultKind::TooManyTasks { found, limit });
    }
    if edges > MAX_EDGES {
        let (found, limit) = (edges, MAX_EDGES);
        faults.push("/edges", FaultKind::TooManyEdges { found, limit });
    }
    tasks > MAX_TASKS || edges > MAX_EDGES
}

/// An id as a fault shows it: whole, unless it is longer than any id.
fn shown(id: &str) -> String {
    cut(id, MAX_ID_LEN)
}

fn check_id_at(pointer: &str, id: &str, faults: &mut Faults) {
    if let Err(reason) = check_id(id) {
        let id = shown(id);
        faults.push(pointer, FaultKind::InvalidId { id, reason });
    }
}

fn check_node(index: usize, node: &DraftNode, faults: &mut Faults) {
    let at = |field: &str| format!("/nodes/{index}/{field}");
    if let Err(reason) = check_id(&node.id) {
        let id = shown(&node.id);
        faults.push(at("id"), FaultKind::InvalidId { id, reason });
    }
    let mut fault = |field: &str, kind: Option<FaultKind>| {
        if let Some(kind) = kind {
            faults.push(at(field), kind);
        }
    };
    fault("title", blank("the title", &node.title));
    fault("title", long("the title", &node.title, MAX_TITLE));
    if let Some(text) = &node.description {
        fault("description", long("the description", text, MAX_DESCRIPTION));
    }
    fault("priority", range("the priority", node.priority, 0, MAX_PRIORITY));
    if let Some(attempts) = node.max_attempts {
        fault("max_attempts", range("the number of attempts", attempts, 1, MAX_ATTEMPTS));
    }
    fault("expected_artifacts", many("the list", node.expected_artifacts.len(), MAX_ARTIFACTS));
    for (nth, path) in node.expected_artifacts.iter().enumerate() {
        let field = format!("expected_artifacts/{nth}");
        fault(&field, long("the path", path, MAX_ARTIFACT_PATH));
        if let Err(reason) = normalise_path(path) {
            let path = cut(path, MAX_ID_LEN);
            fault(&field, Some(FaultKind::ArtifactPath { path, reason }));
        }
    }
    fault("capabilities", many("the list", node.capabilities.len(), MAX_CAPABILITIES));
    for (nth, capability) in node.capabilities.iter().enumerate() {
        if let Err(reason) = check_id(capability) {
            let capability = shown(capability);
            fault(&format!("capabilities/{nth}"), Some(FaultKind::InvalidCapability { capability, reason }));
        } else if capability == ORCHESTRATOR_CAPABILITY {
            let capability = ORCHESTRATOR_CAPABILITY;
            fault(&format!("capabilities/{nth}"), Some(FaultKind::ReservedCapability { capability }));
        }
    }
    for kind in node.run.iter().flat_map(|command| check_command(command)) {
        fault("run", Some(kind));
    }
    fault("checks", many("the list", node.checks.len(), MAX_CHECKS));
    for (nth, command) in node.checks.iter().enumerate() {
        for kind in check_command(command) {
            fault(&format!("checks/{nth}"), Some(kind));
        }
    }
    for (field, kind) in check_kind(node) {
        fault(field, Some(kind));
    }
    fault("metadata", check_metadata(&node.metadata));
}

/// What a task has that only one of the other kind can have.
fn check_kind(node: &DraftNode) -> Vec<(&'static str, FaultKind)> {
    let mut found = Vec::new();
    let mut wrong = |field, is: bool, kind, what, help| {
        if is {
            found.push((field, FaultKind::WrongKind { kind, what, help }));
        }
    };
    if node.kind.is_task() {
        let help = "write `kind: goal` for a task that owns one";
        wrong("goal", node.goal.is_some(), "task", "goal", help);
        wrong("plan", node.plan.is_some(), "task", "plan", help);
        return found;
    }
    let inside = "write it at the tasks of the goal that it owns";
    wrong("run", node.run.is_some(), "goal", "command", inside);
    wrong("checks", !node.checks.is_empty(), "goal", "checks", inside);
    wrong("capabilities", !node.capabilities.is_empty(), "goal", "capabilities", inside);
    wrong("timeout", node.timeout.is_some(), "goal", "time limit", inside);
    let both = node.goal.is_some() && node.plan.is_some();
    wrong("plan", both, "goal", "plan beside a declared goal", "the declared goal has its own");
    if let Some(id) = &node.goal
        && let Err(reason) = check_id(id)
    {
        found.push(("goal", FaultKind::InvalidId { id: shown(id), reason }));
    }
    if let Some(path) = &node.plan {
        found.extend(long("the path", path, MAX_ARTIFACT_PATH).map(|kind| ("plan", kind)));
        if let Err(reason) = normalise_path(path) {
            found.push(("plan", FaultKind::ArtifactPath { path: cut(path, MAX_ID_LEN), reason }));
        }
    }
    found
}

fn check_command(command: &str) -> impl Iterator<Item = FaultKind> {
    let what = "the command";
    [
        blank(what, command),
        long(what, command, MAX_COMMAND),
        command.contains('\0').then_some(FaultKind::Nul { what }),
    ]
    .into_iter()
    .flatten()
}

fn blank(what: &'static str, text: &str) -> Option<FaultKind> {
    text.trim().is_empty().then_some(FaultKind::Blank { what })
}

/// Counts characters, as JSON Schema does, but only of texts that may have too many.
fn long(what: &'static str, text: &str, limit: usize) -> Option<FaultKind> {
    let found = if text.len() > limit { text.chars().count() } else { 0 };
    (found > limit).then_some(FaultKind::TooLong { what, found, limit, unit: "characters" })
}

fn many(what: &'static str, found: usize, limit: usize) -> Option<FaultKind> {
    (found > limit).then_some(FaultKind::TooLong { what, found, limit, unit: "items" })
}

fn range(what: &'static str, found: u32, least: u32, greatest: u32) -> Option<FaultKind> {
    (!(least..=greatest).contains(&found)).then_some(FaultKind::OutOfRange { what, found, least, greatest })
}

fn check_metadata(metadata: &BTreeMap<String, serde_json::Value>) -> Option<FaultKind> {
    if metadata.len() > MAX_METADATA_KEYS {
        return Some(FaultKind::TooLong {
            what: "the metadata",
            found: metadata.len(),
            limit: MAX_METADATA_KEYS,
            unit: "keys",
        });
    }
    // The writer refuses the first byte too many, so that a huge value is not written out.
    let fits = metadata.is_empty() || serde_json::to_writer(Room(MAX_METADATA_BYTES), metadata).is_ok();
    (!fits).then_some(FaultKind::MetadataTooLarge)
}

/// Counts down what is written to it and keeps nothing.
struct Room(usize);

impl io::Write for Room {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.checked_sub(bytes.len()).ok_or(io::ErrorKind::StorageFull)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The place of each task, by its id; the first of those that share one.
fn index_tasks<'a>(draft: &'a Draft, faults: &mut Faults) -> HashMap<&'a str, usize> {
    let mut places = HashMap::with_capacity(draft.nodes.len());
    for (index, node) in draft.nodes.iter().enumerate() {
        let first = *places.entry(node.id.as_str()).or_insert(index);
        // Two empty ids are two faults already.
        if first != index && !node.id.is_empty() {
            let id = shown(&node.id);
            faults.push(format!("/nodes/{index}/id"), FaultKind::DuplicateTask { id, first });
        }
    }
    places.remove("");
    places
}

/// The edges between tasks that are there: `(source, target, place in the draft)`, sorted by the
/// first two, each pair once.
fn resolve(draft: &Draft, places: &HashMap<&str, usize>, faults: &mut Faults) -> Vec<(usize, usize, usize)> {
    // A task whose id could not be read may be the one that is missed.
    let all_known = !faults.unreadable.keys().any(|pointer| {
        pointer == "/nodes"
            || pointer
                .strip_prefix("/nodes/")
                .is_some_and(|rest| !rest.contains('/') || rest.ends_with("/id"))
    });
    let mut suggested = 0;
    let mut edges = Vec::with_capacity(draft.edges.len());
    for (index, edge) in draft.edges.iter().enumerate() {
        let ends = [("source", &edge.source), ("target", &edge.target)].map(|(end, id)| {
            let place = places.get(id.as_str()).copied();
            if place.is_none() && all_known {
                suggested += 1;
                let known = draft.nodes.iter().map(|node| node.id.as_str());
                let suggestion = (suggested <= SUGGESTED)
                    .then(|| nearest(id, known.take(COMPARED)))
                    .flatten()
                    .map(str::to_owned);
                let id = shown(id);
                faults.push(format!("/edges/{index}/{end}"), FaultKind::UnknownDependency { id, suggestion });
            }
            place
        });
        match ends {
            [Some(source), Some(target)] if source == target => {
                faults.push(format!("/edges/{index}"), FaultKind::SelfDependency { id: shown(&edge.source) });
            }
            [Some(source), Some(target)] => edges.push((source, target, index)),
            _ => {}
        }
    }
    edges.sort_unstable();
    edges.dedup_by_key(|(source, target, _)| (*source, *target));
    edges
}

fn check_cycles(draft: &Draft, edges: &[(usize, usize, usize)], faults: &mut Faults) {
    let mut graph: DiGraph<(), usize> = DiGraph::with_capacity(draft.nodes.len(), edges.len());
    for _ in &draft.nodes {
        graph.add_node(());
    }
    for (source, target, place) in edges {
        graph.add_edge(NodeIndex::new(*source), NodeIndex::new(*target), *place);
    }
    for cycle in cycles(&graph) {
        let path = cycle
            .path
            .iter()
            .chain(cycle.path.first())
            .filter_map(|place| draft.nodes.get(*place))
            .map(|node| shown(&node.id))
            .collect();
        faults.push(format!("/edges/{}", cycle.edge), FaultKind::Cycle { path });
    }
}

/// Makes the DAG of a draft in which no fault was found.
fn build(draft: Draft, edges: Vec<(usize, usize)>) -> Result<Dag, DagError> {
    let invalid = |pointer: String, reason: IdError| {
        DagError::one(pointer, FaultKind::InvalidId { id: String::new(), reason })
    };
    let goal = GoalId::new(draft.goal_id).map_err(|e| invalid("/goal_id".into(), e))?;
    let nodes = draft
        .nodes
        .into_iter()
        .enumerate()
        .map(|(index, node)| build_node(node).map_err(|e| invalid(format!("/nodes/{index}"), e)))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Dag::assemble(goal, nodes, edges))
}

fn build_node(draft: DraftNode) -> Result<Node, IdError> {
    let mut seen = HashSet::new();
    let expected_artifacts = draft
        .expected_artifacts
        .iter()
        .filter_map(|path| normalise_path(path).ok())
        .filter(|path| seen.insert(path.clone()))
        .collect();
    let mut capabilities = draft.capabilities.iter().map(Capability::new).collect::<Result<Vec<_>, _>>()?;
    if draft.kind == NodeKind::Goal {
        capabilities = vec![Capability::new(ORCHESTRATOR_CAPABILITY)?];
    }
    capabilities.sort_unstable();
    capabilities.dedup();
    Ok(Node {
        id: TaskId::new(draft.id)?,
        title: draft.title,
        description: draft.description,
        priority: draft.priority,
        expected_artifacts,
        capabilities,
        run: draft.run,
        checks: draft.checks,
        max_attempts: draft.max_attempts,
        timeout: draft.timeout,
        kind: draft.kind,
        goal: draft.goal.map(GoalId::new).transpose()?,
        plan: draft.plan.as_deref().and_then(|path| normalise_path(path).ok()),
        metadata: draft.metadata,
    })
}
