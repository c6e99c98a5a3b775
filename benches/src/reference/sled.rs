//! What the disk and the store can do at best for the work of the embedded cache.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use downbeat_cache_sled::Stats;

use crate::work::Watch;

/// Writes as many keys and bytes as a cache did, in as many raw sled batches, each flushed and synced
/// as often as the cache did: what the store costs without any rule.
pub(crate) fn raw_sled(directory: &Path, tasks: u64, written: &Stats) -> Result<f64> {
    let place = tempfile::tempdir_in(directory)?;
    let db =
        sled::Config::new().path(place.path()).cache_capacity(512 << 20).flush_every_ms(Some(500)).open()?;
    let file = std::fs::File::open(place.path().join("db"))?;
    let batches = written.batches.max(1);
    let keys = written.keys.div_ceil(batches);
    let size = usize::try_from(written.bytes / written.keys.max(1)).context("a size")?;
    let value = vec![b'x'; size.saturating_sub(16)];
    let mut random = fastrand::Rng::with_seed(1);
    let watch = Watch::start();
    let mut syncs = written.syncs;
    let mut flushes = written.flushes;
    for batch_number in 0..batches {
        let mut batch = sled::Batch::default();
        for _ in 0..keys {
            // As spread as the keys of tasks are.
            let key = random.u64(0..written.keys.max(1)) | (batch_number % 8) << 56;
            batch.insert([key.to_be_bytes(), [0; 8]].concat(), value.as_slice());
        }
        db.apply_batch(batch)?;
        if flushes > 0 {
            flushes -= 1;
            db.flush()?;
        }
        if syncs > 0 {
            syncs -= 1;
            file.sync_data()?;
        }
    }
    Ok(watch.per_second(tasks))
}

/// As many threads as agents append a record and wait for it to be synced; those that wait together
/// share one `fdatasync`. What durability alone costs.
pub(crate) fn shared_sync(directory: &Path, callers: usize, tasks: u64) -> Result<f64> {
    use std::io::Write as _;
    use std::sync::mpsc;

    let mut file = tempfile::tempfile_in(directory)?;
    let (ask, asked) = mpsc::channel::<mpsc::SyncSender<()>>();
    let watch = Watch::start();
    let each = tasks / u64::try_from(callers)?;
    std::thread::scope(|scope| -> Result<()> {
        for _ in 0..callers {
            let ask = ask.clone();
            scope.spawn(move || {
                let (answer, answered) = mpsc::sync_channel(1);
                for _ in 0..each {
                    if ask.send(answer.clone()).is_err() || answered.recv().is_err() {
                        return;
                    }
                }
            });
        }
        drop(ask);
        while let Ok(first) = asked.recv() {
            let waiting: Vec<_> = std::iter::once(first).chain(asked.try_iter()).collect();
            file.write_all(&vec![b'x'; waiting.len() * 400])?;
            file.sync_data()?;
            for answer in waiting {
                let _ = answer.send(());
            }
        }
        Ok(())
    })?;
    Ok(watch.per_second(each * u64::try_from(callers)?))
}

/// A record appended and synced, one after the other: how long each took.
pub(crate) fn syncs(directory: &Path, times: u64) -> Result<Vec<Duration>> {
    use std::io::Write as _;

    let mut file = tempfile::tempfile_in(directory)?;
    let mut spans = Vec::new();
    for _ in 0..times {
        let watch = Watch::start();
        file.write_all(&[b'x'; 400])?;
        file.sync_data()?;
        spans.push(watch.elapsed());
    }
    Ok(spans)
}
