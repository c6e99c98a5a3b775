//! [`RedisCache`]: the traits, each verb one script.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{
    Acquire, Agent, AgentError, Agents, Amend, Append, Beat, BeatReply, CacheError, Claim, ClaimReply,
    Departure, Hold, Leave, Page, Plan, Read, ReadyQuery, Record, Records, Registered, Registration, Remove,
    Removed, Renew, Renewed, Settle, Settled, Steer, Steered, StoreIf, Streams, Sweep, Swept, Task,
    TaskDetail, TaskQuery, Tasks, Topic,
};
use downbeat_core::dag::{self, Dag, DagParts, MAX_PRIORITY, Node};
use downbeat_core::goal::Goal;
use downbeat_core::ids::{AgentName, GoalId, Incarnation, TaskId, Token};
use downbeat_core::rules;

use crate::connect::ConnectError;
use crate::layout;
use crate::news::{self, News};
use crate::options::Options;
use crate::reply::{Fields, Reply, json, maybe_moment, parse, text, word};
use crate::requests::{self, limit, millis};
use crate::scripts::{self, Script};
use crate::server::Server;

/// How many tasks of a goal are forgotten in one step: a few milliseconds of the server.
const REMOVED_AT_ONCE: &str = "1000";

/// A [`Cache`](downbeat_core::cache::Cache) on a Redis server. Clones share its connections.
///
/// Any number of processes on any number of machines may open the same store. Each verb is one script,
/// so one atomic step and one round trip; time is the server's.
#[derive(Debug, Clone)]
pub struct RedisCache {
    pub(crate) server: Arc<Server>,
    news: Arc<News>,
}

impl RedisCache {
    /// Connects to a server and looks whether a cache may stand on it.
    ///
    /// # Errors
    ///
    /// [`ConnectError`].
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        let server = Arc::new(Server::connect(options).await?);
        let news = Arc::new(News::start(Arc::clone(&server)));
        Ok(Self { server, news })
    }

    /// Where the server is, without its password.
    #[must_use]
    pub fn place(&self) -> &str {
        self.server.place()
    }

    /// Runs a verb.
    async fn run(&self, script: &Script, arguments: &[&str]) -> Result<Reply, CacheError> {
        self.server.run(script, arguments).await
    }

    /// A goal with its DAG.
    async fn goal_and_dag(&self, goal: &GoalId) -> Result<Option<(Goal, Dag)>, CacheError> {
        let mut reply = self.run(&scripts::DAG, &[goal.as_str()]).await?;
        match reply.word.as_str() {
            "missing" => Ok(None),
            "dag" => {
                let stored = layout::goal(reply.value()?)?;
                let order: Vec<TaskId> = reply.ids()?;
                let what = format!("dag:{goal}");
                let nodes = Fields::new(format!("{what}:nodes"), reply.value()?);
                let dependants = Fields::new(format!("{what}:dependants"), reply.value()?);
                let mut parts = DagParts { goal_id: goal.clone(), nodes: Vec::new(), edges: Vec::new() };
                for id in order {
                    let node: Node = json(&nodes.of, nodes.text(id.as_str())?)?;
                    parts.nodes.push(node);
                    for dependant in dependants.maybe(id.as_str()).unwrap_or_default().split_whitespace() {
                        parts.edges.push((id.clone(), parse(&dependants.of, dependant)?));
                    }
                }
                let dag = Dag::from_parts(parts)
                    .map_err(|error| CacheError::Corrupt { key: what, source: Some(error.into()) })?;
                Ok(Some((stored, dag)))
            }
            _ => Err(reply.unknown()),
        }
    }

    /// Forgets what is left of a goal whose removal was begun.
    async fn finish_removal(&self, goal: &str) -> Result<(), CacheError> {
        while self.remove_part(goal, "", false).await?.1 {}
        Ok(())
    }

    /// Removes a goal, or a part of what is left of it. Returns how many tasks it had, and whether there
    /// is more of it to forget.
    async fn remove_part(&self, goal: &str, ended_at: &str, begin: bool) -> Result<(u64, bool), CacheError> {
        let arguments = [goal, ended_at, REMOVED_AT_ONCE, if begin { "1" } else { "0" }];
        let mut reply = self.run(&scripts::REMOVE, &arguments).await?;
        let goal = || parse::<GoalId>("goal", goal);
        match reply.word.as_str() {
            "removed" => Ok((reply.number()?, reply.text()? == "1")),
            "unfinished" => {
                Err(CacheError::GoalUnfinished { goal: goal()?, status: word("goal", &reply.text()?)? })
            }
            "conflict" => Err(rules::goal_conflict(&goal()?, parse("ended_at", ended_at)?, reply.number()?)),
            _ => Err(reply.unknown()),
        }
    }

    /// Goals, one or all.
    async fn list_goals(&self, goal: &str) -> Result<Vec<Goal>, CacheError> {
        let reply = self.run(&scripts::GOALS, &[goal]).await?;
        reply.rest().map(layout::goal).collect()
    }

    /// Agents, one or all.
    async fn list_agents(&self, name: &str) -> Result<Vec<Agent>, CacheError> {
        let mut reply = self.run(&scripts::AGENTS, &[name]).await?;
        let now = reply.moment()?;
        reply.rest().map(|value| layout::agent(value, now)).collect()
    }

    async fn hold(
        &self,
        verb: &str,
        (name, holder): (&str, &str),
        token: Option<Token>,
        ttl: Option<Duration>,
    ) -> Result<Reply, CacheError> {
        let token = token.map(|token| token.to_string()).unwrap_or_default();
        let ttl = ttl.map(|ttl| millis(ttl).to_string()).unwrap_or_default();
        self.run(&scripts::HOLD, &[verb, name, holder, &token, &ttl]).await
    }
}

