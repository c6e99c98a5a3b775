//! An agent that is a process of its own works by the instructions in force, wherever their file lies.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "test code")]

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use downbeat_core::cache::{Cache, Read, Topic, events_stream};
use downbeat_core::event::Event;
use downbeat_core::ids::AgentName;
use downbeat_core::llm::Llm;
use downbeat_core::memory::MemoryCache;
use downbeat_llm::transport::{Answer, Ask, AskError, Probe, Transport};
use downbeat_llm::{Offline, Prompted};
use downbeat_runtime::clock::SystemClock;
use downbeat_runtime::load::Project;
use downbeat_runtime::orchestrator::Models;
use downbeat_runtime::solo::{Declaration, Declare, InForce, Left};
use downbeat_runtime::{Orchestrator, Settings, Solo, Stop, load};
use serde_json::json;
use tokio::sync::{Semaphore, watch};

/// What models are asked, and by which they are called.
#[derive(Debug)]
struct Desk {
    asked: Mutex<Vec<(String, String)>>,
    begun: Semaphore,
    may: Semaphore,
}

/// A model that keeps what it is asked, and answers when it may.
#[derive(Debug)]
struct Model {
    name: String,
    desk: Arc<Desk>,
}

#[async_trait]
impl Transport for Model {
    fn name(&self) -> String {
        self.name.clone()
    }

    async fn probe(&self) -> Probe {
        Probe { usable: true, found: String::new(), remedies: Vec::new() }
    }

    async fn ask(&self, ask: &Ask) -> Result<Answer, AskError> {
        let said = format!("{}\n{}", ask.system, ask.prompt);
        self.desk.asked.lock().unwrap().push((self.name.clone(), said));
        self.desk.begun.add_permits(1);
        self.desk.may.acquire().await.unwrap().forget();
        let text = json!({"status": "done", "outputs": [], "notes": "It is done.", "summary": "Done."});
        Ok(Answer { text: text.to_string(), model: self.name.clone(), ..Answer::default() })
    }
}

fn write(place: &Path, clerk: &str, own: &str) {
    let goal = "## Goals\n\n### g: A goal\n\n- [ ] One {#one}\n- [ ] Two {#two after=one}\n";
    std::fs::write(place.join("clerk.md"), own).unwrap();
    std::fs::write(place.join("next.md"), format!("## Agents\n\n### clerk\n{clerk}\n{goal}")).unwrap();
    std::fs::rename(place.join("next.md"), place.join("INSTRUCTIONS.md")).unwrap();
}

/// The agent `clerk` of a project, with the model that it names.
fn declared(project: Project, desk: &Arc<Desk>) -> Option<Declaration> {
    let agent = project.agents.iter().find(|agent| agent.spec.name.value.as_str() == "clerk")?.clone();
    let name = agent.spec.llm.clone().unwrap_or_else(|| "usual".to_owned());
    let llm: Arc<dyn Llm> = Arc::new(Prompted::new(Arc::new(Model { name, desk: Arc::clone(desk) })));
    Some(Declaration { project, agent, llm, in_force: true })
}

async fn until(cache: &Arc<dyn Cache>, wanted: impl Fn(&Event) -> bool) {
    let found = tokio::time::timeout(Duration::from_secs(30), look_for(cache, wanted));
    found.await.expect("it is not told");
}

async fn look_for(cache: &Arc<dyn Cache>, wanted: impl Fn(&Event) -> bool) {
    let mut seen = 0;
    loop {
        let page = cache.read(&Read { stream: events_stream(), after: seen, limit: 1_000 }).await.unwrap();
        if page.iter().any(&wanted) {
            return;
        }
        seen = page.last().map_or(seen, |event| event.seq);
        cache.changed(&Topic::Stream(events_stream()), seen, Duration::from_secs(5)).await.unwrap();
    }
}

/// One agent beside an orchestrator that follows its files, at work on its first task.
struct Scene {
    there: tempfile::TempDir,
    _here: tempfile::TempDir,
    cache: Arc<dyn Cache>,
    desk: Arc<Desk>,
    agent: tokio::task::JoinHandle<Left>,
    stop: Stop,
    heard: watch::Receiver<String>,
}

/// The role of an agent that nobody declares.
const NOBODY: &str = "nobody";

