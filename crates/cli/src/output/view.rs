//! Tasks and goals as programs read them: fields are added, never renamed.

use downbeat_core::cache::{Task, TaskDetail};
use downbeat_core::dag::{Dag, NodeKind};
use downbeat_core::goal::{Goal, Usage};
use downbeat_core::state::TaskStatus;
use serde_json::{Map, Value, json};

/// A node and its task in one object.
pub(crate) fn task(task: &Task) -> Map<String, Value> {
    // What is to be done comes first; where it stands overrides what was only planned.
    let mut object = match serde_json::to_value(task.node.as_ref()) {
        Ok(Value::Object(object)) => object,
        _ => Map::new(),
    };
    for (key, default) in [("description", Value::Null), ("run", Value::Null), ("timeout", Value::Null)] {
        object.entry(key).or_insert(default);
    }
    for key in ["expected_artifacts", "capabilities", "checks"] {
        object.entry(key).or_insert_with(|| json!([]));
    }
    object.entry("metadata").or_insert_with(|| json!({}));
    if task.node.kind == NodeKind::Goal {
        // The goal that it is of stands in place of the one that its node names.
        let owns = json!({
            "goal": downbeat_runtime::nested::below(&task.goal, &task.node.id),
            "declared": task.node.goal,
            "plan": task.node.plan,
        });
        object.insert("owns".to_owned(), owns);
    }
    let state = &task.state;
    let holder = state.holder.as_ref().filter(|_| state.status == TaskStatus::Running);
    let error = state.last_error.as_ref();
    let fields = json!({
        "goal": task.goal,
        "status": state.status,
        "priority": state.priority,
        "attempt": state.attempt,
        "max_attempts": state.max_attempts,
        "interruptions": state.interruptions,
        "token": state.token,
        "owner": state.owner,
        "lease_expires_at": holder.map(|holder| holder.expires_at),
        "not_before": state.not_before,
        "progress": state.progress,
        "summary": state.summary,
        "artifacts": state.artifacts,
        "last_error": error.map(|error| &error.message),
        "last_error_detail": error.and_then(|error| error.detail.as_ref()),
        "created_at": state.created_at,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
    });
    if let Value::Object(fields) = fields {
        object.extend(fields);
    }
    object
}

/// A task with what it waits for, what waits for it, and all its attempts.
pub(crate) fn detail(detail: &TaskDetail, dag: Option<&Dag>) -> Map<String, Value> {
    let id = &detail.task.node.id;
    let mut object = task(&detail.task);
    object.insert("dependencies".to_owned(), json!(dag.map(|dag| dag.dependencies(id)).unwrap_or_default()));
    object.insert("dependants".to_owned(), json!(dag.map(|dag| dag.dependants(id)).unwrap_or_default()));
    object.insert("attempts".to_owned(), Value::Array(attempts(detail)));
    object
}

/// Every attempt that is known, oldest first: those that ended otherwise than well, then the one that
/// runs or that did the task.
fn attempts(detail: &TaskDetail) -> Vec<Value> {
    let mut attempts: Vec<Value> = detail
        .ended
        .iter()
        .map(|ended| {
            json!({
                "attempt": ended.attempt,
                "agent": ended.agent,
                "token": ended.token,
                "started_at": ended.started_at,
                "ended_at": ended.ended_at,
                "outcome": ended.outcome,
                "error": ended.error.message,
                "error_detail": ended.error.detail,
            })
        })
        .collect();
    let state = &detail.task.state;
    let done = state.status == TaskStatus::Done;
    if done || state.status == TaskStatus::Running {
        attempts.push(json!({
            "attempt": state.attempt,
            "agent": state.owner,
            "token": state.token,
            "started_at": state.started_at,
            "ended_at": state.ended_at,
            "outcome": done.then_some("done"),
            "error": null,
            "error_detail": null,
        }));
    }
    attempts
}

/// What models cost.
pub(crate) fn usage(usage: Usage) -> Value {
    json!({
        "model_calls": usage.calls,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "tokens": usage.tokens(),
        "cost_usd": usage.cost_usd(),
    })
}

/// A goal as `status` shows it.
pub(crate) fn goal(goal: &Goal) -> Map<String, Value> {
    let fields = json!({
        "id": goal.id,
        "title": goal.title,
        "status": goal.status,
        "reason": goal.reason,
        "counts": goal.counts,
        "tokens": goal.usage.tokens(),
        "cost_usd": goal.usage.cost_usd(),
        "model_calls": goal.usage.calls,
        "revision": goal.revision,
        "created_at": goal.created_at,
        "ended_at": goal.ended_at,
    });
    match fields {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
