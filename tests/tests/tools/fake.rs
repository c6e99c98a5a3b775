//! Programs in shell in the place of tools, and what is asked of them.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use downbeat_core::ids::{AgentName, GoalId};
use downbeat_core::llm::{Conduct, Execute, Llm as _, LlmError, Observer, Permissions};
use downbeat_llm::transport::{Answer, Ask, AskError, Step, Transport, Work};
use downbeat_llm::{Environment, Prompted, bare_transport_in};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const SECRET: &str = "sk-very-secret-0123456789";

/// A tool that is a shell script, and a place for it to work in.
pub(crate) struct Fake {
    pub(crate) place: TempDir,
    pub(crate) tool: &'static str,
    pub(crate) heard: Arc<Listener>,
}

#[derive(Debug, Default)]
pub(crate) struct Listener {
    pub(crate) progress: Mutex<Vec<String>>,
    pub(crate) output: Mutex<Vec<u8>>,
}

impl Observer for Listener {
    fn progress(&self, line: &str) {
        self.progress.lock().unwrap().push(line.to_owned());
    }

    fn output(&self, bytes: &[u8]) {
        self.output.lock().unwrap().extend_from_slice(bytes);
    }
}

impl Fake {
    /// `script` runs with the tool's arguments, and its question on standard input.
    pub(crate) fn new(tool: &'static str, script: &str) -> Self {
        let fake = Self { place: TempDir::new().unwrap(), tool, heard: Arc::default() };
        for directory in ["bin", "home", "workspace"] {
            fs::create_dir(fake.place.path().join(directory)).unwrap();
        }
        let program = fake.place.path().join("bin").join(tool.trim_start_matches("acp:"));
        fs::write(&program, format!("#!/bin/sh\nHERE='{}'\n{script}\n", fake.place.path().display()))
            .unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        fake
    }

    /// Prints these lines, having read its question.
    pub(crate) fn printing(tool: &'static str, lines: &[Value], code: i32) -> Self {
        let text: Vec<String> = lines.iter().map(Value::to_string).collect();
        Self::new(
            tool,
            &format!("cat > \"$HERE/question\"\ncat <<'END'\n{}\nEND\nexit {code}", text.join("\n")),
        )
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub(crate) fn transport(&self) -> Arc<dyn Transport> {
        let path = format!("{}:/usr/bin:/bin", self.file("bin").display());
        let home = self.file("home").display().to_string();
        let environment: Environment = [
            ("PATH", path.as_str()),
            ("HOME", &home),
            ("ANTHROPIC_API_KEY", SECRET),
            ("CODEX_API_KEY", SECRET),
            ("GEMINI_API_KEY", SECRET),
            ("OTHER_SECRET", "nobody's business"),
        ]
        .into_iter()
        .collect();
        let environment = environment.guarded_by(downbeat_tests::binary());
        bare_transport_in(self.tool, self.place.path(), &environment).unwrap()
    }

    pub(crate) fn question(&self, permissions: Option<Permissions>) -> Ask {
        let workspace = self.file("workspace");
        Ask {
            step: Step::Execute,
            system: "You are asked by a test.".to_owned(),
            prompt: "Do it.".to_owned(),
            exchange: Vec::new(),
            schema: Arc::new(json!({
                "type": "object",
                "properties": {"status": {"type": "string"}, "notes": {"type": "string"}},
                "required": ["status", "notes"],
            })),
            work: permissions.map(|permissions| Work { workspace, permissions, env: Vec::new() }),
            timeout: Duration::from_secs(60),
            observer: Arc::clone(&self.heard) as Arc<dyn Observer>,
        }
    }

    pub(crate) async fn ask(&self) -> Result<Answer, AskError> {
        self.transport().ask(&self.question(Some(Permissions::Edit))).await
    }

    pub(crate) async fn error(&self) -> LlmError {
        let error = self.ask().await.expect_err("it has no answer").error;
        assert!(!error.to_string().contains(SECRET), "{error}");
        error
    }
}

pub(crate) fn answer() -> Value {
    json!({"status": "done", "notes": "fine"})
}

/// A request to do a task in the fake's workspace.
pub(crate) fn task(fake: &Fake) -> Execute {
    Execute {
        unfinished: None,
        goal: GoalId::new("demo").unwrap(),
        agent: AgentName::new("ada").unwrap(),
        instructions: String::new(),
        node: serde_json::from_value(json!({"id": "a", "title": "Do it"})).unwrap(),
        attempt: 1,
        last_error: None,
        inputs: Vec::new(),
        memory: Vec::new(),
        workspace: fake.file("workspace"),
        conduct: Conduct::default(),
    }
}

/// Answers that cannot be used, each in its own way, and one that can.
pub(crate) fn at_the_third_time() -> [String; 3] {
    let right = json!({"status": "done", "outputs": [], "notes": "n", "summary": "s"});
    [
        String::new(),
        json!({"status": "well", "notes": 3}).to_string(),
        format!("Here it is:\n```json\n{right}\n```"),
    ]
}

/// The faults of both wrong answers went back, and the third was taken.
pub(crate) async fn is_repaired_twice(fake: &Fake, tokens: (u64, u64)) {
    let reply = Prompted::new(fake.transport()).execute(&task(fake)).await.unwrap();
    assert_eq!((reply.value.notes.as_str(), reply.value.summary.as_deref()), ("n", Some("s")));
    // All three answers are paid for.
    let usage = reply.usage;
    assert_eq!((usage.calls, usage.input_tokens, usage.output_tokens), (3, tokens.0, tokens.1));
    let asked = |number: u32| fs::read_to_string(fake.file(&format!("question-{number}"))).unwrap();
    assert!(!asked(1).contains("Your answer to this was"), "{}", asked(1));
    assert!(asked(2).contains("the answer is empty"), "{}", asked(2));
    assert!(asked(3).contains("/status") && asked(3).contains("/notes"), "{}", asked(3));
    assert!(!fake.file("question-4").exists());
}