impl Scene {
    async fn new() -> Self {
        let (there, here) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(there.path(), "- Role: a typist\n- Instructions: clerk.md\n", "Type with two fingers.");
        let cache: Arc<dyn Cache> = Arc::new(MemoryCache::new(Arc::new(SystemClock)));
        let project = load::load(&there.path().join("INSTRUCTIONS.md")).unwrap();
        let desk = Desk { asked: Mutex::default(), begun: Semaphore::new(0), may: Semaphore::new(0) };
        let desk = Arc::new(desk);
        let planner = Model { name: "planner".to_owned(), desk: Arc::clone(&desk) };
        let default: Arc<dyn Llm> = Arc::new(Prompted::new(Arc::new(planner)));
        let models = Models { default, by_agent: HashMap::new(), scribe: Arc::new(Offline) };
        let clock = Arc::new(SystemClock);
        let settings = Settings { keep_running: true, ..Settings::default() };
        let orchestrator =
            Orchestrator::new(Arc::clone(&cache), models, clock, settings.clone(), project).without_agents();
        let stop = Stop::new();
        let orchestrated = stop.clone();
        tokio::spawn(async move { orchestrator.run(&orchestrated).await.unwrap() });
        until(&cache, |event| event.what.kind.as_str() == "instructions.changed").await;

        let made = Arc::clone(&desk);
        // There is no such file here, nor a directory.
        let path = here.path().join("nowhere/INSTRUCTIONS.md");
        let (hears, heard) = watch::channel(String::new());
        let make = move |project| {
            let declaration = declared(project, &made);
            let role = declaration.as_ref().map(|found| found.agent.spec.role.clone().unwrap_or_default());
            hears.send_replace(role.unwrap_or_else(|| NOBODY.to_owned()));
            Ok(declaration)
        };
        let declare = Declare { path, make: Arc::new(make) };
        let InForce::Declared(declaration) = declare.in_force(cache.as_ref()).await.unwrap() else {
            panic!("it is not declared");
        };
        let solo = Solo {
            name: AgentName::new("clerk").unwrap(),
            declaration: *declaration,
            declare: Some(declare),
            goal: None,
            heartbeat: None,
            cache: Arc::clone(&cache),
            scribe: Arc::new(Offline),
            clock: Arc::new(SystemClock),
            settings: Settings { keep_running: false, ..settings },
            generation: 1,
        };
        let agent = tokio::spawn(async move { solo.run(&Stop::new()).await.unwrap() });
        desk.begun.acquire().await.unwrap().forget();
        Self { there, _here: here, cache, desk, agent, stop, heard }
    }

    fn go(&self) {
        self.desk.may.add_permits(1);
    }

    async fn until_version(&self, number: u64) {
        let is = |event: &Event| {
            event.what.kind.as_str() == "instructions.changed"
                && event.what.data.get("version").and_then(serde_json::Value::as_u64) == Some(number)
        };
        until(&self.cache, is).await;
    }

    /// Waits until the agent has heard what it is declared as. On the one thread of these tests it takes no more
    /// work in the same breath.
    async fn until_heard(&mut self, role: &str) {
        let heard = self.heard.wait_for(|heard| heard == role);
        tokio::time::timeout(Duration::from_secs(30), heard).await.expect("it hears nothing").unwrap();
    }

    /// Waits for its end, which nobody has to remind it of.
    async fn end(self) -> (Left, Vec<(String, String)>) {
        let left = tokio::time::timeout(Duration::from_secs(30), self.agent).await.unwrap().unwrap();
        self.stop.now();
        let asked = self.desk.asked.lock().unwrap().clone();
        (left, asked)
    }
}

#[tokio::test]
async fn an_agent_works_on_as_what_it_is_declared_from_its_next_attempt_on() {
    let mut scene = Scene::new().await;
    let next =
        "- Role: an editor\n- Instructions: clerk.md\n- Llm: other\n- Max-parallel: 2\n- Timeout: 7m\n";
    write(scene.there.path(), next, "Type with ten fingers.");
    scene.until_heard("an editor").await;
    scene.go();
    scene.desk.begun.acquire().await.unwrap().forget();
    let name = AgentName::new("clerk").unwrap();
    let now = scene.cache.agent(&name).await.unwrap().unwrap().registration;
    assert_eq!((now.role.as_deref(), now.max_parallel, now.generation), (Some("an editor"), 2, 2));
    scene.go();

    let (left, asked) = scene.end().await;
    assert_eq!(left, Left::Rest { complete: true });
    let [(first, one), (second, two)] = asked.as_slice() else { panic!("{}", asked.len()) };
    assert_eq!((first.as_str(), second.as_str()), ("usual", "other"), "what was begun is finished as it was");
    assert!(one.contains("two fingers") && !two.contains("two fingers") && two.contains("ten fingers"));
}

#[tokio::test]
async fn an_agent_that_is_not_declared_any_more_finishes_and_ends() {
    let mut scene = Scene::new().await;
    let file = scene.there.path().join("INSTRUCTIONS.md");
    let text = std::fs::read_to_string(&file).unwrap().replace("### clerk", "### somebody");
    std::fs::write(file, text).unwrap();
    scene.until_heard(NOBODY).await;
    scene.go();
    let cache = Arc::clone(&scene.cache);
    let (left, asked) = scene.end().await;
    assert_eq!((left, asked.len()), (Left::Undeclared, 1));
    until(&cache, |event| event.what.kind.as_str() == "task.done").await;
}

#[tokio::test]
async fn a_version_that_says_the_same_of_an_agent_changes_nothing_for_it() {
    let scene = Scene::new().await;
    let file = scene.there.path().join("INSTRUCTIONS.md");
    let text = std::fs::read_to_string(&file).unwrap().replace("## Goals", "### another\n\n## Goals");
    std::fs::write(file, text).unwrap();
    scene.until_version(2).await;
    scene.go();
    scene.go();
    let cache = Arc::clone(&scene.cache);
    let (left, asked) = scene.end().await;
    assert_eq!((left, asked.len()), (Left::Rest { complete: true }, 2));
    let agent = cache.agent(&AgentName::new("clerk").unwrap()).await.unwrap().unwrap();
    assert_eq!(agent.registration.generation, 1);
}
