//! What two declarations of an agent say otherwise.

use downbeat_core::instructions::{AgentSpec, Dependency, Spanned};

use crate::load::ProjectAgent;

/// The keys by which two declarations of an agent differ, as a file of instructions calls them; wherever they
/// stand in their files. `other_goal` is whether it works for another goal, which need not be said by a key.
///
/// The limit of a group is none of them: it is a matter of the group.
pub(super) fn differences(one: &ProjectAgent, other: &ProjectAgent, other_goal: bool) -> Vec<&'static str> {
    // A new key has to be looked at here, too.
    let AgentSpec {
        name: _,
        goal: _,
        role,
        capabilities,
        instructions,
        heartbeat,
        log_level,
        cadence,
        depends_on,
        groups,
        group_limits: _,
        restart,
        max_restarts,
        restart_window,
        timeout,
        min,
        max,
        max_parallel,
        llm,
    } = &one.spec;
    let now = &other.spec;
    let its_text = one.instructions != other.instructions;
    let differ = [
        ("Goal", other_goal),
        ("Role", *role != now.role),
        ("Capabilities", *capabilities != now.capabilities),
        ("Instructions", its_text || value(instructions) != value(&now.instructions)),
        ("Heartbeat", value(heartbeat) != value(&now.heartbeat)),
        ("Log Level", *log_level != now.log_level),
        ("Cadence", *cadence != now.cadence),
        ("Depends On", !depends_on.iter().map(who).eq(now.depends_on.iter().map(who))),
        ("Groups", !groups.iter().map(|it| &it.value).eq(now.groups.iter().map(|it| &it.value))),
        ("Restart", *restart != now.restart),
        ("Max Restarts", *max_restarts != now.max_restarts),
        ("Restart Window", *restart_window != now.restart_window),
        ("Timeout", *timeout != now.timeout),
        ("Min", value(min) != value(&now.min)),
        ("Max", value(max) != value(&now.max)),
        ("Max Parallel", *max_parallel != now.max_parallel),
        ("Llm", *llm != now.llm),
    ];
    differ.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

fn value<T>(spanned: &Option<Spanned<T>>) -> Option<&T> {
    spanned.as_ref().map(|spanned| &spanned.value)
}

fn who(it: &Dependency) -> impl PartialEq + use<'_> {
    (&it.agent.value, it.until)
}

#[cfg(test)]
mod tests {
    use downbeat_core::diagnostic::Source;

    use super::*;

    fn agent(keys: &str) -> ProjectAgent {
        let text = format!("## Agents\n\n### other\n\n### a\n{keys}");
        let (declared, _) = downbeat_core::instructions::parse(&Source::new("I.md", text)).unwrap();
        ProjectAgent { spec: declared.agents[1].clone(), instructions: String::new() }
    }

    #[test]
    fn every_key_is_told_and_no_place() {
        let keys = [
            ("Role", "writer"),
            ("Capabilities", "x"),
            ("Instructions", "a.md"),
            ("Heartbeat", "h.md"),
            ("Log Level", "debug"),
            ("Cadence", "5s"),
            ("Depends On", "other (started)"),
            ("Groups", "night"),
            ("Restart", "never"),
            ("Max Restarts", "1"),
            ("Restart Window", "1m"),
            ("Timeout", "9s"),
            ("Min", "0"),
            ("Max", "3"),
            ("Max Parallel", "2"),
            ("Llm", "offline"),
        ];
        let plain = agent("");
        let mut all = String::new();
        for (key, value) in keys {
            let line = format!("- {key}: {value}\n");
            assert_eq!(differences(&plain, &agent(&line), false), [key]);
            assert_eq!(differences(&agent(&line), &agent(&format!("\nProse.\n\n{line}")), false), [""; 0]);
            all.push_str(&line);
        }
        assert_eq!(differences(&plain, &agent(&all), true).len(), keys.len() + 1);
        assert_eq!(differences(&agent("- Groups: g\n"), &agent("- Groups: g (2)\n"), false), [""; 0]);
        let text = ProjectAgent { instructions: "Write.".to_owned(), ..plain.clone() };
        assert_eq!(differences(&plain, &text, false), ["Instructions"]);
    }
}
