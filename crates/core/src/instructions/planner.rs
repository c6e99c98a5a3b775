//! Whose own instructions say what is wanted, where a goal has no text: the manager's.

use super::types::AgentSpec;

/// Roles that manage.
const MANAGERS: [&str; 4] = ["manager", "owner", "team-lead", "lead"];

/// Roles that review, whatever the agent is called.
const REVIEWERS: [&str; 4] = ["reviewer", "qa", "qa-dev", "tester"];

/// Words in names of agents and of their files that tell a manager.
const WORDS: [&str; 3] = ["owner", "lead", "manager"];

impl AgentSpec {
    /// Whether it manages others: its role says so, or else a word in its name or in the name of one of
    /// its files does (`team-lead`, `instructions/owner.md`).
    #[must_use]
    pub fn manages(&self) -> bool {
        if let Some(role) = &self.role {
            let role = role.trim().to_lowercase().replace(['_', ' '], "-");
            if MANAGERS.contains(&role.as_str()) {
                return true;
            }
            if REVIEWERS.contains(&role.as_str()) {
                return false;
            }
        }
        let files = [&self.instructions, &self.heartbeat];
        let names = files.into_iter().flatten().map(|path| file_name(&path.value));
        names.chain([self.name.value.as_str()]).any(|name| {
            let mut words = name.split(|c: char| !c.is_alphanumeric()).map(str::to_lowercase);
            words.any(|word| WORDS.contains(&word.as_str()))
        })
    }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::super::parse;
    use crate::diagnostic::Source;

    fn managers(agents: &str) -> Vec<String> {
        let text = format!("instruction_schema_version: 2\nagents:\n{agents}");
        let (instructions, _) = parse(&Source::new("INSTRUCTIONS.md", text)).unwrap();
        let managers = instructions.agents.iter().filter(|agent| agent.manages());
        managers.map(|agent| agent.name.value.to_string()).collect()
    }

    #[test]
    fn a_role_or_else_a_name_tells_who_manages() {
        let agents = "  - {name: a, role: team-lead}\n  - {name: owner, role: qa}\n  - {name: b, role: ui-dev}\n  \
            - {name: team-lead}\n  - {name: c, instructions: roles/the_owner.md}\n  - {name: leader}\n  \
            - {name: d, heartbeat: owner/d.md}\n";
        assert_eq!(managers(agents), ["a", "team-lead", "c"]);
    }
}
