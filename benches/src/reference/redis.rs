//! The least that Redis can do for the work: minimal scripts, by the same client library.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, Value};
use tokio::sync::{mpsc, watch};

use crate::server::Redis;
use crate::shape::Shape;
use crate::work::Watch;

/// Arguments of all scripts: where keys begin, who asks, its token, and the task to settle.
const CLAIM: &str = r"
local function claim()
  local id = redis.call('ZPOPMIN', KEYS[1])[1]
  if not id then
    return false
  end
  local key = ARGV[1] .. 'task:' .. id
  redis.call('HSET', key, 'status', 'running', 'owner', ARGV[2], 'token', ARGV[3])
  redis.call('SET', key .. ':lock', ARGV[2] .. ':' .. ARGV[3], 'PX', 600000)
  redis.call('XADD', KEYS[2], '*', 'kind', 'task.claimed', 'task', id, 'agent', ARGV[2])
  return id
end
";
/// Its token is the one of the claim before.
const SETTLE: &str = r"
local function settle()
  local key = ARGV[1] .. 'task:' .. ARGV[4]
  if redis.call('GET', key .. ':lock') ~= ARGV[2] .. ':' .. ARGV[5] then
    return false
  end
  redis.call('HSET', key, 'status', 'done')
  redis.call('DEL', key .. ':lock')
  redis.call('XADD', KEYS[2], '*', 'kind', 'task.done', 'task', ARGV[4], 'agent', ARGV[2])
  return 0
end
";
/// Counts down what waits for the task.
const UNBLOCK: &str = r"
local function unblock()
  local unblocked = 0
  local dependants = redis.call('HGET', KEYS[3], ARGV[4])
  if dependants then
    for id in string.gmatch(dependants, '[^ ]+') do
      if redis.call('HINCRBY', KEYS[4], id, -1) == 0 then
        redis.call('ZADD', KEYS[1], 0, id)
        unblocked = unblocked + 1
      end
    end
  end
  return unblocked
end
";

/// Minimal scripts in a place of a server.
pub(crate) struct Minimal {
    server: Arc<Redis>,
    prefix: String,
    claim: String,
    settle: String,
    fused: String,
}

/// A task that a caller holds.
struct Held {
    task: String,
    token: u64,
}

/// One of those who claim and settle.
struct Caller {
    minimal: Arc<Minimal>,
    connection: MultiplexedConnection,
    name: String,
    token: u64,
}

impl Minimal {
    /// In an empty place; `waits`: whether tasks wait for each other.
    pub(crate) async fn new(server: &Arc<Redis>, waits: bool) -> Result<Self> {
        let prefix = server.place().await?;
        let settle = if waits {
            format!(
                "{SETTLE}{UNBLOCK}\nif not settle() then return {{ -1, false }} end\nlocal unblocked = unblock()\n"
            )
        } else {
            format!("{SETTLE}\nlocal unblocked = 0\nif not settle() then return {{ -1, false }} end\n")
        };
        Ok(Self {
            claim: server.load(&format!("{CLAIM}\nreturn {{ 0, claim() }}")).await?,
            settle: server.load(&format!("{settle}\nreturn {{ unblocked, false }}")).await?,
            fused: server.load(&format!("{CLAIM}{settle}\nreturn {{ unblocked, claim() }}")).await?,
            server: Arc::clone(server),
            prefix,
        })
    }

    /// Puts tasks there, in pipelines of a thousand: how many a second.
    pub(crate) async fn enqueue(&self, shape: &Shape) -> Result<f64> {
        const AT_ONCE: usize = 1_000;
        let key = |name: &str| format!("{}{name}", self.prefix);
        let counters = shape.counters()?;
        let mut connection = self.server.connection().await?;
        let watch = Watch::start();
        let mut task = 0;
        for chunk in counters.chunks(AT_ONCE) {
            let mut pipeline = redis::Pipeline::with_capacity(AT_ONCE);
            for (open, dependants) in chunk {
                let id = Shape::id(task);
                let hash = format!("{}task:{id}", self.prefix);
                pipeline.cmd("HSET").arg(hash).arg("status").arg("ready").arg("title").arg("nothing to do");
                pipeline.ignore();
                if *open == 0 {
                    pipeline.cmd("ZADD").arg(key("ready")).arg(task).arg(&id).ignore();
                } else {
                    pipeline.cmd("HSET").arg(key("open")).arg(&id).arg(*open).ignore();
                }
                if !dependants.is_empty() {
                    let ids: Vec<String> = dependants.iter().map(|task| Shape::id(*task)).collect();
                    pipeline.cmd("HSET").arg(key("dependants")).arg(&id).arg(ids.join(" ")).ignore();
                }
                task += 1;
            }
            pipeline.exec_async(&mut connection).await?;
        }
        Ok(watch.per_second(shape.tasks))
    }

    async fn callers(self: &Arc<Self>, callers: usize, connections: usize) -> Result<Vec<Caller>> {
        let mut made = Vec::new();
        for _ in 0..connections.min(callers) {
            made.push(self.server.connection().await?);
        }
        let spread = made.iter().cycle().take(callers).enumerate();
        Ok(spread
            .map(|(number, connection)| Caller {
                minimal: Arc::clone(self),
                connection: connection.clone(),
                name: format!("agent-{number}"),
                token: 0,
            })
            .collect())
    }

