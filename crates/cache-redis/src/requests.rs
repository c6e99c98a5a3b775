//! What scripts are asked, as text.

use std::borrow::Cow;
use std::time::Duration;

use downbeat_core::cache::{Amend, Claim, Directive, Registration};
use downbeat_core::dag::{Dag, DagDiff, Node};
use downbeat_core::event::EventDraft;
use downbeat_core::goal::{Goal, Parent, Usage};
use downbeat_core::ids::{Capability, GoalId, TaskId};
use downbeat_core::rules;
use downbeat_core::state::{Failure, Outcome};
use serde_json::{Map, Value, json};

/// The greatest number that Lua holds exactly.
const EXACT: u64 = 1 << 53;

/// Whole milliseconds, as Lua holds them.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(EXACT).min(EXACT)
}

/// A limit, as Lua and Redis hold it.
pub(crate) fn limit(limit: usize) -> String {
    u64::try_from(limit).unwrap_or(EXACT).min(1 << 31).to_string()
}

/// Without what is null: Lua has no use for it.
fn present(value: Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Map<_, _> = fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
            Value::Object(fields).to_string()
        }
        value => value.to_string(),
    }
}

/// Numbers by spaces; nothing for nothing.
pub(crate) fn usage(spent: &Usage) -> String {
    if *spent == Usage::default() {
        return String::new();
    }
    let numbers = [spent.calls, spent.input_tokens, spent.output_tokens, spent.cost_micros];
    numbers.map(|number| number.min(EXACT).to_string()).join(" ")
}

/// A set of capabilities, by commas.
pub(crate) fn capabilities<'a>(of: impl IntoIterator<Item = &'a Capability>) -> String {
    let names: Vec<&str> = of.into_iter().map(AsRef::as_ref).collect();
    names.join(",")
}

/// The arguments that say who claims what.
pub(crate) fn claim(claim: &Claim) -> [Cow<'_, str>; 8] {
    [
        claim.agent.as_str().into(),
        claim.incarnation.0.as_str().into(),
        claim.request.0.as_str().into(),
        millis(claim.ttl).to_string().into(),
        claim.goal.as_ref().map_or("", GoalId::as_str).into(),
        claim.task.as_ref().map_or("", TaskId::as_str).into(),
        capabilities(&claim.capabilities).into(),
        claim.avoid.iter().map(TaskId::as_str).collect::<Vec<_>>().join(",").into(),
    ]
}

/// Arguments but for those at their end that say nothing: each costs the server as much as a few words of Lua.
pub(crate) fn without_end<'a, 'b>(arguments: &'a [&'b str]) -> &'a [&'b str] {
    let length =
        arguments.iter().rposition(|argument| !argument.is_empty()).map_or(0, |last| last.saturating_add(1));
    arguments.get(..length).unwrap_or_default()
}

/// The four arguments that say how an attempt ended.
pub(crate) fn outcome(outcome: &Outcome) -> [Cow<'_, str>; 4] {
    let failed = |word: &'static str, failure: &'_ Failure, after: Duration| {
        let detail = failure.detail.as_ref().map(|detail| format!("+{detail}")).unwrap_or_default();
        let after = if after.is_zero() { String::new() } else { millis(after).to_string() };
        [word.into(), failure.message.clone().into(), detail.into(), after.into()]
    };
    match outcome {
        Outcome::Done { summary, artifacts } => {
            let artifacts = if artifacts.is_empty() { String::new() } else { json!(artifacts).to_string() };
            ["done".into(), summary.as_str().into(), artifacts.into(), "".into()]
        }
        Outcome::Retry { failure, after } => failed("retry", failure, *after),
        Outcome::Failed { failure } => failed("failed", failure, Duration::ZERO),
        Outcome::Release { reason } => ["release".into(), reason.as_str().into(), "".into(), "".into()],
    }
}

/// The reason that the moves and events of a directive give.
pub(crate) fn reason(directive: &Directive, by: &str) -> String {
    match directive {
        Directive::Pause { agent } => rules::agent_paused(agent, by).reason.unwrap_or_default(),
        Directive::Resume { agent } => rules::agent_resumed(agent, by).reason.unwrap_or_default(),
        Directive::DropTask { .. } => rules::drop_reason(by),
        Directive::Cancel { .. } => rules::cancel_reason(by),
        Directive::CancelGoal { .. } => rules::goal_cancel_reason(by),
        Directive::Elevate { .. } | Directive::Retry { .. } | Directive::FlushMemory { .. } => String::new(),
    }
}

/// What is stored of a registration.
pub(crate) fn registration(registration: &Registration) -> String {
    present(json!({
        "incarnation": registration.incarnation,
        "host": registration.host,
        "pid": registration.pid.to_string(),
        "goal": registration.goal,
        "role": registration.role,
        "capabilities": json!(registration.capabilities).to_string(),
        "max_parallel": registration.max_parallel.to_string(),
        "ttl": millis(registration.ttl).to_string(),
        "interruption_limit": registration.interruption_limit.to_string(),
        "generation": registration.generation.to_string(),
    }))
}

/// The fields of an entry of a stream: what has no spaces in one text, `-` for none; then names and values by
/// turns.
pub(crate) fn entry(event: &EventDraft) -> Vec<String> {
    let word = |word: Option<String>| word.unwrap_or_else(|| "-".to_owned());
    let words = [
        event.kind.to_string(),
        word(event.goal.as_ref().map(ToString::to_string)),
        word(event.task.as_ref().map(ToString::to_string)),
        word(event.agent.as_ref().map(ToString::to_string)),
        word(event.token.map(|token| token.to_string())),
        word(event.attempt.map(|attempt| attempt.to_string())),
    ];
    let mut fields = vec![words.join(" ")];
    if let Some(reason) = &event.reason {
        fields.extend(["reason".to_owned(), reason.clone()]);
    }
    if !event.data.is_null() {
        fields.extend(["data".to_owned(), event.data.to_string()]);
    }
    fields
}

