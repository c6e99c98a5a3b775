//! What INSTRUCTIONS.md says, with the place of everything that a later check may complain about.

use std::collections::BTreeMap;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::dag::Draft;
use crate::ids::{AgentName, Capability, GoalId, GroupName};
use crate::span::HumanDuration;

/// A value and the bytes of the text that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What was read.
    pub value: T,
    /// Where.
    pub span: Range<usize>,
}

impl<T> Spanned<T> {
    /// `value`, read from `span`.
    #[must_use]
    pub const fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }
}

/// All that a file of instructions declares, consistent in itself: names are unique, every
/// `Depends On`, `Goal` and `after` names something that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instructions {
    /// In the order of the file.
    pub agents: Vec<AgentSpec>,
    /// In the order of the file. A goal that only an agent names (as in the YAML form) is here too,
    /// with that agent's span and [`PlanSource::Model`].
    pub goals: Vec<GoalSpec>,
}

/// One declared agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentSpec {
    /// Its name, at the place where it is declared.
    pub name: Spanned<AgentName>,
    /// The goal it works for; `None` when the file has several goals and the agent takes any.
    pub goal: Option<Spanned<GoalId>>,
    /// What it is, such as `researcher` or `manager`.
    pub role: Option<String>,
    /// What it can do. Without any it takes every task that needs nothing.
    pub capabilities: Vec<Capability>,
    /// Its own instructions: a file, relative to the file of instructions.
    pub instructions: Option<Spanned<String>>,
    /// The file that steers it, relative to the file of instructions; it may be absent.
    pub heartbeat: Option<Spanned<String>>,
    /// How much it logs.
    pub log_level: Option<LogLevel>,
    /// How often it does its upkeep, when nothing wakes it.
    pub cadence: Option<HumanDuration>,
    /// Agents that come before it, none twice.
    pub depends_on: Vec<Dependency>,
    /// The groups it belongs to, none twice.
    pub groups: Vec<Spanned<GroupName>>,
    /// What it says about how many agents of these groups may live at once. No agent of a file says another
    /// number; see [`group_limits`].
    pub group_limits: Vec<(GroupName, Spanned<u32>)>,
    /// Whether it is started again when its life has ended; [`Restart::OnFailure`] without it.
    pub restart: Option<Restart>,
    /// How many restarts within `restart_window` are no crash loop; the run's setting without it.
    pub max_restarts: Option<u32>,
    /// Within which time restarts count; the run's setting without it.
    pub restart_window: Option<HumanDuration>,
    /// How long one of its attempts may take, for a task that says nothing about it.
    pub timeout: Option<HumanDuration>,
    /// So many copies of it are always there; 1 without it.
    pub min: Option<Spanned<u32>>,
    /// So many copies of it may be there at once, as ready tasks need them; as many as `min` without it.
    pub max: Option<Spanned<u32>>,
    /// How many tasks it works on at once; 1 without it.
    pub max_parallel: Option<u32>,
    /// The model it uses instead of the run's, such as `claude:opus`.
    pub llm: Option<String>,
}

impl AgentSpec {
    /// How many copies of it there are at least and at most.
    #[must_use]
    pub fn bounds(&self) -> (u32, u32) {
        let min = self.min.as_ref().map_or(1, |min| min.value);
        let max = self.max.as_ref().map_or(1, |max| max.value);
        (min, max.max(min).max(1))
    }

    /// The names of all copies that there may be: its own, then `<name>-2` and so on.
    #[must_use]
    pub fn copies(&self) -> Vec<AgentName> {
        let name = &self.name.value;
        let others =
            (2..=self.bounds().1).filter_map(|number| AgentName::new(format!("{name}-{number}")).ok());
        std::iter::once(name.clone()).chain(others).collect()
    }

    /// An agent of which only the name is said.
    #[must_use]
    pub const fn named(name: Spanned<AgentName>) -> Self {
        Self {
            name,
            goal: None,
            role: None,
            capabilities: Vec::new(),
            instructions: None,
            heartbeat: None,
            log_level: None,
            cadence: None,
            depends_on: Vec::new(),
            max_parallel: None,
            llm: None,
            groups: Vec::new(),
            group_limits: Vec::new(),
            restart: None,
            max_restarts: None,
            restart_window: None,
            timeout: None,
            min: None,
            max: None,
        }
    }
}

/// How many agents of each group may live at once, as any of its agents says; no limit for the others.
pub fn group_limits<'a>(agents: impl IntoIterator<Item = &'a AgentSpec>) -> BTreeMap<GroupName, u32> {
    let said = agents.into_iter().flat_map(|agent| &agent.group_limits);
    said.map(|(group, limit)| (group.clone(), limit.value)).collect()
}

/// One agent that comes before another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Which.
    pub agent: Spanned<AgentName>,
    /// How far it has to be.
    pub until: Milestone,
}

/// How far an agent has to be before those that depend on it start. Each includes those before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Milestone {
    /// Its life has begun.
    Started,
    /// It takes tasks.
    #[default]
    Ready,
    /// It has ended, with nothing to complain of.
    Finished,
}

impl Milestone {
    /// As users write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Finished => "finished",
        }
    }
}

impl FromStr for Milestone {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "started" => Ok(Self::Started),
            "ready" => Ok(Self::Ready),
            "finished" => Ok(Self::Finished),
            _ => Err(()),
        }
    }
}

/// Whether an agent whose life has ended is started again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Restart {
    /// It is not.
    Never,
    /// When it failed.
    #[default]
    OnFailure,
    /// However it ended, unless it was asked to end.
    Always,
}

impl FromStr for Restart {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().replace(['_', ' '], "-").as_str() {
            "never" => Ok(Self::Never),
            "on-failure" => Ok(Self::OnFailure),
            "always" => Ok(Self::Always),
            _ => Err(()),
        }
    }
}

/// One declared goal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GoalSpec {
    /// Its id, at the place where it is declared.
    pub id: Spanned<GoalId>,
    /// Its title; the id where none is given.
    pub title: String,
    /// The free text below its heading, as Markdown: what a model plans from.
    pub brief: String,
    /// Where its DAG comes from.
    pub plan: PlanSource,
    /// The directory that its tasks work in, relative to the file of instructions; that file's own
    /// directory without it.
    pub workspace: Option<Spanned<String>>,
}

/// Where a goal's DAG comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanSource {
    /// A model decomposes the brief.
    Model,
    /// A DAG file, relative to the file of instructions.
    File(Spanned<String>),
    /// A checklist in the file itself.
    Checklist {
        /// The plan as a DAG, not yet validated (but ids, `after` and artifact names are known good).
        draft: Draft,
        /// Where each task of `draft.nodes` stands, at the same index.
        spans: Vec<Range<usize>>,
    },
}

/// How much an agent logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// What a developer wants.
    Debug,
    /// What a user wants.
    Info,
    /// What may need a person.
    Warn,
    /// What does need one.
    Error,
    /// Nothing.
    Off,
}

impl FromStr for LogLevel {
    type Err = ();

    /// The names of Rust's and of Python's logging, in any case.
    fn from_str(text: &str) -> Result<Self, ()> {
        match text.to_ascii_lowercase().as_str() {
            "trace" => Ok(Self::Trace),
            "debug" => Ok(Self::Debug),
            "info" => Ok(Self::Info),
            "warn" | "warning" => Ok(Self::Warn),
            "error" | "critical" | "fatal" => Ok(Self::Error),
            "off" | "none" => Ok(Self::Off),
            _ => Err(()),
        }
    }
}
