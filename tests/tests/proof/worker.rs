//! A worker process: claims, renews, settles, and writes down what it asked and was told.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_cache_redis::{Options, RedisCache};
use downbeat_core::cache::{
    Agents, CacheError, Claim, ClaimReply, Lease, Registration, Renew, Renewed, Settle, Settled, Streams,
    Tasks, Topic,
};
use downbeat_core::goal::Usage;
use downbeat_core::ids::{AgentName, Incarnation, RequestId};
use downbeat_core::state::{Failure, Outcome};
use downbeat_core::time::{Clock, Timestamp};
use serde_json::{Value, json};

use crate::record::{Record, wall};

pub(crate) const URL: &str = "DOWNBEAT_PROOF_WORKER_URL";
pub(crate) const KERNEL: &str = "DOWNBEAT_PROOF_WORKER_KERNEL";
pub(crate) const NAME: &str = "DOWNBEAT_PROOF_WORKER_NAME";
pub(crate) const RECORDS: &str = "DOWNBEAT_PROOF_WORKER_RECORDS";
pub(crate) const SKEW: &str = "DOWNBEAT_PROOF_WORKER_SKEW";
pub(crate) const SEED: &str = "DOWNBEAT_PROOF_WORKER_SEED";

/// How long a lease lasts. Stops and delays outlast it.
pub(crate) const TTL: Duration = Duration::from_millis(500);

/// The kernel that a worker stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kernel {
    /// As it is shipped.
    Sound,
    /// Settles and renewals ignore tokens: whoever comes is taken for the newest holder.
    WithoutFence,
    /// Looks whether the lock is its own, and settles and deletes it in another step.
    GetThenDel,
    /// Each host's clock in place of the server's; clocks differ.
    HostTime,
}

impl Kernel {
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    fn from_name(name: &str) -> Self {
        [Self::Sound, Self::WithoutFence, Self::GetThenDel, Self::HostTime]
            .into_iter()
            .find(|kernel| kernel.name() == name)
            .unwrap()
    }
}

/// A host's clock that is wrong.
#[derive(Debug)]
struct Skewed(i64);

impl Clock for Skewed {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(wall().saturating_add_signed(self.0))
    }
}

struct Worker {
    cache: RedisCache,
    redis: redis::Client,
    kernel: Kernel,
    record: Record,
    name: String,
    requests: u64,
    random: fastrand::Rng,
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap()
}

