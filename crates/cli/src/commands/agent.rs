//! `downbeat agent`: one agent of a fleet, as a process of its own.

use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::Cache;
use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::suggest::nearest;
use downbeat_runtime::load::{Project, ProjectAgent};
use downbeat_runtime::solo::{Declaration, Declare, InForce, Left};
use downbeat_runtime::{Solo, Stop};
use serde_json::json;
use tokio::time::Instant;
use tracing::info;

use super::run;
use crate::args;
use crate::config::Config;
use crate::context::{Context, Flags};
use crate::error::{CliError, Kind};
use crate::output::text::{clean, cut};
use crate::predecessor::{self, role_text};
use crate::signals::{self, Terminate, Work};
use crate::store::Lies;
use crate::{api, exit, models, store};

/// How long an agent that is started first waits for who holds the store.
const ORCHESTRATOR: Duration = Duration::from_secs(10);

/// The settings that the options of this command set.
pub(crate) fn flags(args: &args::Agent) -> Flags {
    vec![
        ("llm", args.model.llm.clone()),
        ("task_timeout", args.timeout.clone()),
        ("lease_ttl", args.lease_ttl.clone()),
        ("selection", args.selection.clone()),
        ("max_parallel_calls", args.max_parallel_calls.clone()),
        ("keep_running", args.keep_running.then(|| "true".to_owned())),
    ]
}

/// Works as one agent until its goals rest.
pub(crate) async fn agent(args: &args::Agent, context: &Context) -> Result<u8, CliError> {
    let name = AgentName::new(args.name.as_str())?;
    let stop = Stop::new();
    let (cache, declaration, declare) = tokio::select! {
        joined = join(args, context, &stop) => joined?,
        // Nothing was taken on yet, and whom it waits for may never come.
        () = stop.draining() => return left(&name, &Left::Stopped, context),
    };
    let goal = args.goal.as_deref().map(|goal| goal_of(&declaration.project, goal)).transpose()?;
    let (cache, outage) = run::patient(context, cache, &stop);
    let solo = Solo {
        name,
        declaration,
        declare,
        goal,
        heartbeat: args.heartbeat.clone(),
        cache,
        scribe: models::scribe(),
        clock: Arc::clone(&context.clock),
        settings: run::settings(context),
        generation: args.child.generation,
    };
    let how = Box::pin(run::while_reachable(context, &outage, &stop, solo.run(&stop))).await?;
    left(&solo.name, &how, context)
}

/// The state that it shares, as what it is declared, and how it follows the instructions in force.
async fn join(
    args: &args::Agent,
    context: &Context,
    stop: &Stop,
) -> Result<(Arc<dyn Cache>, Declaration, Option<Declare>), CliError> {
    if let Some(project) = role_text::project(args)? {
        run::start_logs(context, &project, false);
        let declaration = of_project(project, args, &context.config)?;
        begin(context, stop)?;
        return Ok((shared(context, ORCHESTRATOR).await?, declaration, None));
    }
    let declare = declare(args, context);
    let (cache, declaration) = in_force(&declare, args, context, stop).await?;
    // One that an orchestrator started is started again by it when it is declared otherwise.
    Ok((cache, declaration, args.child.seat.is_none().then_some(declare)))
}

/// Says how it ended, with the exit code for that.
fn left(name: &AgentName, how: &Left, context: &Context) -> Result<u8, CliError> {
    let code = match how {
        Left::Rest { complete: true } => exit::COMPLETE,
        Left::Rest { complete: false } => exit::FAILED,
        Left::Stopped | Left::Undeclared => exit::INTERRUPTED,
    };
    if context.out.is_json() {
        let left = match how {
            Left::Rest { .. } => "rest",
            Left::Stopped => "stopped",
            Left::Undeclared => "undeclared",
        };
        run::unless_closed(context.out.value(&json!({ "agent": name, "left": left, "exit_code": code })))?;
    }
    Ok(code)
}

fn begin(context: &Context, stop: &Stop) -> Result<(), CliError> {
    let grace = Terminate::After(context.config.settings.drain_grace);
    signals::listen(stop, &context.out, Work::Uncounted, grace)?;
    run::own_directory(context)
}

