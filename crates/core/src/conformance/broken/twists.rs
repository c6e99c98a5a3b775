//! The faults.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use super::Twist;
use crate::cache::{
    Acquire, Agents, Amend, Append, Beat, BeatReply, CacheError, Claim, ClaimReply, Departure, Directive,
    Hold, Leave, Page, Plan, Read, ReadyQuery, Records, Registered, Registration, Renew, Renewed, Settle,
    Settled, Steer, StoreIf, Streams, TaskQuery, Tasks,
};
use crate::dag;
use crate::event::EventKind;
use crate::goal::{Goal, Usage};
use crate::ids::{AgentName, RequestId, TaskId, Token};
use crate::memory::MemoryCache;
use crate::state::{Outcome, Redo, TaskStatus};

/// A request id that nobody used: what a cache without memory of requests makes of each.
fn fresh() -> RequestId {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    RequestId(format!("fresh-{}", NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub(super) fn steer(directive: Directive) -> Steer {
    Steer { directive, by: "a fault".to_owned(), request: fresh() }
}

/// Declares a fault: its type, and the verbs that it breaks.
macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident { $($field:ident: $type:ty),* })*) => {
        $(
            $(#[$doc])*
            #[derive(Debug)]
            pub(in super::super) struct $name {
                sound: MemoryCache,
                $($field: $type,)*
            }

            impl $name {
                pub(in super::super) fn new(sound: MemoryCache) -> Self {
                    Self { sound, $($field: Default::default(),)* }
                }
            }
        )*
    };
}

faults! {
    /// A task that a claim avoids is granted all the same.
    IgnoresAvoided {}
    /// Nobody knows what a goal is below.
    ForgetsParents {}
    /// Has none: the kit must not reject the harness.
    Sound {}
    /// A claim after an expiry is given the token that the late holder still has.
    TokenReused { shown: Mutex<HashMap<TaskId, (Token, Token)>> }
    /// Any token may settle.
    SettlesAnyToken {}
    /// Any token may renew.
    RenewsAnyToken {}
    /// A settle is not recognised when it is repeated.
    ForgetsSettles {}
    /// Dependencies are a number that every settle takes one from, also a repeated one.
    CountsDependencies {}
    /// A release counts as an attempt.
    ReleaseCharges {}
    /// No lease ever expires.
    NeverExpires {}
    /// The wait before the next attempt is not kept.
    IgnoresWaits {}
    /// What is free of a refused plan is taken.
    PlansHalf {}
    /// An amendment begins running tasks anew.
    AmendResets {}
    /// An amendment keeps what is to be done again.
    AmendKeepsAll {}
    /// What is done again takes up the attempts that were left.
    RedoKeepsCounting {}
    /// Who waits for what is done again goes ahead.
    RedoForgetsDependants {}
    /// A holder whose task is another one goes on.
    RedoSparesHolders {}
    /// What was made of old inputs counts.
    RedoTrustsOldInputs {}
    /// Tasks go to agents that cannot do them.
    IgnoresCapabilities {}
    /// Tasks go by age alone.
    IgnoresPriority {}
    /// Paused agents are given tasks.
    IgnoresPause {}
    /// A claim is not recognised when it is repeated.
    ForgetsClaims {}
    /// Two living processes have one name.
    AcceptsTwins {}
    /// A replaced incarnation is answered as if it were the newest.
    BeatsForAnybody {}
    /// An append is not recognised when it is repeated.
    RepeatsAppends {}
    /// Expiries are not told.
    HidesExpiries {}
    /// Documents are written over whatever is there.
    IgnoresVersions {}
    /// The tokens of a named lease begin anew after its release.
    HoldTokensReset { first: Mutex<HashMap<String, Token>> }
    /// The cost of a failed attempt is lost: no check names it, only random runs see it.
    LosesCosts {}
}

impl Twist for Sound {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }
}

/// The newest token of a task.
async fn newest(sound: &MemoryCache, task: &TaskId, presented: Token) -> Result<Token, CacheError> {
    Ok(sound.task(task).await?.map_or(presented, |detail| detail.task.state.token))
}

#[async_trait]
impl Twist for TokenReused {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        let mut reply = self.sound.claim(claim).await?;
        if let ClaimReply::Granted(claimed) = &mut reply {
            let ended = self.sound.task(&claimed.lease.task).await?.map(|task| task.ended);
            let last = ended.and_then(|mut ended| ended.pop());
            if let Some(last) = last.filter(|last| last.outcome == "expired") {
                let real = std::mem::replace(&mut claimed.lease.token, last.token);
                self.shown.lock().unwrap().insert(claimed.lease.task.clone(), (last.token, real));
            }
        }
        Ok(reply)
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let shown = self.shown.lock().unwrap().get(&settle.task).copied();
        let token = shown.filter(|(shown, _)| *shown == settle.token).map_or(settle.token, |(_, real)| real);
        self.sound.settle(&Settle { token, ..settle.clone() }).await
    }
}

#[async_trait]
impl Twist for SettlesAnyToken {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let token = newest(&self.sound, &settle.task, settle.token).await?;
        self.sound.settle(&Settle { token, ..settle.clone() }).await
    }
}