    /// As many callers, spread over as many connections, claim and settle until all is done; `fused`: in
    /// one script. How long that took.
    pub(crate) async fn work(
        self: &Arc<Self>,
        tasks: u64,
        callers: usize,
        connections: usize,
        fused: bool,
    ) -> Result<Duration> {
        let callers = self.callers(callers, connections).await?;
        let done = Arc::new(AtomicU64::new(0));
        let news = Arc::new(watch::Sender::new(0_u64));
        let watch = Watch::start();
        let mut workers = tokio::task::JoinSet::new();
        for caller in callers {
            workers.spawn(caller.work(tasks, Arc::clone(&done), Arc::clone(&news), fused));
        }
        while let Some(end) = workers.join_next().await {
            end??;
        }
        let took = watch.elapsed();
        let done = done.load(Ordering::Relaxed);
        ensure!(done == tasks, "{done} of {tasks} tasks were done");
        Ok(took)
    }

    /// Removes what is there.
    pub(crate) async fn clear(&self) -> Result<()> {
        self.server.clear(&self.prefix).await
    }
}

impl Caller {
    async fn work(
        mut self,
        tasks: u64,
        done: Arc<AtomicU64>,
        news: Arc<watch::Sender<u64>>,
        fused: bool,
    ) -> Result<()> {
        let mut seen = news.subscribe();
        let mut held = None;
        loop {
            seen.mark_unchanged();
            let now = match held.take() {
                Some(now) => now,
                None => match self.claim().await? {
                    Some(now) => now,
                    None if done.load(Ordering::Relaxed) >= tasks => return Ok(()),
                    None => {
                        // Whoever unblocks a task or does the last one says so; in the least case that
                        // costs the server nothing.
                        seen.changed().await?;
                        continue;
                    }
                },
            };
            let unblocked;
            (unblocked, held) = self.settle(&now, fused).await?;
            let last = done.fetch_add(1, Ordering::Relaxed) + 1 == tasks;
            if last || unblocked > u64::from(held.is_some()) {
                news.send_modify(|number| *number += 1);
            }
        }
    }

    fn script(&mut self, sha: &str, task: Option<&Held>) -> Cmd {
        let mut cmd = redis::cmd("EVALSHA");
        self.token += 1;
        let key = |name: &str| format!("{}{name}", self.minimal.prefix);
        cmd.arg(sha).arg(4).arg(key("ready")).arg(key("events")).arg(key("dependants")).arg(key("open"));
        cmd.arg(&self.minimal.prefix).arg(&self.name).arg(self.token);
        if let Some(held) = task {
            cmd.arg(&held.task).arg(held.token);
        }
        cmd
    }

    async fn ask(&mut self, cmd: &Cmd) -> Result<(u64, Option<Held>)> {
        let (unblocked, task): (i64, Option<String>) = cmd.query_async(&mut self.connection).await?;
        let unblocked = u64::try_from(unblocked).context("the token was refused")?;
        Ok((unblocked, task.map(|task| Held { task, token: self.token })))
    }

    async fn claim(&mut self) -> Result<Option<Held>> {
        let minimal = Arc::clone(&self.minimal);
        let cmd = self.script(&minimal.claim, None);
        Ok(self.ask(&cmd).await?.1)
    }

    async fn settle(&mut self, held: &Held, fused: bool) -> Result<(u64, Option<Held>)> {
        let minimal = Arc::clone(&self.minimal);
        let cmd = self.script(if fused { &minimal.fused } else { &minimal.settle }, Some(held));
        self.ask(&cmd).await
    }
}

/// PING and its answer, one after the other: how long each took.
pub(crate) async fn pings(server: &Redis, times: u64) -> Result<Vec<Duration>> {
    let mut connection = server.connection().await?;
    let mut spans = Vec::new();
    for _ in 0..times {
        let watch = Watch::start();
        Redis::ping(&mut connection).await?;
        spans.push(watch.elapsed());
    }
    Ok(spans)
}

/// From when a word is sent to when a reader that was blocked has it.
pub(crate) async fn wake_ups(server: &Redis, times: u64) -> Result<Vec<Duration>> {
    let key = format!("{}wake", server.place().await?);
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    let mut blocked = server.client().get_multiplexed_async_connection_with_config(&patient).await?;
    let mut sender = server.connection().await?;
    let (woken, mut awake) = mpsc::channel::<std::time::Instant>(1);
    let asleep = key.clone();
    let reader = tokio::spawn(async move {
        for _ in 0..times {
            redis::cmd("BLPOP").arg(&asleep).arg(0).query_async::<Value>(&mut blocked).await?;
            woken.send(now()).await?;
        }
        anyhow::Ok(())
    });
    let mut spans = Vec::new();
    for _ in 0..times {
        // The reader must be asleep again, or nobody is woken.
        tokio::time::sleep(Duration::from_micros(200)).await;
        let sent = now();
        redis::cmd("RPUSH").arg(&key).arg("word").exec_async(&mut sender).await?;
        let awake = awake.recv().await.context("the reader ended")?;
        spans.push(awake.saturating_duration_since(sent));
    }
    reader.await??;
    server.clear(&key).await?;
    Ok(spans)
}

#[expect(clippy::disallowed_methods, reason = "the benchmark measures")]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}
