//! `downbeat run`: the whole job in one process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use downbeat_core::cache::Cache;
use downbeat_core::dag::Analysis;
use downbeat_core::diagnostic::Report;
use downbeat_core::goal::{Goal, GoalStatus};
use downbeat_runtime::live;
use downbeat_runtime::load::{self, Project, ProjectAgent, ProjectGoal};
use downbeat_runtime::patient::{Outage, Patient};
use downbeat_runtime::report::{self, RunReport};
use downbeat_runtime::{Orchestrator, RunError, Settings, Stop};
use tokio_util::sync::CancellationToken;

use super::{in_force, summary};
use crate::args;
use crate::context::{Context, Flags};
use crate::error::{CliError, Kind, chain};
use crate::live::follow::Live;
use crate::logs::{self, Logs};
use crate::output::style::{FAINT, STRONG, paint};
use crate::output::text::{clean, counted};
use crate::signals::{self, Work};
use crate::store::{self, Lies};
use crate::{api, askable, exit, models, predecessor, spawned};

/// What this process is, for others that want its store.
const HOLDER: &str = "downbeat run";

/// The settings that the options of this command set.
pub(crate) fn flags(args: &args::Run) -> Flags {
    let mut flags = vec![
        ("llm", args.model.llm.clone()),
        ("max_workers", args.max_workers.clone()),
        ("max_attempts", args.max_attempts.clone()),
        ("task_timeout", args.timeout.clone()),
        ("lease_ttl", args.lease_ttl.clone()),
        ("selection", args.selection.clone()),
        ("permissions", args.permissions.clone()),
        ("max_cost", args.max_cost.clone()),
        ("max_tokens", args.max_tokens.clone()),
        ("durability", args.durability.clone()),
        ("max_parallel_calls", args.max_parallel_calls.clone()),
        ("keep_running", args.keep_running.then(|| "true".to_owned())),
    ];
    flags.extend(args.spawning.flags());
    flags
}

/// Plans, runs, and says what came of it.
pub(crate) async fn run(args: &args::Run, context: &Context) -> Result<u8, CliError> {
    let project = in_force::load(context, args.keep_running && !args.fresh).await?;
    let beside_view = context.out.can_redraw() && context.config.log_level.is_none();
    start_logs(context, &project, beside_view);
    let models = models::of(&project, context.config.chosen())?;
    let least = |agent: &ProjectAgent| usize::try_from(agent.spec.bounds().0).unwrap_or(usize::MAX);
    let (declared, limit) = (project.agents.iter().map(least).sum(), context.config.settings.max_agents);
    if declared > limit {
        return Err(refused(RunError::TooManyAgents { declared, limit }, context));
    }

    own_directory(context)?;
    let chosen = context.config.chosen();
    if args.fresh {
        askable::check(&project, chosen, None).await?;
        start_over(context).await?;
    }
    let cache = store::open(&context.how(HOLDER)).await?;
    let served = api::serve(context, &cache, HOLDER, &args.listen).await?;
    if let Some(complete) = complete_already(cache.as_ref(), &project).await? {
        return nothing_to_do(context, cache.as_ref(), &project, &complete).await;
    }
    if !args.fresh {
        askable::check(&project, chosen, Some(cache.as_ref())).await?;
    }
    unless_closed(preview(context, &project))?;

    let stop = Stop::new();
    let running = Arc::new(AtomicUsize::new(0));
    signals::listen(&stop, &context.out, Work::Counted(Arc::clone(&running)), spawned::terminate(context))?;
    let (cache, outage) = patient(context, cache, &stop);
    let live =
        Live::new(&cache, &context.clock, &context.out, &project, &running, Arc::clone(&outage)).await?;
    let ended = CancellationToken::new();
    let view = tokio::spawn(Box::pin(live.follow(ended.clone())));

    let clock = Arc::clone(&context.clock);
    let orchestrator = Orchestrator::new(cache, models, clock, settings(context), project);
    let orchestrator = spawned::with_agents(orchestrator, context, &stop)?;
    let result = Box::pin(while_reachable(context, &outage, &stop, orchestrator.run(&stop))).await;
    ended.cancel();
    // A view that crashed has said so; the report does not depend on it.
    let _ = view.await;
    drop(orchestrator);

    let report = result?;
    served.end(!report.interrupted).await;
    let code = code_of(&report);
    unless_closed(summary::print(context, &report, code, "run"))?;
    Ok(code)
}

