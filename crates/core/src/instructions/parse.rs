//! One text in, all agents and goals out, or all that is wrong with it.

use super::check::Found;
use super::faults::Faults;
use super::types::Instructions;
use super::{markdown, yaml};
use crate::diagnostic::{Diagnostic, Report, Source};

/// The largest file of instructions in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Reads a file of instructions in either form.
///
/// The Markdown form has a section `## Agents` and, if wanted, a section `## Goals`; all other text
/// is documentation:
///
/// ~~~
/// let text = [
///     "## Agents",
///     "### worker",
///     "- Goal: demo",
///     "- Capabilities: shell",
///     "",
///     "## Goals",
///     "### demo: A demonstration",
///     "What it is about.",
///     "",
///     "- [ ] Count the lines {#count} -> lines.txt",
///     "  ```sh",
///     "  wc -l *.md > lines.txt",
///     "  ```",
///     "- [ ] Explain them {#explain after=count} -> lines.md",
/// ]
/// .join("\n");
/// let source = downbeat_core::diagnostic::Source::new("INSTRUCTIONS.md", text);
/// let (instructions, warnings) = downbeat_core::instructions::parse(&source)?;
/// assert_eq!(instructions.agents.len(), 1);
/// assert_eq!(instructions.goals[0].title, "A demonstration");
/// assert!(warnings.is_empty());
/// # Ok::<(), downbeat_core::diagnostic::Report>(())
/// ~~~
///
/// A task without `#id` is named after its title: lower case, ASCII letters and digits, `-` for all
/// else, at most 48 bytes, and `-2`, `-3` … when that is taken; `task-<n>` when nothing is left.
///
/// The YAML form has `agents:` and, if wanted, `goals:` and `instruction_schema_version: "2"`; it is
/// the whole file or a `yaml` block in a Markdown file without agents of its own.
///
/// # Returns
///
/// What is declared, and warnings in the order of their places.
///
/// # Errors
///
/// All faults at once, with the warnings; nothing of a file with a fault is used.
pub fn parse(source: &Source) -> Result<(Instructions, Vec<Diagnostic>), Report> {
    let text = source.text.as_str();
    let mut faults = Faults::new(source);
    let mut found = Found::default();
    if text.len() > MAX_BYTES {
        faults.error_with(
            &(0..0),
            format!("the file has {} bytes, more than {MAX_BYTES}", text.len()),
            "move long texts into files that agents read",
        );
    } else if let Some(nul) = text.find('\0') {
        faults.error(&(nul..nul + 1), "the file has a NUL byte: it is not a text");
    } else if text.trim_start_matches('\u{feff}').trim().is_empty() {
        faults.error_with(&(0..0), "the file is empty", super::check::ADD_AGENT);
    } else {
        if yaml::looks_like(text) {
            yaml::read(&(0..text.len()), &mut found, &mut faults);
        } else {
            markdown::read(&mut found, &mut faults);
        }
        let instructions = found.finish(&mut faults);
        return faults.finish().map(|warnings| (instructions, warnings));
    }
    faults.finish().map(|warnings| (Instructions::default(), warnings))
}

/// Whether a text declares agents, well or badly: a file of instructions, and not an agent's own text.
#[must_use]
pub fn declares_agents(text: &str) -> bool {
    yaml::looks_like(text) || markdown::declares_agents(text)
}

#[cfg(test)]
mod tests {
    use super::declares_agents;

    #[test]
    fn a_role_s_text_declares_no_agent() {
        for text in [
            "instruction_schema_version: 2\nagents:\n",
            "# P\n\n## Agents\n\n### a\n",
            "```yaml\nagents:\n```\n",
        ] {
            assert!(declares_agents(text), "{text}");
        }
        for text in ["", "# Owner\n\nAgents: five.\n", "## The agents\n\n### Ada\n", "agents: they work\n"] {
            assert!(!declares_agents(text), "{text}");
        }
    }
}
