//! Begins lives one after the other, and watches over each until it has ended.

use std::sync::Arc;

use tokio::sync::{mpsc, watch};

use super::spawner::{Exit, Hire, Life, SpawnError, Spawner};

/// What a life is asked for, each harder than the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Press {
    Nothing,
    Drain,
    Stop,
    Kill,
}

/// A life to begin, and what it will be asked for.
pub(super) struct Job {
    pub(super) hire: Hire,
    pub(super) press: watch::Receiver<Press>,
}

/// What became of a life.
pub(super) struct Fate {
    pub(super) hire: Hire,
    pub(super) what: What,
}

pub(super) enum What {
    Began,
    NotBegun(SpawnError),
    Exited(Exit),
}

/// Begins lives in the order in which they come: who was admitted first is there first.
pub(super) async fn begin_all(
    spawner: Arc<dyn Spawner>,
    mut jobs: mpsc::UnboundedReceiver<Job>,
    fates: mpsc::UnboundedSender<Fate>,
) {
    while let Some(Job { hire, press }) = jobs.recv().await {
        match spawner.spawn(&hire).await {
            Ok(life) => watch(hire, life, press, &fates),
            Err(error) => {
                let _ = fates.send(Fate { hire, what: What::NotBegun(error) });
            }
        }
    }
}

/// Watches over a life that has begun.
pub(super) fn watch(
    hire: Hire,
    life: Box<dyn Life>,
    press: watch::Receiver<Press>,
    fates: &mpsc::UnboundedSender<Fate>,
) {
    let _ = fates.send(Fate { hire: hire.clone(), what: What::Began });
    tokio::spawn(tend(hire, life, press, fates.clone()));
}

async fn tend(
    hire: Hire,
    mut life: Box<dyn Life>,
    mut press: watch::Receiver<Press>,
    fates: mpsc::UnboundedSender<Fate>,
) {
    let exit = loop {
        let pressed = *press.borrow_and_update();
        match pressed {
            Press::Nothing => {}
            Press::Drain => life.drain(),
            Press::Stop => life.stop(),
            Press::Kill => life.kill(),
        }
        tokio::select! {
            exit = life.ended() => break exit,
            changed = press.changed() => if changed.is_err() {
                // Nobody supervises any more.
                life.stop();
                break life.ended().await;
            },
        }
    };
    let _ = fates.send(Fate { hire, what: What::Exited(exit) });
}
