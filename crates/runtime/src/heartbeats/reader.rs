//! Reads one file and has each of its lines act once.

use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{
    Append, Cache, CacheError, Directive, Disposition, StoreIf, Topic, events_stream,
};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::heartbeat::HeartbeatDirective;
use downbeat_core::ids::{AgentName, RequestId};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::cursor::{Cursor, Due, Pending, Rest};
use super::file::{self, Found, Line, Says, Seen};
use super::files::SteeringFile;
use crate::entropy;
use crate::steering::{self, FleetOrder, Given, Order, Scope};

/// For so long a file has to be left alone until a last line without an end counts as whole.
const LINE_RESTS: Duration = Duration::from_millis(25);

/// For so long a file has to be left alone until what has left it counts as gone. Editors empty a file
/// before they write it.
const FILE_RESTS: Duration = Duration::from_millis(500);

/// For so long another process that is at work on the same file is let finish.
const PATIENCE: Duration = Duration::from_millis(250);

/// The most orders of one step: a cache recognises the newest thousand when they are repeated.
const MAX_ORDERS: usize = 500;

/// Reads one file.
#[derive(Debug)]
pub(super) struct Reader {
    cache: Arc<dyn Cache>,
    pub(super) file: SteeringFile,
    key: String,
    /// This machine and the file's path.
    place: String,
    /// What it said at the last look, and since when.
    last: Option<[u8; 32]>,
    since: Instant,
    /// How long it had rested when that was taken in, and how long it has to rest for more to follow.
    done: Option<(Rest, Option<Rest>)>,
    /// Why it could not be read.
    refused: Option<String>,
    /// What a test waits for: what was looked at last, and whether nothing more follows from it.
    #[cfg(test)]
    pub(super) looked: tokio::sync::watch::Sender<(Option<[u8; 32]>, bool)>,
}

impl Reader {
    pub(super) fn new(cache: Arc<dyn Cache>, file: SteeringFile) -> Self {
        let place = format!("{}:{}", crate::recruit::host(), file.path.display());
        let key = file.key();
        Self {
            cache,
            file,
            key,
            place,
            last: None,
            since: Instant::now(),
            done: None,
            refused: None,
            #[cfg(test)]
            looked: tokio::sync::watch::Sender::default(),
        }
    }

    /// Looks at the file and carries out what is new in it. Says when to look again though nothing told of
    /// a change.
    ///
    /// # Errors
    ///
    /// What the cache says. Nothing is lost: the next look finds what this one left undone.
    pub(super) async fn look(&mut self) -> Result<Option<Instant>, CacheError> {
        let (path, name) = (self.file.path.clone(), self.file.name.clone());
        let found = tokio::task::spawn_blocking(move || file::look(&path, &name)).await;
        let (seen, digest) = match found.unwrap_or(Found::Unknown(None)) {
            Found::Text(seen, digest) => (seen, digest),
            Found::Absent => (Seen::default(), [0; 32]),
            Found::Unknown(reason) => {
                self.refuse(reason).await?;
                #[cfg(test)]
                self.looked.send_replace((None, true));
                return Ok(None);
            }
        };
        self.refused = None;
        let now = Instant::now();
        if self.last != Some(digest) {
            self.last = Some(digest);
            self.since = now;
            self.done = None;
        }
        let rested = now.duration_since(self.since);
        let rest = match rested {
            rested if rested >= FILE_RESTS => Rest::File,
            rested if rested >= LINE_RESTS => Rest::Line,
            _ => Rest::None,
        };
        let again = match self.done {
            Some((done, again)) if done >= rest => again,
            _ => self.take(&seen, rest).await?,
        };
        self.done = Some((rest, again));
        #[cfg(test)]
        self.looked.send_replace((self.last, again.is_none()));
        Ok(again.map(|rest| self.since + if rest == Rest::Line { LINE_RESTS } else { FILE_RESTS }))
    }

    /// Takes what is new in the file, step by step: writes down what is to be done, does it, and writes down
    /// that it is done. Whatever ends this in between, what was written down is done once.
    async fn take(&self, seen: &Seen, rest: Rest) -> Result<Option<Rest>, CacheError> {
        let mut waited = None;
        loop {
            let (cursor, version) = self.load().await?;
            if !cursor.pending.is_empty() {
                // Left behind by a crash, or in the hands of another process just now.
                if waited != Some(version) {
                    waited = Some(version);
                    tokio::time::sleep(PATIENCE).await;
                    continue;
                }
                self.finish(cursor, version).await?;
                continue;
            }
            let limit = (MAX_ORDERS / self.file.agents.len().max(1)).max(1);
            let step = cursor.step(&self.place, seen, rest, limit);
            if step.place.is_none() && step.acts.is_empty() {
                return Ok(step.again);
            }
            let pending = self.pending(&step.acts, version).await?;
            let cursor = cursor.after(step.place, pending);
            let Some(version) = self.store(&cursor, version).await? else { continue };
            if !cursor.pending.is_empty() {
                self.finish(cursor, version).await?;
            }
            if !step.more {
                return Ok(step.again);
            }
        }
    }

