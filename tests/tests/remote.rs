//! The state is with a process of another machine: every command and agents over TCP.
#![expect(clippy::unwrap_used, reason = "test code: a fault ends the test")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use downbeat_tests::{Fifo, Project, Ran, Running, instructions, task};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Says at a pipe that it began, waits at another one, and leaves a line.
const UNTIL_GO: &str = "echo $DOWNBEAT_AGENT $DOWNBEAT_TASK > ../pipe
read x < ../go || true
echo x >> $DOWNBEAT_TASK";

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A file that only its owner can read.
fn secret(project: &Project, file: &str, text: &str) {
    let file = project.path(file);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file).unwrap();
    writeln!(file, "{text}").unwrap();
}

/// A process that serves its state over TCP, and a project as on another machine: it has the same instructions and
/// nothing else in common.
struct Machines {
    there: Project,
    here: Project,
    url: String,
}

impl Machines {
    fn new(tasks: &str, agents: usize) -> Self {
        let text = instructions(tasks, agents);
        let (there, here) = (Project::new(&text), Project::new(&text));
        secret(&there, "token", TOKEN);
        secret(&here, "token", TOKEN);
        Self { there, here, url: String::new() }
    }

    /// Starts the one that serves, at the address of the last one if there was one.
    fn serve(&mut self, words: &[&str]) -> Running {
        let place = self.url.strip_prefix("http://").unwrap_or("127.0.0.1:0");
        let listen = format!("--listen={place}");
        let mut serving = self.there.start(&[words, &[&listen, "--token-file", "token"]].concat());
        serving.wait_for("he API is at ");
        let heard = serving.heard();
        let at = heard.split(['\n', ' ', ';', '\u{1b}']).find(|word| word.starts_with("http://")).unwrap();
        at.clone_into(&mut self.url);
        serving
    }

    fn start(&self, words: &[&str]) -> Running {
        self.here.start(&[words, &["--cache", &self.url, "--token-file", "token"]].concat())
    }

    fn run(&self, words: &[&str]) -> Ran {
        self.start(words).wait()
    }

    fn json(&self, words: &[&str]) -> Value {
        self.run(&[words, &["--json"]].concat()).code(0).json()
    }
}

/// The pipes of tasks in a project: what they say when they begin.
fn pipes(project: &Project) -> (Fifo, File) {
    nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = Fifo::new(&project.path("pipe"));
    let writer = File::options().write(true).open(project.path("pipe")).unwrap();
    (pipe, writer)
}

fn go(project: &Project) {
    drop(OpenOptions::new().write(true).open(project.path("go")).unwrap());
}

#[test]
fn every_command_works_over_tcp() {
    let tasks =
        task("Long {#a}", UNTIL_GO) + &task("Next {#b after=a}", "true") + &task("Last {#c after=b}", "true");
    let mut machines = Machines::new(&tasks, 1);
    let (pipe, _writer) = pipes(&machines.there);
    let run = machines.serve(&["run"]);
    assert_eq!(pipe.line(), "agent-1 a");

    let status = machines.json(&["status"]);
    assert_eq!(status["goals"][0]["counts"]["running"], 1);
    assert_eq!(status["agents"][0]["liveness"], "alive");
    assert_eq!(status["orchestrator"]["present"], true);
    assert_eq!(machines.json(&["task", "show", "a"])["status"], "running");
    machines.run(&["why", "b"]).code(0).says(&["waits for `a`, which is running at `agent-1`"]);
    machines.run(&["graph"]).code(0).says(&["running"]);
    machines.run(&["plan", "--diff"]).code(0);
    let doctor = machines.run(&["doctor"]).code(0);
    doctor.says(&["1 goal", "held by `downbeat run`", &run.id().to_string(), &machines.url]);
    assert!(!doctor.text().contains(TOKEN));
    let mut follower = machines.start(&["events", "-f"]);
    follower.wait_for("task.claimed");
    machines.run(&["elevate", "c", "7"]).code(0);
    machines.run(&["task", "cancel", "c"]).code(0);
    follower.wait_for("task.cancelled");
    machines.run(&["pause", "agent-1"]).code(0);
    machines.run(&["resume", "agent-1"]).code(0);
    // What needs the store to itself says so; its settings and its environment do what options do.
    machines.run(&["run", "--fresh"]).code(2).says(&["with the process at", &machines.url]);
    machines.here.write("downbeat.toml", &format!("cache = \"{}\"\n", machines.url));
    let mut command = machines.here.command(["task", "list"]);
    command.env("DOWNBEAT_API_TOKEN", TOKEN);
    let listed = Running::start(command).wait().code(0);
    assert_eq!(listed.stderr, "", "the variable is known");

    go(&machines.there);
    run.wait().code(0).says(&["2 of 3 tasks done"]);
    // Who serves is away: whoever follows waits for it, and everybody else is told.
    follower.wait_for("waiting for it");
    machines.run(&["status"]).code(3).says(&["nobody answers at", &machines.url]);
    follower.signal(Signal::SIGINT);
    follower.wait().code(0);
    assert!(!machines.here.path(".downbeat/store").exists(), "state on the wrong machine");
}

