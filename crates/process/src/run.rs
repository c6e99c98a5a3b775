//! A program from its start to its end.

use std::io;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::output::{Output, Sink};
use crate::program::Program;
use crate::report::{End, Report};
use crate::running::{Ended, Running};

/// How long the end of what was ended is waited for. It takes milliseconds; longer only what the
/// kernel itself holds, such as a process on a file system that does not answer.
const LAST_WAIT: Duration = Duration::from_secs(5);

/// Runs a program to its end, or to the end of its time, or until `cancel`, or until `sink` has had
/// enough. `sink` hears what it writes as it comes.
///
/// Below a guard nothing that the program started is left when this returns, nor soon after this
/// future is dropped or this process is killed.
///
/// # Errors
///
/// It could not be started, or its log could not be written.
pub async fn run(program: &Program, cancel: &CancellationToken, sink: &mut dyn Sink) -> io::Result<Report> {
    let mut output = Output::open(program).await?;
    let mut running = Running::start(program)?;
    output.listen_to(running.output.take(), running.errors.take());
    let mut forced = None;
    let ended = tokio::select! {
        ended = output.copy_until(sink, running.wait()) => ended?,
        () = tokio::time::sleep(program.timeout) => {
            forced = Some(End::TimedOut(program.timeout));
            running.terminate();
            tokio::time::timeout(program.grace, output.copy_until(sink, running.wait()))
                .await
                .unwrap_or(Ok(None))?
        }
        () = cancel.cancelled() => { forced = Some(End::Cancelled); None }
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            let forced = *forced.get_or_insert(End::Stopped);
            running.end().await;
            // What it still writes is taken, or it could not end; the sink's wish is known.
            let waited = tokio::time::timeout(LAST_WAIT, output.copy_until(&mut Deaf, running.wait())).await;
            waited.unwrap_or(Ok(None))?.unwrap_or(Ended { end: forced, confined: None })
        }
    };
    // Then the pipes have no writer and end.
    drop(running);
    let _ = tokio::time::timeout(program.grace, output.drain(sink)).await;
    let (tail, written) = output.finish().await?;
    Ok(Report { end: forced.unwrap_or(ended.end), tail, written, confined: ended.confined })
}

/// Takes everything and thinks nothing of it.
struct Deaf;

impl Sink for Deaf {
    fn piece(&mut self, _stream: crate::Stream, _bytes: &[u8]) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Continue(())
    }
}
