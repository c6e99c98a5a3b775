//! No model: plans from checklists, runs no task that has no command, costs nothing.

use async_trait::async_trait;
use downbeat_core::dag::{Draft, Node};
use downbeat_core::diagnostic::{Report, Source};
use downbeat_core::ids::GoalId;
use downbeat_core::instructions::plan_of_brief;
use downbeat_core::llm::{
    Assess, Assessment, CallError, Decompose, Execute, Execution, Llm, LlmError, Reply, Select, Selection,
    Summarize, Summary,
};

mod wording;

/// What it is called.
const NAME: &str = "offline";

/// Stands in for a model where there is none.
///
/// It answers what follows from the request alone, so the same request has the same answer always. A
/// task without a `run` command it cannot do, and [`cannot_execute`](Llm::cannot_execute) says so
/// before anything starts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Offline;

#[async_trait]
impl Llm for Offline {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn cannot_execute(&self, node: &Node) -> Option<String> {
        node.run.is_none().then(|| {
            format!(
                "task `{}` has no command, and without a model nobody can do it: give it a `sh` block, \
                 or choose a model (`--llm claude`)",
                node.id
            )
        })
    }

    async fn decompose(&self, request: &Decompose) -> Result<Reply<Draft>, CallError> {
        let brief = Source::new("brief", request.brief.as_str());
        Ok(free(plan(&request.goal, plan_of_brief(&request.goal, &brief))?))
    }

    async fn select(&self, request: &Select) -> Result<Reply<Selection>, CallError> {
        Ok(free(Selection {
            selected_task_id: request.ready.first().map(|node| node.id.clone()),
            justification: "the first by priority and age".to_owned(),
        }))
    }

    async fn execute(&self, request: &Execute) -> Result<Reply<Execution>, CallError> {
        let reason = self.cannot_execute(&request.node).unwrap_or_else(|| {
            format!("task `{}` has a command, which is run and not asked for", request.node.id)
        });
        Err(LlmError::Refused { reason }.into())
    }

    async fn summarize(&self, request: &Summarize) -> Result<Reply<Summary>, CallError> {
        let summary = wording::summary(&request.node.title, &request.notes, &request.artifacts);
        Ok(free(Summary { summary }))
    }

    async fn assess(&self, _: &Assess) -> Result<Reply<Assessment>, CallError> {
        // Nothing here can tell; the task's limit of attempts ends what cannot succeed.
        Ok(free(Assessment { recoverable: true, remediation: String::new() }))
    }
}

fn free<T>(value: T) -> Reply<T> {
    Reply::free(value, NAME)
}

/// The plan, if the brief holds one.
fn plan(goal: &GoalId, found: Result<Option<Draft>, Report>) -> Result<Draft, LlmError> {
    match found {
        Ok(Some(draft)) => Ok(draft),
        Ok(None) => Err(LlmError::Refused {
            reason: format!("goal `{goal}` needs a checklist, a `- Plan:` file, or a model (`--llm claude`)"),
        }),
        Err(report) => Err(LlmError::Refused {
            reason: format!("the checklist of goal `{goal}` cannot be used:\n{report}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use downbeat_core::diagnostic::Diagnostic;
    use downbeat_core::goal::Usage;
    use downbeat_core::llm::Conduct;
    use downbeat_core::state::Failure;

    use super::*;
    use crate::testing;

    fn refused<T: std::fmt::Debug>(answer: Result<T, impl Into<CallError>>) -> String {
        match answer.map_err(|error| error.into().error) {
            Err(LlmError::Refused { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn a_brief_without_a_checklist_says_what_is_needed() {
        let request = testing::decompose("do it\n\n- somehow\n");
        let reason = refused(Offline.decompose(&request).await);
        assert!(reason.contains("goal `count` needs a checklist, a `- Plan:` file, or a model"), "{reason}");
    }

    #[test]
    fn the_faults_of_a_checklist_are_reported_with_their_places() {
        let report = Report {
            source: Source::new("brief", "- [ ] a\n- [ b\n"),
            diagnostics: vec![Diagnostic::error(10..13, "no checkbox")],
        };
        let goal = GoalId::new("count").unwrap();
        let reason = refused(plan(&goal, Err(report)));
        assert!(reason.contains("`count`") && reason.contains("brief:2:3: error: no checkbox"), "{reason}");
        assert_eq!(plan(&goal, Ok(Some(Draft::default()))).unwrap(), Draft::default());
    }

    #[tokio::test]
    async fn a_brief_with_a_checklist_holds_its_plan() {
        let brief = "do it\n\n- [ ] Now {#now}\n- [ ] Then {#then after=now}\n";
        let draft = Offline.decompose(&testing::decompose(brief)).await.unwrap().value;
        assert_eq!((draft.nodes.len(), draft.edges.len()), (2, 1));
    }

    #[tokio::test]
    async fn only_a_task_with_a_command_can_be_done() {
        let mut request = testing::execute("lines");
        assert!(Offline.cannot_execute(&request.node).unwrap().starts_with("task `lines` has no command"));
        assert!(refused(Offline.execute(&request).await).starts_with("task `lines` has no command"));

        request.node.run = Some("wc -l * > lines.csv".to_owned());
        assert_eq!(Offline.cannot_execute(&request.node), None);
    }

    #[tokio::test]
    async fn the_first_ready_task_is_chosen() {
        let mut request = testing::select(&["b", "a"]);
        let reply = Offline.select(&request).await.unwrap();
        assert_eq!(reply.value.selected_task_id.unwrap().as_str(), "b");
        assert_eq!(reply.usage, Usage::default());
        assert_eq!(reply.model, "offline");

        request.ready.clear();
        assert_eq!(Offline.select(&request).await.unwrap().value.selected_task_id, None);
    }

    #[tokio::test]
    async fn a_failure_is_worth_another_attempt() {
        let request = Assess {
            goal: GoalId::new("count").unwrap(),
            node: testing::node("lines"),
            attempt: 1,
            failure: Failure::new("exit status 1", None),
            conduct: Conduct::default(),
        };
        assert!(Offline.assess(&request).await.unwrap().value.recoverable);
    }
}
