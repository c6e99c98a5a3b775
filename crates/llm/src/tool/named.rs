//! Which program a command-line agent is, where the user names one: `claude=/opt/claude --betas x`.

use downbeat_core::llm::LlmError;
use downbeat_core::text::clip;

use crate::opening::Environment;

/// The variable that names them, one a line.
const TOOLS: &str = "DOWNBEAT_TOOLS";

/// The program that `tool` is, and what stands behind all other arguments of its questions; `None` when
/// nobody names one.
///
/// # Errors
///
/// [`LlmError::Unusable`]: a line cannot be read.
pub(super) fn command(
    environment: &Environment,
    tool: &str,
) -> Result<Option<(String, Vec<String>)>, LlmError> {
    for line in environment.get(TOOLS).unwrap_or_default().lines().map(str::trim) {
        let unusable = || LlmError::Unusable {
            reason: format!(
                "`{}` names no program of a command-line agent: write `claude=/opt/bin/claude`, with \
                 arguments behind it if you like, quoted as in a shell",
                clip(line, 80)
            ),
        };
        if line.is_empty() {
            continue;
        }
        let (name, words) = line.split_once('=').ok_or_else(unusable)?;
        if !matches!(name.trim(), "claude" | "codex" | "gemini") {
            return Err(unusable());
        }
        let mut words = shlex::split(words).ok_or_else(unusable)?.into_iter();
        let program = words.next().filter(|program| !program.is_empty()).ok_or_else(unusable)?;
        if name.trim() == tool {
            return Ok(Some((program, words.collect())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, tool: &str) -> Result<Option<(String, Vec<String>)>, LlmError> {
        command(&[(TOOLS, text)].into_iter().collect(), tool)
    }

    #[test]
    fn a_line_names_a_program_and_its_arguments() {
        let text = "claude=/opt/my\\ tools/claude --append 'be brief'\n\n codex=codex2 ";
        let (program, arguments) = read(text, "claude").unwrap().unwrap();
        assert_eq!(
            (program.as_str(), arguments.as_slice()),
            ("/opt/my tools/claude", &["--append".to_owned(), "be brief".to_owned()][..])
        );
        assert_eq!(read(text, "codex").unwrap(), Some(("codex2".to_owned(), Vec::new())));
        assert_eq!(read(text, "gemini").unwrap(), None);
    }

    #[test]
    fn a_line_that_names_none_is_refused() {
        for text in ["claude", "claude=", "claud=x", "claude='x"] {
            assert!(matches!(read(text, "claude"), Err(LlmError::Unusable { .. })), "{text}");
        }
    }
}
