//! The example under systemg: `sysg start` brings up Redis, the orchestrator and its agents, `sysg status` and
//! the logs show them, all tasks are done, and `sysg stop` leaves no process.
//!
//! `scripts/install-systemg` gets it. Where `sysg` is not on the PATH the test says so, and shows nothing.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "test code: a fault ends the test"
)]

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use downbeat_tests::{PATIENCE, Project, binary, processes_of, repository};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::time::Instant;

const AGENTS: [&str; 4] = ["counter-1", "counter-2", "counter-3", "adder"];

/// A copy of the example, with a home of its own: systemg has one supervisor for each.
struct Place {
    project: Project,
}

impl Place {
    fn new() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        if !std::env::split_paths(&path).any(|place| place.join("sysg").is_file()) {
            eprintln!(
                "`sysg` is not on the PATH: nothing was shown of systemg (scripts/install-systemg gets it)"
            );
            return None;
        }
        let project = Project::empty();
        for name in ["systemg.yaml", "INSTRUCTIONS.md"] {
            fs::copy(repository().join("examples/systemg").join(name), project.path(name)).unwrap();
        }
        fs::create_dir(project.path("home")).unwrap();
        Some(Self { project })
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let root = self.project.root();
        let path = std::env::var("PATH").unwrap();
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(root)
            .env_clear()
            .env("PATH", format!("{}:{path}", binary().parent().unwrap().display()))
            .env("HOME", self.project.path("home"))
            .env("PWD", root)
            .stdin(Stdio::null());
        command
    }

    fn sysg(&self, words: &[&str]) -> Output {
        // A supervisor that goes on would hold a pipe.
        let (out, err) = (self.project.path("sysg.out"), self.project.path("sysg.err"));
        let status = self
            .command("sysg", words)
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&err).unwrap())
            .status()
            .unwrap();
        Output { status, stdout: fs::read(out).unwrap(), stderr: fs::read(err).unwrap() }
    }

    fn downbeat(&self, words: &[&str]) -> Output {
        let cache = format!("redis+unix://{}", self.project.path("redis.sock").display());
        let mut command = self.command("downbeat", words);
        command.args(["--cache", &cache, "--json"]).output().unwrap()
    }

    fn logs(&self, name: &str) -> String {
        let logs = self.project.path("home/.local/share/systemg/logs");
        let files = fs::read_dir(logs.join("spawn"))
            .into_iter()
            .flatten()
            .chain(fs::read_dir(&logs).into_iter().flatten());
        let named = files.flatten().filter(|file| file.file_name().to_string_lossy().contains(name));
        named.map(|file| fs::read_to_string(file.path()).unwrap_or_default()).collect()
    }

    /// Waits until something is so.
    #[track_caller]
    fn until(&self, what: &str, longest: Duration, is_so: impl Fn() -> bool) {
        let end = Instant::now() + longest;
        while !is_so() {
            assert!(
                Instant::now() < end,
                "{what}:\n{}\n{}",
                self.logs("orchestrator"),
                self.logs("supervisor")
            );
            pause();
        }
    }

    fn agents(&self) -> Vec<u32> {
        let all = processes_of(self.project.root());
        all.into_iter().filter(|(_, line)| line.contains(" agent ")).map(|(id, _)| id).collect()
    }

    fn is_complete(&self) -> bool {
        let ran = self.downbeat(&["status"]);
        let status: Value = serde_json::from_slice(&ran.stdout).unwrap_or_default();
        status["goals"][0]["status"] == "complete"
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = self.command("sysg", &["stop"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        // By their ids, which are those of this test's own directory.
        for (id, _) in processes_of(self.project.root()) {
            let _ = kill(Pid::from_raw(i32::try_from(id).unwrap()), Signal::SIGKILL);
        }
    }
}

#[test]
fn systemg_brings_up_a_fleet_and_leaves_no_process_of_it() {
    let Some(place) = Place::new() else { return };
    let started = place.sysg(&["start", "--daemonize"]);
    assert!(started.status.success(), "{started:?}");
    place.until("not all tasks were done", PATIENCE * 2, || place.is_complete());
    assert_eq!(place.project.read("out/total.txt"), "783\n");

    // systemg shows what it started: services, and agents below the orchestrator.
    let status = || -> Value {
        serde_json::from_slice(&place.sysg(&["status", "--live", "--json"]).stdout).unwrap_or_default()
    };
    let is_shown = |name: &str| {
        let units = status();
        let units = units["units"].as_array().cloned().unwrap_or_default();
        units.iter().any(|unit| {
            let children = unit["spawned_children"].as_array().cloned().unwrap_or_default();
            unit["name"] == name || children.iter().any(|child| child["child"]["name"] == name)
        })
    };
    for name in ["redis", "orchestrator"].into_iter().chain(AGENTS) {
        place.until(&format!("`sysg status` does not show {name}"), PATIENCE, || is_shown(name));
    }
    for name in AGENTS {
        // systemg writes the name without signs.
        let file = format!("orchestrator_{}_", name.replace('-', ""));
        place.until(&format!("the logs do not show {name}"), PATIENCE, || {
            place.logs(&file).contains(&format!("Started agent {name}"))
        });
    }
    // What they were given through a file is nowhere any more.
    let left = fs::read_dir(place.project.path(".downbeat/agents")).unwrap().flatten();
    assert!(!left.into_iter().any(|file| file.file_name().to_string_lossy().ends_with(".launch")));

    // An orchestrator that is killed is started again by systemg; its agents end, and others come.
    let before = place.agents();
    let named: Vec<u32> = processes_of(place.project.root())
        .into_iter()
        .filter(|(_, line)| line.contains(" orchestrator ") && !line.starts_with("sh "))
        .map(|(id, _)| id)
        .collect();
    assert!(!named.is_empty(), "no orchestrator runs");
    for id in named {
        kill(Pid::from_raw(i32::try_from(id).unwrap()), Signal::SIGKILL).unwrap();
    }
    place.until("the agents of a killed orchestrator go on, or no others came", PATIENCE * 2, || {
        let now = place.agents();
        now.len() >= AGENTS.len() && !now.iter().any(|id| before.contains(id))
    });

    let stopped = place.sysg(&["stop"]);
    assert!(stopped.status.success(), "{stopped:?}");
    place.until("`sysg stop` left processes", PATIENCE, || processes_of(place.project.root()).is_empty());
    // A service's lines it keeps to itself until there are enough of them, or the end.
    let log = place.logs("orchestrator.log");
    for name in AGENTS {
        assert!(log.contains(&format!("Agent {name} is process ")), "{name}: {log}");
    }
}

#[expect(clippy::disallowed_methods, reason = "systemg tells nobody what it has done")]
fn pause() {
    std::thread::sleep(Duration::from_millis(100));
}