#[async_trait]
impl Twist for RenewsAnyToken {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn renew(&self, renew: &Renew) -> Result<Renewed, CacheError> {
        let token = newest(&self.sound, &renew.task, renew.token).await?;
        self.sound.renew(&Renew { token, ..renew.clone() }).await
    }
}

#[async_trait]
impl Twist for ForgetsSettles {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        self.sound.settle(&Settle { request: fresh(), ..settle.clone() }).await
    }
}

#[async_trait]
impl Twist for CountsDependencies {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let settled = self.sound.settle(settle).await?;
        let Some(task) = self.sound.task(&settle.task).await?.filter(|_| settled.repeated) else {
            return Ok(settled);
        };
        // Takes one more dependency from each dependant.
        let goal = self.sound.goal(&task.task.goal).await?.unwrap();
        let dag = self.sound.dag(&task.task.goal).await?.unwrap();
        let mut draft = dag.to_draft();
        for dependant in dag.dependants(&settle.task) {
            let other = dag.dependencies(dependant).into_iter().find(|id| **id != settle.task);
            draft.edges.retain(|edge| {
                edge.target != dependant.as_str() || other.is_none_or(|other| edge.source != other.as_str())
            });
        }
        let amend = Amend {
            dag: dag::validate(draft).unwrap().into(),
            revision: goal.revision,
            request: fresh(),
            max_attempts: 3,
            spent: Usage::default(),
            redo: BTreeMap::new(),
            by: String::new(),
        };
        self.sound.amend(&amend).await?;
        Ok(settled)
    }
}

#[async_trait]
impl Twist for ReleaseCharges {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let mut settle = settle.clone();
        if let Outcome::Release { reason } = &settle.outcome {
            let failure = crate::state::Failure::new(reason, None);
            settle.outcome = Outcome::Retry { failure, after: Duration::ZERO };
        }
        self.sound.settle(&settle).await
    }
}

#[async_trait]
impl Twist for NeverExpires {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        let mut reply = self.sound.claim(&Claim { ttl: crate::rules::MAX_TTL, ..claim.clone() }).await?;
        if let ClaimReply::Granted(claimed) = &mut reply {
            claimed.lease.expires_at = claimed.lease.claimed_at.after(claim.ttl);
        }
        Ok(reply)
    }
}

#[async_trait]
impl Twist for IgnoresWaits {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let mut settle = settle.clone();
        if let Outcome::Retry { after, .. } = &mut settle.outcome {
            *after = Duration::ZERO;
        }
        self.sound.settle(&settle).await
    }
}

#[async_trait]
impl Twist for PlansHalf {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn plan(&self, plan: &Plan) -> Result<Goal, CacheError> {
        let error = match self.sound.plan(plan).await {
            Err(CacheError::TasksTaken { goal, taken }) => CacheError::TasksTaken { goal, taken },
            answer => return answer,
        };
        if let CacheError::TasksTaken { taken, .. } = &error {
            let is_free = |id: &str| taken.iter().all(|(task, _)| task.as_str() != id);
            let mut draft = plan.dag.to_draft();
            draft.nodes.retain(|node| is_free(&node.id));
            draft.edges.retain(|edge| is_free(&edge.source) && is_free(&edge.target));
            if let Ok(dag) = dag::validate(draft) {
                self.sound.plan(&Plan { dag: dag.into(), ..plan.clone() }).await?;
            }
        }
        Err(error)
    }
}

#[async_trait]
impl Twist for AmendResets {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        self.sound.amend(amend).await?;
        let goal = amend.dag.goal().clone();
        let status = Some(TaskStatus::Running);
        let query = TaskQuery { goal: goal.clone(), status, after: None, limit: usize::MAX };
        for task in self.sound.tasks(&query).await? {
            self.sound.steer(&steer(Directive::DropTask { task: task.node.id.clone() })).await?;
        }
        Ok(self.sound.goal(&goal).await?.unwrap())
    }
}

#[async_trait]
impl Twist for AmendKeepsAll {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        self.sound.amend(&Amend { redo: BTreeMap::new(), ..amend.clone() }).await
    }
}

#[async_trait]
impl Twist for RedoKeepsCounting {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        let mut draft = amend.dag.to_draft();
        for node in draft.nodes.iter_mut().filter(|node| amend.redo.keys().any(|id| id.as_str() == node.id)) {
            node.max_attempts = Some(1);
        }
        self.sound.amend(&Amend { dag: dag::validate(draft).unwrap().into(), ..amend.clone() }).await
    }
}

#[async_trait]
impl Twist for RedoForgetsDependants {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        // As if nobody had waited for it: a cache that does not count the dependants anew.
        let mut draft = amend.dag.to_draft();
        draft.edges.retain(|edge| amend.redo.keys().all(|id| id.as_str() != edge.source));
        self.sound.amend(&Amend { dag: dag::validate(draft).unwrap().into(), ..amend.clone() }).await
    }
}

#[async_trait]
impl Twist for RedoSparesHolders {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        let redo = amend.redo.keys().map(|id| (id.clone(), Redo::Inputs)).collect();
        self.sound.amend(&Amend { redo, ..amend.clone() }).await
    }
}

