//! What a program may not exceed, and that nothing of it is left. Each test marks what it starts by a
//! variable of the environment and then looks for the mark in all processes of the machine.

#![allow(clippy::unwrap_used, reason = "what a test needs and does not get fails the test")]

use std::ffi::OsString;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use downbeat_process::{Confine, End, Enforcement, Input, Program, Report, Stream, confine, run};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const MARK: &str = "DOWNBEAT_TEST_MARK";

/// What everything has to be ended within: long before anything of it would end by itself, and no measure of a machine
/// with much else to do.
const SOON: Duration = Duration::from_secs(20);

fn guard() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_downbeat-guard"))
}

/// A shell script below a guard, its directory, and the mark of all that it starts.
struct Case {
    place: TempDir,
    mark: String,
    program: Program,
}

impl Case {
    fn new(script: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let place = tempfile::tempdir().unwrap();
        let mark = format!("{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut program = Program::new("sh", place.path()).args(["-c", script]);
        program.env.push((MARK.into(), OsString::from(&mark)));
        program.guard = Some(guard());
        program.timeout = Duration::from_secs(30);
        Self { place, mark, program }
    }

    async fn run(&self) -> Report {
        self.run_until(&CancellationToken::new()).await
    }

    async fn run_until(&self, cancel: &CancellationToken) -> Report {
        run(&self.program, cancel, &mut |_: Stream, _: &[u8]| ControlFlow::Continue(())).await.unwrap()
    }

    /// Waits until the script wrote this file; then its text.
    async fn wrote(&self, file: &str) -> String {
        wrote(&self.place.path().join(file)).await
    }

    /// Runs until the script wrote `file`, then does `then` and waits for the end of everything.
    async fn interrupted(&self, file: &str, then: impl AsyncFnOnce(&CancellationToken)) -> Report {
        let cancel = CancellationToken::new();
        let script = async {
            self.wrote(file).await;
            then(&cancel).await;
            tokio::time::Instant::now()
        };
        let (report, since) = tokio::join!(self.run_until(&cancel), script);
        assert!(since.elapsed() < SOON, "it took {:?}", since.elapsed());
        self.nothing_left();
        report
    }

    fn nothing_left(&self) {
        assert_eq!(marked(&self.mark), [], "these are left");
    }
}

async fn wrote(path: &Path) -> String {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            _ => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// All processes of the machine with this mark, dead ones that nobody took note of left out.
fn marked(mark: &str) -> Vec<(i32, String)> {
    let wanted = format!("{MARK}={mark}");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(environ) = std::fs::read(entry.path().join("environ")) else { continue };
        if environ.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes()) {
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            found.push((id, String::from_utf8_lossy(&line).replace('\0', " ")));
        }
    }
    found
}

fn is_alive(id: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{id}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap().trim_start().starts_with('Z'))
}

fn guards_of(mark: &str) -> Vec<i32> {
    marked(mark).into_iter().filter(|(_, line)| line.contains("internal-guard")).map(|(id, _)| id).collect()
}

/// A daemon in every way: another session, no parent, no marks, deaf to requests.
const DAEMON: &str = "(setsid env -i /bin/sh -c 'trap \"\" TERM HUP INT; echo $$ > daemon; \
                      while :; do sleep 1000; done' >/dev/null 2>&1 &) ; ";

#[tokio::test]
async fn what_a_command_leaves_in_another_session_ends_with_it() {
    let case =
        Case::new(&format!("{DAEMON} setsid sleep 1000 & while ! [ -s daemon ]; do :; done; echo fine"));
    let report = case.run().await;
    assert_eq!((report.end, report.tail.as_str()), (End::Exited(0), "fine\n"));
    case.nothing_left();
    assert!(!is_alive(case.wrote("daemon").await.trim().parse().unwrap()));
}

#[tokio::test]
async fn a_cancel_ends_daemons_too() {
    let case = Case::new(&format!("{DAEMON} sleep 1000"));
    let report = case.interrupted("daemon", async |cancel| cancel.cancel()).await;
    assert_eq!(report.end, End::Cancelled);
    assert!(!is_alive(case.wrote("daemon").await.trim().parse().unwrap()));
}

