//! One file for each command.

mod agent;
pub(crate) mod archive;
mod completions;
mod doctor;
mod events;
mod fleet;
mod graph;
mod in_force;
mod init;
mod orchestrator;
mod plan;
mod plan_diff;
mod providers;
mod run;
mod schema;
pub(crate) mod serve;
mod status;
mod steer;
mod summary;
mod task;
mod why;

pub(crate) use run::logs_directory;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Cli, Command, GoalCommand, GroupCommand, TaskCommand};
use crate::context::{Context, Flags, colour};
use crate::error::{CliError, Kind};
use crate::exit;
use crate::logs::{self, Logs};
use crate::output::Out;
use crate::output::text::{clean, clean_block};
use crate::predecessor;
use crate::spawned;

/// Reads the command line and does what it says.
pub(crate) fn main() -> ExitCode {
    let cli = match predecessor::read().unwrap_or_else(Cli::try_parse) {
        Ok(cli) => cli,
        Err(error) => {
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                // That nobody reads the help is no error.
                let _ = error.print();
                return ExitCode::from(exit::COMPLETE);
            }
            if std::env::args_os().any(|word| word == "--json") {
                Out::new(true, false, colour(None)).error(&usage(&error));
            } else {
                let _ = error.print();
            }
            return ExitCode::from(exit::BAD_INPUT);
        }
    };
    let color = cli.global.color.as_deref();
    let out = Out::new(cli.global.json, cli.global.quiet, colour(color));
    match carry_out(&cli, &out) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            out.error(&error);
            ExitCode::from(error.kind.exit())
        }
    }
}

/// What is wrong with the command line, for programs.
fn usage(error: &clap::Error) -> CliError {
    let text = clean_block(&error.render().to_string());
    let mut paragraphs = text.split("\n\n");
    let message = paragraphs.next().unwrap_or_default().trim_start_matches("error: ");
    let message = message.lines().map(str::trim).collect::<Vec<_>>().join(" ");
    let hints = paragraphs.map(str::trim).filter(|hint| !hint.is_empty() && !hint.starts_with("For more"));
    CliError { hints: hints.map(str::to_owned).collect(), ..CliError::new(Kind::BadInput, message) }
}

/// Settings and versions keep paths as texts: another path would be taken for one that is none.
fn readable() -> Result<(), CliError> {
    let Some(word) = std::env::args_os().skip(1).find(|word| word.to_str().is_none()) else { return Ok(()) };
    let shown = clean(&word.to_string_lossy());
    Err(CliError::bad_input(format!("the argument `{shown}` is no text in UTF-8"))
        .hint("a directory that is called so works from inside: `cd` there, and leave it out"))
}

fn carry_out(cli: &Cli, out: &Out) -> Result<u8, CliError> {
    // Before there is a second thread.
    let seated = match &cli.command {
        Command::Agent(args) => spawned::begin(args)?,
        _ => None,
    };
    match &cli.command {
        // What it is given is what its orchestrator found, and it writes down no paths.
        Command::Agent(args) if args.child.seat.is_some() => {}
        _ => readable()?,
    }
    // What needs no project.
    match &cli.command {
        Command::Init(args) => return init::init(args, out).map(|()| exit::COMPLETE),
        Command::Schema(args) => return schema::schema(args, out).map(|()| exit::COMPLETE),
        Command::Completions(args) => return completions::completions(args, out).map(|()| exit::COMPLETE),
        Command::Doctor(_) => return in_runtime(doctor::doctor(&cli.global, out)),
        Command::Predecessor(command) => return predecessor::small(command, cli, out),
        _ => {}
    }
    let (positional, flags) = match &cli.command {
        Command::Run(args) => (args.instructions.as_deref(), run::flags(args)),
        Command::Orchestrator(args) => (args.instructions.named(), orchestrator::flags(args)),
        Command::Agent(args) => (args.instructions.named(), agent::flags(args)),
        Command::Plan(args) => (args.instructions.as_deref(), vec![("llm", args.model.llm.clone())]),
        _ => (None, Flags::new()),
    };
    let context = Context::of(cli, positional, flags)?;
    if !matches!(
        cli.command,
        Command::Run(_) | Command::Orchestrator(_) | Command::Agent(_) | Command::Serve(_)
    ) {
        start_logs(&context);
    }
    if let Command::Agent(args) = &cli.command {
        spawned::bound_log(args, &context, &context.out);
    }
    let code = in_runtime(with_context(cli, &context))?;
    spawned::ended(seated, code)
}

