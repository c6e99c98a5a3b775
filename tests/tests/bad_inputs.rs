//! What is said about bad input: every case lies in `fixtures/bad-inputs`, beside what it prints.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use downbeat_core::diagnostic::Report;
use downbeat_core::heartbeat;
use downbeat_tests::PATIENCE;
use tempfile::TempDir;
use tokio::process::Command;

#[test]
fn markdown() {
    check("markdown", 38);
}

#[test]
fn yaml() {
    check("yaml", 20);
}

#[test]
fn dag_files() {
    check("dag", 27);
}

#[test]
fn command_line() {
    check("cli", 34);
}

#[test]
fn settings() {
    check("config", 16);
}

#[test]
fn heartbeats() {
    check("heartbeat", 12);
}

/// Runs every case of one kind, of which there are at least `least`, and compares what they print.
fn check(kind: &str, least: usize) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/bad-inputs").canonicalize().unwrap();
    let mut cases: Vec<PathBuf> = fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| case.is_dir() && name(case).starts_with(&format!("{kind}-")));
    cases.sort();
    assert!(cases.len() >= least, "{} cases in {}", cases.len(), root.display());

    let next = AtomicUsize::new(0);
    let wrong = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(difference) = compare(case) {
                        wrong.lock().unwrap().insert(name(case).to_owned(), difference);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    let all: String = wrong.iter().fold(String::new(), |mut all, (name, difference)| {
        let _ = write!(all, "\n==== {name}\n{difference}");
        all
    });
    assert!(wrong.is_empty(), "{} cases differ, UPDATE=1 accepts them:\n{all}", wrong.len());
}

fn name(case: &Path) -> &str {
    case.file_name().unwrap().to_str().unwrap()
}

/// Runs one case; an error is what is wrong with it.
fn compare(case: &Path) -> Result<(), String> {
    let file = case.join("expected.txt");
    let expected = fs::read_to_string(&file).map_err(|error| format!("expected.txt: {error}\n"))?;
    let command = expected.lines().next().unwrap_or_default();
    let project = tempfile::tempdir().unwrap();
    copy(case, project.path());
    generate(name(case), project.path());

    let printed =
        if name(case).starts_with("heartbeat-") { steer(project.path()) } else { run(command, &project)? };
    let actual = format!("{command}\n{printed}");
    for never in ["panicked", "RUST_BACKTRACE", "Some(", "Err(", "Error {", "\u{1b}", "/tmp/"] {
        if actual.contains(never) {
            return Err(format!("{never:?} is nothing for a user:\n{actual}"));
        }
    }
    if actual == expected {
        return Ok(());
    }
    if std::env::var_os("UPDATE").is_some() {
        fs::write(&file, actual).unwrap();
        return Ok(());
    }
    Err(format!("---- expected\n{expected}---- printed\n{actual}"))
}

/// The command in a transcript: `$ VARIABLE=value downbeat words`.
fn run(command: &str, project: &TempDir) -> Result<String, String> {
    let words: Vec<&str> = command.strip_prefix("$ ").unwrap_or_default().split(' ').collect();
    let at = words.iter().position(|word| *word == "downbeat").ok_or("the first line is no command\n")?;
    let mut downbeat = Command::new(downbeat_tests::binary());
    downbeat
        .args(&words[at + 1..])
        .current_dir(project.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", project.path())
        .envs(words[..at].iter().filter_map(|word| word.split_once('=')))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let output = runtime.block_on(async { tokio::time::timeout(PATIENCE, downbeat.output()).await });
    let output = output.map_err(|_| "it does not end\n".to_owned())?.unwrap();

    let mut said = String::new();
    for (part, bytes) in [("", &output.stderr), ("---- on the standard output\n", &output.stdout)] {
        if !bytes.is_empty() {
            let text = String::from_utf8(bytes.clone()).map_err(|error| error.to_string())?;
            said.push_str(part);
            said.push_str(&text);
        }
    }
    let real = project.path().canonicalize().unwrap();
    let said = said.replace(&*real.to_string_lossy(), "<project>");
    let said = said.replace(&*project.path().to_string_lossy(), "<project>");
    if project.path().join(".downbeat").exists() {
        return Err(format!("something was begun: there is a directory .downbeat\n{said}"));
    }
    let code = output.status.code();
    if code != Some(2) {
        return Err(format!("the exit code is {code:?}\n{said}"));
    }
    Ok(format!("{said}---- exit code 2\n"))
}

/// What a file that steers an agent gets said about it, as logs show it.
fn steer(project: &Path) -> String {
    let bytes = fs::read(project.join("HEARTBEAT.md")).unwrap();
    let (source, read) = heartbeat::parse_bytes("HEARTBEAT.md", &bytes);
    let mut said = String::new();
    for line in read.lines.iter().take(20) {
        let text = source.text.get(line.span.clone()).unwrap();
        let _ = writeln!(said, "HEARTBEAT.md:{}: obeyed: {text}", line.line);
    }
    if !read.warnings.is_empty() {
        let _ = writeln!(said, "{}", Report { source, diagnostics: read.warnings });
    }
    said
}

/// Copies what a case consists of.
fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else if entry.file_name() != "expected.txt" {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Makes what no repository should hold.
fn generate(case: &str, project: &Path) {
    let instructions = project.join("INSTRUCTIONS.md");
    let plan = project.join("plan.json");
    let fifo = |path: &Path| nix::unistd::mkfifo(path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    match case {
        "cli-two-mebibytes" => fs::write(instructions, "A word. ".repeat(256 * 1024)).unwrap(),
        "cli-fifo" | "cli-fifo-plan" => fifo(&instructions),
        "cli-endless" => std::os::unix::fs::symlink("/dev/zero", instructions).unwrap(),
        "cli-dangling-symlink" => std::os::unix::fs::symlink("elsewhere.md", instructions).unwrap(),
        "config-fifo" => fifo(&project.join("downbeat.toml")),
        "config-too-large" => {
            fs::write(project.join("downbeat.toml"), "# A word.\n".repeat(30_000)).unwrap();
        }
        "dag-fifo" => fifo(&plan),
        "dag-too-many-nodes" => {
            let mut nodes = String::new();
            for number in 0..100_001 {
                let comma = if number == 0 { "" } else { "," };
                let _ = write!(nodes, "{comma}\n    {{ \"id\": \"t{number}\", \"title\": \"T\" }}");
            }
            fs::write(plan, format!("{{\n  \"goal_id\": \"demo\",\n  \"nodes\": [{nodes}\n  ]\n}}\n"))
                .unwrap();
        }
        "dag-deeply-nested" => {
            let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
            fs::write(plan, format!("{{\n  \"goal_id\": \"demo\",\n  \"nodes\": {deep}\n}}\n")).unwrap();
        }
        "heartbeat-too-many" => {
            fs::write(project.join("HEARTBEAT.md"), "PAUSE\n".repeat(10_001)).unwrap();
        }
        _ => {}
    }
}
