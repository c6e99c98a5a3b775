//! Requests for the tests of this crate.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::dag::Node;
use downbeat_core::ids::{AgentName, GoalId, TaskId};
use downbeat_core::llm::{Assess, Conduct, Decompose, Execute, Select, Summarize};
use downbeat_core::state::Failure;
use serde_json::json;

use crate::transport::{Answer, Ask, AskError, Probe, Step, Transport, Unobserved};

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
        unfinished: None,
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

/// A question for transports.
pub(crate) fn ask() -> Ask {
    Ask {
        step: Step::Assess,
        system: "system".to_owned(),
        prompt: "prompt".to_owned(),
        exchange: Vec::new(),
        schema: Arc::new(json!({ "type": "object" })),
        work: None,
        timeout: Duration::from_secs(100),
        observer: Arc::new(Unobserved),
    }
}

/// Answers from a list, and keeps what it was asked.
#[derive(Debug, Default)]
pub(crate) struct Played {
    answers: Mutex<VecDeque<Result<Answer, AskError>>>,
    asked: Mutex<Vec<Ask>>,
}

impl Played {
    pub(crate) fn new(answers: Vec<Result<Answer, AskError>>) -> Self {
        Self { answers: Mutex::new(answers.into()), asked: Mutex::default() }
    }

    pub(crate) fn asked(&self) -> Vec<Ask> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Transport for Played {
    fn name(&self) -> String {
        "played".to_owned()
    }

    async fn probe(&self) -> Probe {
        Probe { usable: true, found: String::new(), remedies: Vec::new() }
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        self.asked.lock().unwrap().push(ask.clone());
        let answer = self.answers.lock().unwrap().pop_front();
        match answer {
            Some(answer) => answer,
            None => std::future::pending().await,
        }
    }
}
