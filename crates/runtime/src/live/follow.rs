//! The loop that follows what is declared.

use std::convert::Infallible;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::event::{EventDraft, EventKind};
use downbeat_core::ids::GoalId;
use downbeat_core::time::Clock as _;
use serde_json::json;
use tracing::{info, warn};

use super::bring_in::Brought;
use super::versions::{self, Fault, Refused, Versions};
use crate::feed::{Feed, News};
use crate::heartbeats::{Heartbeats, SteeringFile};
use crate::load::{Files, Project, ProjectGoal, load_files, works_for};
use crate::orchestrator::{Orchestrator, RunError, start_order, tell};
use crate::steering::{FleetOrder, Order, Standing, Subject, notice, told};
use crate::supervise::Declarer;
use crate::watching::Watch;

/// How long files have to be at rest before they are read: an editor may write several times.
const REST: Duration = Duration::from_millis(30);

/// How long a version that cannot be read may be one that is still being written.
const HALF_WRITTEN: Duration = Duration::from_millis(250);

/// Who changes what changed in the files.
const FILES: &str = "INSTRUCTIONS.md";

impl Orchestrator {
    /// Follows the files and the orders to read them again, until it is dropped or the cache fails. One that
    /// `leads` also plans, keeps versions and tells of them.
    pub(crate) async fn follow(&self, leads: bool, crew: Option<&Declarer>) -> Result<Infallible, RunError> {
        if !self.follows {
            return std::future::pending().await;
        }
        let path = self.project().path.clone();
        let feed = Feed::start(Arc::clone(&self.cache)).await?;
        let mut ear = feed.subscribe();
        let (mut seen, first) = read(&path).await;
        let mut watch = Watch::new(seen.0.keys().cloned());
        // What was read at the start is in force; it may be another version by now.
        self.take_in(&seen, first, leads, crew).await?;
        if leads {
            // An order that was given before the first event that is heard here.
            self.reparse().await?;
        }
        loop {
            let look = tokio::select! {
                _ = watch.changed() => true,

                news = ear.next() => match news {
                    Some(News::Event(event)) => {
                        leads && matches!(told(&event), Some(Order::Fleet(FleetOrder::Reparse { .. })))
                    }
                    Some(News::Missed) => leads,
                    None => std::future::pending().await,
                },
            };
            if !look {
                continue;
            }
            tokio::time::sleep(REST).await;
            let (mut files, mut project) = read(&path).await;
            if project.is_err() && files != seen {
                tokio::time::sleep(HALF_WRITTEN).await;
                (files, project) = read(&path).await;
            }
            if files != seen {
                self.take_in(&files, project, leads, crew).await?;
                watch = Watch::new(files.0.keys().chain(seen.0.keys()).cloned());
                seen = files;
            }
            if leads {
                self.reparse().await?;
            }
        }
    }

    /// Puts a version into force, or tells why it cannot be.
    async fn take_in(
        &self,
        files: &Files,
        project: Result<Project, Vec<Fault>>,
        leads: bool,
        crew: Option<&Declarer>,
    ) -> Result<(), RunError> {
        let project = match project.and_then(|project| self.allowed(project)) {
            Ok(project) => project,
            Err(faults) if leads => return self.refuse(files, faults).await,
            Err(_) => return Ok(()),
        };
        let project = self.with_known_models(project);
        if leads {
            // An agent that is a process and begins anew asks the cache what it is declared as.
            versions::keep_texts(self.cache.as_ref(), files).await?;
            // Before an agent that is new takes its first task: it may be told to pause.
            self.look_at_new_heartbeats(&project).await;
        }
        let agents = start_order(&project.agents)?.into_iter().cloned().map(Arc::new).collect();
        if let Some(crew) = crew {
            crew.declare(agents, project.goals.clone(), FILES);
        }
        self.in_force.put(project);
        if leads {
            // Plans first: a crash in between leaves a plan that is as declared, and no record of why.
            for goal in &self.project().goals {
                self.bring_in_or_wait(goal, false, FILES).await?;
            }
            self.record(files).await?;
        }
        Ok(())
    }

