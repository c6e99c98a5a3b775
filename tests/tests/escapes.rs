//! A model that tries to get out, through the commands that it may run. What its file tools refuse is
//! tried beside them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "test code: a fault ends the test")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use downbeat_core::llm::Observer;
use downbeat_llm::transport::{Ask, Permissions, Step, Work};
use downbeat_llm::{Environment, transport_in};
use downbeat_model_stub::{Rule, Step as Do, Stub};
use rstest::rstest;
use serde_json::json;
use tempfile::TempDir;

const KEY: &str = "sk-very-s3cret";
const SECRET: &str = "the secret beside the workspace";

#[derive(Debug, Default)]
struct Heard(Mutex<String>);

impl Observer for Heard {
    fn progress(&self, line: &str) {
        writeln!(self.0.lock().unwrap(), "{line}").unwrap();
    }

    fn output(&self, bytes: &[u8]) {
        self.0.lock().unwrap().push_str(&String::from_utf8_lossy(bytes));
    }
}

/// What came of letting a model run a command.
struct Escape {
    top: TempDir,
    /// The result that the model was told.
    told: String,
    heard: String,
}

impl Escape {
    /// Has a model run `command` in `top/work`; `OUTSIDE`, `MARK` and `PORT` in it are replaced.
    async fn attempt(command: &str, permissions: Permissions) -> Self {
        // Not in the directory for temporary files: that some of it is writable must not matter.
        let top = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::create_dir(top.path().join("work")).unwrap();
        fs::create_dir(top.path().join("outside")).unwrap();
        fs::write(top.path().join("outside/secret"), SECRET).unwrap();
        std::os::unix::fs::symlink("../outside", top.path().join("work/link")).unwrap();
        let outside = top.path().join("outside");
        let stub = Stub::start(Vec::new()).unwrap();
        let port = stub.url().rsplit(':').next().unwrap().to_owned();
        let command = command
            .replace("OUTSIDE", outside.to_str().unwrap())
            .replace("MARK", top.path().join("work").to_str().unwrap())
            .replace("PORT", &port);
        let model = Stub::start(vec![Rule::json(json!({ "ok": true })).steps([Do::shell(command)])]).unwrap();
        let environment: Environment =
            [("ANTHROPIC_API_KEY", KEY), ("ANTHROPIC_BASE_URL", model.url().as_str())].into_iter().collect();
        let environment = environment.guarded_by(downbeat_tests::binary());
        let transport = transport_in("anthropic:m", top.path(), &environment).unwrap();
        let heard = Arc::new(Heard::default());
        let work = Work { workspace: top.path().join("work"), permissions, env: Vec::new() };
        let ask = Ask {
            step: Step::Execute,
            system: "Work.".to_owned(),
            prompt: "Do it.".to_owned(),
            exchange: Vec::new(),
            schema: Arc::new(json!({ "type": "object", "properties": { "ok": { "type": "boolean" } } })),
            work: Some(work),
            timeout: Duration::from_secs(50),
            observer: Arc::clone(&heard) as Arc<dyn Observer>,
        };
        let answer = transport.ask(&ask).await.expect("the model finishes, whatever its command did");
        assert_eq!(answer.usage.calls, 2);
        assert!(stub.asked().is_empty() || permissions == Permissions::Full, "it reached the network");
        let told = model.asked().last().unwrap().body.pointer("/messages/2").unwrap().to_string();
        let heard = heard.0.lock().unwrap().clone();
        Self { top, told, heard }
    }

    /// Nothing outside changed, no secret was seen, and nothing is left.
    fn is_contained(&self) {
        let outside = self.top.path().join("outside");
        assert_eq!(fs::read_to_string(outside.join("secret")).unwrap(), SECRET, "{}", self.told);
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{}", self.told);
        assert_eq!(fs::read_dir(self.top.path()).unwrap().count(), 2, "{}", self.told);
        for text in [&self.told, &self.heard] {
            assert!(!text.contains(SECRET) && !text.contains(KEY), "{text}");
        }
        assert_eq!(processes_in(&self.top.path().join("work")), Vec::<PathBuf>::new());
    }
}

/// The processes whose working directory is `directory`.
fn processes_in(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(directory)))
        .collect()
}

#[rstest]
#[case::write("echo x > OUTSIDE/new; echo x > OUTSIDE/secret; rm -f OUTSIDE/secret")]
#[case::write_through_a_link("echo x > link/secret; rm link/secret; mv link/secret .")]
#[case::write_above("echo x > ../new; mkdir ../more; touch ../../new")]
#[case::read("cat OUTSIDE/secret link/secret ../outside/secret")]
#[case::a_new_link("ln -s OUTSIDE here; cat here/secret; echo x > here/secret")]
#[case::a_hard_link("ln OUTSIDE/secret hard && cat hard && echo x > hard")]
#[case::rename_in("mv OUTSIDE/secret stolen; cat stolen")]
#[case::a_link_that_is_swapped(
    "for i in 1 2 3 4 5 6 7 8 9; do ln -sfn OUTSIDE s; cat s/secret; rm s; mkdir s; rmdir s; done"
)]
#[case::change_directory("cd OUTSIDE && cat secret; cd / && ls OUTSIDE/")]
#[case::its_environment("env; cat /proc/self/environ; cat /proc/*/environ; set")]
#[case::its_parents("cat /proc/$PPID/environ /proc/$PPID/cmdline; ls -l /proc/$PPID/fd; cat /proc/$PPID/mem")]
#[case::the_network(
    "exec 3<>/dev/tcp/127.0.0.1/PORT || bash -c 'echo GET / >/dev/tcp/127.0.0.1/PORT'; curl -s http://127.0.0.1:PORT/"
)]
#[case::a_daemon(
    "setsid sh -c 'sleep 300' & setsid -f sleep 300; nohup sleep 300 >/dev/null 2>&1 & (trap '' TERM HUP; sleep 300 &) & true"
)]
#[case::its_guard("kill -9 $PPID; sleep 300")]
// One after the other: doubling outgrows a count that is taken ten times a second, and takes the machine along.
#[case::a_fork_storm("while :; do sleep 300 & done")]
#[case::a_flood("yes flood")]
#[case::a_device("mknod disk b 8 0; dd if=/dev/sda of=x count=1; cat /dev/mem; echo x > /dev/sda")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_gets_out(#[case] command: &str) {
    let escape = Escape::attempt(command, Permissions::Edit).await;
    escape.is_contained();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_be_done_can_be_done() {
    let command = "echo in > a && mkdir d && cp a d/b && cat d/b && echo t > $TMPDIR/t && cat $TMPDIR/t && id -u >/dev/null && echo $HOME | grep -q /";
    let escape = Escape::attempt(command, Permissions::Edit).await;
    escape.is_contained();
    assert!(escape.told.contains("exited with code 0") && escape.told.contains("in\\nt"), "{}", escape.told);
    assert!(escape.heard.contains("run_command echo in > a"), "{}", escape.heard);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_cut_where_the_model_can_see_it() {
    let escape = Escape::attempt("seq 1 100000", Permissions::Edit).await;
    assert!(escape.told.contains("bytes before this were left out") && escape.told.contains("100000"));
    assert!(escape.told.len() < 40_000, "{}", escape.told.len());
}
