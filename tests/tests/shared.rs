//! The state lies in Redis: every command works beside a run, and says clearly when it cannot.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use downbeat_tests::redis::Redis;
use downbeat_tests::{Fifo, Project, Running, task};

/// A task that waits until somebody opens the pipe `go` and closes it again.
const UNTIL_GO: &str = "echo started > ../pipe; read x < ../go || true";

fn shared(project: &Project, redis: &Redis, words: &[&str]) -> Running {
    let mut command = project.command(words);
    command.env("DOWNBEAT_CACHE", redis.url());
    Running::start(command)
}

fn go(project: &Project) {
    drop(std::fs::OpenOptions::new().write(true).open(project.path("go")).unwrap());
}

fn pipes(project: &Project) -> Fifo {
    nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    Fifo::new(&project.path("pipe"))
}

#[test]
fn every_command_looks_into_a_run_that_goes_on() {
    let redis = Redis::start();
    let tasks = task("Long {#a priority=2}", UNTIL_GO)
        + &task("Next {#b}", "true")
        + &task("Last {#c after=a,b}", "true");
    let project = Project::of_tasks(&tasks);
    let pipe = pipes(&project);
    let mut follower = shared(&project, &redis, &["events", "-f", "--json"]);
    let run = shared(&project, &redis, &["run"]);
    assert_eq!(pipe.line(), "started");

    let json =
        |words: &[&str]| shared(&project, &redis, &[words, &["--json"]].concat()).wait().code(0).json();
    let status = json(&["status"]);
    assert_eq!(status["goals"][0]["counts"]["running"], 1);
    assert_eq!(status["agents"][0]["liveness"], "alive");
    assert_eq!(status["agents"][0]["task"], "a");
    assert_eq!(status["orchestrator"]["present"], true);
    let pid = run.id().to_string();
    assert!(status["orchestrator"]["name"].as_str().unwrap().ends_with(&pid), "{status}");
    assert_eq!(json(&["why", "a"])["causes"][0]["kind"], "lease");
    assert_eq!(json(&["why", "b"])["causes"][0]["kind"], "busy");
    assert_eq!(json(&["why", "c"])["causes"][0]["kind"], "dependency");
    assert_eq!(json(&["task", "show", "a"])["status"], "running");
    shared(&project, &redis, &["graph"]).wait().code(0).says(&["running"]);
    shared(&project, &redis, &["doctor"]).wait().code(0).says(&["1 goal", "noeviction", "risk"]);
    shared(&project, &redis, &["pause", "agent-1"]).wait().code(0);
    assert_eq!(json(&["why", "b"])["causes"][0]["kind"], "paused");
    shared(&project, &redis, &["resume", "agent-1"]).wait().code(0);
    shared(&project, &redis, &["elevate", "b", "7"]).wait().code(0);
    assert_eq!(redis.hash("task:b")["priority"], "7");

    go(&project);
    run.wait().code(0).says(&["3 of 3 tasks done"]);
    // What it was not told yet, it is told now, without being asked.
    follower.wait_for("goal.complete");
    assert!(follower.heard().contains("directive.applied"));
    follower.signal(nix::sys::signal::Signal::SIGINT);
    follower.wait().code(0);
    assert_eq!(json(&["status"])["orchestrator"]["present"], false);
    shared(&project, &redis, &["run"]).wait().code(0).says(&["othing to do"]);
    shared(&project, &redis, &["run", "--fresh"]).wait().code(2).says(&["--redis-prefix"]);
}

#[test]
fn what_is_wrong_with_a_server_is_one_message() {
    let project = Project::of_tasks(&task("Works {#a}", "true"));
    let old = Redis::start_with(&["--maxmemory-policy", "allkeys-lru"]);
    let locked = Redis::start_with(&["--requirepass", "s3cret"]);
    let with = |password: &str| format!("{}?pass={password}", locked.url());
    for (url, code, says) in [
        ("redis://127.0.0.1:1".to_owned(), 3, "nobody listens there"),
        ("redis://nobody.invalid:6379".to_owned(), 3, "nobody.invalid"),
        ("redis+unix:///nowhere/redis.sock".to_owned(), 3, "/nowhere/redis.sock"),
        (old.url(), 3, "maxmemory-policy"),
        (locked.url(), 3, "wants a password"),
        (with("wr0ng"), 3, "refuses the user or the password"),
        (format!("{}&db=99", with("s3cret")), 3, "no such database"),
        ("redis://:wr0ng?x@h".to_owned(), 2, "%3F"),
        ("redis://h:99999".to_owned(), 2, "not a URL of a Redis server"),
        ("redsi://h".to_owned(), 2, "is it `redis:`?"),
        ("fakeredis://".to_owned(), 2, "nobody shares"),
    ] {
        for words in ["run", "status", "events"] {
            let ran = project.downbeat(&[words, "--cache", &url]).code(code);
            ran.says(&[says, "error: "]);
            assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
            assert!(!ran.text().contains("wr0ng"), "{}", ran.text());
        }
    }
    assert!(!project.path("work").exists(), "something was started");
    project.downbeat(&["run", "--cache", &old.url(), "--allow-eviction"]).code(0);
    let ran = project.downbeat(&["run", "--redis-url", &with("s3cret")]).code(0);
    ran.says(&["from the list of processes"]);
    let hidden = project.downbeat(&["doctor", "--cache", "redis://:s3cr?t@h"]);
    assert!(!hidden.text().contains("s3cr"), "{}", hidden.text());
    for words in [["doctor"].as_slice(), &["doctor", "--json"], &["status"]] {
        let ran = project.downbeat(&[words, &["--cache", &with("s3cret")]].concat()).code(0);
        assert!(!ran.text().contains("s3cret"), "{}", ran.text());
    }
}

#[test]
fn deployments_with_different_prefixes_share_nothing() {
    let redis = Redis::start();
    let project = Project::of_tasks(&task("Works {#a}", "echo x >> a"));
    for prefix in ["one:", "two:"] {
        shared(&project, &redis, &["run", "--redis-prefix", prefix]).wait().code(0);
    }
    assert_eq!(project.lines("work/a"), ["x", "x"]);
    let keys = redis.cli(&["KEYS", "*"]);
    assert!(keys.iter().all(|key| key.starts_with("one:") || key.starts_with("two:")), "{keys:?}");
}
