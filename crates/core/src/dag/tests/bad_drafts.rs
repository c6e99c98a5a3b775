//! Drafts that are refused, each with all that is said of it.

use super::*;

const A: &str = r#"{"id": "a", "title": "A"}"#;
const AB: &str = r#"{"id": "a", "title": "A"}, {"id": "b", "title": "B"}"#;

/// A draft of these tasks and edges.
fn of(nodes: &str, edges: &str) -> String {
    format!(r#"{{"goal_id": "g", "nodes": [{nodes}], "edges": [{edges}]}}"#)
}

/// A draft of one task with one more field.
fn with(field: &str) -> String {
    of(&format!(r#"{{"id": "a", "title": "A", {field}}}"#), "")
}

/// Each text and what is said of it, a line a fault.
#[rustfmt::skip]
fn table() -> Vec<(String, &'static str)> {
    let text = |length: usize| "x".repeat(length);
    let list = |length: usize, item: &str| vec![item; length].join(",");
    vec![
        // --- no JSON
        (String::new(), "line 1, column 0: the text ends where a value is expected"),
        ("{".into(), "line 1, column 1: the text ends inside an object"),
        ("{\n  \"goal_id\": \"g\",\n}".into(), "line 3, column 1: trailing comma"),
        (format!("{} x", of(A, "")), "line 1, column 69: trailing characters"),
        (r#"{"goal_id": "g", "goal_id": "h", "nodes": []}"#.into(), "line 1, column 31: duplicate key `goal_id`"),
        (with(r#""metadata": {"k": 1, "k": 2}"#), "line 1, column 81: duplicate key `k`"),
        ("# Plan\n- [ ] a".into(), "line 1, column 1: expected value"),
        // --- another shape
        ("[]".into(), "the value is not of type \"object\""),
        ("null".into(), "null is not of type \"object\""),
        ("{}".into(), "the key `goal_id` is missing\nthe key `nodes` is missing"),
        (r#"{"goal_id": "g", "nodes": {}}"#.into(), "/nodes: the value is not of type \"array\""),
        (r#"{"goal_id": "g", "nodes": [], "tasks": []}"#.into(), "unexpected key `tasks`\n/nodes: a DAG needs at least one task"),
        (of(r#"["a", "A"]"#, ""), "/nodes/0: the value is not of type \"object\""),
        (of(r#"{"id": "a"}"#, ""), "/nodes/0: the key `title` is missing"),
        (of(r#"{"title": "A"}"#, r#"{"source": "a", "target": "b"}"#), "/nodes/0: the key `id` is missing"),
        (of(r#"{"id": 1, "title": "A"}"#, ""), "/nodes/0/id: 1 is not of type \"string\""),
        (of(A, r#"{"source": "a"}"#), "/edges/0: the key `target` is missing"),
        (of(A, r#"["a", "b"]"#), "/edges/0: the value is not of type \"object\""),
        (of(A, r#"{"from": "a", "to": "b"}"#), "/edges/0: the key `source` is missing\n/edges/0: the key `target` is missing\n/edges/0: unexpected key `from`, `to`"),
        (with(r#""priority": -1"#), "/nodes/0/priority: -1 is less than the minimum of 0"),
        (with(r#""priority": 1.0"#), "/nodes/0/priority: invalid type: floating point `1.0`, expected u32"),
        (with(r#""priority": "high""#), "/nodes/0/priority: \"high\" is not of type \"integer\""),
        (with(r#""timeout": "soon""#), "/nodes/0/timeout: `soon` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d"),
        (with(r#""timeout": 0"#), "/nodes/0/timeout: `0` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d"),
        (with(r#""timeout": "30s1h""#), "/nodes/0/timeout: `30s1h` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d"),
        (with(r#""capabilities": "shell""#), "/nodes/0/capabilities: \"shell\" is not of type \"array\""),
        (with(r#""capabilities": ["shell", 7]"#), "/nodes/0/capabilities/1: 7 is not of type \"string\""),
        (with(r#""metadata": []"#), "/nodes/0/metadata: the value is not of type \"object\""),
        (with(r#""colour": "red""#), "/nodes/0: unexpected key `colour`"),
        (with(r#""deps": ["b"], "expected_artifacts": ["../x"]"#), "/nodes/0: unexpected key `deps`\n/nodes/0/expected_artifacts/0: artifact `../x` cannot be expected: it leads out of the workspace"),
        // --- the right shape, and wrong
        (of("", ""), "/nodes: a DAG needs at least one task"),
        (r#"{"goal_id": "my goal", "nodes": [{"id": "a", "title": "A"}]}"#.into(), "/goal_id: `my goal` is not an id: ` ` at byte 2 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`"),
        (of(r#"{"id": "", "title": "A"}"#, ""), "/nodes/0/id: `` is not an id: an id must not be empty"),
        (of(r#"{"id": "a:b", "title": "A"}"#, ""), "/nodes/0/id: `a:b` is not an id: `:` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`"),
        (of(r#"{"id": "-a", "title": "A"}"#, ""), "/nodes/0/id: `-a` is not an id: `-` at byte 0 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`"),
        (of(&format!(r#"{{"id": "{}", "title": "A"}}"#, text(129)), ""), "/nodes/0/id: `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…` is not an id: an id has at most 128 bytes, this one has 129"),
        (of(&format!("{AB}, {A}"), ""), "/nodes/2/id: duplicate task id `a`, first at /nodes/0"),
        (of(r#"{"id": "a", "title": " "}"#, ""), "/nodes/0/title: the title must not be empty"),
        (of(&format!(r#"{{"id": "a", "title": "{}"}}"#, text(501)), ""), "/nodes/0/title: the title has 501 characters, at most 500 are allowed"),
        (with(&format!(r#""description": "{}""#, text(65_537))), "/nodes/0/description: the description has 65537 characters, at most 65536 are allowed"),
        (with(r#""priority": 1000001"#), "/nodes/0/priority: the priority is 1000001, it must be from 0 to 1000000"),
        (with(r#""max_attempts": 0"#), "/nodes/0/max_attempts: the number of attempts is 0, it must be from 1 to 1000"),
        (with(r#""max_attempts": 1001"#), "/nodes/0/max_attempts: the number of attempts is 1001, it must be from 1 to 1000"),
        (with(r#""run": """#), "/nodes/0/run: the command must not be empty"),
        (with(r#""run": "a\u0000b""#), "/nodes/0/run: the command must not contain a NUL character"),
        (with(&format!(r#""run": "{}""#, text(65_537))), "/nodes/0/run: the command has 65537 characters, at most 65536 are allowed"),
        (with(r#""checks": ["true", " "]"#), "/nodes/0/checks/1: the command must not be empty"),
        (with(&format!(r#""checks": [{}]"#, list(65, "\"true\""))), "/nodes/0/checks: the list has 65 items, at most 64 are allowed"),
        (with(r#""capabilities": ["shell", "a b"]"#), "/nodes/0/capabilities/1: `a b` is not a capability: ` ` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`"),
        (with(&format!(r#""capabilities": [{}]"#, list(33, "\"c\""))), "/nodes/0/capabilities: the list has 33 items, at most 32 are allowed"),
        (with(&format!(r#""expected_artifacts": [{}]"#, list(257, "\"f\""))), "/nodes/0/expected_artifacts: the list has 257 items, at most 256 are allowed"),
        (with(&format!(r#""expected_artifacts": ["{}"]"#, text(1_025))), "/nodes/0/expected_artifacts/0: the path has 1025 characters, at most 1024 are allowed"),
        (with(r#""expected_artifacts": ["ok", "/etc/passwd", "../up", "a\\b", "dir/", "", ".", "C:x", "a\nb"]"#), "/nodes/0/expected_artifacts/1: artifact `/etc/passwd` cannot be expected: it is absolute; write it relative to the workspace\n/nodes/0/expected_artifacts/2: artifact `../up` cannot be expected: it leads out of the workspace\n/nodes/0/expected_artifacts/3: artifact `a\\b` cannot be expected: it has a `\\`; separate the parts with `/`\n/nodes/0/expected_artifacts/4: artifact `dir/` cannot be expected: it names a directory, not a file\n/nodes/0/expected_artifacts/5: artifact `` cannot be expected: it is empty\n/nodes/0/expected_artifacts/6: artifact `.` cannot be expected: it names the workspace itself, not a file in it\n/nodes/0/expected_artifacts/7: artifact `C:x` cannot be expected: it names a drive; write it relative to the workspace\n/nodes/0/expected_artifacts/8: artifact `a\\nb` cannot be expected: it has a control character"),
        (with(&format!(r#""metadata": {{"k": "{}"}}"#, text(16_384))), "/nodes/0/metadata: the metadata of a task has at most 16384 bytes as JSON, these are more"),
        (with(&format!(r#""metadata": {{"k": [{}]}}"#, list(20_000, "1"))), "/nodes/0/metadata: the metadata of a task has at most 16384 bytes as JSON, these are more"),
        (with(&format!(r#""metadata": {{{}}}"#, (0..65).map(|n| format!("\"k{n}\": 1")).collect::<Vec<_>>().join(","))), "/nodes/0/metadata: the metadata has 65 keys, at most 64 are allowed"),
        // --- the wrong edges
        (of(A, r#"{"source": "a", "target": "a"}"#), "/edges/0: task `a` waits for itself"),
        (of(AB, r#"{"source": "a", "target": "c"}"#), "/edges/0/target: no task is called `c`"),
        (of(r#"{"id": "build-api", "title": "A"}, {"id": "t", "title": "T"}"#, r#"{"source": "build_api", "target": "t"}"#), "/edges/0/source: no task is called `build_api`; is it `build-api`?"),
        (of(A, r#"{"source": "", "target": "x"}"#), "/edges/0/source: no task is called ``\n/edges/0/target: no task is called `x`"),
        (of(AB, r#"{"source": "a", "target": "b"}, {"source": "b", "target": "a"}"#), "/edges/1: the tasks wait for each other: `a` -> `b` -> `a`"),
        (of(AB, r#"{"source": "b", "target": "a"}, {"source": "a", "target": "b"}, {"source": "b", "target": "a"}"#), "/edges/1: the tasks wait for each other: `b` -> `a` -> `b`"),
        // --- several at once
        (of(&format!(r#"{{"id": "a b", "title": ""}}, {AB}"#), r#"{"source": "a b", "target": "a"}, {"source": "a", "target": "a b"}, {"source": "b", "target": "z"}"#), "/nodes/0/id: `a b` is not an id: ` ` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`\n/nodes/0/title: the title must not be empty\n/edges/1: the tasks wait for each other: `a b` -> `a` -> `a b`\n/edges/2/target: no task is called `z`"),
        (of(&format!(r#"{{"id": "c", "title": "C", "note": 1}}, {AB}, {{"title": 3}}"#), r#"{"source": "a", "target": "zz"}, {"source": "a", "target": "b"}, {"source": "b", "target": "a"}"#), "/nodes/0: unexpected key `note`\n/nodes/3: the key `id` is missing\n/nodes/3/title: 3 is not of type \"string\"\n/edges/2: the tasks wait for each other: `a` -> `b` -> `a`"),
        (r#"{"goal_id": 7, "nodes": [3, {"id": "a", "title": "A", "priority": 2000000, "x": 1}], "edges": [{"source": "a", "target": "a"}]}"#.into(), "/goal_id: 7 is not of type \"string\"\n/nodes/0: 3 is not of type \"object\"\n/nodes/1: unexpected key `x`\n/nodes/1/priority: the priority is 2000000, it must be from 0 to 1000000\n/edges/0: task `a` waits for itself"),
    ]
}

#[test]
fn each_bad_draft_is_told_all_its_faults() {
    let mut wrong = String::new();
    for (text, expected) in table() {
        let told = parse(&text).unwrap_err().to_string();
        if told != expected {
            wrong.push_str(&format!("{}\n  told {told:?}\n", cut(&text, 160)));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