/// What a claim was answered; `None` for what is none.
fn claimed(claim: &Claim, reply: &mut Reply) -> Result<ClaimReply, CacheError> {
    match reply.word.as_str() {
        "granted" => layout::granted(claim, reply),
        "nothing" => {
            Ok(ClaimReply::Nothing { paused: reply.text()? == "1", next_due: reply.maybe_moment()? })
        }
        "replaced" => Err(replaced(&claim.agent, &claim.incarnation)),
        "missing" => match &claim.task {
            Some(task) => Err(CacheError::TaskNotFound { task: task.clone() }),
            None => Err(reply.unknown()),
        },
        "tokens" => Err(rules::tokens_used_up()),
        _ => Err(reply.unknown()),
    }
}

fn replaced(agent: &AgentName, presented: &Incarnation) -> CacheError {
    CacheError::AgentReplaced { agent: agent.clone(), presented: presented.clone() }
}

/// A write that its task refused.
fn refused(task: &TaskId, reply: &mut Reply) -> CacheError {
    let lost = |reply: &mut Reply| -> Result<CacheError, CacheError> {
        let (presented, current) = (Token::from_u64(reply.number()?), Token::from_u64(reply.number()?));
        let holder = AgentName::new(reply.text()?).ok();
        Ok(CacheError::LeaseLost { task: task.clone(), presented, current, holder })
    };
    match reply.word.as_str() {
        "missing" => CacheError::TaskNotFound { task: task.clone() },
        "lost" => lost(reply).unwrap_or_else(|error| error),
        _ => reply.unknown(),
    }
}

/// A goal that was planned or amended.
fn planned(goal: &GoalId, mut reply: Reply) -> Result<Goal, CacheError> {
    match reply.word.as_str() {
        "goal" => layout::goal(reply.value()?),
        "exists" => Err(CacheError::GoalExists { goal: goal.clone() }),
        "missing" => Err(CacheError::GoalNotFound { goal: goal.clone() }),
        "taken" => {
            let mut taken = Vec::new();
            let mut values = reply.rest().map(text);
            while let (Some(task), Some(holder)) = (values.next().flatten(), values.next().flatten()) {
                taken.push((parse("taken", &task)?, parse("taken", &holder)?));
            }
            Err(CacheError::TasksTaken { goal: goal.clone(), taken })
        }
        _ => Err(reply.unknown()),
    }
}

fn invalid(error: &serde_json::Error) -> CacheError {
    CacheError::Invalid { reason: error.to_string() }
}

#[async_trait]
impl Tasks for RedisCache {
    async fn plan(&self, plan: &Plan) -> Result<Goal, CacheError> {
        rules::check_plan(plan)?;
        let goal = plan.dag.goal();
        let mut arguments = vec![
            goal.to_string(),
            plan.title.clone(),
            plan.request.0.clone(),
            plan.max_attempts.to_string(),
            plan.dag.digest(),
            requests::usage(&plan.spent),
        ];
        arguments.extend(requests::parent(plan.parent.as_ref()));
        requests::tasks(&plan.dag, &mut arguments).map_err(|error| invalid(&error))?;
        loop {
            let mut reply = self.server.run(&scripts::PLAN, &arguments).await?;
            if reply.word != "removing" {
                return planned(goal, reply);
            }
            self.finish_removal(&reply.text()?).await?;
        }
    }

