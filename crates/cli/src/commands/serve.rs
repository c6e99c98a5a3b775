//! `downbeat serve`: the API of a store, without agents and without anybody who leads.

use clap::Args;
use downbeat_runtime::Stop;

use super::run;
use crate::api::{self, Listen};
use crate::args::examples;
use crate::context::Context;
use crate::error::CliError;
use crate::signals::{self, Terminate, Work};
use crate::store;

/// What this process is, for others that want its store.
const HOLDER: &str = "downbeat serve";

/// Serve the API of the store until Ctrl-C, without planning and without agents
///
/// For programs in other languages: docs/api.md. `downbeat run` and `downbeat orchestrator` serve it too.
#[derive(Debug, Args)]
#[command(after_help = examples(
    "  downbeat serve
  downbeat serve --listen=127.0.0.1:8003
  curl --unix-socket .downbeat/control.sock http://localhost/v1/status"
))]
pub(crate) struct Serve {
    #[command(flatten)]
    listen: Listen,
}

/// Serves until it is asked to end.
pub(crate) async fn serve(args: &Serve, context: &Context) -> Result<(), CliError> {
    run::own_directory(context)?;
    let stop = Stop::new();
    signals::listen(&stop, &context.out, Work::None, Terminate::AtOnce)?;
    let cache = store::open(&context.how(HOLDER)).await?;
    let served = api::serve(context, &cache, HOLDER, &args.listen).await?;
    context.out.note(format!("The API is at {}; Ctrl-C ends it.", served.at.join(" and ")));
    stop.draining().await;
    served.end(false).await;
    Ok(())
}