/// The same cache, which is waited for when it does not answer.
pub(crate) fn patient(
    context: &Context,
    cache: Arc<dyn Cache>,
    stop: &Stop,
) -> (Arc<dyn Cache>, Arc<Outage>) {
    let patience = context.config.settings.store_patience;
    let patient = Patient::new(cache, patience, Arc::clone(&context.clock), stop.clone());
    let outage = patient.outage();
    (Arc::new(patient), outage)
}

/// Does `work`, unless the store stays away for longer than patience lasts: then the work is ended.
///
/// # Errors
///
/// [`Kind::Unreachable`], and what `work` says.
pub(crate) async fn while_reachable<T>(
    context: &Context,
    outage: &Outage,
    stop: &Stop,
    work: impl Future<Output = Result<T, RunError>>,
) -> Result<T, CliError> {
    let mut work = std::pin::pin!(work);
    let said = tokio::select! {
        done = &mut work => return done.map_err(|error| refused(error, context)),
        said = outage.outlasts_patience() => said,
    };
    stop.now();
    // What it still says is about the same silence. Its commands end within their grace; what waits longer
    // waits for the store.
    let grace = context.config.settings.kill_grace + Duration::from_secs(1);
    let _ = tokio::time::timeout(grace, work).await;
    let error = CliError::new(Kind::Unreachable, said);
    Err(error
        .hint("what was acknowledged is kept: the same command carries on when the store is back")
        .hint("`store_patience` says for how long it is waited for"))
}

/// The limits and periods, with what follows from where the state lies.
pub(crate) fn settings(context: &Context) -> Settings {
    Settings {
        exclusive: !context.is_shared(),
        guard: std::env::current_exe().ok(),
        logs: Some(logs_directory(context)),
        ..context.config.settings.clone()
    }
}

/// That nobody reads what is printed neither ends a run nor changes what came of it.
pub(crate) fn unless_closed(printed: Result<(), CliError>) -> Result<(), CliError> {
    match printed {
        Err(error) if error.kind == Kind::Closed => Ok(()),
        printed => printed,
    }
}

/// What a run's report means to a shell.
pub(crate) fn code_of(report: &RunReport) -> u8 {
    if report.is_complete() {
        exit::COMPLETE
    } else if report.interrupted {
        exit::INTERRUPTED
    } else {
        exit::FAILED
    }
}

/// The project, with what is probably not intended in it told.
pub(crate) fn load(context: &Context) -> Result<Project, CliError> {
    let path = &context.place.instructions;
    if !path.exists() {
        if path.is_symlink() {
            return Err(CliError::bad_input(format!("{} is a link to nothing", path.display())));
        }
        let error = CliError::bad_input(format!("no such file: {}", path.display()));
        return Err(error.hint("`downbeat init` writes an example that runs without any model"));
    }
    let mut project = load::load(path).map_err(|error| CliError::faults(error.reports))?;
    predecessor::place(&mut project, &context.config);
    if !context.out.is_json() && !context.out.is_quiet() {
        let warned: Vec<Report> = project.warnings.clone();
        context.out.reports(&warned);
        for line in project.unmanned() {
            context.out.warning(line);
        }
    }
    Ok(project)
}

pub(crate) fn start_logs(context: &Context, project: &Project, beside_view: bool) {
    let usual = if context.out.is_quiet() {
        "error"
    } else if beside_view {
        "warn"
    } else {
        "info"
    };
    let own = project.agents.iter().filter_map(|agent| {
        let level = agent.spec.log_level.filter(|_| !beside_view && !context.out.is_quiet())?;
        Some((agent.spec.name.value.to_string(), logs::level_of(level)))
    });
    Logs {
        out: context.out.clone(),
        format: context.config.log_format,
        level: logs::level(context.config.log_level.as_deref().unwrap_or(usual)),
        agents: own.collect::<HashMap<_, _>>(),
        beside_view,
    }
    .start();
}