    async fn amend(&self, amend: &Amend) -> Result<Goal, CacheError> {
        rules::check_amend(amend)?;
        let goal = amend.dag.goal();
        loop {
            let (before, old) = self
                .goal_and_dag(goal)
                .await?
                .ok_or_else(|| CacheError::GoalNotFound { goal: goal.clone() })?;
            let diff = dag::diff(&old, &amend.dag);
            let arguments = [
                goal.to_string(),
                amend.revision.to_string(),
                amend.request.0.clone(),
                amend.max_attempts.to_string(),
                amend.dag.digest(),
                requests::usage(&amend.spent),
                before.revision.to_string(),
                requests::change(&before, &old, amend, &diff),
            ];
            let mut reply = self.server.run(&scripts::AMEND, &arguments).await?;
            match reply.word.as_str() {
                "again" => {}
                "removing" => self.finish_removal(&reply.text()?).await?,
                "conflict" => return Err(rules::goal_conflict(goal, amend.revision, reply.number()?)),
                _ => return planned(goal, reply),
            }
        }
    }

    async fn goal(&self, goal: &GoalId) -> Result<Option<Goal>, CacheError> {
        Ok(self.list_goals(goal.as_str()).await?.pop())
    }

    async fn goals(&self) -> Result<Vec<Goal>, CacheError> {
        self.list_goals("").await
    }

    async fn dag(&self, goal: &GoalId) -> Result<Option<Arc<Dag>>, CacheError> {
        Ok(self.goal_and_dag(goal).await?.map(|(_, dag)| Arc::new(dag)))
    }

    async fn task(&self, task: &TaskId) -> Result<Option<TaskDetail>, CacheError> {
        let mut reply = self.run(&scripts::TASK, &[task.as_str()]).await?;
        match reply.word.as_str() {
            "missing" => Ok(None),
            "task" => {
                let (_, task) = layout::task(reply.value()?)?;
                let ended = reply.list()?.into_iter().map(layout::ended).collect::<Result<_, _>>()?;
                Ok(Some(TaskDetail { task, ended }))
            }
            _ => Err(reply.unknown()),
        }
    }

    async fn tasks(&self, query: &TaskQuery) -> Result<Vec<Task>, CacheError> {
        let status = query.status.map_or("", |status| status.as_str());
        let after = query.after.map(|after| after.to_string()).unwrap_or_default();
        let arguments = [query.goal.as_str(), status, &after, &limit(query.limit)];
        let reply = self.run(&scripts::TASKS, &arguments).await?;
        if reply.word == "missing" {
            return Err(CacheError::GoalNotFound { goal: query.goal.clone() });
        }
        reply.rest().map(|value| layout::task(value).map(|(_, task)| task)).collect()
    }

    async fn ready(&self, query: &ReadyQuery) -> Result<Vec<Task>, CacheError> {
        let goal = query.goal.as_ref().map_or("", GoalId::as_str);
        let capabilities = requests::capabilities(&query.capabilities);
        let reply = self.run(&scripts::READY, &[goal, &capabilities, &limit(query.limit)]).await?;
        reply.rest().map(|value| layout::task(value).map(|(_, task)| task)).collect()
    }

    async fn claim(&self, claim: &Claim) -> Result<ClaimReply, CacheError> {
        rules::check_claim(claim)?;
        let mut reply = self
            .server
            .run_among(
                &scripts::CLAIM,
                requests::without_end(&requests::claim(claim).each_ref().map(|text| text.as_ref())),
            )
            .await?;
        claimed(claim, &mut reply)
    }

    async fn renew(&self, renew: &Renew) -> Result<Renewed, CacheError> {
        rules::check_lease_ttl(renew.ttl)?;
        let progress = rules::bounded_progress(renew.progress.as_deref());
        let arguments = [
            renew.task.as_str(),
            &renew.token.to_string(),
            &millis(renew.ttl).to_string(),
            if progress.is_some() { "1" } else { "0" },
            progress.as_deref().unwrap_or_default(),
        ];
        let mut reply = self.server.run_among(&scripts::RENEW, &arguments).await?;
        match reply.word.as_str() {
            "renewed" => Ok(Renewed { expires_at: reply.moment()? }),
            _ => Err(refused(&renew.task, &mut reply)),
        }
    }

