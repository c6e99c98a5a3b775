//! `downbeat schema`: JSON Schemas (2020-12), for editors, models and people.

use downbeat_core::dag::draft_schema;
use serde_json::Value;

use crate::args::{self, SchemaOf};
use crate::error::CliError;
use crate::output::Out;

/// The YAML form of INSTRUCTIONS.md.
const INSTRUCTIONS: &str = include_str!("schemas/instructions.json");
/// A line of `downbeat events --json`.
const EVENTS: &str = include_str!("schemas/event.json");

/// Prints a schema.
pub(crate) fn schema(args: &args::Schema, out: &Out) -> Result<(), CliError> {
    out.value(&of(args.of)?)
}

fn of(what: SchemaOf) -> Result<Value, CliError> {
    let text = match what {
        SchemaOf::Dag => return Ok(draft_schema()),
        SchemaOf::Instructions => INSTRUCTIONS,
        SchemaOf::Events => EVENTS,
    };
    serde_json::from_str(text).map_err(|error| CliError::internal("a schema of ours is no JSON", &error))
}

#[cfg(test)]
mod tests {
    use downbeat_core::event::{Event, EventDraft, EventKind};
    use downbeat_core::ids::GoalId;
    use downbeat_core::time::Timestamp;
    use serde_json::json;

    use super::*;

    fn validator(what: SchemaOf) -> jsonschema::Validator {
        let schema = of(what).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        jsonschema::meta::validate(&schema).unwrap();
        jsonschema::options().with_draft(jsonschema::Draft::Draft202012).build(&schema).unwrap()
    }

    #[test]
    fn a_dag_file_has_a_schema() {
        let dag = json!({ "goal_id": "g", "nodes": [{ "id": "a", "title": "A" }], "edges": [] });
        assert!(validator(SchemaOf::Dag).is_valid(&dag));
        assert!(!validator(SchemaOf::Dag).is_valid(&json!({ "goal_id": "g", "nodes": [] })));
    }

    #[test]
    fn instructions_have_a_schema() {
        let validator = validator(SchemaOf::Instructions);
        let full = json!({
            "instruction_schema_version": "2",
            "agents": [{ "name": "worker", "goal": "demo", "role": "worker", "capabilities": ["shell"],
                "instructions": "worker.md", "heartbeat": "heartbeat/worker.md", "log_level": "INFO",
                "cadence_seconds": 30, "depends_on": ["manager"], "max_parallel": 2, "llm": "claude:opus" },
                { "name": "manager" }],
            "goals": [{ "id": "demo", "title": "A demonstration", "brief": "Do it.", "plan": "plan.json",
                "workspace": "out" }]
        });
        assert!(validator.is_valid(&full));
        assert!(
            validator
                .is_valid(&json!({ "agents": [{ "name": "worker", "capabilities": "shell, research" }] }))
        );
        for bad in [
            json!({}),
            json!({ "agents": [] }),
            json!({ "agents": [{ "goal": "demo" }] }),
            json!({ "agents": [{ "name": "a b" }] }),
            json!({ "agents": [{ "name": "a", "colour": "red" }] }),
            json!({ "agents": [{ "name": "a" }], "goals": [{ "title": "no id" }] }),
        ] {
            assert!(!validator.is_valid(&bad), "{bad}");
        }
    }

    #[test]
    fn events_have_a_schema() {
        let validator = validator(SchemaOf::Events);
        for kind in EventKind::ALL {
            let what = EventDraft::new(kind.clone()).goal(&GoalId::new("demo").unwrap()).reason("because");
            let event = Event { seq: 7, at: Timestamp::from_millis(1_773_828_924_003), what };
            let event = serde_json::to_value(event).unwrap();
            assert!(validator.is_valid(&event), "{event}");
        }
        assert!(!validator.is_valid(&json!({ "seq": 0, "at": "now", "kind": "Task Done" })));
    }
}
