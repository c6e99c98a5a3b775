//! What `redis-cli` shows a person, beside a run and after it, is what docs/keys.md says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code: a fault ends the test")]

use std::collections::BTreeSet;

use downbeat_tests::redis::Redis;
use downbeat_tests::{Fifo, Project, Running, repository, task};
use serde_json::Value;

/// A row of the table of keys.
#[derive(Debug)]
struct Documented {
    /// The key's parts between its placeholders.
    parts: Vec<String>,
    /// As `TYPE` calls it.
    kind: &'static str,
    /// Whether it ends by itself.
    expires: bool,
    /// The fields of a hash, if they are named.
    fields: BTreeSet<String>,
}

impl Documented {
    fn matches(&self, key: &str) -> bool {
        let Some((first, rest)) = self.parts.split_first() else { return false };
        let Some(mut left) = key.strip_prefix(first.as_str()) else { return false };
        for (index, part) in rest.iter().enumerate() {
            let last = index + 1 == rest.len();
            let end = match (part.as_str(), last) {
                ("", true) => left.len(),
                (part, true) => match left.strip_suffix(part) {
                    Some(filled) => filled.len(),
                    None => return false,
                },
                (part, false) => match left.find(part) {
                    Some(at) => at,
                    None => return false,
                },
            };
            // What fills a place is a name, and names have no colon; what records are kept by may have.
            if first != "record:" && left[..end].contains(':') {
                return false;
            }
            left = &left[end + part.len()..];
        }
        left.is_empty()
    }
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// The rows of docs/keys.md that are about Redis.
fn documented() -> Vec<Documented> {
    let page = std::fs::read_to_string(repository().join("docs/keys.md")).unwrap();
    let (_, of_redis) = page.split_once("## Keys in Redis").unwrap();
    let mut rows = Vec::new();
    for row in of_redis.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        let [keys, kinds, what, ..] = cells.as_slice() else { panic!("{row}") };
        let keys = quoted(keys);
        let kinds: Vec<&str> = kinds.split(", ").collect();
        for (index, key) in keys.iter().enumerate() {
            let said = kinds.get(index).or(kinds.last()).unwrap();
            let kind = [
                ("hash", "hash"),
                ("sorted set", "zset"),
                ("set", "set"),
                ("list", "list"),
                ("stream", "stream"),
                ("text", "string"),
                ("number", "string"),
            ];
            let kind =
                kind.iter().find(|(word, _)| said.starts_with(word)).unwrap_or_else(|| panic!("{row}"));
            // `hash id → JSON` has a field for each task.
            let named = kind.1 == "hash" && !said.contains('→');
            let fields: BTreeSet<String> =
                if named { quoted(what).into_iter().map(str::to_owned).collect() } else { BTreeSet::new() };
            let parts = key.split('<').enumerate().map(|(index, part)| match index {
                0 => part.to_owned(),
                _ => part.split_once('>').unwrap().1.to_owned(),
            });
            rows.push(Documented {
                parts: parts.collect(),
                kind: kind.1,
                expires: said.contains("ttl"),
                fields,
            });
        }
    }
    assert!(rows.len() > 20, "{rows:?}");
    rows
}

/// Every key on the server matches a row in its type, its ttl and its fields. Gives the rows that were seen.
#[track_caller]
fn compare(redis: &Redis, rows: &[Documented]) -> BTreeSet<usize> {
    let mut seen = BTreeSet::new();
    for key in redis.cli(&["KEYS", "*"]) {
        let kind = redis.cli(&["TYPE", &key]).concat();
        if kind == "none" {
            // It ended meanwhile.
            continue;
        }
        // The longest pattern is the most special one.
        let row = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| row.matches(&key))
            .max_by_key(|(_, row)| row.parts.concat().len());
        let Some((index, row)) = row else { panic!("`{key}` is in no row of docs/keys.md") };
        assert_eq!(kind, row.kind, "{key}: {row:?}");
        let ttl: i64 = redis.cli(&["PTTL", &key]).concat().parse().unwrap();
        assert!(ttl == -2 || (ttl >= 0) == row.expires, "{key}: {ttl} {row:?}");
        if kind == "hash" && !row.fields.is_empty() {
            for field in redis.cli(&["HKEYS", &key]) {
                assert!(row.fields.contains(&field), "`{key}` has a field `{field}` that is in no row");
            }
        }
        seen.insert(index);
    }
    seen
}

