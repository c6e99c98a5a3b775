//! INSTRUCTIONS.md and the files it names: read whole, or refused with everything that is wrong.

mod files;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use downbeat_core::dag::{self, Dag, DagError};
use downbeat_core::diagnostic::{Diagnostic, Report, Source};
use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::instructions::{self, AgentSpec, GoalSpec, Instructions, PlanSource, Spanned};

use crate::nested::{NESTED_ORCHESTRATOR, Owned, declared};
pub use files::Files;
use files::{beside, root_of};

/// The most bytes of a file of instructions or of an agent's own.
const MAX_TEXT: u64 = 1024 * 1024;

/// The most bytes of a DAG file.
const MAX_DAG: u64 = 128 * 1024 * 1024;

/// What a file of instructions declares, with everything that it names read and checked.
#[derive(Debug, Clone)]
pub struct Project {
    /// The file of instructions.
    pub path: PathBuf,
    /// Its directory: what paths in it are relative to.
    pub root: PathBuf,
    /// In the order of the file.
    pub agents: Vec<ProjectAgent>,
    /// Those that start by themselves, in the order of the file.
    pub goals: Vec<ProjectGoal>,
    /// What tasks own.
    pub owned: Owned,
    /// What is probably not intended.
    pub warnings: Vec<Report>,
}

/// An agent with its own instructions.
#[derive(Debug, Clone)]
pub struct ProjectAgent {
    /// As declared.
    pub spec: AgentSpec,
    /// The text of its own instructions; empty without any.
    pub instructions: String,
}

/// A goal with its plan, if one is declared.
#[derive(Debug, Clone)]
pub struct ProjectGoal {
    /// Its id.
    pub id: GoalId,
    /// What it is called.
    pub title: String,
    /// What is wanted, as Markdown: the text in the file, or else the instructions of the agent that
    /// plans (the first that works for the goal and manages, or else the first that works for it).
    pub brief: String,
    /// The declared plan; a model makes one without it.
    pub dag: Option<Arc<Dag>>,
    /// The directory that its tasks work in.
    pub workspace: PathBuf,
}

/// A project that is refused: every file with its faults.
#[derive(Debug, Clone)]
pub struct LoadError {
    /// One for each file that has any.
    pub reports: Vec<Report>,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, report) in self.reports.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{report}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

/// Reads a file of instructions and all that it names.
///
/// # Errors
///
/// Everything that is wrong with any of the files, at once.
pub fn load(path: &Path) -> Result<Project, LoadError> {
    load_from(path, &mut Reading::default())
}

/// The same, and which files it read or tried to: what has to be watched for it to become another project.
pub fn load_files(path: &Path) -> (Files, Result<Project, LoadError>) {
    let mut reading = Reading::default();
    let project = load_from(path, &mut reading);
    (reading.read, project)
}

/// A project as it was when `files` were read, whatever stands in them now.
///
/// # Errors
///
/// Everything that is wrong with them, as another version of this program may see it.
pub fn load_kept(path: &Path, files: &Files) -> Result<Project, LoadError> {
    load_from(path, &mut Reading { kept: Some(files.clone()), read: Files::default() })
}

/// Where texts come from, and what was read.
#[derive(Default)]
struct Reading {
    /// Instead of the files themselves.
    kept: Option<Files>,
    read: Files,
}

impl Reading {
    fn text(&mut self, path: &Path, limit: u64) -> Result<String, Unread> {
        let text = match &self.kept {
            None => read_text(path, limit),
            Some(kept) => match kept.0.get(path) {
                Some(Some(text)) => Ok(text.clone()),
                _ => Err(Unread::Because(format!("{} was not kept", path.display()))),
            },
        };
        self.read.0.insert(path.to_path_buf(), text.as_ref().ok().cloned());
        text
    }
}