    async fn settle(&self, settle: &Settle) -> Result<Settled, CacheError> {
        let outcome = rules::check_settle(settle)?;
        let token = settle.token.to_string();
        let [outcome, text, more, after] = requests::outcome(&outcome);
        let spent = requests::usage(&settle.spent);
        let next = settle.next.as_ref().map(requests::claim);
        let mut arguments: Vec<&str> = vec![settle.task.as_str(), &token, &settle.request.0, &outcome, &text];
        match &next {
            Some(next) => arguments.extend(next.iter().map(AsRef::<str>::as_ref)),
            None => arguments.extend([""; 8]),
        }
        arguments.extend([&*more, &*after, &spent]);
        let arguments = requests::without_end(&arguments);
        let mut reply = self.server.run_among(&scripts::SETTLE, arguments).await?;
        const WHAT: &str = "answer of settle";
        match reply.word.as_str() {
            "settled" => {
                let words = reply.text()?;
                let &[status, unblocked, goal_status, not_before] =
                    words.split(' ').collect::<Vec<_>>().as_slice()
                else {
                    return Err(reply.unknown());
                };
                let (status, goal_status) = (word(WHAT, status)?, word(WHAT, goal_status)?);
                let unblocked = parse(WHAT, unblocked)?;
                let not_before = maybe_moment(WHAT, not_before)?;
                // Its failure does not undo the settle.
                let next = settle.next.as_ref().map(|next| {
                    reply
                        .behind("claim")
                        .and_then(|mut reply| claimed(next, &mut reply))
                        .unwrap_or(ClaimReply::Nothing { paused: false, next_due: None })
                });
                Ok(Settled { status, not_before, unblocked, goal_status, repeated: false, next })
            }
            "repeated" => Ok(Settled {
                status: word(WHAT, &reply.text()?)?,
                not_before: reply.maybe_moment()?,
                unblocked: 0,
                goal_status: word(WHAT, &reply.text()?)?,
                repeated: true,
                next: None,
            }),
            _ => Err(refused(&settle.task, &mut reply)),
        }
    }

    async fn steer(&self, steer: &Steer) -> Result<Steered, CacheError> {
        rules::check_steer(steer)?;
        let event = rules::steered(steer, &Steered { applied: true, detail: String::new() });
        let arguments = [
            steer.request.0.clone(),
            serde_json::to_string(&steer.directive).map_err(|error| invalid(&error))?,
            requests::reason(&steer.directive, &steer.by),
            event.data.to_string(),
            MAX_PRIORITY.to_string(),
            rules::KEPT_DIRECTIVES.to_string(),
        ];
        let mut reply = self.server.run(&scripts::STEER, &arguments).await?;
        match reply.word.as_str() {
            "applied" => Ok(Steered { applied: true, detail: reply.text()? }),
            "refused" => Ok(Steered { applied: false, detail: reply.text()? }),
            _ => Err(reply.unknown()),
        }
    }

    async fn remove(&self, remove: &Remove) -> Result<Removed, CacheError> {
        let ended_at = remove.ended_at.map(|at| at.as_millis().to_string()).unwrap_or_default();
        let goal = remove.goal.as_str();
        let (tasks, more) = self.remove_part(goal, &ended_at, true).await?;
        if more {
            self.finish_removal(goal).await?;
        }
        Ok(Removed { tasks })
    }

    async fn sweep(&self, sweep: &Sweep) -> Result<Swept, CacheError> {
        let mut reply = self.run(&scripts::SWEEP, &[&limit(sweep.limit)]).await?;
        Ok(Swept {
            expired: reply.ids()?,
            due: reply.ids()?,
            silent: reply.ids()?,
            next_due: reply.maybe_moment()?,
        })
    }
}