#[tokio::test]
async fn a_dropped_future_ends_daemons_too() {
    let case = Case::new(&format!("{DAEMON} sleep 1000"));
    let daemon: i32 = tokio::select! {
        _ = case.run() => unreachable!("it does not end by itself"),
        daemon = case.wrote("daemon") => daemon.trim().parse().unwrap(),
    };
    let all_ended = async {
        while is_alive(daemon) || !marked(&case.mark).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, all_ended).await.expect("all ended");
}

#[tokio::test]
async fn a_timeout_asks_first_and_then_ends_who_does_not_listen() {
    let mut case = Case::new(&format!("trap 'echo asked' TERM; {DAEMON} while :; do sleep 0.01; done"));
    // By then it has begun to listen, and after that it has said so.
    case.program.timeout = Duration::from_secs(1);
    case.program.grace = Duration::from_secs(1);
    let started = tokio::time::Instant::now();
    let report = case.run().await;
    assert_eq!(report.end, End::TimedOut(Duration::from_secs(1)));
    assert!(report.tail.contains("asked"), "{}", report.tail);
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    case.nothing_left();
}

#[tokio::test]
async fn a_killed_guard_takes_everything_with_it_whichever_it_is() {
    for outer in [true, false] {
        let case = Case::new(&format!("{DAEMON} sleep 1000"));
        let report = case
            .interrupted("daemon", async |_| {
                let guards = guards_of(&case.mark);
                assert_eq!(guards.len(), 2);
                let which = if outer { guards.iter().min() } else { guards.iter().max() };
                kill(Pid::from_raw(*which.unwrap()), Signal::SIGKILL).unwrap();
            })
            .await;
        assert_eq!(report.end, End::Signalled(9), "outer={outer}");
        assert!(!is_alive(case.wrote("daemon").await.trim().parse().unwrap()), "outer={outer}");
    }
}

#[tokio::test]
async fn a_killed_parent_takes_everything_with_it() {
    let place = tempfile::tempdir().unwrap();
    let mark = format!("{}-parent", std::process::id());
    let mut parent = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "a_parent_to_be_killed", "--ignored", "--nocapture"])
        .env("DOWNBEAT_TEST_PLACE", place.path())
        .env("DOWNBEAT_TEST_CHILD_MARK", &mark)
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let daemon: i32 = wrote(&place.path().join("daemon")).await.trim().parse().unwrap();
    assert!(!marked(&mark).is_empty());
    parent.kill().unwrap();
    parent.wait().unwrap();
    let all_ended = async {
        while is_alive(daemon) || !marked(&mark).is_empty() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(SOON, all_ended).await.expect("all ended");
}

#[tokio::test]
#[ignore = "started by another test, as a process to be killed"]
async fn a_parent_to_be_killed() {
    let Some(place) = std::env::var_os("DOWNBEAT_TEST_PLACE") else { return };
    let mut case = Case::new(&format!("{DAEMON} sleep 1000"));
    case.program.directory = place.into();
    case.program.env = vec![(MARK.into(), std::env::var_os("DOWNBEAT_TEST_CHILD_MARK").unwrap())];
    case.run().await;
}

#[tokio::test]
async fn a_fork_storm_is_counted_and_ended() {
    let mut case = Case::new("while :; do sleep 1000 & done");
    case.program.limits.processes = Some(64);
    let started = tokio::time::Instant::now();
    let report = case.run().await;
    assert_eq!(report.end, End::TooManyProcesses(64));
    assert!(report.failure().unwrap().contains("more than 64 processes"));
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    case.nothing_left();
}

#[tokio::test]
async fn processes_that_fork_and_die_do_not_outrun_their_end() {
    // Each of them starts the next and ends: no list of processes is true for long.
    let hop = "trap '' TERM; echo . > hops; setsid sh hop & exit 0\n";
    let case = Case::new("for i in 1 2 3; do setsid sh hop & done; sleep 1000");
    std::fs::write(case.place.path().join("hop"), hop).unwrap();
    let report = case.interrupted("hops", async |cancel| cancel.cancel()).await;
    assert_eq!(report.end, End::Cancelled);
}

