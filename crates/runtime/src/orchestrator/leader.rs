//! Who leads: several orchestrators on one store, of which one at a time plans and keeps up.
//!
//! The named lease `orchestrator` says it; its fencing token is the leadership's epoch. Whoever leads says
//! so in a document of the same name, for people, and on the stream `orchestrators`, for those that stand
//! by and for agents that want to know when there is nothing more to do.

use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{
    Acquire, Append, Cache, CacheError, Disposition, Hold, StoreIf, Topic, events_stream,
};
use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::{GoalId, StreamName, Token};
use downbeat_core::time::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::clock::CacheClock;
use crate::settings::Settings;
use crate::{entropy, process, recruit};

/// The named lease, and the document that says who has it.
pub(crate) const ORCHESTRATOR: &str = "orchestrator";

/// The longest that leaving may take; whoever is not told finds out when the lease has run out.
const LEAVING: Duration = Duration::from_secs(3);

/// The stream on which orchestrators say that they lead, that they left, and that all goals rest.
///
/// # Panics
///
/// Never: the constant is a sound name.
#[expect(clippy::expect_used, reason = "a constant that every run reads")]
pub(crate) fn announcements() -> StreamName {
    StreamName::new("orchestrators").expect("a sound name")
}

/// What the document `orchestrator` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Said {
    /// `<host>:<pid>`.
    #[serde(default)]
    pub(crate) name: String,
    /// Unique among all that ever led.
    #[serde(default)]
    pub(crate) id: String,
    /// Whether it is still there.
    #[serde(default)]
    pub(crate) present: bool,
    /// The fencing token of its leadership; 0 on a cache that is one process's alone.
    #[serde(default)]
    pub(crate) epoch: u64,
    /// Unheard for this long it counts as absent.
    #[serde(default)]
    pub(crate) stale_after_ms: u64,
    /// Its process, for others on its machine.
    #[serde(default)]
    pub(crate) process: String,
    /// What it works on.
    #[serde(default)]
    pub(crate) goals: Vec<GoalId>,
}

/// Where this orchestrator stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// Not known yet, or not any more.
    Unknown,
    /// It leads, under this epoch.
    Leads(u64),
    /// Another one leads: what it says of itself, if it does.
    StandsBy(Option<Said>),
    /// The cache refuses for good.
    Failed(String),
}

/// An orchestrator's striving for leadership. It ends with this value, without a word; see
/// [`resign`](Self::resign).
pub(super) struct Campaign {
    standing: watch::Receiver<Standing>,
    leave: CancellationToken,
    task: JoinHandle<()>,
}

impl Drop for Campaign {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Campaign {
    /// Begins to strive. A cache that is this process's alone needs nothing but the word.
    pub(super) fn start(
        cache: &Arc<dyn Cache>,
        clock: &Arc<CacheClock>,
        settings: &Settings,
        id: &str,
        goals: Vec<GoalId>,
    ) -> Self {
        let (tell, standing) = watch::channel(Standing::Unknown);
        let leave = CancellationToken::new();
        let said = Said {
            name: format!("{}:{}", recruit::host(), std::process::id()),
            id: id.to_owned(),
            present: true,
            epoch: 0,
            stale_after_ms: u64::try_from(settings.leader_ttl.as_millis()).unwrap_or(u64::MAX),
            process: process::identity(),
            goals,
        };
        let candidate = Candidate {
            cache: Arc::clone(cache),
            clock: Arc::clone(clock),
            said,
            ttl: settings.leader_ttl,
            tell,
            leave: leave.clone(),
        };
        let task = match settings.exclusive {
            true => tokio::spawn(candidate.lead_alone()),
            false => tokio::spawn(candidate.strive()),
        };
        Self { standing, leave, task }
    }