#[async_trait]
impl Agents for RedisCache {
    async fn register(&self, registration: &Registration) -> Result<Registered, CacheError> {
        rules::check_registration(registration)?;
        let name = &registration.name;
        let event = rules::registered(registration, None);
        let arguments = [
            name.as_str(),
            &requests::registration(registration),
            &event.data.to_string(),
            &rules::replaced_reason(name),
        ];
        let mut reply = self.run(&scripts::REGISTER, &arguments).await?;
        match reply.word.as_str() {
            "registered" => {
                let replaced = reply.text()?;
                let replaced = (!replaced.is_empty()).then_some(Incarnation(replaced));
                Ok(Registered { replaced, freed: reply.ids()? })
            }
            "taken" => Err(CacheError::AgentNameTaken {
                agent: name.clone(),
                incarnation: Incarnation(reply.text()?),
                last_beat_at: reply.moment()?,
                silent_from: reply.moment()?,
            }),
            _ => Err(reply.unknown()),
        }
    }

    async fn beat(&self, beat: &Beat) -> Result<BeatReply, CacheError> {
        let arguments = [
            beat.name.as_str(),
            &beat.incarnation.0,
            beat.phase.as_str(),
            beat.task.as_ref().map_or("", TaskId::as_str),
            if rules::is_told(beat.phase) { "1" } else { "0" },
        ];
        let mut reply = self.run(&scripts::BEAT, &arguments).await?;
        match reply.word.as_str() {
            "heard" => Ok(BeatReply { paused: reply.text()? == "1", silent_from: reply.moment()? }),
            "replaced" => Err(replaced(&beat.name, &beat.incarnation)),
            _ => Err(reply.unknown()),
        }
    }

    async fn deregister(&self, departure: &Departure) -> Result<Vec<TaskId>, CacheError> {
        let name = &departure.name;
        let told = downbeat_core::text::clip(&departure.reason, 500);
        let limit = match departure.how {
            Leave::Stopped => String::new(),
            Leave::Dead { interruption_limit } | Leave::Quarantined { interruption_limit } => {
                interruption_limit.to_string()
            }
        };
        let phase = rules::phase_after(departure.how).as_str();
        let exit = serde_json::json!(departure.exit).to_string();
        let moved = rules::departed_reason(name, &departure.reason);
        let arguments =
            [name.as_str(), &departure.incarnation.0, &departure.reason, &told, &moved, &limit, phase, &exit];
        self.run(&scripts::DEREGISTER, &arguments).await?.ids()
    }

    async fn agent(&self, name: &AgentName) -> Result<Option<Agent>, CacheError> {
        Ok(self.list_agents(name.as_str()).await?.pop())
    }

    async fn agents(&self) -> Result<Vec<Agent>, CacheError> {
        self.list_agents("").await
    }

    async fn remember(
        &self,
        name: &AgentName,
        incarnation: &Incarnation,
        snapshot: &str,
    ) -> Result<(), CacheError> {
        rules::check_memory(snapshot)?;
        let reply = self.run(&scripts::REMEMBER, &[name.as_str(), &incarnation.0, snapshot]).await?;
        match reply.word.as_str() {
            "kept" => Ok(()),
            "replaced" => Err(replaced(name, incarnation)),
            _ => Err(reply.unknown()),
        }
    }

    async fn recall(&self, name: &AgentName) -> Result<Option<String>, CacheError> {
        let mut cmd = redis::cmd("GET");
        cmd.arg(self.server.keys.memory(name));
        Ok(text(self.server.read(&cmd).await?))
    }

    async fn errors(&self, name: &AgentName) -> Result<Vec<AgentError>, CacheError> {
        let mut reply = self.run(&scripts::ERRORS, &[name.as_str()]).await?;
        reply.list()?.into_iter().map(layout::agent_error).collect()
    }
}

#[async_trait]
impl Streams for RedisCache {
    async fn append(&self, append: &Append) -> Result<u64, CacheError> {
        rules::check_append(append)?;
        let mut arguments = vec![append.stream.to_string(), append.request.0.clone()];
        for event in &append.entries {
            let fields = requests::entry(event);
            arguments.push(fields.len().to_string());
            arguments.extend(fields);
        }
        self.server.run(&scripts::APPEND, &arguments).await?.number()
    }

    async fn read(&self, read: &Read) -> Result<Page, CacheError> {
        // Behind the greatest number there is nothing.
        let first = read.after.checked_add(1).map(|first| first.to_string()).unwrap_or_default();
        let mut reply = self.run(&scripts::READ, &[read.stream.as_str(), &first, &limit(read.limit)]).await?;
        let first = reply.number()?;
        let entries = reply.list()?.into_iter().map(layout::event).collect::<Result<_, _>>()?;
        Ok(Page::new(entries, first, read.after))
    }

