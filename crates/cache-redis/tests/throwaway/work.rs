//! What tests have a cache do.

use std::time::Duration;

use downbeat_core::cache::{Cache, Claim, EVENTS, Plan, Read, Settle, Settled};
use downbeat_core::conformance::kit::{capabilities, done, draw, life};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, RequestId, StreamName, TaskId, Token};

/// Repeats one request until it is answered, as a caller does.
macro_rules! repeated {
    ($asked:expr) => {{
        let mut left = 20_u32;
        loop {
            match $asked.await {
                Ok(answer) => break answer,
                Err(downbeat_core::cache::CacheError::Unavailable { .. }) if left > 0 => left -= 1,
                Err(error) => panic!("{error}"),
            }
        }
    }};
}
#[allow(unused_imports, reason = "each test uses a part")]
pub(crate) use repeated;

pub(crate) fn plan(goal: &str, drawing: &str) -> Plan {
    Plan {
        parent: None,
        dag: draw(goal, drawing),
        title: goal.to_owned(),
        request: RequestId(format!("plan {goal}")),
        max_attempts: 3,
        spent: Usage::default(),
    }
}

pub(crate) fn claim(request: &str) -> Claim {
    Claim {
        avoid: std::collections::BTreeSet::default(),
        agent: AgentName::new("ann").unwrap(),
        incarnation: life("ann"),
        request: RequestId(request.to_owned()),
        goal: None,
        capabilities: capabilities(&[]),
        task: None,
        ttl: Duration::from_secs(60),
    }
}

pub(crate) async fn token(cache: &dyn Cache, request: &str) -> Token {
    cache.claim(&claim(request)).await.unwrap().granted().expect("a task is ready").lease.token
}

pub(crate) fn settle(task: &str, token: Token) -> Settle {
    Settle {
        task: TaskId::new(task).unwrap(),
        token,
        request: RequestId(format!("settle {task} {token}")),
        outcome: done(),
        spent: Usage::default(),
        next: None,
    }
}

/// Repeats one request until it is answered, as a caller does.
pub(crate) async fn settled(cache: &dyn Cache, settle: &Settle) -> Settled {
    repeated!(cache.settle(settle))
}

/// How often tasks were done, as the log has it.
pub(crate) async fn dones(cache: &dyn Cache) -> usize {
    let read = Read { stream: StreamName::new(EVENTS).unwrap(), after: 0, limit: usize::MAX };
    let events = repeated!(cache.read(&read));
    assert!(events.iter().zip(1..).all(|(event, at)| event.seq == at), "the log has no gap");
    events.iter().filter(|event| event.what.kind.as_str() == "task.done").count()
}

/// Works tasks off until none is left. Says how many this worker was told that it did.
pub(crate) async fn work(cache: &dyn Cache, worker: &str) -> usize {
    let mut did = 0;
    for n in 0.. {
        let claim = Claim { agent: AgentName::new(worker).unwrap(), ..claim(&format!("{worker} {n}")) };
        let Some(claimed) = repeated!(cache.claim(&claim)).granted() else {
            break;
        };
        settled(cache, &settle(claimed.lease.task.as_str(), claimed.lease.token)).await;
        did += 1;
    }
    did
}
