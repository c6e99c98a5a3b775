//! What agents and goals say about each other.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::checklist;
use super::cycle::{cycles, drawn};
use super::faults::Faults;
use super::goal::RawGoal;
use super::types::{AgentSpec, GoalSpec, Instructions, PlanSource, Spanned};
use crate::diagnostic::Diagnostic;
use crate::ids::{GoalId, GroupName};
use crate::suggest;

/// The most agents, and the most goals, in one file.
pub(super) const MAX_DECLARED: usize = 1_000;

/// All that was found in a file, before anything is compared.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) agents: Vec<AgentSpec>,
    /// Some agent could not be read: nobody can tell what else it would have been good for.
    pub(super) broken_agent: bool,
    pub(super) goals: Vec<RawGoal>,
    /// The file has a place for goals, so an agent's goal must be among them.
    pub(super) goals_declared: bool,
    /// What an agent works for that does not say: the YAML form has a name for it.
    pub(super) default_goal: Option<GoalId>,
    /// What to say when there is no agent.
    pub(super) no_agent: Option<Diagnostic>,
}

impl Found {
    /// Checks everything against everything.
    pub(super) fn finish(mut self, faults: &mut Faults<'_>) -> Instructions {
        if self.agents.is_empty() && !self.broken_agent {
            faults.push(
                self.no_agent
                    .take()
                    .unwrap_or_else(|| Diagnostic::error(0..0, "no agent is declared").help(ADD_AGENT)),
            );
        }
        if !self.goals_declared
            && let Some(goal) = &self.default_goal
        {
            for agent in &mut self.agents {
                let span = agent.name.span.clone();
                agent.goal.get_or_insert_with(|| Spanned::new(goal.clone(), span));
            }
        }
        repeated(
            self.agents.iter().map(|agent| (agent.name.value.as_str(), &agent.name.span)),
            "agent",
            faults,
        );
        repeated(self.goals.iter().map(|goal| (goal.name.text.as_str(), &goal.name.span)), "goal", faults);
        depends_on(&mut self.agents, faults);
        copies(&self.agents, faults);
        group_limits(&self.agents, faults);
        self.match_goals(faults);
        let mut lists: Vec<_> =
            self.goals.iter_mut().map(|goal| (goal.name.text.clone(), &mut goal.checklist)).collect();
        checklist::link(&mut lists, faults);
        let mut goals: Vec<GoalSpec> =
            self.goals.into_iter().filter_map(|goal| goal.into_spec(faults)).collect();
        if !self.goals_declared {
            let mut known: HashSet<GoalId> = HashSet::new();
            for goal in self.agents.iter().filter_map(|agent| agent.goal.as_ref()) {
                if known.insert(goal.value.clone()) {
                    goals.push(GoalSpec {
                        title: goal.value.to_string(),
                        id: goal.clone(),
                        brief: String::new(),
                        plan: PlanSource::Model,
                        workspace: None,
                    });
                }
            }
        }
        if goals.is_empty() && !faults.has_errors() {
            let span = self.agents.first().map(|agent| agent.name.span.clone());
            faults.push(
                Diagnostic::warning(
                    span.unwrap_or_default(),
                    "no agent names a goal, and the file declares none",
                )
                .help("add `- Goal: <goal-id>` to an agent, or a section `## Goals`"),
            );
        }
        Instructions { agents: self.agents, goals }
    }

    /// Every agent's goal is there, and every goal has an agent.
    fn match_goals(&self, faults: &mut Faults<'_>) {
        let mut wanted: HashSet<&str> = HashSet::new();
        let mut anything = self.broken_agent || self.agents.is_empty();
        for agent in &self.agents {
            let Some(goal) = &agent.goal else {
                anything = true;
                continue;
            };
            wanted.insert(goal.value.as_str());
            let name = goal.value.as_str();
            let names = || self.goals.iter().map(|goal| goal.name.text.as_str());
            if self.goals_declared && !names().any(|known| known == name) {
                // The goal that was meant does have an agent.
                wanted.extend(suggest::nearest(name, names()));
                faults.unknown(&goal.span, format!("no goal is called `{name}`"), name, names(), || {
                    "declare it among the goals, or name one that is there".to_owned()
                });
            }
        }
        // What tasks own is worked on by the agents of the goal above; what they own in a file is seen when
        // that is read.
        let in_files = |goal: &RawGoal| goal.plan.is_some() || goal.checklist.names_plans();
        if anything || self.goals.iter().any(in_files) {
            return;
        }
        let owned: HashSet<&str> = self.goals.iter().flat_map(|goal| goal.checklist.owned()).collect();
        for goal in &self.goals {
            let name = goal.name.text.as_str();
            if goal.id.is_some() && !wanted.contains(name) && !owned.contains(name) {
                faults.push(without_agent(name, &goal.name.span));
            }
        }
    }
}

/// Nobody works for a goal that starts by itself.
fn without_agent(goal: &str, span: &Range<usize>) -> Diagnostic {
    Diagnostic::error(span.clone(), format!("goal `{goal}` has no agent")).help(format!(
        "give an agent `Goal: {goal}`, or declare an agent without a goal, which works for any"
    ))
}

