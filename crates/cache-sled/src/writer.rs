//! The one thread that owns the store.
//!
//! It takes all operations that wait, decides them in order against the store and what was decided so far,
//! and writes *one* record. Then the [`syncer`](crate::syncer) syncs it, if one of the group needs it, and
//! answers all, while this thread decides the next group. So a sync is shared by everybody who waits for one,
//! and nobody is answered on the strength of a write that a crash could still take back. Who needs no sync,
//! a claim above all, is answered before it: unless one that does need it made work appear and is not synced
//! yet, on which the claim may rest.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use downbeat_core::cache::{CacheError, StreamLimits};
use downbeat_core::ids::StreamName;
use downbeat_core::time::Clock;
use tokio::sync::oneshot;

use crate::kept::Kept;
use crate::signals::Signals;
use crate::stats::Counters;
use crate::step::{Effects, Step};
use crate::store::{Store, panic_text};
use crate::syncer::{Syncer, Written};
use crate::txn::Txn;

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

/// An operation that waits to be decided, then to be answered.
pub(crate) trait Operation: Send {
    /// Decides it, once; `None`: it is refused, and changed nothing.
    fn decide(&mut self, step: Step<'_>) -> Option<Effects>;

    /// Answers its caller: with what was decided, or with why nothing can be relied on.
    fn answer(self: Box<Self>, stands: Result<(), CacheError>);
}

struct Asked<T, F> {
    operation: Option<F>,
    decided: Option<Result<T, CacheError>>,
    caller: oneshot::Sender<Result<T, CacheError>>,
}

impl<T, F> Operation for Asked<T, F>
where
    T: Send,
    F: FnOnce(&mut Step<'_>) -> Result<T, CacheError> + Send,
{
    fn decide(&mut self, mut step: Step<'_>) -> Option<Effects> {
        let decided = self.operation.take()?(&mut step);
        let stands = decided.is_ok();
        self.decided = Some(decided);
        // An error relies on nothing that could be lost.
        stands.then(|| step.finish())
    }

    fn answer(self: Box<Self>, stands: Result<(), CacheError>) {
        let Self { decided, caller, .. } = *self;
        let undecided = || Err(unusable("it was not decided"));
        // The caller may have gone: that changes nothing.
        let _ = caller.send(stands.and_then(|()| decided.unwrap_or_else(undecided)));
    }
}

/// An operation, and what its answer needs.
pub(crate) struct Job {
    need: Need,
    operation: Box<dyn Operation>,
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("need", &self.need).finish_non_exhaustive()
    }
}

impl Job {
    /// An operation and where its answer goes.
    pub(crate) fn new<T: Send + 'static>(
        need: Need,
        operation: impl FnOnce(&mut Step<'_>) -> Result<T, CacheError> + Send + 'static,
        caller: oneshot::Sender<Result<T, CacheError>>,
    ) -> Self {
        Self { need, operation: Box::new(Asked { operation: Some(operation), decided: None, caller }) }
    }
}

/// What the thread works with.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) store: Store,
    pub(crate) syncer: Syncer,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) signals: Arc<Signals>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) epoch: u64,
    pub(crate) limits: StreamLimits,
    /// The most that is done for an answer.
    pub(crate) strongest: Need,
    pub(crate) kept: Kept,
    /// The newest group with the syncer by which work appeared.
    pub(crate) work_unsynced: u64,
}

/// What a group has decided so far.
#[derive(Default)]
struct Group {
    need: Option<Need>,
    /// Those who wait for no sync.
    early: Vec<Box<dyn Operation>>,
    waiting: Vec<Box<dyn Operation>>,
    /// Work appeared by what is not synced yet.
    work_unsynced: bool,
    streams: BTreeMap<StreamName, u64>,
    work: u64,
}