/// Where the outputs of commands go.
pub(crate) fn logs_directory(context: &Context) -> PathBuf {
    context.place.own().join("logs")
}

/// Makes Downbeat's own directory, which no repository wants.
pub(crate) fn own_directory(context: &Context) -> Result<(), CliError> {
    let own = context.place.own();
    let failed = |error| CliError::internal(format!("cannot make {}", own.display()), &error);
    std::fs::create_dir_all(&own).map_err(failed)?;
    let ignore = own.join(".gitignore");
    if !ignore.exists() {
        std::fs::write(&ignore, "*\n").map_err(failed)?;
    }
    Ok(())
}

/// Moves the store aside, once it is known that nobody holds it.
async fn start_over(context: &Context) -> Result<(), CliError> {
    let store = match &context.store {
        Lies::Here(store) if store.exists() => store,
        Lies::Here(_) => return Ok(()),
        Lies::Shared(_) => {
            return Err(CliError::bad_input(
                "`--fresh` moves a directory aside, and this state lies in Redis",
            )
            .hint("`--redis-prefix` with a new text starts beside the old state")
            .hint("`downbeat goal cancel` calls off what is left of a goal"));
        }
        Lies::Remote(remote) => {
            return Err(CliError::bad_input(format!(
                "`--fresh` moves a directory aside, and this state is with the process at {}",
                remote.url()
            ))
            .hint("`downbeat goal cancel` calls off what is left of a goal"));
        }
    };
    // Held for a moment: a run that goes on elsewhere keeps its store. One that nobody can open is moved
    // all the same: there is no other way on from it.
    match store::open(&context.how(HOLDER)).await {
        Ok(held) => drop(held),
        Err(error) if error.kind == Kind::Busy => return Err(error),
        Err(error) => context.out.warning(&error.message),
    }
    let previous = previous(store);
    let failed =
        |error| CliError::internal(format!("cannot move the store to {}", previous.display()), &error);
    if previous.exists() {
        std::fs::remove_dir_all(&previous).map_err(failed)?;
    }
    std::fs::rename(store, &previous).map_err(failed)?;
    context.out.note(paint(FAINT, format!("The old store is now {}.", previous.display())));
    Ok(())
}

fn previous(store: &Path) -> PathBuf {
    let mut name = store.file_name().unwrap_or_default().to_os_string();
    name.push(".previous");
    store.with_file_name(name)
}

/// The goals, when each is complete by the very plan that is declared now.
async fn complete_already(cache: &dyn Cache, project: &Project) -> Result<Option<Vec<Goal>>, CliError> {
    let mut complete = Vec::new();
    for declared in &project.goals {
        match cache.goal(&declared.id).await? {
            Some(goal)
                if goal.status == GoalStatus::Complete && is_planned_so(cache, &goal, declared).await? =>
            {
                complete.push(goal);
            }
            _ => return Ok(None),
        }
    }
    Ok((!complete.is_empty()).then_some(complete))
}

async fn is_planned_so(cache: &dyn Cache, goal: &Goal, declared: &ProjectGoal) -> Result<bool, CliError> {
    // Nothing is known of a plan that a model would have to make: its brief changed.
    let Some(dag) = live::declared(cache, declared).await? else { return Ok(false) };
    // Ids that another goal had were prefixed when it was planned.
    Ok(goal.digest == dag.digest() || dag.with_prefix(&goal.id).is_ok_and(|dag| dag.digest() == goal.digest))
}