fn load_from(path: &Path, reading: &mut Reading) -> Result<Project, LoadError> {
    let name = path.display().to_string();
    let alone = |message: String| LoadError {
        reports: vec![Report {
            source: Source::new(name.clone(), ""),
            diagnostics: vec![Diagnostic::error(0..0, message)],
        }],
    };
    let text = reading.text(path, MAX_TEXT).map_err(|unread| match unread {
        Unread::Because(reason) => alone(reason),
        Unread::NoText(report) => LoadError { reports: vec![report] },
    })?;
    let source = Source::new(name.clone(), text);
    let root = root_of(path);
    let (declared, warnings) = match instructions::parse(&source) {
        Ok(parsed) => parsed,
        Err(report) => return Err(LoadError { reports: vec![report] }),
    };
    let mut loader = Loader { root: &root, reading, faults: Vec::new(), reports: Vec::new() };
    let agents = loader.agents(&declared);
    let mut goals = loader.goals(&declared, &agents);
    let owned = loader.owned(&declared, &mut goals);
    let Loader { faults, mut reports, .. } = loader;
    if !faults.is_empty() {
        reports.insert(0, Report { source: source.clone(), diagnostics: faults });
    }
    if !reports.is_empty() {
        return Err(LoadError { reports });
    }
    let warnings =
        if warnings.is_empty() { Vec::new() } else { vec![Report { source, diagnostics: warnings }] };
    Ok(Project { path: path.to_path_buf(), root, agents, goals, owned, warnings })
}

/// Reads an agent's own text, which stands in no file of instructions.
///
/// # Errors
///
/// Why it cannot be read.
pub fn load_text(path: &Path) -> Result<String, LoadError> {
    let name = path.display().to_string();
    read_text(path, MAX_TEXT).map_err(|unread| LoadError {
        reports: vec![match unread {
            Unread::Because(reason) => {
                Report { source: Source::new(name, ""), diagnostics: vec![Diagnostic::error(0..0, reason)] }
            }
            Unread::NoText(report) => report,
        }],
    })
}

struct Loader<'a> {
    root: &'a Path,
    reading: &'a mut Reading,
    faults: Vec<Diagnostic>,
    reports: Vec<Report>,
}

