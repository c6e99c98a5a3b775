//! How a person stops a run: once to finish what runs, twice to stop it, three times to leave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use downbeat_runtime::Stop;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;
use crate::exit;
use crate::output::Out;
use crate::output::style::{CARE, paint};
use crate::output::text::counted;

/// Passes signals on to `stop` until the process ends. `running` is how many tasks run.
///
/// # Errors
///
/// The signals cannot be listened to.
pub(crate) fn listen(stop: &Stop, out: &Out, running: &Arc<AtomicUsize>) -> Result<(), CliError> {
    let listen = |kind| signal(kind).map_err(|error| CliError::internal("cannot listen to signals", &error));
    let (interrupt, terminate, hang_up) =
        (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    tokio::spawn(pass_on(stop.clone(), out.clone(), Arc::clone(running), interrupt, terminate, hang_up));
    Ok(())
}

async fn pass_on(
    stop: Stop,
    out: Out,
    running: Arc<AtomicUsize>,
    mut interrupt: Signal,
    mut terminate: Signal,
    mut hang_up: Signal,
) {
    loop {
        let gently = tokio::select! {
            _ = interrupt.recv() => true,
            _ = terminate.recv() => false,
            _ = hang_up.recv() => false,
        };
        let say = |text: String| out.log(&format!("{}\n", paint(CARE, text)));
        if stop.is_now() {
            say("leaving at once: the next run frees what is left".to_owned());
            crate::output::terminal::restore();
            std::process::exit(i32::from(exit::INTERRUPTED));
        } else if gently && !stop.is_draining() {
            match running.load(Ordering::Relaxed) {
                0 => say("stopping".to_owned()),
                tasks => {
                    say(format!("finishing {}; Ctrl-C again stops them", counted(tasks, "running task")));
                }
            }
            stop.drain();
        } else {
            say("stopping the running tasks; they will be tried again".to_owned());
            stop.now();
        }
    }
}