fn dependencies(dag: &Dag, task: &TaskId) -> String {
    json!(dag.dependencies(task)).to_string()
}

fn dependants(dag: &Dag, task: &TaskId) -> String {
    let ids: Vec<&str> = dag.dependants(task).into_iter().map(TaskId::as_str).collect();
    ids.join(" ")
}

fn needs(node: &Node) -> String {
    capabilities(&node.capabilities)
}

/// The four arguments that say what a goal is below.
pub(crate) fn parent(parent: Option<&Parent>) -> [String; 4] {
    parent.map_or_else(Default::default, |parent| {
        let declared = parent.declared.as_ref().map(ToString::to_string).unwrap_or_default();
        [parent.goal.to_string(), parent.task.to_string(), parent.root.to_string(), declared]
    })
}

/// The tasks of a plan: four arguments each.
pub(crate) fn tasks(dag: &Dag, arguments: &mut Vec<String>) -> Result<(), serde_json::Error> {
    arguments.reserve(dag.nodes().len().saturating_mul(4));
    for node in dag.nodes() {
        let waits_for = dag.dependencies(&node.id);
        let own = node.max_attempts.map(|attempts| attempts.to_string()).unwrap_or_default();
        let (needs, dependants) = (needs(node), dependants(dag, &node.id));
        let usual = node.priority == 0
            && waits_for.is_empty()
            && own.is_empty()
            && needs.is_empty()
            && dependants.is_empty();
        let rest = if usual {
            String::new()
        } else {
            format!("{}\t{}\t{own}\t{needs}\t{dependants}", node.priority, waits_for.len())
        };
        let dependencies =
            if waits_for.is_empty() { "[]".to_owned() } else { serde_json::to_string(&waits_for)? };
        arguments.extend([node.id.to_string(), serde_json::to_string(node)?, dependencies, rest]);
    }
    Ok(())
}

/// What an amendment changes. `goal` is the goal before it.
pub(crate) fn change(goal: &Goal, old: &Dag, amend: &Amend, diff: &DagDiff) -> String {
    let new = &*amend.dag;
    let revision = goal.revision.saturating_add(1);
    let after = Goal { revision, digest: new.digest(), ..goal.clone() };
    let event = rules::amended(&after, diff, amend);
    let nodes = |ids: &[TaskId]| -> Vec<&Node> {
        ids.iter().filter_map(|id| new.node(id)).map(|node| &**node).collect()
    };
    let added: Vec<Value> = nodes(&diff.added)
        .into_iter()
        .map(|node| {
            let mut added = json!({
                "id": node.id,
                "node": json!(node).to_string(),
                "dependencies": dependencies(new, &node.id),
                "dependants": dependants(new, &node.id),
                "needs": needs(node),
                "priority": node.priority,
                "waits_for": new.dependencies(&node.id),
            });
            if let (Some(added), Some(attempts)) = (added.as_object_mut(), node.max_attempts) {
                added.insert("attempts".to_owned(), attempts.into());
            }
            added
        })
        .collect();
    let rewired: Vec<Value> =
        diff.recounted(amend).map(|id| json!({ "id": id, "waits_for": new.dependencies(id) })).collect();
    let redone: Vec<Value> = diff
        .redone(amend)
        .filter_map(|id| {
            let why = *amend.redo.get(id)?;
            let own = new.node(id).and_then(|node| node.max_attempts);
            Some(json!({
                "id": id,
                "why": why,
                "waits_for": new.dependencies(id),
                "more": own.unwrap_or(amend.max_attempts),
                "reason": rules::redo_reason(revision, why, &amend.by),
            }))
        })
        .collect();
    let changed: Vec<Value> = nodes(&diff.changed)
        .into_iter()
        .map(|node| {
            let mut changed = json!({ "id": node.id, "node": json!(node).to_string(), "needs": needs(node) });
            if let Some(changed) = changed.as_object_mut() {
                if old.node(&node.id).is_some_and(|before| before.priority != node.priority) {
                    changed.insert("priority".to_owned(), node.priority.into());
                }
                if let Some(attempts) = node.max_attempts {
                    changed.insert("attempts".to_owned(), attempts.into());
                }
            }
            changed
        })
        .collect();
    let links: Vec<Value> = new
        .nodes()
        .filter(|node| {
            old.node(&node.id).is_some()
                && (old.dependants(&node.id) != new.dependants(&node.id)
                    || old.dependencies(&node.id) != new.dependencies(&node.id))
        })
        .map(|node| {
            json!({
                "id": node.id,
                "dependencies": dependencies(new, &node.id),
                "dependants": dependants(new, &node.id),
            })
        })
        .collect();
    json!({
        "reason": event.reason,
        "data": event.data.to_string(),
        "removed": diff.removed,
        "removed_reason": rules::removed_reason(revision),
        "added": added,
        "redone": redone,
        "again": amend.redo.keys().collect::<Vec<_>>(),
        "rewired": rewired,
        "changed": changed,
        "links": links,
        "order": new.nodes().map(|node| &node.id).collect::<Vec<_>>(),
    })
    .to_string()
}