impl Loader<'_> {
    fn agents(&mut self, declared: &Instructions) -> Vec<ProjectAgent> {
        declared
            .agents
            .iter()
            .map(|spec| {
                let own = spec.instructions.as_ref();
                let instructions = own.and_then(|path| self.text(path, "instructions", MAX_TEXT));
                ProjectAgent { spec: spec.clone(), instructions: instructions.unwrap_or_default() }
            })
            .collect()
    }

    fn goals(&mut self, declared: &Instructions, agents: &[ProjectAgent]) -> Vec<ProjectGoal> {
        let mut goals = Vec::new();
        for spec in &declared.goals {
            let dag = match &spec.plan {
                PlanSource::Model => None,
                PlanSource::File(path) => self.dag_file(spec, path),
                PlanSource::Checklist { draft, spans } => match dag::validate(draft.clone()) {
                    Ok(dag) => Some(dag),
                    Err(error) => {
                        self.checklist_faults(spec, spans, &error);
                        None
                    }
                },
            };
            let workspace = spec
                .workspace
                .as_ref()
                .map_or_else(|| self.root.to_path_buf(), |workspace| self.root.join(&workspace.value));
            let mut able = agents.iter().filter(|agent| works_for(&agent.spec, &spec.id.value));
            let manager = able.clone().find(|agent| agent.spec.manages());
            let planner = manager.or_else(|| able.next());
            let brief = if spec.brief.trim().is_empty() && dag.is_none() {
                planner.map(|agent| agent.instructions.clone()).unwrap_or_default()
            } else {
                spec.brief.clone()
            };
            goals.push(ProjectGoal {
                id: spec.id.value.clone(),
                title: spec.title.clone(),
                brief,
                dag: dag.map(Arc::new),
                workspace,
            });
        }
        goals
    }

    fn text(&mut self, path: &Spanned<String>, what: &str, limit: u64) -> Option<String> {
        match self.reading.text(&beside(self.root, Path::new(&path.value)), limit) {
            Ok(text) => Some(text),
            Err(Unread::Because(reason)) => {
                self.faults.push(Diagnostic::error(path.span.clone(), format!("{what}: {reason}")));
                None
            }
            Err(Unread::NoText(report)) => {
                self.reports.push(report);
                None
            }
        }
    }

    fn dag_file(&mut self, spec: &GoalSpec, path: &Spanned<String>) -> Option<Dag> {
        let text = self.text(path, "plan", MAX_DAG)?;
        match dag::parse(&text) {
            Ok(dag) if *dag.goal() == spec.id.value => Some(dag),
            Ok(dag) => {
                let message = format!(
                    "plan `{}` is for goal `{}`, not for `{}`",
                    path.value,
                    dag.goal(),
                    spec.id.value
                );
                let help = format!("write `\"goal_id\": \"{}\"` there", spec.id.value);
                self.faults.push(Diagnostic::error(path.span.clone(), message).help(help));
                None
            }
            Err(error) => {
                let name = beside(self.root, Path::new(&path.value)).display().to_string();
                let diagnostics = error.diagnostics(&text);
                self.reports.push(Report { source: Source::new(name, text), diagnostics });
                None
            }
        }
    }

    /// Takes the goals that tasks own from those that start by themselves.
    fn owned(&mut self, declared: &Instructions, goals: &mut Vec<ProjectGoal>) -> Owned {
        let place = |goal: usize, node: usize| {
            let spec = declared.goals.get(goal)?;
            Some(match &spec.plan {
                PlanSource::Checklist { spans, .. } => spans.get(node).unwrap_or(&spec.id.span).clone(),
                PlanSource::File(path) => path.span.clone(),
                PlanSource::Model => spec.id.span.clone(),
            })
        };
        let resolved = declared::resolve(goals, |path, goal, node| {
            let named = Spanned::new(path.to_owned(), place(goal, node).unwrap_or_default());
            self.plan_of_a_task(&named)
        });
        let owned = match resolved {
            Ok(owned) => owned,
            Err(faults) => {
                for fault in faults {
                    let span = place(fault.goal, fault.node).unwrap_or_default();
                    self.faults.push(Diagnostic::error(span, fault.message).help(fault.help));
                }
                return Owned::default();
            }
        };
        let by_themselves = |spec: &&GoalSpec| !owned.goals.iter().any(|owned| owned.id == spec.id.value);
        for goal in declared.goals.iter().filter(by_themselves) {
            self.faults.extend(instructions::agentless(&goal.id, &declared.agents));
        }
        for agent in &declared.agents {
            if agent.name.value.as_str() == NESTED_ORCHESTRATOR {
                let message = format!("the name `{NESTED_ORCHESTRATOR}` is reserved");
                self.faults.push(Diagnostic::error(agent.name.span.clone(), message));
            }
            let Some(goal) = &agent.goal else { continue };
            if owned.goals.iter().any(|owned| owned.id == goal.value) {
                let message = format!("goal `{}` is owned by a task, and so are its agents", goal.value);
                let help = "name the goal that starts by itself: its agents take the tasks of all below it";
                self.faults.push(Diagnostic::error(goal.span.clone(), message).help(help));
            }
        }
        owned
    }

    /// The plan in a file that a task names. It is for whatever goal the task gets.
    fn plan_of_a_task(&mut self, path: &Spanned<String>) -> Option<Dag> {
        let text = self.text(path, "plan", MAX_DAG)?;
        match dag::parse(&text) {
            Ok(dag) => Some(dag),
            Err(error) => {
                let name = beside(self.root, Path::new(&path.value)).display().to_string();
                let diagnostics = error.diagnostics(&text);
                self.reports.push(Report { source: Source::new(name, text), diagnostics });
                None
            }
        }
    }

    /// A fault of a checklist's draft, shown at the item that it is about.
    fn checklist_faults(&mut self, spec: &GoalSpec, spans: &[std::ops::Range<usize>], error: &DagError) {
        for fault in &error.faults {
            let index = fault
                .pointer
                .strip_prefix("/nodes/")
                .and_then(|rest| rest.split('/').next().and_then(|number| number.parse::<usize>().ok()));
            let span = index.and_then(|index| spans.get(index)).unwrap_or(&spec.id.span);
            self.faults.push(Diagnostic::error(span.clone(), fault.kind.to_string()));
        }
    }
}

