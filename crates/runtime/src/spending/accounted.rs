//! A model whose calls are counted, wait for their turn, and begin only below the ceiling.

use std::sync::Arc;

use async_trait::async_trait;
use downbeat_core::dag::{Draft, Node};
use downbeat_core::llm::{
    Assess, Assessment, CallError, Decompose, Execute, Execution, Llm, LlmError, Reply, Select, Selection,
    Summarize, Summary,
};

use super::{Entry, Ledger};

/// A model whose every call goes through a [`Ledger`].
#[derive(Debug)]
pub struct Accounted {
    inner: Arc<dyn Llm>,
    ledger: Arc<Ledger>,
}

impl Accounted {
    /// Around `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Llm>, ledger: Arc<Ledger>) -> Self {
        Self { inner, ledger }
    }
}

/// Waits for a turn and a permit, asks the model with them, and closes the permit. What the call may take counts
/// from then on; of a call that is cut off for that, what was heard is written down before anybody hears of it.
macro_rules! accounted {
    ($self:ident, $verb:ident, $request:ident, $entry:expr) => {{
        let entry = $entry;
        let _turn = $self.ledger.turn(&entry, $request.conduct.observer.as_ref()).await;
        let permit = $self.ledger.admit(entry).await?;
        let mut request = $request.clone();
        request.conduct.observer = permit.observer(&$request.conduct.observer);
        let asked = $self.inner.$verb(&request);
        let mut answer = match $request.conduct.timeout {
            Some(limit) => match tokio::time::timeout(limit, asked).await {
                Ok(answer) => answer,
                Err(_) => {
                    let usage = permit.cut_off().await;
                    return Err(CallError { error: LlmError::TimedOut { limit }, usage });
                }
            },
            None => asked.await,
        };
        permit.close(&mut answer).await;
        answer
    }};
}

#[async_trait]
impl Llm for Accounted {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn cannot_execute(&self, node: &Node) -> Option<String> {
        self.inner.cannot_execute(node)
    }

    async fn decompose(&self, request: &Decompose) -> Result<Reply<Draft>, CallError> {
        let (model, goal) = (self.name(), request.goal.clone());
        let entry = Entry { step: "decompose", model, goal, task: None, agent: None, attempt: None };
        accounted!(self, decompose, request, entry)
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        let (model, goal, agent) = (self.name(), request.goal.clone(), Some(request.agent.clone()));
        let entry = Entry { step: "select", model, goal, task: None, agent, attempt: None };
        accounted!(self, select, request, entry)
    }

    async fn execute(&self, request: &Execute) -> Result<Reply<Execution>, CallError> {
        let entry = Entry {
            step: "execute",
            model: self.name(),
            goal: request.goal.clone(),
            task: Some(request.node.id.clone()),
            agent: Some(request.agent.clone()),
            attempt: Some(request.attempt),
        };
        accounted!(self, execute, request, entry)
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        let (model, goal, agent) = (self.name(), request.goal.clone(), Some(request.agent.clone()));
        let task = Some(request.node.id.clone());
        let entry = Entry { step: "summarize", model, goal, task, agent, attempt: None };
        accounted!(self, summarize, request, entry)
    }

    async fn assess(&self, request: &Assess) -> Result<Reply<Assessment>, CallError> {
        let (model, goal, attempt) = (self.name(), request.goal.clone(), Some(request.attempt));
        let task = Some(request.node.id.clone());
        let entry = Entry { step: "assess", model, goal, task, agent: None, attempt };
        accounted!(self, assess, request, entry)
    }
}
