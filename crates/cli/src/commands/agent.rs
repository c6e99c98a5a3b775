//! `downbeat agent`: one agent of a fleet, as a process of its own.

use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::Cache;
use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::suggest::nearest;
use downbeat_runtime::load::{Project, ProjectAgent};
use downbeat_runtime::solo::Left;
use downbeat_runtime::{Solo, Stop};
use serde_json::json;
use tokio::time::Instant;

use super::run;
use crate::args;
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
    let project = match role_text::project(args)? {
        Some(mut project) => {
            predecessor::place(&mut project, &context.config);
            project
        }
        None => run::load(context)?,
    };
    run::start_logs(context, &project, false);
    let name = AgentName::new(args.name.as_str())?;
    let mut agent = declared(&project, args.declared.as_deref().unwrap_or(name.as_str()))?;
    role_text::adapt(&mut agent.spec, args);
    let goal = args.goal.as_deref().map(|goal| goal_of(&project, goal)).transpose()?;
    let llm = models::of_agent(&project, &agent, context.config.chosen())?;
    let stop = Stop::new();
    let grace = Terminate::After(context.config.settings.drain_grace);
    signals::listen(&stop, &context.out, Work::Uncounted, grace)?;
    run::own_directory(context)?;
    let cache = shared(context).await?;
    let (cache, outage) = run::patient(context, cache, &stop);
    let solo = Solo {
        llm,
        scribe: models::scribe(),
        name,
        agent,
        goal,
        heartbeat: args.heartbeat.clone(),
        project,
        cache,
        clock: Arc::clone(&context.clock),
        settings: run::settings(context),
        generation: args.child.generation,
    };
    let left = Box::pin(run::while_reachable(context, &outage, &stop, solo.run(&stop))).await?;
    let code = match left {
        Left::Rest { complete: true } => exit::COMPLETE,
        Left::Rest { complete: false } => exit::FAILED,
        Left::Stopped => exit::INTERRUPTED,
    };
    if context.out.is_json() {
        let left = match left {
            Left::Rest { .. } => "rest",
            Left::Stopped => "stopped",
        };
        run::unless_closed(
            context.out.value(&json!({ "agent": solo.name, "left": left, "exit_code": code })),
        )?;
    }
    Ok(code)
}

/// The state that this agent shares with others: on a server, or through the process that holds the store.
async fn shared(context: &Context) -> Result<Arc<dyn Cache>, CliError> {
    match &context.store {
        Lies::Here(_) => {}
        Lies::Shared(_) => return store::open(&context.how("downbeat agent")).await,
        Lies::Remote(remote) => return Ok(Arc::new(api::reach(remote, ORCHESTRATOR).await?.0)),
    }
    let until = Instant::now() + ORCHESTRATOR;
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
