//! What a person wants done about a task, a goal or an agent.

use downbeat_core::cache::{Cache, Directive};
use downbeat_runtime::entropy;
use downbeat_runtime::steering::{FleetOrder, Given, Order, Scope, Whole, give};

use crate::args::Reparse;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::style::{GOOD, paint};
use crate::output::text::clean;

/// Tries a task again.
pub(crate) async fn retry(task: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let task = context.task(cache.as_ref(), task).await?;
    steer(cache.as_ref(), Directive::Retry { task }, context).await?;
    carry_on(context)
}

/// Calls a task off.
pub(crate) async fn cancel(task: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let task = context.task(cache.as_ref(), task).await?;
    steer(cache.as_ref(), Directive::Cancel { task }, context).await
}

/// Calls every unfinished task of a goal off.
pub(crate) async fn cancel_goal(goal: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let goal = context.goal(cache.as_ref(), goal).await?;
    steer(cache.as_ref(), Directive::CancelGoal { goal }, context).await
}

/// Lets an agent take no more tasks.
pub(crate) async fn pause(agent: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let agent = context.agent(cache.as_ref(), agent).await?;
    steer(cache.as_ref(), Directive::Pause { agent }, context).await
}

/// Lets an agent take tasks again.
pub(crate) async fn resume(agent: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let agent = context.agent(cache.as_ref(), agent).await?;
    steer(cache.as_ref(), Directive::Resume { agent }, context).await
}

/// Takes a task from its agent.
pub(crate) async fn drop_task(task: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let task = context.task(cache.as_ref(), task).await?;
    steer(cache.as_ref(), Directive::DropTask { task }, context).await
}

/// Changes a task's priority.
pub(crate) async fn elevate(task: &str, priority: u32, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let task = context.task(cache.as_ref(), task).await?;
    steer(cache.as_ref(), Directive::Elevate { task, priority }, context).await
}

/// Empties an agent's memory.
pub(crate) async fn flush(agent: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let agent = context.agent(cache.as_ref(), agent).await?;
    steer(cache.as_ref(), Directive::FlushMemory { agent }, context).await
}

/// Has the instructions read again: of an agent, of a goal, or all of them.
pub(crate) async fn reparse(args: &Reparse, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    let of = match (&args.agent, &args.goal) {
        (Some(agent), _) => Scope::Agent(context.agent(cache.as_ref(), agent).await?),
        (None, Some(goal)) => Scope::Goal(context.goal(cache.as_ref(), goal).await?),
        (None, None) => Scope::Project(Whole),
    };
    steer(cache.as_ref(), FleetOrder::Reparse { of }, context).await
}

pub(super) async fn steer(
    cache: &dyn Cache,
    order: impl Into<Order>,
    context: &Context,
) -> Result<(), CliError> {
    let given = Given { order: order.into(), by: giver(), request: entropy::request_id() };
    let steered = give(cache, &given).await?;
    let detail = clean(&steered.detail);
    if !steered.applied {
        return Err(CliError::new(Kind::Refused, detail));
    }
    if context.out.is_json() {
        return context.out.value(&steered);
    }
    if context.out.is_quiet() {
        return Ok(());
    }
    context.out.line(format!("{} {detail}", paint(GOOD, "✓")))
}

/// After a retry nothing happens by itself.
fn carry_on(context: &Context) -> Result<(), CliError> {
    if !context.out.is_json() {
        context.out.note(format!("`{}` carries on.", context.command("run")));
    }
    Ok(())
}

/// `cli:<user>@<host>`.
fn giver() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::getuid()).ok().flatten();
    let user = user.map_or_else(|| nix::unistd::getuid().to_string(), |user| clean(&user.name));
    let host = nix::unistd::gethostname().map(|host| clean(&host.to_string_lossy())).unwrap_or_default();
    format!("cli:{user}@{host}")
}
