//! The one thread that owns the store.
//!
//! It takes all operations that wait, decides them in order against the store and what the group has
//! decided so far, writes *one* record, syncs once if one of the group needs it, and answers all. So a sync
//! is shared by everybody who waits for one, and nobody is answered on the
//! strength of a write that a crash could still take back. Who needs no sync, a claim above all, is answered
//! before it: unless one of its group that does need it made work appear, on which the claim may rest.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use downbeat_core::cache::{CacheError, StreamLimits};
use downbeat_core::ids::StreamName;
use downbeat_core::time::Clock;
use tokio::sync::oneshot;

use crate::signals::Signals;
use crate::stats::Counters;
use crate::step::{Dags, Effects, Step};
use crate::store::{Store, panic_text};
use crate::txn::Writes;

/// The most operations of one group.
const GROUP: usize = 4_096;

/// The most keys that a group writes before it takes no more operations.
const GROUP_KEYS: usize = 2_048;

/// How often it is looked whether the journal is in sled, while nobody asks for anything.
const LOOK: Duration = Duration::from_millis(100);

/// What an operation's answer needs to be preceded by, if it wrote anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Need {
    /// Nothing: it may be forgotten.
    None,
    /// It survives the death of the process.
    Process,
    /// It survives the loss of power.
    Power,
}

/// Answers a caller: with what its operation decided, or with why nothing can be relied on.
type Answer = Box<dyn FnOnce(Result<(), CacheError>) + Send>;

/// What an operation did, and how to answer it.
type Decided = (Option<Effects>, Answer);

/// An operation that waits to be decided.
pub(crate) struct Job {
    need: Need,
    decide: Box<dyn FnOnce(Step<'_>) -> Decided + Send>,
    /// For when it is not even decided.
    give_up: Answer,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("need", &self.need).finish_non_exhaustive()
    }
}

impl Job {
    /// An operation and where its answer goes. The caller may have gone: that changes nothing.
    pub(crate) fn new<T: Send + 'static>(
        need: Need,
        operation: impl FnOnce(&mut Step<'_>) -> Result<T, CacheError> + Send + 'static,
        caller: oneshot::Sender<Result<T, CacheError>>,
    ) -> Self {
        let caller = Arc::new(std::sync::Mutex::new(Some(caller)));
        let send = move |answer: Result<T, CacheError>| {
            let mut caller = caller.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            if let Some(caller) = caller.take() {
                let _ = caller.send(answer);
            }
        };
        let refuse = send.clone();
        let decide = move |mut step: Step<'_>| -> Decided {
            let decided = operation(&mut step).and_then(|answer| Ok((step.finish()?, answer)));
            match decided {
                Ok((effects, answer)) => (
                    Some(effects),
                    Box::new(move |stands: Result<(), CacheError>| send(stands.map(|()| answer))),
                ),
                // An error changes nothing and relies on nothing that could be lost.
                Err(error) => {
                    (None, Box::new(move |stands: Result<(), CacheError>| send(stands.and(Err(error)))))
                }
            }
        };
        Self {
            need,
            decide: Box::new(decide),
            give_up: Box::new(move |why| {
                if let Err(error) = why {
                    refuse(Err(error));
                }
            }),
        }
    }
}

/// What the thread works with.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) epoch: u64,
    pub(crate) limits: StreamLimits,
    /// The most that is done for an answer.
    pub(crate) strongest: Need,
}

/// What a group has decided so far.
#[derive(Default)]
struct Group {
    writes: Writes,
    need: Option<Need>,
    /// Of those who wait for no sync.
    early: Vec<Answer>,
    answers: Vec<Answer>,
    /// Work appeared by what is not synced yet.
    rests_on_a_sync: bool,
    streams: BTreeMap<StreamName, u64>,
    work: u64,
}

