//! What a model's plan must be, beyond what any plan must be.

use std::collections::BTreeSet;

use super::Decompose;
use crate::dag::{self, Dag, Draft};

/// The most tasks that a model may plan. Each is an attempt that somebody pays for; a plan that is
/// meant to be larger is written to a file.
pub const MAX_PROPOSED_TASKS: usize = 500;

/// The most faults that a model is told at once; it repairs the kinds, not the thousands.
const MAX_FAULTS: usize = 50;

/// The DAG of a model's plan, or everything that is wrong with it, each fault in a line.
///
/// The goal is the request's to name, whatever the draft says.
///
/// # Errors
///
/// What [`dag::validate`] finds; more than [`MAX_PROPOSED_TASKS`] tasks; a task that asks for
/// capabilities which no agent of the request has together; a task of kind `goal`.
pub fn sound_plan(mut draft: Draft, request: &Decompose) -> Result<Dag, Vec<String>> {
    if draft.nodes.len() > MAX_PROPOSED_TASKS {
        return Err(vec![format!(
            "/nodes: a plan has at most {MAX_PROPOSED_TASKS} tasks, and this one has {}; plan fewer, larger ones",
            draft.nodes.len()
        )]);
    }
    request.goal.as_str().clone_into(&mut draft.goal_id);
    let mut faults = incapable(&draft, request);
    // A plan within a plan of a model has no bound of what it costs.
    let owners = draft.nodes.iter().enumerate().filter(|(_, node)| !node.kind.is_task());
    faults.extend(
        owners.map(|(at, _)| format!("/nodes/{at}/kind: only a person's plan has tasks of kind `goal`")),
    );
    match dag::validate(draft) {
        Ok(dag) if faults.is_empty() => return Ok(dag),
        Ok(_) => {}
        Err(error) => faults.splice(0..0, error.faults.iter().map(ToString::to_string)).for_each(drop),
    }
    if faults.len() > MAX_FAULTS {
        let more = faults.len() - MAX_FAULTS;
        faults.truncate(MAX_FAULTS);
        faults.push(format!("and {more} more faults"));
    }
    Err(faults)
}

/// Tasks that nobody could take.
fn incapable(draft: &Draft, request: &Decompose) -> Vec<String> {
    let agents: Vec<BTreeSet<&str>> = request
        .agents
        .iter()
        .map(|agent| agent.capabilities.iter().map(|capability| capability.as_str()).collect())
        .collect();
    if agents.is_empty() {
        return Vec::new();
    }
    let nodes = draft.nodes.iter().enumerate();
    nodes
        .filter(|(_, node)| {
            !agents.iter().any(|has| node.capabilities.iter().all(|needed| has.contains(needed.as_str())))
        })
        .map(|(index, node)| {
            let needed = crate::dag::cut(&node.capabilities.join("`, `"), 200);
            format!("/nodes/{index}/capabilities: no agent has `{needed}`; name only what one agent has")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{AgentProfile, Conduct};
    use super::*;
    use crate::dag::DraftNode;
    use crate::ids::{AgentName, Capability, GoalId};

    fn request(capabilities: &[&str]) -> Decompose {
        let capabilities = capabilities.iter().map(|name| Capability::new(*name).unwrap()).collect();
        Decompose {
            goal: GoalId::new("g").unwrap(),
            title: String::new(),
            brief: String::new(),
            agents: vec![AgentProfile { name: AgentName::new("a").unwrap(), role: None, capabilities }],
            faults: Vec::new(),
            conduct: Conduct::default(),
        }
    }

    fn draft(count: usize, capability: &str) -> Draft {
        let node = |n| DraftNode {
            id: format!("t{n}"),
            title: "x".to_owned(),
            capabilities: vec![capability.to_owned()],
            ..DraftNode::default()
        };
        Draft { goal_id: "other".to_owned(), nodes: (0..count).map(node).collect(), edges: Vec::new() }
    }

    #[test]
    fn the_goal_is_named_by_the_request() {
        assert_eq!(sound_plan(draft(1, "shell"), &request(&["shell"])).unwrap().goal().as_str(), "g");
    }

    #[test]
    fn too_many_tasks_are_refused_in_one_line() {
        let faults = sound_plan(draft(10_000, "shell"), &request(&["shell"])).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains("at most 500 tasks, and this one has 10000"), "{faults:?}");
    }

    #[test]
    fn what_nobody_can_do_is_a_fault_beside_the_others() {
        let mut plan = draft(2, "web");
        plan.nodes[1].title = String::new();
        let faults = sound_plan(plan, &request(&["shell"])).unwrap_err();
        assert_eq!(faults.len(), 3, "{faults:?}");
        assert!(faults[1].contains("/nodes/0/capabilities: no agent has `web`"), "{faults:?}");
        let many = sound_plan(draft(400, "web"), &request(&["shell"])).unwrap_err();
        assert_eq!((many.len(), many[50].as_str()), (51, "and 350 more faults"));
    }
}