/// Whether an agent takes tasks of a goal, which is below none.
#[must_use]
pub fn works_for(agent: &AgentSpec, goal: &GoalId) -> bool {
    agent.goal.as_ref().is_none_or(|own| own.value == *goal)
}

impl Project {
    /// The directory of each declared goal.
    #[must_use]
    pub fn workspaces(&self) -> HashMap<GoalId, PathBuf> {
        let all = self.goals.iter().chain(&self.owned.goals);
        all.map(|goal| (goal.id.clone(), goal.workspace.clone())).collect()
    }

    /// Warnings about tasks that no declared agent is capable of, each in a line.
    #[must_use]
    pub fn unmanned(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for goal in &self.goals {
            let Some(dag) = &goal.dag else { continue };
            let mut told = HashSet::new();
            for node in dag.nodes().filter(|node| node.kind.is_task()) {
                let manned = self.agents.iter().any(|agent| {
                    works_for(&agent.spec, &goal.id)
                        && node.capabilities.iter().all(|needed| agent.spec.capabilities.contains(needed))
                });
                if !manned && told.insert(&node.capabilities) {
                    let needs: Vec<String> =
                        node.capabilities.iter().map(|needed| format!("`{needed}`")).collect();
                    let what = if needs.is_empty() {
                        "an agent".to_owned()
                    } else {
                        format!("an agent capable of {}", needs.join(", "))
                    };
                    lines.push(format!(
                        "task `{}` of goal `{}` needs {what}, and none is declared",
                        node.id, goal.id
                    ));
                }
            }
        }
        lines
    }

    /// The names of the agents that work for a goal.
    pub fn agents_of<'a>(&'a self, goal: &'a GoalId) -> impl Iterator<Item = &'a AgentName> {
        self.agents.iter().filter(|agent| works_for(&agent.spec, goal)).map(|agent| &agent.spec.name.value)
    }
}

/// Why a file is not read.
enum Unread {
    Because(String),
    /// What stands there is no text from some place on.
    NoText(Report),
}

/// Reads a text of at most `limit` bytes.
///
/// Never reads what could go on for ever: only regular files.
fn read_text(path: &Path, limit: u64) -> Result<String, Unread> {
    let said = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Unread::Because(format!("no such file: {}", path.display())),
        _ => Unread::Because(format!("cannot read {}: {error}", path.display())),
    };
    let kind = std::fs::metadata(path).map_err(said)?;
    if kind.is_dir() {
        return Err(Unread::Because(format!("{} is a directory, not a file", path.display())));
    }
    if !kind.is_file() {
        return Err(Unread::Because(format!("{} is not a regular file", path.display())));
    }
    let too_long = || Unread::Because(format!("{} has more than {limit} bytes", path.display()));
    if kind.len() > limit {
        return Err(too_long());
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(said)?;
    file.take(limit + 1).read_to_end(&mut bytes).map_err(said)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
        return Err(too_long());
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        // Up to there the replacement changes nothing; the mark it puts there has three bytes.
        let span = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
        let text = String::from_utf8_lossy(error.as_bytes());
        let fault = Diagnostic::error(span, "the file is not UTF-8 from here on").help("save it as UTF-8");
        Unread::NoText(Report {
            source: Source::new(path.display().to_string(), text),
            diagnostics: vec![fault],
        })
    })
}
