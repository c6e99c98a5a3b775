//! What can be ordered.

use std::borrow::Cow;
use std::fmt;

use downbeat_core::cache::Directive;
use downbeat_core::ids::{AgentName, GoalId, GroupName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// What somebody wants done: by the cache itself, or by whoever orchestrates.
///
/// As JSON an object with `do`, such as `{"do": "pause", "agent": "clerk"}` or
/// `{"do": "restart", "group": "writers"}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Order {
    /// The cache carries it out in one atomic step.
    Cache(Directive),
    /// It is kept, and the orchestrator that leads carries it out.
    Fleet(FleetOrder),
}

impl From<Directive> for Order {
    fn from(directive: Directive) -> Self {
        Self::Cache(directive)
    }
}

impl From<FleetOrder> for Order {
    fn from(order: FleetOrder) -> Self {
        Self::Fleet(order)
    }
}

/// What only an orchestrator can do.
///
/// Levels (start, stop, pause, resume, limit) hold until another order of their kind, over restarts.
/// Edges (restart, reparse) are counted: each is due once, however often it is looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum FleetOrder {
    /// Read the instructions again and put into force what they say now. An edge.
    Reparse {
        /// Whose.
        #[serde(flatten)]
        of: Scope,
    },
    /// Be running, from now on. A level.
    Start {
        /// Who.
        #[serde(flatten)]
        whom: Whom,
    },
    /// Be stopped, from now on: work is let finish, nothing is claimed. A level.
    Stop {
        /// Who.
        #[serde(flatten)]
        whom: Whom,
    },
    /// End and begin anew. An edge; it also ends a stop and a quarantine.
    Restart {
        /// Who.
        #[serde(flatten)]
        whom: Whom,
    },
    /// The agents of the group take no more tasks. A level.
    #[serde(rename = "pause")]
    PauseGroup {
        /// The group.
        group: GroupName,
    },
    /// The agents of the group take tasks again. A level.
    #[serde(rename = "resume")]
    ResumeGroup {
        /// The group.
        group: GroupName,
    },
    /// At most so many agents of the group run at once. A level.
    #[serde(rename = "limit")]
    LimitGroup {
        /// The group.
        group: GroupName,
        /// How many; as declared without it.
        running: Option<u32>,
    },
}

/// Whose life an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whom {
    /// An agent.
    Agent(AgentName),
    /// All agents of a group.
    Group(GroupName),
}

/// Which instructions an order is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// An agent's own.
    Agent(AgentName),
    /// A goal's.
    Goal(GoalId),
    /// The whole file.
    Project(Whole),
}

/// Says that all of something is meant: `true` in JSON.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "bool", into = "bool")]
pub struct Whole;

impl JsonSchema for FleetOrder {
    fn schema_name() -> Cow<'static, str> {
        "FleetOrder".into()
    }

    /// By hand: what is flattened cannot be closed to unknown fields.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let agent = generator.subschema_for::<AgentName>().to_value();
        let group = generator.subschema_for::<GroupName>().to_value();
        let goal = generator.subschema_for::<GoalId>().to_value();
        let form = |word: &str, key: &str, of: &Value| {
            let properties =
                Map::from_iter([("do".to_owned(), json!({ "const": word })), (key.to_owned(), of.clone())]);
            json!({
                "type": "object", "properties": properties, "required": ["do", key],
                "additionalProperties": false,
            })
        };
        let mut forms = vec![
            form("reparse", "agent", &agent),
            form("reparse", "goal", &goal),
            form("reparse", "project", &json!({ "const": true })),
        ];
        for word in ["start", "stop", "restart"] {
            forms.extend([form(word, "agent", &agent), form(word, "group", &group)]);
        }
        forms.extend([form("pause", "group", &group), form("resume", "group", &group)]);
        forms.push(json!({
            "type": "object",
            "properties": {
                "do": { "const": "limit" },
                "group": group,
                "running": { "type": ["integer", "null"], "minimum": 0, "maximum": u32::MAX },
            },
            "required": ["do", "group"],
            "additionalProperties": false,
        }));
        json_schema!({ "oneOf": forms })
    }
}

impl From<Whole> for bool {
    fn from(_: Whole) -> Self {
        true
    }
}

impl TryFrom<bool> for Whole {
    type Error = &'static str;

    fn try_from(all: bool) -> Result<Self, Self::Error> {
        all.then_some(Self).ok_or("`project` can only be true")
    }
}

/// What orders for an orchestrator are kept by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Subject {
    /// An agent.
    Agent(AgentName),
    /// A group of agents.
    Group(GroupName),
    /// A goal.
    Goal(GoalId),
    /// The whole project.
    Project,
}

impl FleetOrder {
    /// What it is about.
    #[must_use]
    pub fn subject(&self) -> Subject {
        match self {
            Self::Reparse { of } => match of {
                Scope::Agent(agent) => Subject::Agent(agent.clone()),
                Scope::Goal(goal) => Subject::Goal(goal.clone()),
                Scope::Project(_) => Subject::Project,
            },
            Self::Start { whom } | Self::Stop { whom } | Self::Restart { whom } => match whom {
                Whom::Agent(agent) => Subject::Agent(agent.clone()),
                Whom::Group(group) => Subject::Group(group.clone()),
            },
            Self::PauseGroup { group } | Self::ResumeGroup { group } | Self::LimitGroup { group, .. } => {
                Subject::Group(group.clone())
            }
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Agent(agent) => write!(f, "agent `{agent}`"),
            Self::Group(group) => write!(f, "group `{group}`"),
            Self::Goal(goal) => write!(f, "goal `{goal}`"),
            Self::Project => f.write_str("the project"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_order_reads_as_it_is_written() {
        let agent = || AgentName::new("clerk").unwrap();
        let group = || GroupName::new("writers").unwrap();
        let orders: Vec<(Order, serde_json::Value)> = vec![
            (Directive::Pause { agent: agent() }.into(), json!({"do": "pause", "agent": "clerk"})),
            (FleetOrder::PauseGroup { group: group() }.into(), json!({"do": "pause", "group": "writers"})),
            (FleetOrder::ResumeGroup { group: group() }.into(), json!({"do": "resume", "group": "writers"})),
            (
                FleetOrder::LimitGroup { group: group(), running: Some(2) }.into(),
                json!({"do": "limit", "group": "writers", "running": 2}),
            ),
            (
                FleetOrder::Restart { whom: Whom::Group(group()) }.into(),
                json!({"do": "restart", "group": "writers"}),
            ),
            (FleetOrder::Stop { whom: Whom::Agent(agent()) }.into(), json!({"do": "stop", "agent": "clerk"})),
            (
                FleetOrder::Start { whom: Whom::Agent(agent()) }.into(),
                json!({"do": "start", "agent": "clerk"}),
            ),
            (
                FleetOrder::Reparse { of: Scope::Project(Whole) }.into(),
                json!({"do": "reparse", "project": true}),
            ),
            (
                FleetOrder::Reparse { of: Scope::Agent(agent()) }.into(),
                json!({"do": "reparse", "agent": "clerk"}),
            ),
        ];
        for (order, written) in orders {
            assert_eq!(serde_json::to_value(&order).unwrap(), written);
            assert_eq!(serde_json::from_value::<Order>(written).unwrap(), order);
        }
        let schema = schemars::schema_for!(Order).to_value();
        assert!(schema.to_string().contains("\"restart\""), "{schema}");
        for wrong in [json!({"do": "reparse", "project": false}), json!({"do": "pause"}), json!({})] {
            assert!(serde_json::from_value::<Order>(wrong).is_err());
        }
    }
}
