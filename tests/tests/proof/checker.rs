//! Compares what every client was told with what the log says. Returns each contradiction.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use downbeat_core::state::TaskStatus;

use crate::nemesis::{History, ended_well};
use crate::record::Call;

/// What clocks of one host may differ by, in milliseconds: both ends are cut to whole ones.
const SLACK: u64 = 2;

/// What a settle leaves in the log.
const ENDS: [&str; 3] = ["task.done", "task.retry", "task.released"];

/// An entry of the log about an attempt.
struct Entry<'a> {
    seq: u64,
    kind: &'a str,
    token: u64,
}

/// What the log says of a task, in order.
type Log<'a> = BTreeMap<&'a str, Vec<Entry<'a>>>;

pub(crate) fn check(history: &History) -> Vec<String> {
    let mut faults = Vec::new();
    if history.trimmed > 0 {
        faults.push(format!("{} events are missing at the beginning of the log", history.trimmed));
    }
    for (event, expected) in history.events.iter().zip(1..) {
        if event.seq != expected {
            faults.push(format!("event {} stands where {expected} should", event.seq));
            break;
        }
    }
    let mut log = Log::new();
    for event in &history.events {
        if let (Some(task), Some(token)) = (&event.what.task, event.what.token) {
            let entry = Entry { seq: event.seq, kind: event.what.kind.as_str(), token: token.as_u64() };
            log.entry(task.as_str()).or_default().push(entry);
        }
    }
    check_log(&log, &mut faults);
    check_dependencies(history, &log, &mut faults);
    check_claims(history, &log, &mut faults);
    check_settles(history, &log, &mut faults);
    check_leases(history, &mut faults);
    check_ends(history, &log, &mut faults);
    faults
}

/// Tokens of a task only grow, no write in the log is of an older one, and nothing is done twice.
fn check_log(log: &Log<'_>, faults: &mut Vec<String>) {
    for (task, entries) in log {
        let (mut newest, mut done) = (0, 0);
        for entry in entries {
            if entry.kind == "task.claimed" {
                if entry.token <= newest {
                    faults.push(format!("task {task}: token {} was handed out after {newest}", entry.token));
                }
                if done > 0 {
                    faults
                        .push(format!("task {task}: claimed again after it was done (event {})", entry.seq));
                }
                newest = entry.token;
            } else if entry.token != newest {
                faults.push(format!(
                    "task {task}: stale write: event {} is of token {}, the newest was {newest}",
                    entry.seq, entry.token
                ));
            }
            done += u32::from(entry.kind == "task.done");
        }
        if done > 1 {
            faults.push(format!("task {task}: done {done} times"));
        }
    }
}

/// No task is claimed before each of its dependencies is done.
fn check_dependencies(history: &History, log: &Log<'_>, faults: &mut Vec<String>) {
    let at = |task: &str, kind: &str| {
        log.get(task)
            .and_then(|entries| entries.iter().find(|entry| entry.kind == kind))
            .map(|entry| entry.seq)
    };
    for dag in &history.dags {
        for node in dag.nodes() {
            let Some(claimed) = at(node.id.as_str(), "task.claimed") else { continue };
            for dependency in dag.dependencies(&node.id) {
                if at(dependency.as_str(), "task.done").is_none_or(|done| done > claimed) {
                    faults.push(format!("task {} started before {dependency} was done", node.id));
                }
            }
        }
    }
}

/// Each grant that a client was told of is in the log, and none was told to two clients.
fn check_claims(history: &History, log: &Log<'_>, faults: &mut Vec<String>) {
    let mut holders: HashMap<(&str, u64), &str> = HashMap::new();
    for call in &history.calls {
        let Some((task, token)) = granted(call) else { continue };
        let in_log = |entry: &Entry<'_>| entry.kind == "task.claimed" && entry.token == token;
        if !log.get(task).is_some_and(|entries| entries.iter().any(in_log)) {
            faults.push(format!(
                "{} was granted {task} with token {token}; the log has no such claim",
                call.who
            ));
        }
        if let Some(other) = holders.insert((task, token), &call.who)
            && other != call.who
        {
            faults.push(format!("{} and {other} were both granted {task} with token {token}", call.who));
        }
    }
}

fn granted(call: &Call) -> Option<(&str, u64)> {
    let granted = call.told.get("granted")?;
    Some((granted["task"].as_str()?, granted["token"].as_u64()?))
}