#[tokio::test]
async fn a_flood_of_output_is_taken_and_bounded() {
    const FLOOD: u64 = 100 * 1024 * 1024;
    let mut case = Case::new(&format!("head -c {FLOOD} /dev/zero; echo end"));
    case.program.log = Some(case.place.path().join("log"));
    case.program.max_log = 1024 * 1024;
    let report = case.run().await;
    assert_eq!(report.end, End::Exited(0));
    assert_eq!(report.written, FLOOD + 4);
    assert_eq!(report.tail, "end\n");
    let log = std::fs::read(case.place.path().join("log")).unwrap();
    assert!(log.len() < 1024 * 1024 + 100, "{}", log.len());
    assert!(log.ends_with(" bytes left out]\n".as_bytes()));
    case.nothing_left();
}

#[tokio::test]
async fn who_listens_may_end_it() {
    let case = Case::new("setsid sleep 1000 & yes");
    let mut heard = 0;
    let mut sink = |_: Stream, bytes: &[u8]| {
        heard += bytes.len();
        if heard > 1_000_000 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let report = run(&case.program, &CancellationToken::new(), &mut sink).await.unwrap();
    assert_eq!(report.end, End::Stopped);
    case.nothing_left();
}

#[tokio::test]
async fn a_file_may_not_grow_beyond_its_limit() {
    let mut case = Case::new("head -c 2000000 /dev/zero > large; echo $?; wc -c < large");
    // What the shell says of it comes before.
    case.program.merge_outputs = true;
    case.program.limits.file_size = Some(1_000_000);
    let report = case.run().await;
    assert!(report.tail.ends_with("\n1000000\n"), "{}", report.tail);
    assert!(!report.tail.starts_with("0\n"), "{}", report.tail);
}

#[tokio::test]
async fn input_is_given_from_bytes_and_files_and_is_empty_otherwise() {
    let text = "0123456789".repeat(500_000);
    for with_guard in [true, false] {
        let mut case = Case::new("wc -c");
        if !with_guard {
            case.program.guard = None;
        }
        case.program.input = Input::Bytes(text.clone().into_bytes());
        assert_eq!(case.run().await.tail.trim(), "5000000");
        let file = case.place.path().join("text");
        std::fs::write(&file, "abc").unwrap();
        case.program.input = Input::File(file);
        assert_eq!(case.run().await.tail.trim(), "3");
        case.program.input = Input::Nothing;
        assert_eq!(case.run().await.tail.trim(), "0");
        // What does not read its input is no failure.
        case.program.input = Input::Bytes(text.clone().into_bytes());
        case.program.args = vec!["-c".into(), "exit 3".into()];
        assert_eq!(case.run().await.end, End::Exited(3));
    }
}

#[tokio::test]
async fn outputs_come_apart_and_the_environment_is_what_was_given() {
    let mut case = Case::new("env; echo wrong >&2");
    case.program.env.push(("SEEN".into(), "yes".into()));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut sink = |stream: Stream, bytes: &[u8]| {
        match stream {
            Stream::Out => out.extend_from_slice(bytes),
            Stream::Err => err.extend_from_slice(bytes),
        }
        ControlFlow::Continue(())
    };
    run(&case.program, &CancellationToken::new(), &mut sink).await.unwrap();
    assert_eq!(err, b"wrong\n");
    let out = String::from_utf8(out).unwrap();
    assert!(out.contains("SEEN=yes\n"), "{out}");
    for line in out.lines() {
        let name = line.split('=').next().unwrap();
        let known = downbeat_process::STANDARD_ENV.contains(&name);
        assert!(known || [MARK, "SEEN", "PWD", "OLDPWD", "SHLVL", "_"].contains(&name), "{line}");
    }
}

#[tokio::test]
async fn what_cannot_be_started_says_why() {
    let cancel = CancellationToken::new();
    let mut deaf = |_: Stream, _: &[u8]| ControlFlow::Continue(());
    let mut case = Case::new("true");
    case.program.program = "no-such-program-here".into();
    let error = run(&case.program, &cancel, &mut deaf).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
    case.program.directory = "/no/such/directory".into();
    let error = run(&case.program, &cancel, &mut deaf).await.unwrap_err();
    assert!(error.to_string().contains("/no/such/directory"), "{error}");
    let mut case = Case::new("true");
    case.program.guard = Some("/no/such/guard".into());
    let error = run(&case.program, &cancel, &mut deaf).await.unwrap_err();
    assert!(error.to_string().contains("guard /no/such/guard"), "{error}");
    let mut case = Case::new("kill -SEGV $$");
    case.program.args = vec!["-c".into(), "kill -SEGV $$".into()];
    assert_eq!(case.run().await.end, End::Signalled(11));
}

#[tokio::test]
async fn a_confined_program_keeps_to_its_directories() {
    let outside = tempfile::tempdir().unwrap();
    let secret = outside.path().join("secret");
    std::fs::write(&secret, "hidden\n").unwrap();
    let mut case = Case::new(&format!(
        "echo in > inside; cat inside /dev/null; cat {secret}; echo x > {outside}/new; echo x >> {secret}; \
         ln -s {secret} link; cat link; cat /root/.profile /home/*/.profile; ls {outside}; \
         echo end",
        secret = secret.display(),
        outside = outside.path().display(),
    ));
    case.program.confine = Some(Confine::to([case.place.path().to_owned()]));
    // What is refused is said after that.
    case.program.merge_outputs = true;
    let report = case.run().await;
    let (enforcement, detail) = confine::probe();
    assert_eq!(report.confined, Some(enforcement), "{detail}");
    if enforcement == Enforcement::None {
        eprintln!("this kernel cannot confine programs: {detail}");
        return;
    }
    assert!(report.tail.starts_with("in\n"), "{}", report.tail);
    assert!(!report.tail.contains("hidden"), "{}", report.tail);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "hidden\n");
    assert!(!outside.path().join("new").exists());
    case.nothing_left();
}

