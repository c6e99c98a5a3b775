//! Calls of one process that wait at the same time go to the server as one.
//!
//! The group commit of this store: what a call costs beside its own work - reading it, the time, the epoch,
//! counts, news, the answer's way back - is paid once for all that came while the server was busy with
//! others. A call that finds nobody before it is sent at once, by itself; and by its own caller, who then
//! needs no other task to be woken, where calls come one by one. Whatever goes wrong with a batch,
//! each of its calls is made once more, alone: it has one effect, as after any lost answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::{Arg, Cmd, RedisError, Value};
use tokio::sync::oneshot;

use crate::scripts::{self, Script};
use crate::server::{Server, Tried};

/// At most so many verbs in one batch: Redis answers nobody else meanwhile.
const VERBS: usize = 32;
/// At most so many bytes in one batch, but for one verb that is larger.
const BYTES: usize = 64 * 1024;
/// How many batches are on their way at once: while the server works on one, the answers of the other are
/// handed out.
const FLIGHTS: usize = 2;
/// The parts of a call before what is the verb's own: see [`Server::call`].
const BEGINNING: usize = 5;

/// The calls that wait.
#[derive(Default)]
pub(crate) struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    calls: VecDeque<Call>,
    flights: usize,
    /// Whether the newest batch had several calls: then others come with the next one.
    crowded: bool,
}

/// A verb with its arguments, as it would be called alone.
struct Call {
    name: &'static str,
    cmd: Arc<Cmd>,
    /// None for a verb that has to be called alone.
    answer: oneshot::Sender<Option<Tried>>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The calls of the next batch. None when nobody waits: then the flight has ended.
    fn next(&self) -> Option<Vec<Call>> {
        let mut waiting = self.lock();
        let mut batch: Vec<Call> = Vec::new();
        let mut bytes = 0_usize;
        while let Some(call) = waiting.calls.front() {
            let size = call.cmd.args_iter().map(|arg| if let Arg::Simple(arg) = arg { arg.len() } else { 0 });
            bytes = bytes.saturating_add(size.sum());
            if !batch.is_empty() && (bytes > BYTES || batch.len() >= VERBS) {
                break;
            }
            // Nobody waits for its answer any more, and it has not begun.
            batch.extend(waiting.calls.pop_front().filter(|call| !call.answer.is_closed()));
        }
        if batch.is_empty() {
            return None;
        }
        waiting.crowded = batch.len() > 1;
        Some(batch)
    }
}

/// Whoever sends: a task that does so until nobody waits, or a caller that sends its own.
struct Flight(Arc<Server>);

impl Drop for Flight {
    /// Also when its runtime ends: those who wait on another one call alone.
    fn drop(&mut self) {
        let mut waiting = self.0.queue.lock();
        waiting.flights = waiting.flights.saturating_sub(1);
        if waiting.flights == 0 {
            waiting.calls.clear();
        }
    }
}

/// Calls a verb together with those that wait, too. None when it has to be called alone.
pub(crate) async fn call(server: &Arc<Server>, script: &Script, cmd: &Arc<Cmd>) -> Option<Tried> {
    if let Some(flight) = alone(server) {
        let connected = server.connected_now().await?;
        let tried = connected.query(cmd).await;
        drop(flight);
        return Some(tried);
    }
    let (answer, answered) = oneshot::channel();
    let starts = {
        let mut waiting = server.queue.lock();
        waiting.calls.push_back(Call { name: script.name, cmd: Arc::clone(cmd), answer });
        let starts = waiting.flights < FLIGHTS;
        waiting.flights = waiting.flights.saturating_add(usize::from(starts));
        starts
    };
    if starts {
        // Not within this call: its caller may give it up, and others' answers with it.
        tokio::spawn(Flight(Arc::clone(server)).fly());
    }
    answered.await.ok().flatten()
}

/// A flight for a caller that finds nobody before it, and nobody came with those before.
fn alone(server: &Arc<Server>) -> Option<Flight> {
    {
        let mut waiting = server.queue.lock();
        if waiting.crowded || waiting.flights > 0 {
            return None;
        }
        waiting.flights = 1;
    }
    // Made outside of the lock, which its end takes.
    Some(Flight(Arc::clone(server)))
}

impl Flight {
    async fn fly(self) {
        loop {
            // Those who were answered just now, or woken together with the first, come with their next call.
            tokio::task::yield_now().await;
            let Some(batch) = self.0.queue.next() else {
                return;
            };
            send(&self.0, batch).await;
        }
    }
}

async fn send(server: &Server, batch: Vec<Call>) {
    // Without a connection each caller looks for itself why.
    let Some(connected) = server.connected_now().await else {
        return;
    };
    let mut batch = batch.into_iter();
    if let (1, Some(only)) = (batch.len(), batch.as_slice().first()) {
        let tried = connected.query(&only.cmd).await;
        if let Some(only) = batch.next() {
            let _ = only.answer.send(Some(tried));
        }
        return;
    }
    let mut cmd = server.call(&scripts::BATCH);
    for call in batch.as_slice() {
        let own = call.cmd.args_iter().skip(BEGINNING);
        cmd.arg(call.name).arg(own.len());
        for arg in own {
            if let Arg::Simple(arg) = arg {
                cmd.arg(arg);
            }
        }
    }
    let (known, connected) = connected.query(&cmd).await;
    let mut answers = match known {
        // The first says that these are answers.
        Ok(Value::Array(answers)) if answers.len() > batch.len() => answers.into_iter().skip(1),
        of_all => {
            for call in batch {
                let _ = call.answer.send(Some((of_all.clone(), connected.clone())));
            }
            return;
        }
    };
    for call in batch {
        let known = answers.next().filter(|value| !is_alone(value)).map(Ok::<_, RedisError>);
        let _ = call.answer.send(known.map(|known| (known, connected.clone())));
    }
}

/// Whether a verb failed among others.
fn is_alone(answer: &Value) -> bool {
    matches!(answer, Value::Array(parts) if matches!(
        parts.as_slice(),
        [Value::BulkString(word)] if word.as_slice() == b"alone"
    ))
}
