//! `steer`: what a person wants.

use downbeat_core::cache::{CacheError, Directive, Steer, Steered};
use downbeat_core::dag::MAX_PRIORITY;
use downbeat_core::ids::{AgentName, GoalId, RequestId, TaskId};
use downbeat_core::rules;
use downbeat_core::state::{Move, TaskState};

use crate::layout::Key;
use crate::step::Step;

pub(crate) fn steer(step: &mut Step<'_>, steer: &Steer) -> Result<Steered, CacheError> {
    rules::check_steer(steer)?;
    if let Some(answer) = step.txn.read(&Key::Answer(steer.request.clone()))? {
        return Ok(answer);
    }
    let answer = obey(step, &steer.directive, &steer.by)?;
    step.say(rules::steered(steer, &answer))?;
    keep(step, &steer.request, &answer)?;
    Ok(answer)
}

/// Keeps an answer, and forgets the oldest one when there are too many.
fn keep(step: &mut Step<'_>, request: &RequestId, answer: &Steered) -> Result<(), CacheError> {
    let number = step.txn.number(&Key::LastDirective)?.saturating_add(1);
    step.txn.set_number(&Key::LastDirective, number);
    step.txn.put(&Key::Directive(number), request.0.as_bytes());
    step.txn.write(&Key::Answer(request.clone()), answer)?;
    let kept = u64::try_from(rules::KEPT_DIRECTIVES).unwrap_or(u64::MAX);
    let Some(oldest) = number.checked_sub(kept).map(Key::Directive) else {
        return Ok(());
    };
    if let Some(request) = step.txn.get(&oldest)? {
        let request = RequestId(String::from_utf8_lossy(&request).into_owned());
        step.txn.delete(&Key::Answer(request));
        step.txn.delete(&oldest);
    }
    Ok(())
}

fn obey(step: &mut Step<'_>, directive: &Directive, by: &str) -> Result<Steered, CacheError> {
    match directive {
        Directive::Pause { agent } => pause(step, agent, by),
        Directive::Resume { agent } => resume(step, agent, by),
        Directive::FlushMemory { agent } => {
            let key = Key::Memory(agent.clone());
            if !step.txn.has(&key)? {
                return Ok(rules::memory_absent(agent));
            }
            step.txn.delete(&key);
            Ok(rules::memory_flushed(agent))
        }
        Directive::DropTask { task } => {
            let mv = Move::Drop { reason: rules::drop_reason(by) };
            direct(step, task, &mv, |before, _| rules::task_dropped(task, before))
        }
        Directive::Elevate { priority, .. } if *priority > MAX_PRIORITY => {
            Ok(rules::priority_too_great(*priority))
        }
        Directive::Elevate { task, priority } => {
            let mv = Move::Elevate(*priority);
            direct(step, task, &mv, |before, _| rules::task_elevated(task, before, *priority))
        }
        Directive::Retry { task } => retry(step, task),
        Directive::Cancel { task } => {
            let mv = Move::Cancel { reason: rules::cancel_reason(by) };
            direct(step, task, &mv, |_, _| rules::task_cancelled(task))
        }
        Directive::CancelGoal { goal } => cancel_goal(step, goal, by),
    }
}

fn pause(step: &mut Step<'_>, agent: &AgentName, by: &str) -> Result<Steered, CacheError> {
    let key = Key::Paused(agent.clone());
    if step.txn.has(&key)? {
        return Ok(rules::already_paused());
    }
    step.txn.put(&key, Vec::new());
    step.say(rules::agent_paused(agent, by))?;
    Ok(rules::now_paused(agent))
}

fn resume(step: &mut Step<'_>, agent: &AgentName, by: &str) -> Result<Steered, CacheError> {
    let key = Key::Paused(agent.clone());
    if !step.txn.has(&key)? {
        return Ok(rules::already_resumed());
    }
    step.txn.delete(&key);
    step.say(rules::agent_resumed(agent, by))?;
    step.work_appeared();
    Ok(rules::now_resumed(agent))
}

/// Makes a move that a person asks for; `say` answers from the states before and after it.
fn direct(
    step: &mut Step<'_>,
    task: &TaskId,
    mv: &Move,
    say: impl FnOnce(&TaskState, &TaskState) -> Steered,
) -> Result<Steered, CacheError> {
    let Some(before) = step.task(task)? else {
        return Ok(rules::no_such_task(task));
    };
    Ok(match step.make_alone(task, &before, mv)? {
        Ok(after) => say(&before.state, &after.state),
        Err(refusal) => rules::move_refused(task, &refusal),
    })
}

fn retry(step: &mut Step<'_>, task: &TaskId) -> Result<Steered, CacheError> {
    let Some(doc) = step.task(task)? else {
        return Ok(rules::no_such_task(task));
    };
    let default = step.goal(&doc.goal)?.map_or(1, |goal| goal.max_attempts);
    let mv = Move::Retry(step.node(&doc.goal, task)?.max_attempts.unwrap_or(default));
    // Of a goal that was cancelled as a whole, something is wanted again.
    if downbeat_core::state::apply(&doc.state, &mv, step.now).is_ok() {
        step.goal_mut(&doc.goal)?.cancelled = false;
    }
    direct(step, task, &mv, |before, after| rules::task_retried(task, before, after))
}

fn cancel_goal(step: &mut Step<'_>, goal: &GoalId, by: &str) -> Result<Steered, CacheError> {
    let Some(doc) = step.goal(goal)? else {
        return Ok(rules::no_such_goal(goal));
    };
    let unfinished = doc.goal.counts.unfinished();
    if unfinished == 0 {
        return Ok(rules::nothing_to_cancel(&doc.goal));
    }
    step.goal_mut(goal)?.cancelled = true;
    let cancel = Move::Cancel { reason: rules::goal_cancel_reason(by) };
    for task in step.order(goal)? {
        let doc = step.indexed_task(&task)?;
        // Finished ones have nothing to call off.
        let _ = step.make(&task, &doc, &cancel)?;
    }
    step.evaluate(goal)?;
    Ok(rules::goal_cancelled(goal, unfinished))
}
