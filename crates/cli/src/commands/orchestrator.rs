//! `downbeat orchestrator`: plans and leads a fleet whose agents come from anywhere.

use std::sync::Arc;

use downbeat_runtime::{Orchestrator, Stop};

use super::{in_force, run, summary};
use crate::args;
use crate::context::{Context, Flags};
use crate::error::CliError;
use crate::signals::{self, Work};
use crate::{api, models, spawned, store};

/// What this process is, for others that want its store.
const HOLDER: &str = "downbeat orchestrator";

/// The settings that the options of this command set.
pub(crate) fn flags(args: &args::Orchestrator) -> Flags {
    let mut flags = vec![
        ("llm", args.model.llm.clone()),
        ("max_attempts", args.max_attempts.clone()),
        ("leader_ttl", args.leader_ttl.clone()),
        ("max_parallel_calls", args.max_parallel_calls.clone()),
        ("keep_running", args.keep_running.then(|| "true".to_owned())),
    ];
    flags.extend(args.spawning.flags());
    flags
}

/// Plans, leads, and says what came of it.
pub(crate) async fn orchestrator(args: &args::Orchestrator, context: &Context) -> Result<u8, CliError> {
    let project = in_force::load(context, args.keep_running).await?;
    run::start_logs(context, &project, false);
    let models = models::of(&project, context.config.chosen())?;
    let stop = Stop::new();
    let has_agents = context.config.spawn.is_some();
    let work = if has_agents { Work::Uncounted } else { Work::None };
    signals::listen(&stop, &context.out, work, spawned::terminate(context))?;
    run::own_directory(context)?;
    let cache = store::open(&context.how(HOLDER)).await?;
    let served = api::serve(context, &cache, HOLDER, &args.listen).await?;
    let (cache, outage) = run::patient(context, cache, &stop);
    let clock = Arc::clone(&context.clock);
    let orchestrator = Orchestrator::new(cache, models, clock, run::settings(context), project);
    let orchestrator = match has_agents {
        true => spawned::with_agents(orchestrator, context, &stop)?.as_service(),
        false => orchestrator.without_agents(),
    };
    let report = Box::pin(run::while_reachable(context, &outage, &stop, orchestrator.run(&stop))).await?;
    served.end(!report.interrupted).await;
    let code = run::code_of(&report);
    run::unless_closed(summary::print(context, &report, code, "orchestrator"))?;
    Ok(code)
}