/// The state, and what this agent is declared as by the instructions in force there; by its own file, as long as
/// there are none. What is wrong with that file is of no account while others are in force.
async fn in_force(
    declare: &Declare,
    args: &args::Agent,
    context: &Context,
    stop: &Stop,
) -> Result<(Arc<dyn Cache>, Declaration), CliError> {
    let own = run::load(context).and_then(|project| {
        run::start_logs(context, &project, false);
        of_project(project, args, &context.config)
    });
    let cache = match &own {
        Ok(_) => {
            begin(context, stop)?;
            shared(context, ORCHESTRATOR).await?
        }
        // Nobody is waited for who might know better.
        Err(wrong) => match shared(context, Duration::ZERO).await {
            Ok(cache) => {
                begin(context, stop)?;
                cache
            }
            Err(_) => return Err(wrong.clone()),
        },
    };
    let said = declare.in_force(cache.as_ref()).await?;
    let declaration = match (said, own) {
        (InForce::Declared(declared), own) => {
            match &own {
                Ok(own) if declared.differs_from(own) => {
                    let file = declare.path.display();
                    info!(target: "runtime", agent = %args.name, "{file} says something else than the \
                        instructions in force, which are followed");
                }
                Ok(_) => {}
                Err(wrong) => {
                    run::start_logs(context, &declared.project, false);
                    context.out.reports(&wrong.reports);
                    let file = declare.path.display();
                    context
                        .out
                        .warning(format!("{file} is of no use: the instructions in force are followed"));
                }
            }
            *declared
        }
        (_, own) => own?,
    };
    Ok((cache, declaration))
}

/// Finds this agent in the instructions in force.
fn declare(args: &args::Agent, context: &Context) -> Declare {
    let (args, config) = (args.clone(), context.config.clone());
    let make = move |project: Project| match of_project(project, &args, &config) {
        Ok(declaration) => Ok(Some(Declaration { in_force: true, ..declaration })),
        Err(error) if error.kind == Kind::NotFound => Ok(None),
        Err(error) => Err(error.message),
    };
    Declare { path: context.place.instructions.clone(), make: Arc::new(make) }
}

/// As what this agent is declared in a project, with its model.
fn of_project(mut project: Project, args: &args::Agent, config: &Config) -> Result<Declaration, CliError> {
    predecessor::place(&mut project, config);
    let mut agent = declared(&project, args.declared.as_deref().unwrap_or(&args.name))?;
    role_text::adapt(&mut agent.spec, args);
    let llm = models::of_agent(&project, &agent, config.chosen())?;
    Ok(Declaration { project, agent, llm, in_force: false })
}

/// The state that this agent shares with others: on a server, or through the process that holds the store, which
/// is waited for so long.
async fn shared(context: &Context, patience: Duration) -> Result<Arc<dyn Cache>, CliError> {
    match &context.store {
        Lies::Here(_) => {}
        Lies::Shared(_) => return store::open(&context.how("downbeat agent")).await,
        Lies::Remote(remote) => return Ok(Arc::new(api::reach(remote, patience).await?.0)),
    }
    let until = Instant::now() + patience;
    loop {
        if let Some((cache, _)) = context.join().await? {
            return Ok(cache);
        }
        if Instant::now() >= until {
            let message = format!("nobody answers at {}", api::place(context).display());
            return Err(CliError::new(Kind::Unreachable, message)
                .hint(format!("start `{}` first, or `run`", context.command("orchestrator")))
                .hint(
                    "`--cache http://HOST:PORT` or `redis://HOST:PORT` is for agents on several machines",
                ));
        }
        tokio::time::sleep(store::BETWEEN).await;
    }
}

fn declared(project: &Project, name: &str) -> Result<ProjectAgent, CliError> {
    let names = || project.agents.iter().map(|agent| agent.spec.name.value.as_str());
    if let Some(agent) = project.agents.iter().find(|agent| agent.spec.name.value.as_str() == name) {
        return Ok(agent.clone());
    }
    let shown = cut(&clean(name), 80);
    let error = CliError::new(
        Kind::NotFound,
        format!("no agent `{shown}` is declared in {}", project.path.display()),
    );
    let error = match nearest(name, names()) {
        Some(near) => error.hint(format!("is it `{near}`?")),
        None => error,
    };
    Err(error.hint("`--as NAME` works as a declared agent under another name"))
}

fn goal_of(project: &Project, goal: &str) -> Result<GoalId, CliError> {
    let found = project.goals.iter().find(|found| found.id.as_str() == goal);
    found.map(|found| found.id.clone()).ok_or_else(|| {
        let shown = cut(&clean(goal), 80);
        let error = format!("no goal `{shown}` is declared in {}", project.path.display());
        let error = CliError::new(Kind::NotFound, error);
        match nearest(goal, project.goals.iter().map(|found| found.id.as_str())) {
            Some(near) => error.hint(format!("is it `{near}`?")),
            None => error,
        }
    })
}
