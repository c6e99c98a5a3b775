//! `downbeat orchestrator`: plans and leads a fleet whose agents are processes of their own.

use std::sync::Arc;

use downbeat_runtime::{Orchestrator, Stop};

use super::{in_force, run, summary};
use crate::args;
use crate::context::{Context, Flags};
use crate::error::CliError;
use crate::signals::{self, Terminate, Work};
use crate::{models, store};

/// The settings that the options of this command set.
pub(crate) fn flags(args: &args::Orchestrator) -> Flags {
    vec![
        ("llm", args.model.llm.clone()),
        ("max_attempts", args.max_attempts.clone()),
        ("leader_ttl", args.leader_ttl.clone()),
        ("keep_running", args.keep_running.then(|| "true".to_owned())),
    ]
}

/// A fleet needs a state that its processes share.
pub(crate) fn needs_shared(context: &Context, what: &str) -> Result<(), CliError> {
    if context.is_shared() {
        return Ok(());
    }
    let error = CliError::bad_input(format!("{what} needs a state that many processes share"));
    Err(error
        .hint("`--cache redis://HOST:PORT`, or $DOWNBEAT_CACHE")
        .hint("`downbeat run` does the whole job in one process, on the embedded store"))
}

/// Plans, leads, and says what came of it.
pub(crate) async fn orchestrator(args: &args::Orchestrator, context: &Context) -> Result<u8, CliError> {
    if !args.own_agents {
        needs_shared(context, "an orchestrator without agents of its own")?;
    }
    let project = in_force::load(context, args.keep_running).await?;
    run::start_logs(context, &project, false);
    let models = models::of(&project, context.config.chosen())?;
    let stop = Stop::new();
    match args.own_agents {
        true => {
            let grace = Terminate::After(context.config.settings.drain_grace);
            signals::listen(&stop, &context.out, Work::Uncounted, grace)?;
            run::own_directory(context)?;
        }
        false => signals::listen(&stop, &context.out, Work::None, Terminate::AtOnce)?,
    }
    let cache = store::open(&context.how("downbeat orchestrator")).await?;
    let (cache, outage) = run::patient(context, cache, &stop);
    let clock = Arc::clone(&context.clock);
    let orchestrator = Orchestrator::new(cache, models, clock, run::settings(context), project);
    let orchestrator = match args.own_agents {
        true => orchestrator.as_service(),
        false => orchestrator.without_agents(),
    };
    let report = Box::pin(run::while_reachable(context, &outage, &stop, orchestrator.run(&stop))).await?;
    let code = run::code_of(&report);
    run::unless_closed(summary::print(context, &report, code, "orchestrator"))?;
    Ok(code)
}
