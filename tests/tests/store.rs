//! What happens around a store: somebody else holds it, it is damaged, it cannot be written.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code: a fault ends the test")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use downbeat_tests::{Fifo, Project, Ran, Running, task};
use rstest::rstest;
use serde_json::Value;

fn finished() -> Project {
    let project = Project::of_tasks(&task("Works {#a}", "echo x > a"));
    project.downbeat(&["run"]).code(0);
    project
}

/// The error that a command told programs of.
fn error_of(ran: &Ran) -> Value {
    let line = ran.stderr.lines().last().unwrap();
    serde_json::from_str::<Value>(line).unwrap()["error"].clone()
}

#[test]
fn while_a_run_goes_on_others_are_told_who_it_is() {
    let script = "exec 3> ../pipe\necho started >&3\nread x < ../go";
    let project = Project::of_tasks(&task("Long {#a}", script));
    let pipe = Fifo::new(&project.path("pipe"));
    nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let run = project.start(&["run"]);
    assert_eq!(pipe.line(), "started");
    let id = run.id().to_string();
    let all: [&[&str]; 2] = [&["run"], &["run", "--fresh"]];
    let others: Vec<Running> = all.iter().map(|words| project.start(words)).collect();
    for other in others {
        other.wait().code(3).says(&[&id, "downbeat run", "held by"]);
    }
    // Without its socket nothing else is left of it to ask.
    std::fs::remove_file(project.path(".downbeat/control.sock")).unwrap();
    let all: [&[&str]; 4] = [&["status"], &["events"], &["task", "show", "a"], &["why", "a"]];
    for words in all {
        project.downbeat(words).code(3).says(&[&id, "downbeat run", "held by"]);
    }
    let error = error_of(&project.downbeat(&["status", "--json"]).code(3));
    assert_eq!(error["code"], "store_busy");
    assert!(error["message"].as_str().unwrap().contains(&id), "{error}");
    // It is not an illness.
    project.downbeat(&["doctor"]).code(0).says(&[&id]);

    drop(std::fs::OpenOptions::new().write(true).open(project.path("go")).unwrap());
    // `read` sees the end of the file and fails; the next attempt waits again.
    run.kill();
    project.downbeat(&["status"]).code(0).says(&["demo"]);
}

/// Its agents were heard a moment ago, and still nobody is at work.
#[test]
fn after_a_kill_why_counts_on_nobody() {
    let tasks =
        task("Begun {#a priority=2}", "echo started > ../pipe; sleep 60") + &task("Next {#b}", "true");
    let project = Project::of_tasks(&tasks);
    let pipe = Fifo::new(&project.path("pipe"));
    let run = project.start(&["run"]);
    assert_eq!(pipe.line(), "started");
    run.kill();
    let why = project.json(&["why", "a"]);
    assert_eq!(why["causes"][0]["kind"], "lease");
    assert!(why["causes"][0]["detail"].as_str().unwrap().contains("its run is gone"), "{why}");
    let why = project.json(&["why", "b"]);
    assert_eq!(why["status"], "ready");
    assert_eq!(why["causes"][0]["kind"], "no_agent", "{why}");
}

#[test]
fn two_runs_at_once_do_the_work_once() {
    let project = Project::of_tasks(&task("Works {#a}", "echo x >> a"));
    let runs: Vec<Running> = (0..4).map(|_| project.start(&["run"])).collect();
    let codes: Vec<i32> = runs.into_iter().map(|run| run.wait().status.code().unwrap()).collect();
    assert!(codes.contains(&0) && codes.iter().all(|code| [0, 3].contains(code)), "{codes:?}");
    assert_eq!(project.lines("work/a"), ["x"]);
}

#[test]
fn without_a_store_commands_say_what_to_do() {
    let project = Project::of_tasks(&task("Works {#a}", "true"));
    let all: [&[&str]; 5] =
        [&["status"], &["events"], &["task", "list"], &["why", "a"], &["pause", "agent-1"]];
    for words in all {
        project.downbeat(words).code(2).says(&["no store at", "downbeat run"]);
    }
    assert!(!project.path(".downbeat").exists(), "looking left something behind");
    Project::empty().downbeat(&["status"]).code(2).says(&["no INSTRUCTIONS.md", "downbeat init"]);
}

/// Every file of the store, the largest first.
fn files(project: &Project) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![project.path(".downbeat/store/sled")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                open.push(entry.path());
            } else {
                found.push(entry.path());
            }
        }
    }
    found.sort_by_key(|path| std::cmp::Reverse(path.metadata().unwrap().len()));
    found
}

