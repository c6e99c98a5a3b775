//! What is said next in a conversation.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::question::{Format, Question};
use crate::rule::{Ending, Rule, Step};
use crate::sample::sample;
use crate::step::{self, Call};

/// What the model says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Said {
    pub(crate) text: Option<String>,
    pub(crate) calls: Vec<Call>,
    pub(crate) ending: Ending,
}

/// Makes the ids of calls: no two alike in one process.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// A number that was not given out before.
pub(crate) fn fresh() -> u64 {
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// What `rule`, the one of this `number`, says to `question`.
pub(crate) fn decide(rule: &Rule, number: usize, question: &Question) -> Said {
    let called = |calls: Vec<(String, Value)>| Said {
        text: None,
        calls: calls
            .into_iter()
            .map(|(name, input)| Call { id: format!("stub_{number}_{}", fresh()), name, input })
            .collect(),
        ending: Ending::Well,
    };
    let said = |text: String| Said { text: Some(text), calls: Vec::new(), ending: rule.ending };
    if let Some(step) = due(&rule.steps, question.tool_results) {
        let steps = match step {
            Step::Together { together } => together.as_slice(),
            single => std::slice::from_ref(single),
        };
        let calls: Vec<_> = steps.iter().filter_map(|step| step::call(step, question)).collect();
        if !calls.is_empty() {
            return called(calls);
        }
    }
    if rule.ending == Ending::Empty {
        return Said { text: None, calls: Vec::new(), ending: Ending::Empty };
    }
    if let Some(size) = rule.size {
        return said("x".repeat(size));
    }
    let value = match (&rule.json, &rule.text, &question.schema) {
        (Some(value), ..) => value.clone(),
        (None, Some(text), _) => return said(text.clone()),
        (None, None, Some(schema)) if rule.ending == Ending::Well => sample(schema),
        (None, None, _) => return said("ok".to_owned()),
    };
    match &question.answer_tool {
        Some(tool) if rule.ending == Ending::Well => {
            // Claude's own tool is answered once; after that it wants to hear that all is done.
            let answered = question.format == Format::Anthropic
                && question.tool_results > 0
                && tool == "StructuredOutput"
                && question
                    .body
                    .get("messages")
                    .unwrap_or(&json!([]))
                    .to_string()
                    .contains("\"StructuredOutput\"");
            if answered { said("done".to_owned()) } else { called(vec![(tool.clone(), value)]) }
        }
        _ => said(value.to_string()),
    }
}

/// The step that comes after so many results: a group brings as many as it has calls.
fn due(steps: &[Step], results: usize) -> Option<&Step> {
    let mut before = 0_usize;
    steps.iter().find(|step| {
        let here = before;
        before = before.saturating_add(match step {
            Step::Together { together } => together.len(),
            _ => 1,
        });
        here >= results
    })
}
