//! `downbeat why`: every cause for where a task or an agent stands, and what would end it.

use std::fmt;

use downbeat_core::cache::{Cache, Liveness};
use downbeat_core::ids::{AgentName, TaskId};
use downbeat_runtime::why::{self, Cause, Company, Why, WhyAgent};

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::style::{self, FAINT, STRONG, paint};
use crate::output::text::clean;

/// Begins the name of an agent where a task could be called so too.
const AGENT: &str = "agent:";

/// What is asked about.
enum Of {
    Task(TaskId),
    Agent(AgentName),
}

/// Shows why a task or an agent stands where it does.
pub(crate) async fn why(text: &str, context: &Context) -> Result<(), CliError> {
    let cache = context.open().await?;
    // One process at a time has an embedded store, and now it is this one.
    let company = if context.is_shared() { Company::Shared } else { Company::Alone };
    match found(cache.as_ref(), text, context).await? {
        Of::Task(id) => of_task(&why::why(cache.as_ref(), &id, context.now(), company).await?, context),
        Of::Agent(name) => {
            of_agent(&why::why_agent(cache.as_ref(), &name, context.now(), company).await?, context)
        }
    }
}

/// The task that a text names, or else the agent.
async fn found(cache: &dyn Cache, text: &str, context: &Context) -> Result<Of, CliError> {
    if let Some(name) = text.strip_prefix(AGENT) {
        return context.agent(cache, name).await.map(Of::Agent);
    }
    let unknown = match context.task(cache, text).await {
        Ok(id) => return Ok(Of::Task(id)),
        Err(error) if error.kind == Kind::NotFound => error,
        Err(error) => return Err(error),
    };
    match context.agent(cache, text).await {
        Ok(name) => Ok(Of::Agent(name)),
        Err(error) if error.kind == Kind::NotFound => Err(unknown
            .hint(format!("`{}` lists agents, which can be asked about, too", context.command("status")))),
        Err(error) => Err(error),
    }
}

fn of_task(why: &Why, context: &Context) -> Result<(), CliError> {
    if context.out.is_json() {
        return context.out.value(why);
    }
    let (mark, colour) = style::of_task(why.status);
    context.out.line(format!(
        "{} {} is {}",
        paint(colour, mark),
        paint(STRONG, &why.task),
        paint(colour, why.status)
    ))?;
    causes(&why.causes, context)
}

fn of_agent(why: &WhyAgent, context: &Context) -> Result<(), CliError> {
    if context.out.is_json() {
        return context.out.value(why);
    }
    let colour = style::of_liveness(why.liveness);
    let alive =
        |is: &dyn fmt::Display| format!("Agent {} is {}", paint(STRONG, &why.agent), paint(colour, is));
    context.out.line(match &why.stage {
        Some(stage) if why.liveness == Liveness::Alive => {
            format!("{}, {}", alive(&why.liveness), clean(stage))
        }
        Some(stage) => alive(&clean(stage)),
        None => alive(&why.liveness),
    })?;
    causes(&why.causes, context)
}

fn causes(causes: &[Cause], context: &Context) -> Result<(), CliError> {
    for cause in causes {
        context.out.line("")?;
        context.out.line(format!("  {}", clean(&cause.detail)))?;
        context.out.line(format!("    {} {}", paint(FAINT, "until"), clean(&cause.unblocks_when)))?;
    }
    Ok(())
}