    /// Looks once at the files that steer agents by `project` and did not before.
    async fn look_at_new_heartbeats(&self, project: &Project) {
        let before = SteeringFile::of_project(&self.project());
        let new = SteeringFile::of_project(project).into_iter().filter(|file| !before.contains(file));
        Heartbeats::new(&self.cache, new.collect()).look().await;
    }

    /// Writes down which version is in force, if that is news.
    pub(crate) async fn record(&self, files: &Files) -> Result<(), RunError> {
        versions::keep_texts(self.cache.as_ref(), files).await?;
        let now = self.clock.now();
        let path = self.project().path.clone();
        let add = |kept: &mut Versions| kept.add(files, &path, now);
        let Some(versions) = versions::update(self.cache.as_ref(), add).await? else { return Ok(()) };
        let Some(version) = versions.in_force() else { return Ok(()) };
        let reason = format!("version {} of the instructions is in force", version.number);
        info!(target: "orchestrator", "Version {} of the instructions is in force", version.number);
        let event = EventDraft::new(EventKind::INSTRUCTIONS_CHANGED).reason(reason).data(json!({
            "version": version.number,
            "digest": version.digest,
        }));
        // Agents first: whoever reads the event may expect that they know.
        notice::send_declared(self.cache.as_ref(), version.number).await?;
        tell(self.cache.as_ref(), event).await
    }

    /// Writes down what stands in the files, if that can be read: agents that are processes ask the cache what is
    /// in force.
    pub(crate) async fn record_what_stands(&self) -> Result<(), RunError> {
        if !self.follows {
            return Ok(());
        }
        match read(&self.project().path).await {
            (files, Ok(_)) => self.record(&files).await,
            (_, Err(_)) => Ok(()),
        }
    }

    /// A project that this orchestrator could run.
    fn allowed(&self, project: Project) -> Result<Project, Vec<Fault>> {
        let checked = self.check_number(&project).and_then(|()| start_order(&project.agents).map(|_| ()));
        let Err(error) = checked else { return Ok(project) };
        let message = error.to_string();
        Err(vec![Fault { file: project.path.display().to_string(), line: 1, column: 1, message }])
    }

    /// Leaves in force what is, and raises one alert for each version that is refused.
    async fn refuse(&self, files: &Files, faults: Vec<Fault>) -> Result<(), RunError> {
        let (digest, at) = (files.digest(), self.clock.now());
        let refused = Refused { digest: digest.clone(), at, faults };
        let update = |kept: &mut Versions| {
            let is_news = kept.refused.as_ref().is_none_or(|before| before.faults != refused.faults);
            kept.refused = Some(refused.clone());
            is_news
        };
        if versions::update(self.cache.as_ref(), update).await?.is_none() {
            return Ok(());
        }
        let first = refused.faults.first().map(ToString::to_string).unwrap_or_default();
        let more = match refused.faults.len().saturating_sub(1) {
            0 => String::new(),
            more => format!(" (and {more} more)"),
        };
        warn!(target: "orchestrator", "The instructions cannot be read, and what was in force stays: {first}{more}");
        let event = EventDraft::new(EventKind::ALERT_INSTRUCTIONS)
            .reason(format!("{first}{more}; what was in force stays in force"))
            .data(json!({ "digest": digest, "faults": refused.faults }));
        tell(self.cache.as_ref(), event).await
    }

    /// The same, but every agent of this process uses the model that it had: models are opened when a run starts.
    fn with_known_models(&self, mut project: Project) -> Project {
        if self.has_agents_elsewhere() {
            return project;
        }
        let before = self.project();
        for agent in &mut project.agents {
            let name = &agent.spec.name.value;
            let had = before.agents.iter().find(|had| had.spec.name.value == *name);
            let known = match had {
                Some(had) => had.spec.llm == agent.spec.llm,
                None => agent.spec.llm.is_none() || self.models.by_agent.contains_key(name),
            };
            if !known {
                let which = agent.spec.llm.as_deref().unwrap_or("the run's model");
                warn!(target: "orchestrator", "Agent {name} is to use {which}: it does from the next run on");
                agent.spec.llm = had.and_then(|had| had.spec.llm.clone());
            }
        }
        project
    }