#[test]
fn a_live_server_is_as_the_page_of_keys_says() {
    let redis = Redis::start();
    // A retry, a wait, capabilities, a checked artifact, and a task that goes on while somebody looks.
    let tasks = task("First {#task-001 priority=3}", "[ $DOWNBEAT_ATTEMPT -gt 1 ] || exit 7; echo x > first")
        + &task(
            "Second {#task-002 after=task-001} -> second",
            "echo y > second; echo here > ../pipe; read x < ../go || true",
        )
        + &task("Later {#task-003 after=task-002}", "true")
        + &task("Fails {#task-004 after=task-003}", "exit 1");
    let text = downbeat_tests::instructions(&tasks, 2).replace(
        "### agent-1\n- Goal: demo\n",
        "### research_agent\n- Goal: demo\n- Role: researcher\n- Capabilities: shell, http\n",
    );
    let project = Project::new(&text);
    nix::unistd::mkfifo(&project.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = Fifo::new(&project.path("pipe"));
    let start = |words: &[&str]| {
        let mut command = project.command(words);
        command.env("DOWNBEAT_CACHE", redis.url()).env("DOWNBEAT_MAX_ATTEMPTS", "2");
        Running::start(command)
    };
    let run = start(&["run"]);
    assert_eq!(pipe.line(), "here");
    let rows = documented();
    let mut seen = compare(&redis, &rows);

    // While it runs, exactly as one types it.
    let first = redis.hash("task:task-001");
    assert_eq!(
        (first["status"].as_str(), first["goal"].as_str(), first["attempt"].as_str()),
        ("done", "demo", "2")
    );
    assert_eq!(first["priority"], "3");
    let second = redis.hash("task:task-002");
    assert_eq!(second["status"], "running");
    let (owner, token) = (second["owner"].as_str(), second["token"].as_str());
    assert!(second["lease_expires"].parse::<u64>().is_ok() && second.contains_key("max_attempts"));
    assert_eq!(redis.cli(&["GET", "task:task-002:lock"]), [format!("{owner}:{token}")]);
    assert_eq!(redis.cli(&["KEYS", "task:*:lock"]), ["task:task-002:lock"]);
    assert_eq!(redis.hash("task:task-003")["status"], "blocked");
    let error = redis.cli(&["LRANGE", "task:task-001:errors", "0", "-1"]).concat();
    let error: Value = serde_json::from_str(&error).unwrap();
    assert!(error.to_string().contains("exited with code 7"), "{error}");
    let nodes = redis.hash("dag:demo:nodes");
    assert_eq!(nodes.len(), 4);
    let node: Value = serde_json::from_str(&nodes["task-002"]).unwrap();
    assert_eq!((&node["title"], &node["expected_artifacts"][0]), (&"Second".into(), &"second".into()));
    let dependencies = redis.hash("dag:demo:deps");
    assert_eq!(
        serde_json::from_str::<Value>(&dependencies["task-002"]).unwrap(),
        serde_json::json!(["task-001"])
    );
    let goal = redis.hash("goal:demo");
    assert_eq!((goal["status"].as_str(), goal["active"].as_str()), ("active", "1"));
    let agent = redis.hash("agent:research_agent:registered");
    assert_eq!((agent["pid"].as_str(), agent["goal"].as_str()), (run.id().to_string().as_str(), "demo"));
    assert_eq!(agent["role"], "researcher");
    assert_eq!(
        serde_json::from_str::<Value>(&agent["capabilities"]).unwrap(),
        serde_json::json!(["http", "shell"])
    );
    assert!(
        !agent["host"].is_empty() && !agent["phase"].is_empty() && agent["started"].parse::<u64>().is_ok()
    );
    assert!(redis.cli(&["GET", "agent:research_agent:heartbeat"]).concat().parse::<u64>().is_ok());

    for agent in ["agent-2", "research_agent"] {
        start(&["pause", agent]).wait().code(0);
    }
    drop(std::fs::OpenOptions::new().write(true).open(project.path("go")).unwrap());
    // Nobody takes the next task, and the run ends with that as its reason.
    run.wait().code(1);
    assert_eq!(redis.hash("task:task-003")["status"], "ready");
    seen.extend(compare(&redis, &rows));
    for agent in ["agent-2", "research_agent"] {
        start(&["resume", agent]).wait().code(0);
    }
    start(&["run"]).wait().code(1);
    seen.extend(compare(&redis, &rows));

    // Afterwards.
    let second = redis.hash("task:task-002");
    assert_eq!(second["status"], "done");
    let artifacts: Value = serde_json::from_str(&second["artifacts"]).unwrap();
    assert_eq!(artifacts[0]["path"], "second");
    assert!(!second.contains_key("lease_expires") || second["lease_expires"].is_empty(), "{second:?}");
    assert_eq!(redis.hash("task:task-004")["status"], "failed");
    assert!(redis.cli(&["KEYS", "task:*:lock"]).is_empty(), "a lock outlives its task");
    assert!(redis.cli(&["KEYS", "agent:*:heartbeat"]).is_empty(), "an agent that left lives on");
    assert_eq!(redis.hash("agent:research_agent:registered")["phase"], "stopped");
    assert_eq!(redis.hash("goal:demo")["status"], "failed");

    start(&["goal", "remove", "demo", "--without-archive"]).wait().code(0);
    seen.extend(compare(&redis, &rows));
    assert!(redis.cli(&["KEYS", "task:*"]).is_empty() && redis.cli(&["KEYS", "dag:*"]).is_empty());

    // The page is not longer than what there is, but for what is there for a moment only.
    let unseen: Vec<String> = rows
        .iter()
        .enumerate()
        .filter(|(index, _)| !seen.contains(index))
        .map(|(_, row)| row.parts.join("…"))
        .collect();
    let rare = ["index:waited", "index:waits", "agent:…:memory", "index:removing", "removing:…"];
    let unseen: Vec<&String> = unseen.iter().filter(|key| !rare.contains(&key.as_str())).collect();
    assert!(unseen.is_empty(), "docs/keys.md speaks of what is not there: {unseen:?}");
}