    /// Where it stands, now and later.
    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Leaves: whoever stands by is told at once.
    pub(super) async fn resign(mut self) {
        self.leave.cancel();
        if tokio::time::timeout(LEAVING, &mut self.task).await.is_err() {
            debug!(target: "orchestrator", "nobody could be told that this orchestrator leaves");
        }
    }
}

/// The side of a campaign that acts.
struct Candidate {
    cache: Arc<dyn Cache>,
    clock: Arc<CacheClock>,
    said: Said,
    /// Within this time after a leader fell silent another one leads.
    ttl: Duration,
    tell: watch::Sender<Standing>,
    leave: CancellationToken,
}

impl Candidate {
    /// Says that it is there, for as long as it is.
    async fn lead_alone(mut self) {
        self.say().await;
        self.tell.send_replace(Standing::Leads(0));
        while !self.left_within(self.ttl * 2 / 5).await {
            self.say().await;
        }
        self.said.present = false;
        self.say().await;
    }

    /// Whether it was asked to leave within this time.
    async fn left_within(&self, wait: Duration) -> bool {
        tokio::time::timeout(wait, self.leave.cancelled()).await.is_ok()
    }

    /// A lease lasts four fifths of the ttl and is asked for every tenth: within one ttl another one leads.
    fn hold_ttl(&self) -> Duration {
        self.ttl * 4 / 5
    }

    async fn strive(mut self) {
        let topic = Topic::Stream(announcements());
        let mut seen = 0;
        // Who leads, as far as anything was announced.
        let mut leader: Option<Option<Said>> = None;
        while !self.leave.is_cancelled() {
            let acquire =
                Acquire { name: ORCHESTRATOR.to_owned(), holder: self.said.id.clone(), ttl: self.hold_ttl() };
            let asked = Instant::now();
            match self.cache.acquire(&acquire).await {
                Ok(Some(hold)) => {
                    if self.lead(hold, asked).await {
                        return;
                    }
                    leader = None;
                    continue;
                }
                Ok(None) => {
                    let known = match leader.take() {
                        Some(known) => known,
                        None => self.look_who_leads().await,
                    };
                    if self.free_the_lead_of(known.as_ref()).await {
                        continue;
                    }
                    leader = Some(known);
                }
                Err(error) if error.disposition() == Disposition::Retry => {
                    debug!(target: "orchestrator", "asking to lead: {error}");
                }
                Err(error) => {
                    self.tell.send_replace(Standing::Failed(error.to_string()));
                    return;
                }
            }
            // That the lease was given back is said; that it ran out is not.
            let said = async {
                match self.cache.changed(&topic, seen, self.ttl / 10).await {
                    Ok(number) => number,
                    Err(_) => seen,
                }
            };
            tokio::select! {
                number = said => {
                    if number > seen {
                        leader = None;
                    }
                    seen = number.max(seen);
                }
                () = self.leave.cancelled() => return,
            }
        }
    }

    /// Another one leads: who it is, if it says so.
    async fn look_who_leads(&self) -> Option<Said> {
        let said = match self.cache.load(ORCHESTRATOR).await {
            Ok(record) => record.and_then(|record| serde_json::from_str::<Said>(&record.value).ok()),
            Err(_) => None,
        };
        // What was left behind by an earlier leader says nothing about the one that has the lease now.
        let leader = said.filter(|said| said.present);
        let standing = Standing::StandsBy(leader.clone());
        self.tell.send_if_modified(|known| {
            let news = *known != standing;
            *known = standing;
            news
        });
        leader
    }

    /// Gives back the lease of a leader whose process is known to be gone; whether it was one.
    async fn free_the_lead_of(&self, leader: Option<&Said>) -> bool {
        let Some(gone) = leader.filter(|leader| process::has_ended(&leader.process)) else { return false };
        let hold = Hold {
            name: ORCHESTRATOR.to_owned(),
            holder: gone.id.clone(),
            token: Token::from_u64(gone.epoch),
            expires_at: Timestamp::default(),
        };
        // It frees nothing when that leader has been followed by another one: then this is looked up again.
        self.cache.release_hold(&hold).await.is_ok()
    }