    async fn changed(&self, topic: &Topic, seen: u64, wait: Duration) -> Result<u64, CacheError> {
        if wait.is_zero() {
            return news::number(&self.server, topic).await;
        }
        let until = tokio::time::Instant::now() + wait.min(rules::MAX_TTL);
        // Watching begins before the number is asked for, so that nothing in between is missed.
        let Ok(mut numbers) = tokio::time::timeout_at(until, self.news.watch(topic)).await else {
            return news::number(&self.server, topic).await;
        };
        loop {
            numbers.mark_unchanged();
            // The server says the next number after each question for it, and then no more.
            let now = news::number(&self.server, topic).await?;
            if now > seen || tokio::time::timeout_at(until, numbers.changed()).await.is_err() {
                return Ok(now);
            }
            let number = *numbers.borrow();
            if number > seen {
                return Ok(number);
            }
        }
    }
}

#[async_trait]
impl Records for RedisCache {
    async fn load(&self, key: &str) -> Result<Option<Record>, CacheError> {
        rules::check_key(key)?;
        let mut cmd = redis::cmd("HGETALL");
        cmd.arg(self.server.keys.record(key));
        let fields = Fields::new(format!("record:{key}"), self.server.read(&cmd).await?);
        if fields.is_empty() {
            return Ok(None);
        }
        let (version, updated_at) = (fields.parsed("version")?, fields.moment("updated_at")?);
        let record =
            |value: &str| Record { key: key.to_owned(), version, updated_at, value: value.to_owned() };
        Ok(fields.maybe("value").map(record))
    }

    async fn store_if(&self, store: &StoreIf) -> Result<u64, CacheError> {
        rules::check_store(store)?;
        let arguments = [
            store.key.as_str(),
            &store.expected.to_string(),
            if store.value.is_some() { "1" } else { "0" },
            store.value.as_deref().unwrap_or_default(),
            &self.server.writer(),
        ];
        let mut reply = self.server.run(&scripts::STORE, &arguments).await?;
        let version = reply.number()?;
        match reply.word.as_str() {
            "stored" => Ok(version),
            "conflict" => Err(rules::record_conflict(&store.key, store.expected, version)),
            _ => Err(reply.unknown()),
        }
    }

    async fn list(&self, prefix: &str, most: usize) -> Result<Vec<Record>, CacheError> {
        let reply = self.run(&scripts::LIST, &[prefix, &limit(most)]).await?;
        reply.rest().map(layout::record).collect()
    }

    async fn acquire(&self, acquire: &Acquire) -> Result<Option<Hold>, CacheError> {
        rules::check_acquire(acquire)?;
        let who = (acquire.name.as_str(), acquire.holder.as_str());
        let mut reply = self.hold("acquire", who, None, Some(acquire.ttl)).await?;
        match reply.word.as_str() {
            "held" => Ok(Some(Hold {
                name: acquire.name.clone(),
                holder: acquire.holder.clone(),
                token: Token::from_u64(reply.number()?),
                expires_at: reply.moment()?,
            })),
            "busy" => Ok(None),
            "tokens" => Err(rules::tokens_used_up()),
            _ => Err(reply.unknown()),
        }
    }

    async fn renew_hold(&self, hold: &Hold, ttl: Duration) -> Result<Hold, CacheError> {
        rules::check_key(&hold.name)?;
        rules::check_lease_ttl(ttl)?;
        let who = (hold.name.as_str(), hold.holder.as_str());
        let mut reply = self.hold("renew", who, Some(hold.token), Some(ttl)).await?;
        let number = reply.number()?;
        match reply.word.as_str() {
            "held" => {
                Ok(Hold { token: Token::from_u64(number), expires_at: reply.moment()?, ..hold.clone() })
            }
            "conflict" => Err(CacheError::Conflict {
                key: format!("hold:{}", hold.name),
                presented: hold.token.as_u64(),
                current: number,
            }),
            _ => Err(reply.unknown()),
        }
    }

    async fn release_hold(&self, hold: &Hold) -> Result<(), CacheError> {
        let who = (hold.name.as_str(), hold.holder.as_str());
        let reply = self.hold("release", who, Some(hold.token), None).await?;
        if reply.word == "released" { Ok(()) } else { Err(reply.unknown()) }
    }
}
