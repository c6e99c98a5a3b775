//! Requests for the tests of this crate.

use std::path::PathBuf;

use downbeat_core::dag::Node;
use downbeat_core::ids::{AgentName, GoalId, TaskId};
use downbeat_core::llm::{Assess, Conduct, Decompose, Execute, Select, Summarize};
use downbeat_core::state::Failure;
use serde_json::json;

pub(crate) fn goal() -> GoalId {
    GoalId::new("count").unwrap()
}

pub(crate) fn agent() -> AgentName {
    AgentName::new("ada").unwrap()
}

pub(crate) fn node(id: &str) -> Node {
    serde_json::from_value(json!({ "id": TaskId::new(id).unwrap(), "title": "Count the lines" })).unwrap()
}

pub(crate) fn decompose(brief: &str) -> Decompose {
    Decompose {
        goal: goal(),
        title: "Count".to_owned(),
        brief: brief.to_owned(),
        agents: Vec::new(),
        faults: Vec::new(),
        conduct: Conduct::default(),
    }
}

pub(crate) fn select(ready: &[&str]) -> Select {
    Select {
        goal: goal(),
        agent: agent(),
        ready: ready.iter().map(|id| node(id)).collect(),
        memory: Vec::new(),
        conduct: Conduct::default(),
    }
}

pub(crate) fn execute(id: &str) -> Execute {
    Execute {
        goal: goal(),
        agent: agent(),
        instructions: "Be exact.".to_owned(),
        node: node(id),
        attempt: 1,
        last_error: None,
        inputs: Vec::new(),
        memory: Vec::new(),
        workspace: PathBuf::from("/home/ada/count"),
        conduct: Conduct::default(),
    }
}

pub(crate) fn summarize(id: &str) -> Summarize {
    Summarize {
        goal: goal(),
        agent: agent(),
        node: node(id),
        notes: "counted 2 files".to_owned(),
        artifacts: Vec::new(),
        conduct: Conduct::default(),
    }
}

pub(crate) fn assess(id: &str) -> Assess {
    Assess {
        goal: goal(),
        node: node(id),
        attempt: 1,
        failure: Failure::new("exit status 1", None),
        conduct: Conduct::default(),
    }
}