/// Works until it is killed.
pub(crate) async fn work() {
    let name = variable(NAME);
    let kernel = Kernel::from_name(&variable(KERNEL));
    let skew: i64 = variable(SKEW).parse().unwrap();
    let mut options = Options::new(variable(URL));
    if kernel == Kernel::HostTime {
        options.clock = Some(Arc::new(Skewed(skew)));
    }
    let redis = redis::Client::open(variable(URL)).unwrap();
    let cache = loop {
        match RedisCache::connect(options.clone()).await {
            Ok(cache) => break cache,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    let record = Record::open(Path::new(&variable(RECORDS)), &name);
    let random = fastrand::Rng::with_seed(variable(SEED).parse().unwrap());
    let mut worker = Worker { cache, redis, kernel, record, name, requests: 0, random };
    worker.register().await;
    loop {
        if let Some(lease) = worker.claim().await {
            worker.attempt(&lease).await;
        }
    }
}

impl Worker {
    fn agent(&self) -> AgentName {
        AgentName::new(&self.name).unwrap()
    }

    fn request(&mut self) -> RequestId {
        self.requests += 1;
        RequestId(format!("{} {}", self.name, self.requests))
    }

    async fn register(&mut self) {
        let registration = Registration {
            generation: 1,
            name: self.agent(),
            incarnation: Incarnation(self.name.clone()),
            host: "here".to_owned(),
            pid: std::process::id(),
            goal: None,
            role: None,
            capabilities: [].into(),
            max_parallel: 1,
            ttl: 4 * TTL,
            interruption_limit: 3,
        };
        while self.cache.register(&registration).await.is_err() {}
    }

    async fn claim(&mut self) -> Option<Lease> {
        let seen = self.cache.changed(&Topic::Ready, u64::MAX, Duration::ZERO).await.unwrap_or(0);
        let claim = Claim {
            avoid: std::collections::BTreeSet::default(),
            agent: self.agent(),
            incarnation: Incarnation(self.name.clone()),
            request: self.request(),
            goal: None,
            capabilities: [].into(),
            task: None,
            ttl: TTL,
        };
        let ttl = u64::try_from(TTL.as_millis()).unwrap();
        let n = self.record.ask("claim", &json!({ "ttl": ttl }));
        // The same request until there is an answer.
        let answer = loop {
            match self.cache.claim(&claim).await {
                Err(CacheError::Unavailable { .. }) => {}
                answer => break answer,
            }
        };
        match answer {
            Ok(ClaimReply::Granted(claimed)) => {
                let lease = claimed.lease;
                let told = json!({ "granted": { "task": lease.task, "token": lease.token.as_u64() } });
                self.record.told(n, &told);
                Some(lease)
            }
            Ok(ClaimReply::Nothing { .. }) => {
                self.record.told(n, &json!("nothing"));
                let _ = self.cache.changed(&Topic::Ready, seen, TTL / 5).await;
                None
            }
            Err(error) => {
                self.record.told(n, &json!({ "error": error.to_string() }));
                None
            }
        }
    }

    async fn attempt(&mut self, lease: &Lease) {
        let parts = match self.random.u32(..100) {
            // Short; long, and renewed; stuck, and not renewed.
            0..70 => 0,
            70..88 => self.random.u32(2..6),
            _ => {
                tokio::time::sleep(TTL.mul_f64(1.1 + self.random.f64())).await;
                0
            }
        };
        for _ in 0..parts {
            tokio::time::sleep(TTL / 3).await;
            if !self.renew(lease).await {
                return;
            }
        }
        tokio::time::sleep(Duration::from_millis(self.random.u64(1..40))).await;
        let outcome = match self.random.u32(..100) {
            0..8 => Outcome::Retry { failure: Failure::new("it broke", None), after: TTL / 10 },
            8..14 => Outcome::Release { reason: "not now".to_owned() },
            _ => Outcome::Done { summary: self.name.clone(), artifacts: Vec::new() },
        };
        self.settle(lease, outcome).await;
    }

    fn details(lease: &Lease) -> Value {
        json!({ "task": lease.task, "token": lease.token.as_u64() })
    }

    async fn renew(&mut self, lease: &Lease) -> bool {
        let mut details = Self::details(lease);
        details["ttl"] = json!(u64::try_from(TTL.as_millis()).unwrap());
        let n = self.record.ask("renew", &details);
        let renew = Renew { task: lease.task.clone(), token: lease.token, ttl: TTL, progress: None };
        let answer = loop {
            match self.renewed(&renew).await {
                Err(CacheError::Unavailable { .. }) => {}
                answer => break answer,
            }
        };
        let told = match &answer {
            Ok(_) => json!("renewed"),
            Err(error) => json!({ "error": error.to_string() }),
        };
        self.record.told(n, &told);
        answer.is_ok()
    }

    async fn settle(&mut self, lease: &Lease, outcome: Outcome) {
        let mut details = Self::details(lease);
        details["outcome"] = json!(match &outcome {
            Outcome::Done { .. } => "done",
            Outcome::Retry { .. } => "retry",
            _ => "release",
        });
        let settle = Settle {
            task: lease.task.clone(),
            token: lease.token,
            request: self.request(),
            outcome,
            spent: Usage::default(),
            next: None,
        };
        let n = self.record.ask("settle", &details);
        let answer = loop {
            match self.settled(&settle, lease).await {
                Err(CacheError::Unavailable { .. }) => {}
                answer => break answer,
            }
        };
        let told = match answer {
            Ok(settled) => json!({ "settled": settled.status, "repeated": settled.repeated }),
            Err(CacheError::LeaseLost { .. }) => json!("lost"),
            Err(error) => json!({ "error": error.to_string() }),
        };
        self.record.told(n, &told);
    }

    /// The newest token, as somebody without a fence would use it.
    async fn newest(&self, settle: &Settle) -> Result<Settle, CacheError> {
        let detail = self.cache.task(&settle.task).await?;
        let token = detail.map_or(settle.token, |detail| detail.task.state.token);
        Ok(Settle { token, ..settle.clone() })
    }

    async fn settled(&self, settle: &Settle, lease: &Lease) -> Result<Settled, CacheError> {
        match self.kernel {
            Kernel::Sound | Kernel::HostTime => self.cache.settle(settle).await,
            Kernel::WithoutFence => self.cache.settle(&self.newest(settle).await?).await,
            Kernel::GetThenDel => {
                let lock = self.lock(lease).await?;
                if lock.as_deref() != Some(format!("{}:{}", self.name, lease.token).as_str()) {
                    return Err(CacheError::LeaseLost {
                        task: lease.task.clone(),
                        presented: lease.token,
                        current: lease.token,
                        holder: None,
                    });
                }
                // A process may pause anywhere, and here is where it matters; the nemesis, which does not
                // know where here is, would take minutes to hit it.
                if self.requests.is_multiple_of(4) {
                    tokio::time::sleep(TTL.mul_f64(1.3)).await;
                }
                self.cache.settle(&self.newest(settle).await?).await
            }
        }
    }

    async fn renewed(&self, renew: &Renew) -> Result<Renewed, CacheError> {
        if self.kernel == Kernel::WithoutFence {
            let detail = self.cache.task(&renew.task).await?;
            let token = detail.map_or(renew.token, |detail| detail.task.state.token);
            return self.cache.renew(&Renew { token, ..renew.clone() }).await;
        }
        self.cache.renew(renew).await
    }

    async fn lock(&self, lease: &Lease) -> Result<Option<String>, CacheError> {
        let failed =
            |error: redis::RedisError| CacheError::Unavailable { reason: error.to_string(), source: None };
        let mut connection = self.redis.get_multiplexed_async_connection().await.map_err(failed)?;
        redis::cmd("GET")
            .arg(format!("task:{}:lock", lease.task))
            .query_async(&mut connection)
            .await
            .map_err(failed)
    }
}