#[tokio::test]
async fn a_confined_program_cannot_end_the_outer_guard() {
    if confine::probe().0 != Enforcement::Full {
        return;
    }
    let mut case = Case::new(&format!(
        "{DAEMON} while ! [ -s daemon ]; do :; done; \
         outer=$(sed 's/.*) . //; s/ .*//' /proc/$PPID/stat); kill -9 $outer; echo $? > killed; \
         kill -9 $PPID; sleep 1000"
    ));
    case.program.confine = Some(Confine::to([case.place.path().to_owned()]));
    assert_eq!(case.run().await.end, End::Signalled(9));
    case.nothing_left();
    assert_ne!(case.wrote("killed").await, "0\n");
    assert!(!is_alive(case.wrote("daemon").await.trim().parse().unwrap()));
}

#[tokio::test]
async fn a_confined_program_opens_no_connection_unless_it_may() {
    if confine::probe().0 == Enforcement::None {
        return;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for network in [true, false] {
        let mut case = Case::new("");
        case.program.program = "bash".into();
        case.program.args = vec!["-c".into(), format!("echo hello > /dev/tcp/127.0.0.1/{port}").into()];
        let mut confine = Confine::to([case.place.path().to_owned()]);
        confine.network = network;
        case.program.confine = Some(confine);
        let report = case.run().await;
        assert_eq!(report.end == End::Exited(0), network, "{}", report.tail);
    }
}

#[tokio::test]
async fn a_program_without_a_guard_cannot_be_confined() {
    let mut case = Case::new("true");
    case.program.guard = None;
    case.program.confine = Some(Confine::to([]));
    let mut deaf = |_: Stream, _: &[u8]| ControlFlow::Continue(());
    let error = run(&case.program, &CancellationToken::new(), &mut deaf).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}