/// What is wrong with `goal`, which starts by itself, if each of `agents` works for another one.
#[must_use]
pub fn agentless(goal: &Spanned<GoalId>, agents: &[AgentSpec]) -> Option<Diagnostic> {
    let works = |agent: &AgentSpec| agent.goal.as_ref().is_none_or(|its| its.value == goal.value);
    (!agents.iter().any(works)).then(|| without_agent(goal.value.as_str(), &goal.span))
}

/// What to write when there is no agent.
pub(super) const ADD_AGENT: &str =
    "add a line `## Agents`, below it `### worker`, and below that `- Goal: <goal-id>`";

fn repeated<'a>(
    names: impl Iterator<Item = (&'a str, &'a Range<usize>)>,
    kind: &str,
    faults: &mut Faults<'_>,
) {
    let mut first: HashMap<&str, &Range<usize>> = HashMap::new();
    for (name, span) in names {
        if let Some(before) = first.get(name) {
            faults.repeated(span, format!("{kind} `{name}` is declared twice"), before);
        } else {
            first.insert(name, span);
        }
    }
}

/// Checks how many of each agent there may be, and that their names are theirs alone.
fn copies(agents: &[AgentSpec], faults: &mut Faults<'_>) {
    let names: HashSet<&str> = agents.iter().map(|agent| agent.name.value.as_str()).collect();
    for agent in agents {
        let place = |spanned: &Option<Spanned<u32>>| spanned.as_ref().map(|it| it.span.clone());
        let span = place(&agent.max).or_else(|| place(&agent.min)).unwrap_or_default();
        if let (Some(min), Some(max)) = (&agent.min, &agent.max)
            && min.value > max.value
        {
            let message = format!("`Max` is {} and `Min` is {}", max.value, min.value);
            faults.error(&max.span, message);
        }
        let copies = agent.copies();
        if usize::try_from(agent.bounds().1).is_ok_and(|most| copies.len() < most) {
            faults.error(&span, format!("the names of the copies of `{}` are too long", agent.name.value));
        }
        if let Some(other) = copies.iter().skip(1).find(|copy| names.contains(copy.as_str())) {
            faults.error(
                &span,
                format!("a copy of `{}` and another agent are both called `{other}`", agent.name.value),
            );
        }
    }
}

/// Checks that nobody says of a group what another agent says otherwise.
fn group_limits(agents: &[AgentSpec], faults: &mut Faults<'_>) {
    let mut said: HashMap<&GroupName, &Spanned<u32>> = HashMap::new();
    for (group, limit) in agents.iter().flat_map(|agent| &agent.group_limits) {
        let before = *said.entry(group).or_insert(limit);
        if before.value != limit.value {
            let message = format!(
                "group `{group}` has two limits, {} and {}: write one, at any of its agents",
                before.value, limit.value
            );
            faults.repeated(&limit.span, message, &before.span);
        }
    }
}

/// Checks who starts before whom.
fn depends_on(agents: &mut [AgentSpec], faults: &mut Faults<'_>) {
    let names: Vec<String> = agents.iter().map(|agent| agent.name.value.to_string()).collect();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for (at, name) in names.iter().enumerate() {
        index.entry(name).or_insert(at);
    }
    let mut edges: Vec<(usize, usize)> = Vec::new();
    let mut places: HashMap<(usize, usize), Range<usize>> = HashMap::new();
    for (waiting, agent) in agents.iter_mut().enumerate() {
        let own = agent.name.value.clone();
        let mut seen = HashSet::new();
        // Of two milestones of one agent the later one includes the other.
        let until: HashMap<_, _> = agent.depends_on.iter().fold(HashMap::new(), |mut until, it| {
            let latest = until.entry(it.agent.value.clone()).or_insert(it.until);
            *latest = it.until.max(*latest);
            until
        });
        for it in &mut agent.depends_on {
            it.until = until.get(&it.agent.value).copied().unwrap_or(it.until);
        }
        agent.depends_on.retain(|it| {
            let other = &it.agent;
            let name = other.value.as_str();
            if !seen.insert(other.value.clone()) {
                faults.push(Diagnostic::warning(
                    other.span.clone(),
                    format!("`{name}` stands twice in `Depends On`"),
                ));
                return false;
            }
            if other.value == own {
                faults.error(&other.span, format!("agent `{name}` depends on itself"));
            } else if let Some(at) = index.get(name) {
                edges.push((waiting, *at));
                places.insert((waiting, *at), other.span.clone());
            } else {
                faults.unknown(
                    &other.span,
                    format!("no agent is called `{name}`"),
                    name,
                    names.iter().map(String::as_str).filter(|it| *it != own.as_str()),
                    || "write the name of another agent of this file".to_owned(),
                );
            }
            true
        });
    }
    for path in cycles(names.len(), &edges) {
        let span = match path.as_slice() {
            [first, second, ..] => places.get(&(*first, *second)).cloned(),
            _ => None,
        };
        let name = |at: usize| names.get(at).map_or("", String::as_str);
        faults.error_with(
            &span.unwrap_or_default(),
            format!("agents depend on each other: {}", drawn(&path, name)),
            "each depends on the next; remove one of them from `Depends On`",
        );
    }
}