impl Writer {
    /// Works until every sender is gone, then closes the store.
    pub(crate) fn run(mut self, jobs: &Receiver<Job>) {
        let mut broken: Option<String> = None;
        while let Some(first) = self.next(jobs, &mut broken) {
            broken = broken.or_else(|| self.syncer.failed().map(str::to_owned));
            if let Some(reason) = &broken {
                first.operation.answer(Err(unusable(reason)));
                continue;
            }
            let mut group = Group::default();
            let mut waiting = Some(first);
            while let Some(job) = waiting.take() {
                if let Err(reason) = self.decide(job, &mut group) {
                    broken = Some(reason);
                    break;
                }
                let full = group.waiting.len().saturating_add(group.early.len()) >= GROUP
                    || self.store.unwritten() >= GROUP_KEYS;
                waiting = if full { None } else { jobs.try_recv().ok() };
            }
            if broken.is_none() {
                broken = self.write().err();
            }
            if let Some(reason) = &broken {
                for operation in group.early.into_iter().chain(group.waiting) {
                    operation.answer(Err(unusable(reason)));
                }
                continue;
            }
            self.answer(group);
            broken = self.tidy().err();
        }
        broken = self.syncer.end().or(broken);
        if broken.is_some() { self.store.abandon() } else { self.store.close() }
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
    fn decide(&mut self, job: Job, group: &mut Group) -> Result<(), String> {
        let Job { need, mut operation } = job;
        // What only looks may look through everything that is stored.
        if need == Need::None {
            self.write_kept()?;
        }
        let now = self.clock.now();
        let step = Step::new(&self.store, &mut self.kept, now, (self.epoch, self.limits));
        let effects = match catch_unwind(AssertUnwindSafe(|| operation.decide(step))) {
            Ok(effects) => effects.filter(|effects| !effects.is_nothing()),
            Err(panic) => {
                let reason = panic_text(&*panic);
                tracing::error!(reason, "deciding an operation panicked");
                operation.answer(Err(unusable(&reason)));
                return Err(reason);
            }
        };
        // What was only read may not be synced yet.
        if need == Need::Process && effects.is_some() && !group.work_unsynced && self.work_is_synced() {
            group.early.push(operation);
        } else {
            group.waiting.push(operation);
        }
        if let Some(Effects { writes, changed, work }) = effects {
            group.work_unsynced |= need == Need::Power && work > 0;
            group.need = group.need.max(Some(need));
            group.streams.extend(changed.heads.iter().map(|(stream, head)| (stream.clone(), head.last)));
            group.work = group.work.saturating_add(work);
            self.kept.take(changed);
            self.attempt(|store, counters| {
                counters.took(writes.layer());
                store.take(writes)
            })?;
        }
        Ok(())
    }

    /// Whether all work that ever appeared did so by what is synced.
    fn work_is_synced(&self) -> bool {
        // In this order: what was answered with a failure is seen to have failed.
        self.syncer.has_answered(self.work_unsynced) && self.syncer.failed().is_none()
    }

    /// Encodes what is kept and not encoded yet.
    fn write_kept(&mut self) -> Result<(), String> {
        if self.kept.is_written() {
            return Ok(());
        }
        let mut txn = Txn::new(&self.store);
        self.kept.write(&mut txn).map_err(|error| error.to_string())?;
        let writes = txn.into_writes();
        self.attempt(|store, counters| {
            counters.took(writes.layer());
            store.take(writes)
        })
    }

    /// Writes what a group decided: it survives the process. An error says why the store can be used no more:
    /// what is on the disk is then unknown until it is opened again.
    fn write(&mut self) -> Result<(), String> {
        self.write_kept()?;
        self.attempt(|store, counters| {
            if store.unwritten() > 0 {
                store.write()?;
                counters.wrote();
            }
            Ok(())
        })
    }

    /// Answers a group that is written, or has the syncer do it.
    fn answer(&mut self, group: Group) {
        let Group { need, early, waiting, work_unsynced, streams, work } = group;
        // Who is answered may look for the news at once.
        for (stream, last) in streams {
            self.signals.stream_grew(&stream, last);
        }
        if work > 0 {
            self.signals.work_appeared(work);
        }
        for operation in early {
            operation.answer(Ok(()));
        }
        let synced = need.map(|need| need.min(self.strongest)) >= Some(Need::Power);
        if !synced && self.syncer.is_idle() {
            for operation in waiting {
                operation.answer(Ok(()));
            }
        } else if synced || !waiting.is_empty() {
            let sync = synced.then(|| self.store.sync_point());
            let number = self.syncer.give(Written { sync, waiting });
            if work_unsynced {
                self.work_unsynced = number;
            }
        }
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

pub(crate) fn unusable(reason: &str) -> CacheError {
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
    use crate::journal::SyncPoint;
    use crate::layout::{Head, Key};

    fn writer(directory: &std::path::Path) -> Writer {
        let counters = Arc::default();
        Writer {
            store: Store::open(directory).unwrap(),
            syncer: Syncer::start(&counters).unwrap(),
            clock: Arc::new(ManualClock::default()),
            signals: Arc::new(Signals::new(1)),
            counters,
            epoch: 1,
            limits: StreamLimits::default(),
            strongest: Need::Power,
            kept: Kept::default(),
            work_unsynced: 0,
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

    fn decide(writer: &mut Writer, group: &mut Group, need: Need, work: u64, writes: bool) -> (usize, usize) {
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
        writer.decide(job, group).unwrap();
        (group.early.len(), group.waiting.len())
    }

    /// In one group, in this order: a settle that unblocks nothing, a claim, one that unblocks, another claim.
    #[test]
    fn a_claim_waits_for_no_sync_unless_it_may_rest_on_one() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path());
        let mut group = Group::default();
        let mut decide = |need, work, writes| decide(&mut writer, &mut group, need, work, writes);
        assert_eq!(decide(Need::Power, 0, true), (0, 1));
        assert_eq!(decide(Need::Process, 0, true), (1, 1));
        assert_eq!(decide(Need::Process, 0, false), (1, 2), "it only read");
        assert_eq!(decide(Need::Power, 1, true), (1, 3));
        assert_eq!(decide(Need::Process, 0, true), (1, 4));
        writer.syncer.end();
        writer.store.close();
    }

    /// The same when the settle is of a group before, whose sync is under way.
    #[test]
    fn a_claim_may_rest_on_a_group_before_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path());
        let mut group = Group::default();
        writer.work_unsynced = 1;
        assert_eq!(decide(&mut writer, &mut group, Need::Process, 0, true), (0, 1));
        assert_eq!(decide(&mut writer, &mut group, Need::Process, 0, false), (0, 2));
        // Two wait, so the syncer's thread does it.
        let waiting = std::mem::take(&mut group.waiting);
        let sync = Some(writer.store.sync_point());
        assert_eq!(writer.syncer.give(Written { sync, waiting }), 1);
        while !writer.syncer.is_idle() {
            std::thread::yield_now();
        }
        assert_eq!(decide(&mut writer, &mut group, Need::Process, 0, true), (1, 0));
        writer.syncer.end();
        writer.store.close();
    }

    /// What was not synced then, and so answered with an error, is no ground to stand on.
    #[test]
    fn a_claim_never_rests_on_a_sync_that_failed() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path());
        let mut group = Group::default();
        assert_eq!(decide(&mut writer, &mut group, Need::Power, 1, true), (0, 1));
        assert_eq!(decide(&mut writer, &mut group, Need::Power, 0, true), (0, 2));
        let waiting = std::mem::take(&mut group).waiting;
        // A directory that is gone cannot be synced.
        let sync = Some(SyncPoint::failing());
        writer.work_unsynced = writer.syncer.give(Written { sync, waiting });
        while !writer.syncer.is_idle() {
            std::thread::yield_now();
        }
        assert_eq!(decide(&mut writer, &mut group, Need::Process, 0, true), (0, 1));
        assert!(writer.syncer.end().is_some());
        writer.store.abandon();
    }

    /// Readers are answered behind what they read, and a look at everything sees what is not encoded yet.
    #[test]
    fn answers_come_in_the_order_of_what_they_rest_on() {
        let directory = tempfile::tempdir().unwrap();
        let (jobs, thread) = started(directory.path());
        let stream: StreamName = "s".parse().unwrap();
        let mut answers = Vec::new();
        for number in 1..=100_u64 {
            let (to, from) = (stream.clone(), stream.clone());
            answers.push((
                number,
                ask(&jobs, move |step| {
                    let head = Head { last: number, ..Head::default() };
                    step.put_head(to, head);
                    Ok(number)
                }),
            ));
            let (caller, answer) = oneshot::channel();
            let look = move |step: &mut Step<'_>| {
                let stored: Option<Head> = step.txn.read(&Key::Head(from))?;
                Ok(stored.map_or(0, |head| head.last))
            };
            jobs.send(Job::new(Need::None, look, caller)).unwrap();
            answers.push((number, answer));
        }
        for (number, answer) in answers.into_iter().rev() {
            assert_eq!(answer.blocking_recv().unwrap().unwrap(), number);
        }
        drop(jobs);
        thread.join().unwrap();
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
