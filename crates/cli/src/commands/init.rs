//! `downbeat init`: an example that runs without any model.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::args;
use crate::error::CliError;
use crate::output::Out;
use crate::output::style::{FAINT, GOOD, STRONG, paint};
use crate::place::{CONFIG, INSTRUCTIONS, OWN, quoted, tidy};

/// The files and what is in them.
const FILES: [(&str, &str); 2] = [
    (INSTRUCTIONS, include_str!("scaffold/INSTRUCTIONS.md")),
    (CONFIG, include_str!("scaffold/downbeat.toml")),
];

/// Writes the example.
pub(crate) fn init(args: &args::Init, out: &Out) -> Result<(), CliError> {
    let directory = tidy(&args.directory);
    let there: Vec<String> = FILES
        .iter()
        .map(|(name, _)| tidy(&directory.join(name)))
        .filter(|path| path.symlink_metadata().is_ok())
        .map(|path| path.display().to_string())
        .collect();
    if !there.is_empty() && !args.force {
        return Err(CliError::bad_input(format!("exists already: {}", there.join(", ")))
            .hint("`--force` overwrites it; another directory leaves it alone"));
    }
    std::fs::create_dir_all(&directory).map_err(|error| {
        let what = format!("cannot make {}", directory.display());
        match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => {
                CliError::bad_input(format!("{what}: a file is in its place")).hint("name another directory")
            }
            _ => CliError::internal(what, &error),
        }
    })?;
    let mut written = Vec::new();
    for (name, text) in FILES {
        let path = tidy(&directory.join(name));
        write(&path, text)?;
        written.push(path);
    }
    written.extend(ignore(&directory)?);
    if out.is_json() {
        return out.value(&json!({ "written": written }));
    }
    if out.is_quiet() {
        return Ok(());
    }
    for path in &written {
        out.line(format!("{} {}", paint(GOOD, "✓"), path.display()))?;
    }
    out.line("")?;
    let go =
        if directory == Path::new(".") { String::new() } else { format!("cd {} && ", quoted(&directory)) };
    out.line(format!("Next: {}", paint(STRONG, format!("{go}downbeat run"))))?;
    out.line(paint(FAINT, "`downbeat plan` shows what would run; `downbeat --help` shows the rest."))
}

fn write(path: &Path, text: &str) -> Result<(), CliError> {
    std::fs::write(path, text)
        .map_err(|error| CliError::internal(format!("cannot write {}", path.display()), &error))
}

/// Adds Downbeat's own directory to .gitignore, unless it is there.
fn ignore(directory: &Path) -> Result<Option<PathBuf>, CliError> {
    let path = tidy(&directory.join(".gitignore"));
    let before = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(CliError::internal(format!("cannot read {}", path.display()), &error)),
    };
    let entry = format!("{OWN}/");
    if before.lines().any(|line| line.trim().trim_matches('/') == OWN) {
        return Ok(None);
    }
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    write(&path, &format!("{before}{gap}{entry}\n"))?;
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use anstream::ColorChoice;
    use downbeat_runtime::load;

    use super::*;
    use crate::config::Sources;

    fn quiet() -> Out {
        Out::new(false, true, ColorChoice::Never)
    }

    #[test]
    fn the_example_is_sound_and_needs_no_model() {
        let directory = tempfile::tempdir().unwrap();
        let args = args::Init { directory: directory.path().to_path_buf(), force: false };
        init(&args, &quiet()).unwrap();
        let project = load::load(&directory.path().join(INSTRUCTIONS)).unwrap();
        assert!(project.warnings.is_empty(), "{:?}", project.warnings);
        assert!(project.unmanned().is_empty());
        assert!(crate::models::of(&project, crate::models::Chosen::default()).is_ok());
        let ignored = std::fs::read_to_string(directory.path().join(".gitignore")).unwrap();
        assert_eq!(ignored, ".downbeat/\n");
    }

    #[test]
    fn nothing_is_overwritten_unasked() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(INSTRUCTIONS), "mine").unwrap();
        std::fs::write(directory.path().join(".gitignore"), "target\n.downbeat").unwrap();
        let mut args = args::Init { directory: directory.path().to_path_buf(), force: false };
        assert_eq!(init(&args, &quiet()).unwrap_err().kind.exit(), 2);
        assert!(!directory.path().join(CONFIG).exists());
        args.force = true;
        init(&args, &quiet()).unwrap();
        let ignored = std::fs::read_to_string(directory.path().join(".gitignore")).unwrap();
        assert_eq!(ignored, "target\n.downbeat");
    }

    #[test]
    fn every_setting_of_the_example_is_one_with_its_default() {
        let text: String = FILES[1]
            .1
            .lines()
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.contains(" = "))
            .fold(String::new(), |all, line| all + line + "\n");
        let file = Sources { file: Some((PathBuf::from(CONFIG), text)), ..Sources::default() };
        let config = file.config().unwrap_or_else(|error| panic!("{} {:?}", error.message, error.reports));
        let mut settings = config.settings;
        // These have no value by default.
        settings.pass_env.clear();
        settings.max_workers = None;
        settings.max_parallel_calls = None;
        assert_eq!(config.prices, ["anthropic:MODEL=3/15/0.30"]);
        // Nothing is spent without a limit in the example, and it has to name one.
        settings.ceiling = downbeat_runtime::Settings::default().ceiling;
        assert_eq!(settings, downbeat_runtime::Settings::default());
        let unsaid: Vec<&str> = config
            .shown
            .iter()
            .filter(|shown| shown.origin == crate::config::Origin::Default)
            .map(|shown| shown.key)
            .collect();
        assert!(unsaid.is_empty(), "{unsaid:?}");
    }
}
