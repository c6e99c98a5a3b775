//! The keys of a goal, in either form.

use super::agent::{id, text};
use super::checklist::Checklist;
use super::faults::Faults;
use super::field::{Field, Form, Value, recognise};
use super::types::{GoalSpec, PlanSource, Spanned};
use crate::ids::GoalId;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Id,
    Title,
    Brief,
    Plan,
    Workspace,
}

/// The keys below a goal's heading.
pub(super) const MARKDOWN_KEYS: &[(&str, Key)] = &[("plan", Key::Plan), ("workspace", Key::Workspace)];

/// The keys of a goal in the YAML form.
pub(super) const YAML_KEYS: &[(&str, Key)] = &[
    ("id", Key::Id),
    ("title", Key::Title),
    ("brief", Key::Brief),
    ("plan", Key::Plan),
    ("workspace", Key::Workspace),
];

/// A goal before its tasks are linked.
#[derive(Debug)]
pub(super) struct RawGoal {
    /// `None` after a fault.
    pub(super) id: Option<Spanned<GoalId>>,
    /// The id as written.
    pub(super) name: Value,
    pub(super) title: Option<String>,
    pub(super) brief: String,
    pub(super) plan: Option<Spanned<String>>,
    pub(super) workspace: Option<Spanned<String>>,
    pub(super) checklist: Checklist,
}

/// Reads a goal called `name`, or called what a field says; `None` when nothing says it.
pub(super) fn read(
    name: Option<Value>,
    fields: Vec<Field>,
    form: Form,
    faults: &mut Faults<'_>,
) -> Option<RawGoal> {
    let keys = match form {
        Form::Markdown => MARKDOWN_KEYS,
        Form::Yaml | Form::YamlTop => YAML_KEYS,
    };
    let fields = recognise(fields, keys, form, faults);
    let name = match name {
        Some(name) => name,
        None => fields.iter().find(|(key, _)| *key == Key::Id).and_then(|(_, field)| field.scalar(faults))?,
    };
    let mut goal = RawGoal {
        id: id(&name, "goal", faults),
        name,
        title: None,
        brief: String::new(),
        plan: None,
        workspace: None,
        checklist: Checklist::default(),
    };
    for (key, field) in &fields {
        match key {
            Key::Id => {}
            Key::Title => goal.title = text(field, faults).map(|title| title.value),
            Key::Brief => goal.brief = field.scalar(faults).map_or_else(String::new, |v| v.text),
            Key::Plan => goal.plan = text(field, faults),
            Key::Workspace => goal.workspace = text(field, faults),
        }
    }
    Some(goal)
}

impl RawGoal {
    /// The goal as others see it, unless its id is at fault.
    pub(super) fn into_spec(self, faults: &mut Faults<'_>) -> Option<GoalSpec> {
        if let Some(plan) = &self.plan
            && !self.checklist.is_empty()
        {
            faults.error_with(
                &plan.span,
                format!("goal `{}` has both a plan file and a checklist", self.name.text),
                "remove one of them",
            );
        }
        let id = self.id?;
        let plan = match self.plan {
            Some(plan) => PlanSource::File(plan),
            None if self.checklist.is_empty() => PlanSource::Model,
            None => {
                let (draft, spans) = self.checklist.into_draft(id.value.as_str());
                PlanSource::Checklist { draft, spans }
            }
        };
        Some(GoalSpec {
            title: self.title.unwrap_or_else(|| id.value.to_string()),
            id,
            brief: self.brief.trim().to_owned(),
            plan,
            workspace: self.workspace,
        })
    }
}