    /// Leads for as long as the lease is its own. Whether it left of its own will.
    async fn lead(&mut self, mut hold: Hold, asked: Instant) -> bool {
        self.said.epoch = hold.token.as_u64();
        self.clock.observe(hold.expires_at, self.hold_ttl());
        // Counted from when each request was sent: our deadline is never after the cache's.
        let mut deadline = asked + self.hold_ttl();
        self.say().await;
        self.tell.send_replace(Standing::Leads(self.said.epoch));
        let name = &self.said.name;
        self.announce(EventKind::ORCHESTRATOR_LEADS, format!("{name} leads")).await;
        let mut pause = self.ttl / 5;
        let mut turn = 0_u64;
        loop {
            if self.left_within(pause).await {
                self.leave(&hold).await;
                return true;
            }
            let sent = Instant::now();
            match tokio::time::timeout_at(deadline, self.cache.renew_hold(&hold, self.hold_ttl())).await {
                Ok(Ok(renewed)) => {
                    hold = renewed;
                    self.clock.observe(hold.expires_at, self.hold_ttl());
                    deadline = sent + self.hold_ttl();
                    pause = self.ttl / 5;
                    turn = turn.wrapping_add(1);
                    if turn.is_multiple_of(2) {
                        self.say().await;
                    }
                    continue;
                }
                Ok(Err(error)) if error.disposition() == Disposition::Retry => {
                    debug!(target: "orchestrator", "renewing the lead: {error}");
                    pause = self.ttl / 50;
                    if Instant::now() < deadline {
                        continue;
                    }
                }
                Ok(Err(error)) => debug!(target: "orchestrator", "renewing the lead: {error}"),
                Err(_) => {}
            }
            self.tell.send_replace(Standing::Unknown);
            return false;
        }
    }

    async fn leave(&mut self, hold: &Hold) {
        self.said.present = false;
        self.say().await;
        if let Err(error) = self.cache.release_hold(hold).await {
            warn!(target: "orchestrator", "The lead could not be given back: {error}");
        }
        self.announce(EventKind::ORCHESTRATOR_LEFT, format!("{} leaves", self.said.name)).await;
    }

    /// Writes the document, unless a later leader has written its own.
    async fn say(&self) {
        let write = async {
            let record = self.cache.load(ORCHESTRATOR).await?;
            let newest = record.as_ref().and_then(|record| serde_json::from_str::<Said>(&record.value).ok());
            if newest.is_some_and(|newest| newest.epoch > self.said.epoch && self.said.epoch > 0) {
                return Ok(());
            }
            let expected = record.map_or(0, |record| record.version);
            let value = serde_json::to_string(&self.said).ok();
            self.cache.store_if(&StoreIf { key: ORCHESTRATOR.to_owned(), expected, value }).await.map(|_| ())
        };
        match tokio::time::timeout(self.ttl / 5, write).await {
            Ok(Ok(()) | Err(CacheError::Conflict { .. })) => {}
            Ok(Err(error)) => debug!(target: "orchestrator", "saying who orchestrates: {error}"),
            Err(_) => debug!(target: "orchestrator", "the store does not take who orchestrates in time"),
        }
    }

    async fn announce(&self, kind: EventKind, reason: String) {
        let data =
            serde_json::json!({ "name": self.said.name, "id": self.said.id, "epoch": self.said.epoch });
        let event = EventDraft::new(kind).reason(reason).data(data);
        for stream in [announcements(), events_stream()] {
            let append = Append { stream, entries: vec![event.clone()], request: entropy::request_id() };
            match tokio::time::timeout(self.ttl / 5, self.cache.append(&append)).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => debug!(target: "orchestrator", "announcing: {error}"),
                Err(_) => debug!(target: "orchestrator", "the store takes no announcement in time"),
            }
        }
    }
}