async fn with_context(cli: &Cli, context: &Context) -> Result<u8, CliError> {
    match &cli.command {
        Command::Run(args) => return Box::pin(run::run(args, context)).await,
        Command::Orchestrator(args) => return Box::pin(orchestrator::orchestrator(args, context)).await,
        Command::Serve(args) => serve::serve(args, context).await?,
        Command::Agent(args) => return Box::pin(agent::agent(args, context)).await,
        Command::Plan(args) if args.diff => plan_diff::plan_diff(args, context).await?,
        Command::Plan(_) => plan::plan(context).await?,
        Command::Status(_) => status::status(context).await?,
        Command::Task(TaskCommand::Show(args)) => task::show(&args.task, context).await?,
        Command::Task(TaskCommand::List(args)) => task::list(args, context).await?,
        Command::Task(TaskCommand::Retry(args)) => steer::retry(&args.task, context).await?,
        Command::Task(TaskCommand::Cancel(args)) => steer::cancel(&args.task, context).await?,
        Command::Goal(GoalCommand::Cancel(args)) => steer::cancel_goal(&args.goal, context).await?,
        Command::Goal(GoalCommand::Archive(args)) => archive::archive(args, context).await?,
        Command::Goal(GoalCommand::Remove(args)) => archive::remove(args, context).await?,
        Command::Why(args) => why::why(&args.of, context).await?,
        Command::Events(args) => events::events(args, context).await?,
        Command::Graph(args) => graph::graph(args, context).await?,
        Command::Start(args) => fleet::start(&args.whom, context).await?,
        Command::Stop(args) => fleet::stop(&args.whom, context).await?,
        Command::Restart(args) => fleet::restart(&args.whom, context).await?,
        Command::Group(GroupCommand::List) => fleet::list(context).await?,
        Command::Group(GroupCommand::Limit { group, agents }) => {
            fleet::limit(group, agents.0, context).await?;
        }
        Command::Pause(args) if args.agent.starts_with(fleet::GROUP) => {
            fleet::pause(&args.agent, context).await?;
        }
        Command::Resume(args) if args.agent.starts_with(fleet::GROUP) => {
            fleet::resume(&args.agent, context).await?;
        }
        Command::Pause(args) => steer::pause(&args.agent, context).await?,
        Command::Resume(args) => steer::resume(&args.agent, context).await?,
        Command::Drop(args) => steer::drop_task(&args.task, context).await?,
        Command::Elevate(args) => steer::elevate(&args.task, args.priority, context).await?,
        Command::Flush(args) => steer::flush(&args.agent, context).await?,
        Command::Retry(args) => steer::retry(&args.task, context).await?,
        Command::Cancel(args) => steer::cancel(&args.task, context).await?,
        Command::Reparse(args) => steer::reparse(args, context).await?,
        Command::Init(_) | Command::Doctor(_) | Command::Schema(_) | Command::Completions(_) => {}
        Command::Predecessor(_) => {}
    }
    Ok(exit::COMPLETE)
}

pub(crate) fn in_runtime<T>(work: impl Future<Output = Result<T, CliError>>) -> Result<T, CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::internal("cannot start", &error))?;
    let result = runtime.block_on(work);
    // A blocking task that hangs, such as a read of a slow disk, must not hold up the end.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    result
}

/// Logs what is at least a warning, unless a level is chosen.
fn start_logs(context: &Context) {
    Logs {
        out: context.out.clone(),
        format: context.config.log_format,
        level: logs::level(context.config.log_level.as_deref().unwrap_or("warn")),
        agents: std::collections::HashMap::new(),
        beside_view: false,
    }
    .start();
}