impl Writer {
    /// Works until every sender is gone, then closes the store.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let mut dags = Dags::default();
        let mut broken: Option<String> = None;
        while let Some(first) = self.next(jobs, &mut broken) {
            if let Some(reason) = &broken {
                (first.give_up)(Err(unusable(reason)));
                continue;
            }
            let mut group = Group::default();
            let mut waiting = Some(first);
            while let Some(job) = waiting.take() {
                if let Err(reason) = self.decide(job, &mut group, &mut dags) {
                    broken = Some(reason);
                    break;
                }
                let full = group.answers.len().saturating_add(group.early.len()) >= GROUP
                    || group.writes.layer().len() >= GROUP_KEYS;
                waiting = if full { None } else { jobs.try_recv().ok() };
            }
            let Group { writes, need, early, answers, streams, work: appeared, .. } = group;
            if broken.is_none() {
                broken = self.write(writes).err();
            }
            // Who is answered may look for the news at once.
            if broken.is_none() {
                for (stream, last) in streams {
                    self.signals.stream_grew(&stream, last);
                }
                if appeared > 0 {
                    self.signals.work_appeared(appeared);
                }
            }
            for answer in early {
                answer(broken.as_ref().map_or(Ok(()), |reason| Err(unusable(reason))));
            }
            if broken.is_none() {
                broken = self.sync(need).err();
            }
            for answer in answers {
                answer(broken.as_ref().map_or(Ok(()), |reason| Err(unusable(reason))));
            }
            if broken.is_none() {
                broken = self.tidy().err();
            }
        }
        self.store.close();
    }

    /// The next operation; `None` when nobody can ask any more.
    fn next(&mut self, jobs: &Receiver<Job>, broken: &mut Option<String>) -> Option<Job> {
        while broken.is_none() && self.store.is_busy() {
            match jobs.recv_timeout(LOOK) {
                Ok(job) => return Some(job),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => *broken = self.tidy().err(),
            }
        }
        jobs.recv().ok()
    }

    /// Decides one operation on top of its group. An error says why the store can be used no more.
    fn decide(&self, job: Job, group: &mut Group, dags: &mut Dags) -> Result<(), String> {
        let Job { need, decide, give_up } = job;
        let step =
            Step::new(&self.store, group.writes.layer(), dags, self.clock.now(), (self.epoch, self.limits));
        let (effects, answer) = catch_unwind(AssertUnwindSafe(|| decide(step))).map_err(|panic| {
            let reason = panic_text(&*panic);
            tracing::error!(reason, "deciding an operation panicked");
            give_up(Err(unusable(&reason)));
            reason
        })?;
        let effects = effects.filter(|effects| !effects.writes.layer().is_empty() || effects.work > 0);
        // What was only read may be of this very group, and not synced yet.
        if need == Need::Process && effects.is_some() && !group.rests_on_a_sync {
            group.early.push(answer);
        } else {
            group.answers.push(answer);
        }
        if let Some(effects) = effects {
            group.rests_on_a_sync |= need == Need::Power && effects.work > 0;
            group.need = group.need.max(Some(need));
            group.writes.merge(effects.writes);
            group.streams.extend(effects.streams);
            group.work = group.work.saturating_add(effects.work);
        }
        Ok(())
    }

    /// Writes what a group decided: it survives the process. An error says why the store can be used no more:
    /// what is on the disk is then unknown until it is opened again.
    fn write(&mut self, writes: Writes) -> Result<(), String> {
        self.attempt(|store, counters| {
            if !writes.layer().is_empty() {
                counters.wrote(writes.layer());
                store.write(writes)?;
                counters.flushed();
            }
            Ok(())
        })
    }

    /// Makes it as durable as it needs; the same.
    fn sync(&mut self, need: Option<Need>) -> Result<(), String> {
        if need.map(|need| need.min(self.strongest)) < Some(Need::Power) {
            return Ok(());
        }
        self.attempt(|store, counters| {
            counters.synced();
            store.sync()
        })
    }

    /// Has a full journal brought into sled.
    fn tidy(&mut self) -> Result<(), String> {
        self.attempt(|store, _| store.tidy())
    }

    fn attempt(
        &mut self,
        work: impl FnOnce(&mut Store, &Counters) -> Result<(), CacheError>,
    ) -> Result<(), String> {
        let Self { store, counters, .. } = self;
        let reason = match catch_unwind(AssertUnwindSafe(|| work(store, counters))) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), |source| format!("{error}: {source}")),
            Err(panic) => panic_text(&*panic),
        };
        tracing::error!(reason, "writing to the store failed");
        Err(reason)
    }
}

fn unusable(reason: &str) -> CacheError {
    CacheError::Failed { reason: reason.to_owned() }
}