fn of_lease(call: &Call) -> (&str, u64) {
    (call.details["task"].as_str().unwrap(), call.details["token"].as_u64().unwrap())
}

/// Each acknowledged settle is in the log under the token that its client had; no refused one is.
fn check_settles(history: &History, log: &Log<'_>, faults: &mut Vec<String>) {
    let mut done: BTreeMap<&str, BTreeSet<u64>> = BTreeMap::new();
    for call in history.calls.iter().filter(|call| call.ask == "settle") {
        let (task, token) = of_lease(call);
        let kind = match call.details["outcome"].as_str() {
            Some("done") => "task.done",
            Some("retry") => "task.retry",
            _ => "task.released",
        };
        let wrote = |entry: &Entry<'_>| entry.kind == kind && entry.token == token;
        let written = log.get(task).is_some_and(|entries| entries.iter().any(wrote));
        let acknowledged = !call.told["settled"].is_null();
        if acknowledged && !written {
            faults.push(format!(
                "{} settled {task} with token {token} and was told that it stands; the log has no such {kind}: it \
                 was lost, or a stale token wrote",
                call.who
            ));
        }
        // A settle is known again until that of a later attempt takes its place.
        let later = |entry: &Entry<'_>| entry.token > token && ENDS.contains(&entry.kind);
        let forgotten = log.get(task).is_some_and(|entries| entries.iter().any(later));
        if call.told == "lost" && written && !forgotten {
            faults
                .push(format!("{} was refused for {task} with token {token}, and it was written", call.who));
        }
        if acknowledged && kind == "task.done" {
            done.entry(task).or_default().insert(token);
        }
    }
    for (task, tokens) in done.iter().filter(|(_, tokens)| tokens.len() > 1) {
        faults.push(format!("task {task}: several clients were told that theirs is done: {tokens:?}"));
    }
}

/// Nobody is granted a task before the time of its holder is up, unless the holder gave it back: by the true
/// time of the host, whatever the kernel thinks.
fn check_leases(history: &History, faults: &mut Vec<String>) {
    // From when on each lease may be taken: its last extension, counted from when it was asked for.
    let mut leases: BTreeMap<&str, BTreeMap<u64, (u64, u64, &str)>> = BTreeMap::new();
    for call in &history.calls {
        if let (Some((task, token)), Some(told_at)) = (granted(call), call.told_at) {
            let until = call.asked_at + call.details["ttl"].as_u64().unwrap();
            leases.entry(task).or_default().insert(token, (until, told_at, &call.who));
        }
    }
    for call in history.calls.iter().filter(|call| call.ask != "claim") {
        let (task, token) = of_lease(call);
        let Some((until, ..)) = leases.get_mut(task).and_then(|leases| leases.get_mut(&token)) else {
            continue;
        };
        match call.ask.as_str() {
            "renew" if call.told == "renewed" => {
                *until = (*until).max(call.asked_at + call.details["ttl"].as_u64().unwrap());
            }
            // Answered or not, from here on it may have been given back.
            "settle" => *until = (*until).min(call.asked_at),
            _ => {}
        }
    }
    for (task, leases) in &leases {
        for ((token, (until, _, who)), (next, (_, told_at, other))) in
            leases.iter().zip(leases.iter().skip(1))
        {
            if told_at + SLACK < *until {
                faults.push(format!(
                    "task {task} was taken before its time: {who} had it with token {token} for {} ms more when {other} \
                     was granted it with token {next}",
                    until - told_at
                ));
            }
        }
    }
}

/// Every plan that was acknowledged is there, and every task ended.
fn check_ends(history: &History, log: &Log<'_>, faults: &mut Vec<String>) {
    for goal in &history.planned {
        match history.goals.iter().find(|found| found.id == *goal) {
            None => faults.push(format!("goal {goal} was planned, and is not there")),
            Some(goal) if !ended_well(goal) => {
                faults.push(format!("goal {} is {}: {:?}", goal.id, goal.status, goal.counts));
            }
            Some(_) => {}
        }
    }
    for task in &history.tasks {
        let id = task.node.id.as_str();
        let told = log.get(id).is_some_and(|entries| entries.iter().any(|entry| entry.kind == "task.done"));
        if (task.state.status == TaskStatus::Done) != told {
            faults.push(format!("task {id} is {}, the log says otherwise", task.state.status));
        }
        if task.state.status == TaskStatus::Running {
            faults.push(format!("task {id} still runs"));
        }
    }
}
