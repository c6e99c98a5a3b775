//! Figures for Prometheus, in its text format.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use downbeat_core::cache::{CacheError, Topic, events_stream};
use downbeat_core::goal::GoalStatus;
use downbeat_core::state::TaskStatus;
use downbeat_runtime::status;
use http::StatusCode;
use http::header::CONTENT_TYPE;

use crate::problem::Problem;
use crate::service::Service;

/// What was asked how often.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    requests: Mutex<BTreeMap<(&'static str, u16), Requests>>,
    /// Connections that are open.
    pub(crate) connections: AtomicU64,
}

#[derive(Debug, Default)]
struct Requests {
    count: u64,
    took: Duration,
}

impl Meters {
    /// One request was answered.
    pub(crate) fn count(&self, operation: &'static str, status: StatusCode, took: Duration) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let of = requests.entry((operation, status.as_u16())).or_default();
        of.count += 1;
        of.took += took;
    }
}

/// Answers `/metrics`.
pub(crate) async fn metrics(State(service): State<Arc<Service>>) -> Response {
    match render(&service).await {
        Ok(text) => ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response(),
        Err(error) => Problem::from(error).into_response(),
    }
}

/// One metric with its samples.
fn metric(text: &mut String, name: &str, kind: &str, help: &str, samples: &[(String, f64)]) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (labels, value) in samples {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

#[expect(clippy::cast_precision_loss, reason = "figures for people; Prometheus has no other numbers")]
async fn render(service: &Service) -> Result<String, CacheError> {
    let cache = service.cache.as_ref();
    let now = status::status(cache, service.clock.now()).await?;
    let last = cache.changed(&Topic::Stream(events_stream()), u64::MAX, Duration::ZERO).await?;
    let mut text = String::new();

    let statuses = [
        GoalStatus::Draft,
        GoalStatus::Active,
        GoalStatus::Complete,
        GoalStatus::Failed,
        GoalStatus::Stalled,
        GoalStatus::Cancelled,
    ];
    let goals = statuses.map(|status| {
        let count = now.goals.iter().filter(|goal| goal.status == status).count();
        (format!("{{status=\"{status}\"}}"), count as f64)
    });
    metric(&mut text, "downbeat_goals", "gauge", "Goals by where they stand.", &goals);
    let tasks = TaskStatus::ALL.map(|status| {
        let count: u64 = now.goals.iter().map(|goal| *goal.counts.clone().of_mut(status)).sum();
        (format!("{{status=\"{status}\"}}"), count as f64)
    });
    metric(&mut text, "downbeat_tasks", "gauge", "Tasks by where they stand.", &tasks);
    let mut agents: BTreeMap<String, u64> = BTreeMap::new();
    for agent in &now.agents {
        *agents.entry(agent.liveness.to_string()).or_default() += 1;
    }
    let agents: Vec<_> = agents
        .into_iter()
        .map(|(lives, count)| (format!("{{liveness=\"{lives}\"}}"), count as f64))
        .collect();
    metric(&mut text, "downbeat_agents", "gauge", "Agents by whether they live.", &agents);
    let sum = |of: fn(&status::GoalLine) -> f64| [(String::new(), now.goals.iter().map(of).sum())];
    let tokens = sum(|goal| goal.tokens as f64);
    metric(&mut text, "downbeat_model_tokens", "gauge", "Model tokens of the goals that are there.", &tokens);
    let cost = sum(|goal| goal.cost_usd);
    metric(&mut text, "downbeat_model_cost_usd", "gauge", "Model cost of the goals that are there.", &cost);
    let present = [(String::new(), f64::from(u8::from(now.orchestrator.present)))];
    metric(
        &mut text,
        "downbeat_orchestrator_present",
        "gauge",
        "Whether an orchestrator was heard lately.",
        &present,
    );
    metric(&mut text, "downbeat_events_total", "counter", "Events so far.", &[(String::new(), last as f64)]);
    let open = service.meters.connections.load(Ordering::Relaxed);
    metric(
        &mut text,
        "downbeat_api_connections",
        "gauge",
        "Open connections.",
        &[(String::new(), open as f64)],
    );

    let (mut counts, mut times) = (Vec::new(), Vec::new());
    for ((operation, status), of) in &*service.meters.requests.lock().unwrap_or_else(PoisonError::into_inner)
    {
        let labels = format!("{{operation=\"{operation}\",status=\"{status}\"}}");
        counts.push((labels.clone(), of.count as f64));
        times.push((labels, of.took.as_secs_f64()));
    }
    metric(&mut text, "downbeat_api_requests_total", "counter", "Answered requests.", &counts);
    metric(&mut text, "downbeat_api_seconds_total", "counter", "Time that answering them took.", &times);
    Ok(text)
}
