//! A plan, in a few words of Rust.

use downbeat_core::dag::{Draft, DraftEdge, DraftNode};

/// A plan that grows task by task. What is wrong with it is said when the run is built.
///
/// ```
/// # use downbeat_runtime::library::Plan;
/// let plan = Plan::of("report")
///     .task("count", "Count the words").needs("count").produces("words.txt")
///     .task("write", "Write the report").after("count");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan(Draft);

impl Plan {
    /// A plan for this goal, without a task.
    #[must_use]
    pub fn of(goal: impl Into<String>) -> Self {
        Self(Draft { goal_id: goal.into(), ..Draft::default() })
    }

    /// One more task; what is said from then on is about it.
    #[must_use]
    pub fn task(mut self, id: impl Into<String>, title: impl Into<String>) -> Self {
        self.0.nodes.push(DraftNode { id: id.into(), title: title.into(), ..DraftNode::default() });
        self
    }

    /// What an agent must be capable of to take the task.
    #[must_use]
    pub fn needs(self, capability: impl Into<String>) -> Self {
        self.newest(|node| node.capabilities.push(capability.into()))
    }

    /// The task waits for another.
    #[must_use]
    pub fn after(mut self, other: impl Into<String>) -> Self {
        if let Some(node) = self.0.nodes.last() {
            self.0.edges.push(DraftEdge { source: other.into(), target: node.id.clone() });
        }
        self
    }

    /// A file that must exist when the task is done, relative to the workspace.
    #[must_use]
    pub fn produces(self, path: impl Into<String>) -> Self {
        self.newest(|node| node.expected_artifacts.push(path.into()))
    }

    /// A shell command that does the task.
    #[must_use]
    pub fn run(self, command: impl Into<String>) -> Self {
        self.newest(|node| node.run = Some(command.into()))
    }

    /// The greater goes first, among those that are ready.
    #[must_use]
    pub fn priority(self, priority: u32) -> Self {
        self.newest(|node| node.priority = priority)
    }

    /// How many attempts the task gets.
    #[must_use]
    pub fn max_attempts(self, attempts: u32) -> Self {
        self.newest(|node| node.max_attempts = Some(attempts))
    }

    fn newest(mut self, change: impl FnOnce(&mut DraftNode)) -> Self {
        if let Some(node) = self.0.nodes.last_mut() {
            change(node);
        }
        self
    }
}

impl From<Plan> for Draft {
    fn from(plan: Plan) -> Self {
        plan.0
    }
}
