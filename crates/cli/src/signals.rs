//! How a person stops a run: once to finish what runs, twice to stop it, three times to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use downbeat_runtime::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;
use crate::exit;
use crate::output::Out;
use crate::output::style::{CARE, paint};
use crate::output::text::counted;

/// What SIGTERM means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Terminate {
    /// Stop the work and give it back.
    AtOnce,
    /// Let the work go on for so long first.
    After(Duration),
}

/// What a process has to bring home before it ends.
#[derive(Debug, Clone)]
pub(crate) enum Work {
    /// It runs so many tasks.
    Counted(Arc<AtomicUsize>),
    /// It runs tasks.
    Uncounted,
    /// It runs no task itself.
    None,
}

/// Passes signals on to `stop` until the process ends.
///
/// # Errors
///
/// The signals cannot be listened to.
pub(crate) fn listen(stop: &Stop, out: &Out, work: Work, terminated: Terminate) -> Result<(), CliError> {
    let listen = |kind| signal(kind).map_err(|error| CliError::internal("cannot listen to signals", &error));
    let (interrupt, terminate, hang_up) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    let signals = [interrupt, terminate, hang_up];
    tokio::spawn(pass_on(stop.clone(), out.clone(), work, terminated, signals));
    Ok(())
}

async fn pass_on(
    stop: Stop,
    out: Out,
    work: Work,
    terminated: Terminate,
    [mut interrupt, mut terminate, mut hang_up]: [Signal; 3],
) {
    loop {
        let (gently, patience) = tokio::select! {
            _ = interrupt.recv() => (true, None),
            _ = terminate.recv() => match terminated {
                Terminate::AtOnce => (false, None),
                Terminate::After(grace) => (true, Some(grace)),
            },
            _ = hang_up.recv() => (false, None),
        };
        let say = |text: String| out.log(&format!("{}\n", paint(CARE, text)));
        if stop.is_now() {
            say("leaving at once: the next run frees what is left".to_owned());
            crate::output::terminal::restore();
            std::process::exit(i32::from(exit::INTERRUPTED));
        } else if gently && !stop.is_draining() {
            say(match &work {
                Work::Uncounted => "finishing what runs; a second signal stops it".to_owned(),
                Work::None => "stopping".to_owned(),
                Work::Counted(running) => match running.load(Ordering::Relaxed) {
                    0 => "stopping".to_owned(),
                    tasks => format!("finishing {}; Ctrl-C again stops them", counted(tasks, "running task")),
                },
            });
            stop.drain();
            if let Some(patience) = patience {
                let stop = stop.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(patience).await;
                    stop.now();
                });
            }
        } else {
            say(match work {
                Work::None => "stopping",
                Work::Counted(_) | Work::Uncounted => "stopping the running tasks; they will be tried again",
            }
            .to_owned());
            stop.now();
        }
    }
}