#[test]
fn agents_of_other_machines_outlive_the_one_that_serves() {
    let mut tasks = task("Held {#held priority=9}", UNTIL_GO);
    for number in 0..20 {
        tasks += &task(&format!("Task {number} {{#t{number} after=held}}"), "echo $DOWNBEAT_TASK >> ../done");
    }
    let mut machines = Machines::new(&tasks, 2);
    let (pipe, _writer) = pipes(&machines.here);
    // An agent may come first.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    machines.url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let agents = ["agent-1", "agent-2"].map(|name| machines.start(&["agent", "--name", name]));
    let orchestrator = machines.serve(&["orchestrator"]);
    assert!(pipe.line().ends_with(" held"));
    orchestrator.kill();
    let orchestrator = machines.serve(&["orchestrator"]);
    go(&machines.here);

    for agent in agents {
        agent.wait().code(0);
    }
    orchestrator.wait().code(0);
    let mut done = machines.here.lines("done");
    done.sort();
    done.dedup();
    assert_eq!((done.len(), machines.here.lines("done").len()), (20, 20), "each once");
    assert_eq!(machines.here.lines("work/held"), ["x"]);
    assert!(!machines.there.path("done").exists());
}

#[test]
fn an_orchestrator_may_lead_over_tcp_as_well() {
    let mut machines = Machines::new(&task("Works {#a}", "echo x >> ../a"), 1);
    let serving = machines.serve(&["serve"]);
    machines.run(&["run"]).code(0).says(&["1 of 1 task done"]);
    assert_eq!(machines.here.lines("a"), ["x"]);
    machines.run(&["run"]).code(0).says(&["othing to do"]);
    serving.signal(Signal::SIGTERM);
    serving.wait().code(0);
}

/// Answers each connection with this, whatever it asks.
fn impostor(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    url
}

fn answer(status: &str, kind: &str, body: &str) -> &'static str {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
    .leak()
}

#[test]
fn what_is_wrong_with_a_server_is_one_message() {
    let mut machines = Machines::new(&task("Works {#a}", "true"), 1);
    let serving = machines.serve(&["serve"]);
    let (url, here) = (machines.url.clone(), &machines.here);
    let port = url.rsplit(':').next().unwrap();
    secret(here, "wrong", "another-token-of-32-bytes-or-so-");
    secret(here, "short", "two words");
    here.write("open", TOKEN);
    let older = "{\"service\":\"downbeat\",\"version\":\"9.0.0\",\"api\":9,\"role\":\"downbeat run\",\"pid\":1,\"store\":\"/x\"}";
    let service = older.replace("downbeat\",\"version", "upbeat\",\"version");
    let cases = [
        ("http://127.0.0.1:1".to_owned(), "token", 3, "nobody answers at http://127.0.0.1:1"),
        ("http://nobody.invalid:8003".to_owned(), "token", 3, "nobody answers at http://nobody.invalid:8003"),
        (url.clone(), "wrong", 3, "another token is wanted"),
        (url.clone(), "", 3, "a token is wanted"),
        (url.clone(), "nowhere", 2, "cannot read the token in nowhere"),
        (url.clone(), "open", 2, "chmod 600 open"),
        (url.clone(), "short", 2, "short holds no token"),
        // It leads to the address that is listened at, and is another name for it.
        (format!("http://[::ffff:127.0.0.1]:{port}"), "token", 3, "ssh -L"),
        (impostor(answer("404 Not Found", "text/html", "<h1>no</h1>")), "token", 3, "404"),
        (impostor(answer("200 OK", "text/html", "<h1>hello</h1>")), "token", 3, "no Downbeat's"),
        (impostor("220 ready\r\n"), "token", 3, "cannot be worked with"),
        (impostor(answer("200 OK", "application/json", &service)), "token", 3, "another service"),
        (impostor(answer("200 OK", "application/json", older)), "token", 3, "speaks version 9 of the API"),
        (format!("{url}/v1"), "token", 2, "http://HOST:PORT"),
        (format!("http://{TOKEN}@127.0.0.1:{port}"), "token", 2, "--token-file"),
        (url.replace("http", "https"), "token", 2, "tunnel"),
    ];
    for (url, file, code, said) in cases {
        let file = ["--token-file", file];
        let file = if file[1].is_empty() { &[][..] } else { &file };
        for words in ["status", "run"] {
            let ran = here.downbeat(&[&[words, "--cache", &url], file].concat()).code(code);
            ran.says(&[said, "error: "]);
            assert_eq!(ran.stderr.matches("error: ").count(), 1, "{}", ran.stderr);
            for secret in [TOKEN, "another-token"] {
                assert!(!ran.text().contains(secret), "{}", ran.text());
            }
        }
    }
    assert!(!here.path("work").exists(), "something was started");
    // By name, too: what the name leads to is what is asked for.
    let file = ["--token-file", "token"];
    let by_name = format!("http://localhost:{port}");
    here.downbeat(&[&["status", "--cache", &by_name], &file[..]].concat()).code(0).says(&["No goal"]);
    let of_process =
        std::fs::read(Path::new("/proc").join(serving.id().to_string()).join("cmdline")).unwrap();
    assert!(!String::from_utf8_lossy(&of_process).contains(TOKEN));
}