#[async_trait]
impl Twist for RedoTrustsOldInputs {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        let mut amend = amend.clone();
        let mut running = Vec::new();
        for id in amend.redo.keys() {
            let detail = self.sound.task(id).await?;
            if detail.is_some_and(|detail| detail.task.state.status == TaskStatus::Running) {
                running.push(id.clone());
            }
        }
        amend.redo.retain(|id, why| *why == Redo::Scope || !running.contains(id));
        self.sound.amend(&amend).await
    }
}

#[async_trait]
impl Twist for IgnoresCapabilities {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        let mut capabilities = BTreeSet::new();
        for goal in self.sound.goals().await? {
            for node in self.sound.dag(&goal.id).await?.unwrap().nodes() {
                capabilities.extend(node.capabilities.iter().cloned());
            }
        }
        self.sound.claim(&Claim { capabilities, ..claim.clone() }).await
    }
}

#[async_trait]
impl Twist for IgnoresAvoided {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        self.sound.claim(&Claim { avoid: BTreeSet::new(), ..claim.clone() }).await
    }
}

#[async_trait]
impl Twist for ForgetsParents {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn plan(&self, plan: &Plan) -> Result<Goal, CacheError> {
        self.sound.plan(&Plan { parent: None, ..plan.clone() }).await
    }
}

#[async_trait]
impl Twist for IgnoresPriority {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        let goal = claim.goal.clone();
        let query = ReadyQuery { goal, capabilities: claim.capabilities.clone(), limit: usize::MAX };
        let ready = self.sound.ready(&query).await?;
        let oldest = ready.into_iter().min_by_key(|task| task.ordinal).map(|task| task.node.id.clone());
        self.sound.claim(&Claim { task: claim.task.clone().or(oldest), ..claim.clone() }).await
    }
}

#[async_trait]
impl Twist for IgnoresPause {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        let reply = self.sound.claim(claim).await?;
        if !matches!(reply, ClaimReply::Nothing { paused: true, .. }) {
            return Ok(reply);
        }
        let agent: AgentName = claim.agent.clone();
        self.sound.steer(&steer(Directive::Resume { agent: agent.clone() })).await?;
        let reply = self.sound.claim(claim).await;
        self.sound.steer(&steer(Directive::Pause { agent })).await?;
        reply
    }
}

#[async_trait]
impl Twist for ForgetsClaims {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        self.sound.claim(&Claim { request: fresh(), ..claim.clone() }).await
    }
}

#[async_trait]
impl Twist for AcceptsTwins {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn register(&self, registration: &Registration) -> Result<Registered, CacheError> {
        match self.sound.register(registration).await {
            Err(CacheError::AgentNameTaken { agent, incarnation, .. }) => {
                let reason = "a twin came".to_owned();
                let departure = Departure {
                    name: agent,
                    incarnation,
                    how: Leave::Stopped,
                    reason,
                    exit: crate::cache::ExitStatus::Ok,
                };
                self.sound.deregister(&departure).await?;
                self.sound.register(registration).await
            }
            answer => answer,
        }
    }
}

#[async_trait]
impl Twist for BeatsForAnybody {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn beat(&self, beat: &Beat) -> Result<BeatReply, CacheError> {
        let known = self.sound.agent(&beat.name).await?;
        let incarnation =
            known.map_or_else(|| beat.incarnation.clone(), |agent| agent.registration.incarnation);
        self.sound.beat(&Beat { incarnation, ..beat.clone() }).await
    }
}

#[async_trait]
impl Twist for RepeatsAppends {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn append(&self, append: &Append) -> Result<u64, CacheError> {
        self.sound.append(&Append { request: fresh(), ..append.clone() }).await
    }
}

#[async_trait]
impl Twist for HidesExpiries {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn read(&self, read: &Read) -> Result<Page, CacheError> {
        let mut page = self.sound.read(read).await?;
        page.entries.retain(|event| event.what.kind != EventKind::TASK_EXPIRED);
        Ok(page)
    }
}

#[async_trait]
impl Twist for IgnoresVersions {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn store_if(&self, store: &StoreIf) -> Result<u64, CacheError> {
        let expected = self.sound.load(&store.key).await?.map_or(0, |record| record.version);
        self.sound.store_if(&StoreIf { expected, ..store.clone() }).await
    }
}

#[async_trait]
impl Twist for HoldTokensReset {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn acquire(&self, acquire: &Acquire) -> Result<Option<Hold>, CacheError> {
        let hold = self.sound.acquire(acquire).await?;
        Ok(hold.map(|hold| {
            let token = *self.first.lock().unwrap().entry(hold.name.clone()).or_insert(hold.token);
            Hold { token, ..hold }
        }))
    }
}

#[async_trait]
impl Twist for LosesCosts {
    fn sound(&self) -> &MemoryCache {
        &self.sound
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let mut settle = settle.clone();
        if matches!(settle.outcome, Outcome::Failed { .. }) {
            settle.spent = Usage::default();
        }
        self.sound.settle(&settle).await
    }
}