async fn nothing_to_do(
    context: &Context,
    cache: &dyn Cache,
    project: &Project,
    complete: &[Goal],
) -> Result<u8, CliError> {
    if context.out.is_json() {
        let mut goals = Vec::new();
        for goal in &project.goals {
            goals.push(report::goal_report(cache, &goal.id).await?);
        }
        let report = RunReport {
            goals,
            unplanned: Vec::new(),
            interrupted: false,
            stuck: Vec::new(),
            duration: std::time::Duration::ZERO,
        };
        summary::print(context, &report, exit::COMPLETE, "run")?;
    } else if !context.out.is_quiet() {
        for goal in complete {
            let when = goal.ended_at.map(crate::output::time::moment).unwrap_or_default();
            let tasks = counted(usize::try_from(goal.counts.done).unwrap_or(usize::MAX), "task");
            context.out.line(format!(
                "Nothing to do: goal {} is complete ({tasks}, since {when}).",
                paint(STRONG, &goal.id)
            ))?;
        }
        if !context.is_shared() {
            context.out.line(paint(FAINT, format!("`{}` starts over.", context.command("run --fresh"))))?;
        }
    }
    Ok(exit::COMPLETE)
}

/// What will run, in a few lines.
fn preview(context: &Context, project: &Project) -> Result<(), CliError> {
    if context.out.is_json() || context.out.is_quiet() {
        return Ok(());
    }
    for goal in &project.goals {
        let agents = counted(project.agents_of(&goal.id).count(), "agent");
        let shape = match &goal.dag {
            Some(dag) => {
                let shape = Analysis::of(dag);
                format!(
                    "{} · {} · up to {} at once · {agents}",
                    counted(dag.len(), "task"),
                    counted(shape.depth, "step"),
                    shape.width
                )
            }
            None => format!("planned by a model · {agents}"),
        };
        context.out.line(format!("{}  {}", paint(STRONG, &goal.id), clean(&goal.title)))?;
        context.out.line(paint(FAINT, shape))?;
    }
    context.out.line("")
}

/// Why a run did not begin, or broke off.
pub(crate) fn refused(error: RunError, context: &Context) -> CliError {
    let message = chain(&error);
    match error {
        RunError::TooManyAgents { declared, .. } => CliError::bad_input(message)
            .hint(format!("raise the limit with `--max-agents {declared}`, or declare fewer agents")),
        RunError::AgentCycle { .. } => {
            CliError::bad_input(message).hint("take one of them out of `Depends On`")
        }
        RunError::Agent { .. } => CliError::new(Kind::Busy, message),
        RunError::NameTaken { .. } => CliError::new(Kind::Busy, message)
            .hint("two processes cannot have one name: stop that one, or give this one another name"),
        RunError::Replaced { .. } => CliError::new(Kind::Busy, message),
        RunError::OtherDeployment { .. } => CliError::new(Kind::Busy, message)
            .hint("give this project a `--redis-prefix` of its own: what shares a prefix is one deployment"),
        RunError::Planning { ref source, .. }
            if matches!(source.error, downbeat_core::llm::LlmError::Unusable { .. }) =>
        {
            CliError::bad_input(message)
        }
        RunError::Planning { .. } => CliError::new(Kind::Failed, message)
            .hint(format!("nothing was started; `{}` tries again", context.command("run"))),
        RunError::UnsoundPlan { .. } => {
            CliError::new(Kind::Failed, message).hint("say more about the goal, or write its checklist")
        }
        RunError::Unexecutable { .. } => CliError::bad_input(message),
        RunError::Cache(error) => CliError::from(error),
        _ => CliError::new(Kind::Internal, message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_becomes_an_exit_code() {
        let report = |interrupted| RunReport {
            goals: Vec::new(),
            unplanned: Vec::new(),
            interrupted,
            stuck: Vec::new(),
            duration: std::time::Duration::ZERO,
        };
        // No goal is not complete means that all are.
        assert_eq!(code_of(&report(true)), exit::COMPLETE);
        assert_eq!(code_of(&report(false)), exit::COMPLETE);
    }

    #[test]
    fn the_old_store_lies_beside_the_new_one() {
        assert_eq!(previous(Path::new("a/.downbeat/store")), Path::new("a/.downbeat/store.previous"));
    }
}