/// Starts the thread.
pub(crate) fn start(writer: Writer) -> std::io::Result<(Sender<Job>, std::thread::JoinHandle<()>)> {
    let (sender, jobs) = std::sync::mpsc::channel();
    let thread =
        std::thread::Builder::new().name("downbeat-sled".to_owned()).spawn(move || writer.run(&jobs))?;
    Ok((sender, thread))
}

#[cfg(test)]
mod tests {
    use downbeat_core::time::ManualClock;

    use super::*;
    use crate::layout::Key;

    fn writer(directory: &std::path::Path) -> Writer {
        Writer {
            store: Store::open(directory).unwrap(),
            clock: Arc::new(ManualClock::default()),
            signals: Arc::new(Signals::new(1)),
            counters: Arc::default(),
            epoch: 1,
            limits: StreamLimits::default(),
            strongest: Need::Power,
        }
    }

    fn started(directory: &std::path::Path) -> (Sender<Job>, std::thread::JoinHandle<()>) {
        start(writer(directory)).unwrap()
    }

    fn ask<T: Send + 'static>(
        jobs: &Sender<Job>,
        operation: impl FnOnce(&mut Step<'_>) -> Result<T, CacheError> + Send + 'static,
    ) -> oneshot::Receiver<Result<T, CacheError>> {
        let (caller, answer) = oneshot::channel();
        jobs.send(Job::new(Need::Power, operation, caller)).unwrap();
        answer
    }

    #[test]
    fn an_error_takes_back_what_its_operation_did_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let (jobs, thread) = started(directory.path());
        let set = |number| {
            move |step: &mut Step<'_>| {
                step.txn.set_number(&Key::LastOrdinal, number);
                if number == 2 { Err(CacheError::Invalid { reason: "two".to_owned() }) } else { Ok(()) }
            }
        };
        let answers = [ask(&jobs, set(1)), ask(&jobs, set(2))];
        let seen = ask(&jobs, |step| step.txn.number(&Key::LastOrdinal));
        assert_eq!(answers.map(|answer| answer.blocking_recv().unwrap().is_ok()), [true, false]);
        assert_eq!(seen.blocking_recv().unwrap().unwrap(), 1);
        drop(jobs);
        thread.join().unwrap();
    }

    /// In one group, in this order: a settle that unblocks nothing, a claim, one that unblocks, another claim.
    #[test]
    fn a_claim_waits_for_no_sync_unless_it_may_rest_on_one() {
        let directory = tempfile::tempdir().unwrap();
        let writer = writer(directory.path());
        let (mut group, mut dags) = (Group::default(), Dags::default());
        let mut decide = |need, work: u64, writes: bool| {
            let (caller, _) = oneshot::channel();
            let job = Job::new(
                need,
                move |step: &mut Step<'_>| {
                    if writes {
                        step.txn.set_number(&Key::LastOrdinal, work);
                    }
                    for _ in 0..work {
                        step.work_appeared();
                    }
                    Ok(())
                },
                caller,
            );
            writer.decide(job, &mut group, &mut dags).unwrap();
            (group.early.len(), group.answers.len())
        };
        assert_eq!(decide(Need::Power, 0, true), (0, 1));
        assert_eq!(decide(Need::Process, 0, true), (1, 1));
        assert_eq!(decide(Need::Process, 0, false), (1, 2), "it only read");
        assert_eq!(decide(Need::Power, 1, true), (1, 3));
        assert_eq!(decide(Need::Process, 0, true), (1, 4));
        writer.store.close();
    }

    #[test]
    fn after_a_panic_nothing_is_answered_as_if_it_stood() {
        let directory = tempfile::tempdir().unwrap();
        let (jobs, thread) = started(directory.path());
        let write = ask(&jobs, |step| {
            step.txn.set_number(&Key::LastOrdinal, 9);
            Ok(())
        });
        // Whether or not it shared the group, its answer is true.
        let stood = {
            let broken = ask(&jobs, |_| -> Result<(), CacheError> { panic!("as it was asked to") });
            assert!(broken.blocking_recv().unwrap().is_err());
            write.blocking_recv().unwrap().is_ok()
        };
        let later = ask(&jobs, |_| Ok(())).blocking_recv().unwrap().unwrap_err();
        assert!(later.to_string().contains("as it was asked to"), "{later}");
        drop(jobs);
        thread.join().unwrap();
        let store = Store::open(directory.path()).unwrap();
        assert_eq!(store.get(&Key::LastOrdinal.encode()).unwrap().is_some(), stood);
    }
}