#[rstest]
#[case::garbage(|bytes: &mut Vec<u8>| bytes.iter_mut().zip(b"not a store ".iter().cycle()).for_each(|(byte, other)| *byte = *other))]
#[case::garbage_behind_the_header(|bytes: &mut Vec<u8>| bytes.iter_mut().skip(64).for_each(|byte| *byte ^= 0x5a))]
#[case::zeroes(|bytes: &mut Vec<u8>| bytes.fill(0))]
#[case::empty(Vec::clear)]
#[case::cut(|bytes: &mut Vec<u8>| bytes.truncate(bytes.len() / 2))]
fn a_damaged_store_is_no_panic(#[case] damage: fn(&mut Vec<u8>)) {
    let sound = finished();
    for number in 0..files(&sound).len() {
        let project = finished();
        let Some(path) = files(&project).get(number).cloned() else { continue };
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes);
        std::fs::write(&path, bytes).unwrap();
        for words in [["status"].as_slice(), &["events"], &["task", "show", "a"], &["doctor"], &["run"]] {
            let ran = project.downbeat(words);
            let name = path.strip_prefix(project.root()).unwrap().display();
            let code = ran.status.code();
            assert!(
                matches!(code, Some(0..=2 | 70)) && !ran.text().contains("panicked"),
                "{words:?} with {name}: {code:?}\n{}",
                ran.text()
            );
            if code == Some(70) {
                ran.says(&["error", "store"]);
                // Who reads only this knows what to do.
                if ran.text().contains("corrupt") {
                    ran.says(&["downbeat run --fresh", "keeps this store"]);
                }
            }
        }
        // Whatever is left of it, starting over works.
        project.downbeat(&["run", "--fresh"]).code(0).says(&["1 of 1 task"]);
    }
}

#[test]
fn a_place_that_cannot_be_written_is_said() {
    let project = Project::of_tasks(&task("Works {#a}", "echo x > a"));
    // Not even the superuser can write there.
    for store in ["/proc/downbeat/store", "INSTRUCTIONS.md/store", "INSTRUCTIONS.md"] {
        let ran = project.downbeat(&["run", "--store", store]).code(70);
        ran.says(&["error", store, "hint: `--store DIR`"]);
        assert!(!project.path("work").exists(), "something was started");
    }
    let project = Project::of_tasks(&task("Works {#a}", "echo x > a"));
    project.write(".downbeat", "a file");
    project.downbeat(&["run"]).code(70).says(&["cannot make", ".downbeat"]);

    // A file of the store that is none.
    let project = Project::of_tasks(&task("Works {#a}", "echo x > a"));
    std::fs::create_dir_all(project.path(".downbeat/store/sled/db")).unwrap();
    let ran = project.downbeat(&["run"]).code(70);
    ran.says(&["opening the store: Is a directory", "hint: `--store DIR`"]);
}

#[test]
fn a_directory_of_somebody_else_is_said() {
    if nix::unistd::geteuid().is_root() {
        // Permissions do not hold the superuser.
        return;
    }
    let project = Project::of_tasks(&task("Works {#a}", "echo x > a"));
    let of = |mode| std::fs::set_permissions(project.root(), std::fs::Permissions::from_mode(mode)).unwrap();
    of(0o555);
    let ran = project.downbeat(&["run"]);
    of(0o755);
    ran.code(70).says(&["cannot make", "belongs to another user"]);
}

#[test]
fn a_full_disk_ends_a_run_soon_and_loses_nothing() {
    let tasks: String =
        (0..60).map(|number| task(&format!("Works {{#t{number}}}"), "echo x >> $DOWNBEAT_TASK")).collect();
    let project = Project::of_tasks_and_agents(&tasks, 2);
    // No file may grow beyond this: to a program it looks like a disk that is full.
    let mut command = std::process::Command::new("sh");
    let script = "trap '' XFSZ; ulimit -f 200; exec \"$0\" run";
    command.args(["-c", script]).arg(downbeat_tests::binary()).current_dir(project.root());
    let ran = Running::start(command).wait_within(std::time::Duration::from_secs(30)).code(70);
    ran.says(&["error: the store"]);
    project.downbeat(&["run"]).code(0).says(&["60 of 60 tasks done"]);
    let done = project.events().into_iter().filter(|event| event.kind == "task.done").count();
    assert_eq!(done, 60);
}

#[rstest]
#[case::garbage_behind_the_header(|bytes: &mut Vec<u8>| bytes.iter_mut().skip(64).for_each(|byte| *byte ^= 0x5a))]
#[case::zeroes(|bytes: &mut Vec<u8>| bytes.fill(0))]
#[case::empty(Vec::clear)]
fn a_store_that_lost_its_log_is_not_taken_for_a_new_one(#[case] damage: fn(&mut Vec<u8>)) {
    let project = finished();
    let log = project.root().join(".downbeat/store/sled/db");
    let mut bytes = std::fs::read(&log).unwrap();
    damage(&mut bytes);
    std::fs::write(&log, bytes).unwrap();
    // sled may find a copy of what it lost; what must not be is work that is done again.
    let ran = project.downbeat(&["run"]);
    match ran.status.code() {
        Some(70) => ran.says(&["lost what had been acknowledged"]),
        _ => ran.code(0).says(&["othing to do"]),
    };
}