    /// Brings a goal's plan in line as far as it may be, and tells what waits.
    pub(crate) async fn bring_in_or_wait(
        &self,
        goal: &ProjectGoal,
        asked: bool,
        by: &str,
    ) -> Result<(), RunError> {
        let waits = if !self.workspaces.contains_key(&goal.id) {
            Some("it is new: it is planned when the run starts again".to_owned())
        } else {
            match self.bring_in(goal, asked, by).await {
                Ok(Brought::Same | Brought::Amended) => None,
                Ok(Brought::Waits(why)) => Some(why),
                Err(
                    error @ (RunError::Unexecutable { .. }
                    | RunError::Planning { .. }
                    | RunError::UnsoundPlan { .. }),
                ) => Some(error.to_string()),
                Err(error) => return Err(error),
            }
        };
        let update = |kept: &mut Versions| match &waits {
            Some(why) => kept.waiting.insert(goal.id.to_string(), why.clone()).as_ref() != Some(why),
            None => kept.waiting.remove(goal.id.as_str()).is_some(),
        };
        let news = versions::update(self.cache.as_ref(), update).await?.is_some();
        let Some(why) = waits.filter(|_| news) else { return Ok(()) };
        let reason =
            format!("{why}; `downbeat plan --diff` shows it, `downbeat reparse --goal {}` does it", goal.id);
        warn!(target: "orchestrator", "Goal {} is declared otherwise than it is planned: {reason}", goal.id);
        let event = EventDraft::new(EventKind::INSTRUCTIONS_WAITING).goal(&goal.id).reason(reason);
        tell(self.cache.as_ref(), event).await
    }

    /// Whether an order to read the instructions again is due that [`follow`](Self::follow) will carry out.
    pub(crate) async fn will_reparse(&self) -> Result<bool, RunError> {
        if !self.follows {
            return Ok(false);
        }
        let done = Versions::load(self.cache.as_ref()).await?.reparses;
        let all = Standing::all(self.cache.as_ref()).await?;
        let is_due = |(subject, standing): &(Subject, Standing)| {
            standing.reparses > done.get(&subject.to_string()).copied().unwrap_or_default()
        };
        Ok(all.iter().any(is_due))
    }

    /// Carries out the orders to read the instructions again that are due.
    pub(crate) async fn reparse(&self) -> Result<(), RunError> {
        let done = Versions::load(self.cache.as_ref()).await?.reparses;
        for (subject, standing) in Standing::all(self.cache.as_ref()).await? {
            let key = subject.to_string();
            if standing.reparses <= done.get(&key).copied().unwrap_or_default() {
                continue;
            }
            let project = self.project();
            for goal in project.goals.iter().filter(|goal| concerns(&subject, &goal.id, &project)) {
                self.bring_in_or_wait(goal, true, &standing.by).await?;
            }
            let carried_out = |kept: &mut Versions| {
                kept.reparses.insert(key.clone(), standing.reparses) != Some(standing.reparses)
            };
            versions::update(self.cache.as_ref(), carried_out).await?;
            // Not every one leaves an event, and the run may wait for nothing else.
            self.reparsed.notify_one();
        }
        Ok(())
    }
}

fn concerns(subject: &Subject, goal: &GoalId, project: &Project) -> bool {
    match subject {
        Subject::Project => true,
        Subject::Goal(only) => only == goal,
        Subject::Agent(name) => {
            project.agents.iter().any(|agent| agent.spec.name.value == *name && works_for(&agent.spec, goal))
        }
        Subject::Group(_) => false,
    }
}

/// Reads the files without holding anybody up.
async fn read(path: &Path) -> (Files, Result<Project, Vec<Fault>>) {
    let path = path.to_path_buf();
    let read = tokio::task::spawn_blocking(move || {
        let (files, project) = load_files(&path);
        (files, project.map_err(|error| Fault::of(&error.reports)))
    });
    match read.await {
        Ok(read) => read,
        Err(error) => {
            let fault = Fault { file: String::new(), line: 1, column: 1, message: error.to_string() };
            (Files::default(), Err(vec![fault]))
        }
    }
}
