//! The process that serves the store is killed again and again under many clients: nothing is lost, nothing is done
//! twice.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use downbeat_core::cache::{Claim, ClaimReply, Plan, Settle, Tasks};
use downbeat_core::dag::{self, Draft, DraftNode};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, Incarnation, RequestId};
use downbeat_core::state::Outcome;
use downbeat_server::{Address, HttpCache};
use downbeat_tests::{Project, Running, task};

const CLIENTS: usize = 16;
const TASKS: usize = 600;
const KILLS: usize = 4;

fn plan() -> Plan {
    let node =
        |n: usize| DraftNode { id: format!("t{n}"), title: "do it".to_owned(), ..DraftNode::default() };
    let draft = Draft { goal_id: "g".to_owned(), nodes: (0..TASKS).map(node).collect(), ..Draft::default() };
    Plan {
        dag: Arc::new(dag::validate(draft).unwrap()),
        title: "many".to_owned(),
        request: RequestId("plan".to_owned()),
        max_attempts: 3,
        spent: Usage::default(),
        parent: None,
    }
}

fn claim(name: &str, number: &mut usize) -> Claim {
    *number += 1;
    Claim {
        agent: AgentName::new(name).unwrap(),
        incarnation: Incarnation(name.to_owned()),
        request: RequestId(format!("{name}-{number}")),
        goal: None,
        capabilities: Default::default(),
        task: None,
        avoid: Default::default(),
        ttl: Duration::from_secs(60),
    }
}

/// Claims and settles until nothing is left; what was acknowledged as done.
async fn work(cache: HttpCache, name: String, done: Arc<AtomicUsize>) -> Vec<String> {
    let mut number = 0;
    let mut acknowledged = Vec::new();
    while let ClaimReply::Granted(claimed) = cache.claim(&claim(&name, &mut number)).await.unwrap() {
        number += 1;
        let settle = Settle {
            task: claimed.lease.task.clone(),
            token: claimed.lease.token,
            request: RequestId(format!("{name}-{number}")),
            outcome: Outcome::Done { summary: name.clone(), artifacts: Vec::new() },
            spent: Usage { calls: 1, ..Usage::default() },
            next: None,
        };
        cache.settle(&settle).await.unwrap();
        acknowledged.push(claimed.lease.task.to_string());
        done.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

fn serve(project: &Project) -> Running {
    let mut server = project.start(&["serve"]);
    server.wait_for("The API is at");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_clients_outlive_the_server() {
    let project = Project::of_tasks(&task("Works {#a}", "true"));
    let mut server = serve(&project);
    let socket = project.path(".downbeat/control.sock");
    let client = || HttpCache::new(Address::Socket(socket.clone())).with_patience(Duration::from_secs(60));
    client().plan(&plan()).await.unwrap();
    let done = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| tokio::spawn(work(client(), format!("client-{n}"), Arc::clone(&done))))
        .collect();

    for kill in 1..=KILLS {
        // In the middle of the work, each time further on.
        while done.load(Ordering::Relaxed) < TASKS * kill / (KILLS + 1) {
            tokio::task::yield_now().await;
        }
        server.kill();
        server = serve(&project);
    }

    let mut acknowledged: BTreeMap<String, usize> = BTreeMap::new();
    for client in clients {
        for task in client.await.unwrap() {
            *acknowledged.entry(task).or_default() += 1;
        }
    }
    let goal = client().goals().await.unwrap().remove(0);
    drop(server);
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let ran = project.downbeat(&["events", "--json", "--kind", "task.done"]).code(0);
    for event in ran.stdout.lines().map(downbeat_tests::Event::read) {
        *told.entry(event.task).or_default() += 1;
    }
    assert_eq!(told.len(), TASKS);
    assert!(told.values().all(|times| *times == 1), "a task is done once");
    assert_eq!(acknowledged, told, "what was acknowledged is what is there");
    // What a repeated settle would have counted twice.
    assert_eq!((goal.counts.done, goal.usage.calls), (TASKS as u64, TASKS as u64));
}