    /// What some lines want done.
    async fn pending(&self, acts: &[Line], version: u64) -> Result<Vec<Pending>, CacheError> {
        if acts.is_empty() {
            return Ok(Vec::new());
        }
        let after = self.cache.changed(&Topic::Stream(events_stream()), u64::MAX, Duration::ZERO).await?;
        let file: String =
            Sha256::digest(&self.key).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let mut pending = Vec::new();
        for act in acts {
            for what in self.orders(&act.says) {
                // A version is given to a document once, so nobody else ever gives this name.
                let request = format!("heartbeat-{file}-{version}-{}", pending.len());
                let by = format!("{}:{}", self.file.name, act.number);
                pending.push(Pending { request, by, after, what });
            }
        }
        Ok(pending)
    }

    fn orders(&self, says: &Says) -> Vec<Due> {
        let each = |order: &dyn Fn(AgentName) -> Order| -> Vec<Due> {
            self.file.agents.iter().map(|agent| Due::Order(order(agent.clone()))).collect()
        };
        let directive = match says {
            Says::Warning(_) if self.file.only.is_some() => return Vec::new(),
            Says::Warning(warning) => return vec![Due::Warning(warning.clone())],
            Says::Directive(directive) => directive,
        };
        let of_task = match directive {
            HeartbeatDirective::Pause => return each(&|agent| Directive::Pause { agent }.into()),
            HeartbeatDirective::Resume => return each(&|agent| Directive::Resume { agent }.into()),
            HeartbeatDirective::FlushMemory => return each(&|agent| Directive::FlushMemory { agent }.into()),
            HeartbeatDirective::Reparse => {
                // Copies of an agent have its instructions.
                let declared = self.file.declared.iter().cloned();
                return declared
                    .map(|agent| Due::Order(FleetOrder::Reparse { of: Scope::Agent(agent) }.into()))
                    .collect();
            }
            HeartbeatDirective::DropTask(task) => Directive::DropTask { task: task.clone() },
            HeartbeatDirective::Elevate(task, priority) => {
                Directive::Elevate { task: task.clone(), priority: *priority }
            }
        };
        match self.file.only {
            Some(_) => Vec::new(),
            None => vec![Due::Order(of_task.into())],
        }
    }

    /// Does what is written down, and writes down that it is done.
    async fn finish(&self, cursor: Cursor, version: u64) -> Result<(), CacheError> {
        for pending in &cursor.pending {
            let done = self.carry_out(pending).await;
            match done {
                Err(error) if error.disposition() == Disposition::Retry => return Err(error),
                // Whatever it is, it will not be better next time, and the rest must not wait for it.
                Err(error) => warn!(target: "runtime", "{}: {error}", pending.by),
                Ok(()) => {}
            }
        }
        let cursor = cursor.after(None, Vec::new());
        // When somebody else was first, that one has done the same.
        self.store(&cursor, version).await?;
        Ok(())
    }

    async fn carry_out(&self, pending: &Pending) -> Result<(), CacheError> {
        let request = RequestId(pending.request.clone());
        match &pending.what {
            Due::Order(order) => {
                let given = Given { order: order.clone(), by: pending.by.clone(), request };
                let steered = steering::give(self.cache.as_ref(), &given).await?;
                debug!(target: "runtime", "{}: {}", pending.by, steered.detail);
                Ok(())
            }
            Due::Warning(warning) => {
                let event = self.alert(&format!("{}: {warning}", pending.by), &request);
                steering::say_once(self.cache.as_ref(), event, &request, pending.after).await
            }
        }
    }

    fn alert(&self, reason: &str, request: &RequestId) -> EventDraft {
        warn!(target: "runtime", "{reason}");
        let mut event = EventDraft::new(EventKind::ALERT_HEARTBEAT)
            .reason(reason)
            .data(json!({ "file": self.file.name, "request": request }));
        if let (Some(agent), 1) = (self.file.declared.first(), self.file.declared.len()) {
            event.agent = Some(agent.clone());
        }
        event
    }

    /// Says why the file is not read, once.
    async fn refuse(&mut self, reason: Option<String>) -> Result<(), CacheError> {
        self.last = None;
        let Some(reason) = reason else { return Ok(()) };
        if self.refused.as_ref() == Some(&reason) {
            return Ok(());
        }
        let request = entropy::request_id();
        let event = self.alert(&format!("{}: {reason}", self.file.name), &request);
        let append = Append { stream: events_stream(), entries: vec![event], request };
        self.cache.append(&append).await?;
        self.refused = Some(reason);
        Ok(())
    }

    async fn load(&self) -> Result<(Cursor, u64), CacheError> {
        let Some(record) = self.cache.load(&self.key).await? else { return Ok((Cursor::default(), 0)) };
        let cursor = serde_json::from_str(&record.value).map_err(|error| CacheError::Corrupt {
            key: format!("record:{}", self.key),
            source: Some(Box::new(error)),
        })?;
        Ok((cursor, record.version))
    }

    /// The new version; `None` when somebody else was first.
    async fn store(&self, cursor: &Cursor, expected: u64) -> Result<Option<u64>, CacheError> {
        let value = serde_json::to_string(cursor).map_err(|error| CacheError::Invalid {
            reason: format!("what was read of {} cannot be written down: {error}", self.file.name),
        })?;
        match self.cache.store_if(&StoreIf { key: self.key.clone(), expected, value: Some(value) }).await {
            Ok(version) => Ok(Some(version)),
            Err(CacheError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
