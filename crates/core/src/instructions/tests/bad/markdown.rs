//! Faults of the Markdown form: agents, goals, tasks.

use super::check;

/// A task below a goal, on the fifth line of a file that is sound otherwise.
fn tasks(cases: &[(&str, &[&str])]) {
    for (text, expected) in cases {
        let text = format!("## Agents\n### a\n## Goals\n### g\n{text}");
        check(&[(&text, expected)]);
    }
}

#[test]
fn faults_of_agents() {
    check(&[
        (
            "## Agents\n### a\n- Heartbeet: h.md\n- Gaol: x\n",
            &[
                "3:3: error: unknown key `Heartbeet` (help: did you mean `Heartbeat`?)",
                "4:3: error: unknown key `Gaol` (help: did you mean `Goal`?)",
            ],
        ),
        (
            "## Agents\n### a\n- Colour: red\n",
            &[
                "3:3: error: unknown key `Colour` (help: the keys are `Goal`, `Heartbeat`, `Log Level`, `Instructions`, `Role`, `Capabilities`, `Cadence`, `Depends On`, `Max Parallel`, `Llm`, `Groups`, `Restart`, `Max Restarts`, `Restart Window`, `Timeout`, `Min` and `Max`)",
            ],
        ),
        (
            "## Agents\n### a\n- Goal: g\n- **goal:** g\n- Goal Id: g\n",
            &[
                "4:5: error: `goal` is given twice (help: the first is on line 3)",
                "5:3: error: `Goal Id` is given twice (help: the first is on line 3)",
            ],
        ),
        (
            "## Agents\n### a\n- Goal:\n- Role:\n",
            &[
                "3:3: error: `Goal` has no value (help: write the value, or remove the line)",
                "4:3: error: `Role` has no value (help: write the value, or remove the line)",
            ],
        ),
        (
            "## Agents\n### a\n- Goal: g\n- be kind\n",
            &[
                "4:3: error: this is not a key with a value (help: write `- Key: value`; prose goes into a paragraph of its own)",
            ],
        ),
        (
            "## Agents\n### a\n- Goal: my goal\n",
            &[
                "3:9: error: `my goal` cannot name a goal: ` ` at byte 2 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `my-goal`)",
            ],
        ),
        (
            "## Agents\n### a\n- Log Level: verbose\n",
            &[
                "3:14: error: `verbose` is not a log level (help: write trace, debug, info, warn, error or off)",
            ],
        ),
        (
            "## Agents\n### a\n- Log Level: wran\n",
            &["3:14: error: `wran` is not a log level (help: did you mean `warn`?)"],
        ),
        (
            "## Agents\n### a\n- Cadence: 5 minutes\n- Max Parallel: 0\n",
            &[
                "3:12: error: `5 minutes` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d",
                "4:17: error: `0` is not a value of `Max Parallel`: write a whole number from 1 to 1000",
            ],
        ),
        (
            "## Agents\n### a\n- Max Parallel: many\n- Cadence: -1\n",
            &[
                "3:17: error: `many` is not a value of `Max Parallel`: write a whole number from 1 to 1000",
                "4:12: error: `-1` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d",
            ],
        ),
        (
            "## Agents\n### a\n- Capabilities: shell, re search, ,x\n",
            &[
                "3:24: error: `re search` cannot name a capability: ` ` at byte 2 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `re-search`)",
                "3:34: error: an entry of `Capabilities` is empty",
            ],
        ),
        (
            "## Agents\n### a\n- Depends On: b\n",
            &["3:15: error: no agent is called `b` (help: write the name of another agent of this file)"],
        ),
        ("## Agents\n### a\n- Depends On: a\n", &["3:15: error: agent `a` depends on itself"]),
        (
            "## Agents\n### writer\n### reader\n- Depends On: `writr`, writer, writer\n",
            &[
                "4:16: error: no agent is called `writr` (help: did you mean `writer`?)",
                "4:32: warning: `writer` stands twice in `Depends On`",
            ],
        ),
        (
            "## Agents\n### a\n- Depends On: c\n### b\n- Depends On: a\n### c\n- Depends On: a, b\n",
            &[
                "3:15: error: agents depend on each other: a -> c -> a (help: each depends on the next; remove one of them from `Depends On`)",
            ],
        ),
        (
            "## Agents\n### a\n### b\n- Depends On: a (redy), `a` (later), c (started)\n",
            &[
                "4:15: error: `redy` is not something to wait for (help: did you mean `ready`?)",
                "4:25: error: `later` is not something to wait for (help: write `name (started)`, `name (ready)` or `name (finished)`)",
                "4:38: error: no agent is called `c` (help: write the name of another agent of this file)",
            ],
        ),
        (
            "## Agents\n### a\n- Restart: sometimes\n- Max Restarts: -1\n- Restart Window: soon\n- Groups: a b\n- Timeout: 0s\n",
            &[
                "3:12: error: `sometimes` is not a restart policy (help: write never, on-failure or always)",
                "4:17: error: `-1` is not a value of `Max Restarts`: write a whole number from 0 to 1000000",
                "5:19: error: `soon` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d",
                "6:11: error: `a b` cannot name a group: ` ` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `a-b`)",
                "7:12: error: `0s` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d",
            ],
        ),
        (
            "## Agents\n### a\n- Groups: night (2), day (0), dusk (some)\n### b\n- Groups: night (3)\n",
            &[
                "3:22: error: `0` is no limit of a group (help: write how many of it may live at once, such as `writers (2)`: from 1 to 1000000)",
                "3:31: error: `some` is no limit of a group (help: write how many of it may live at once, such as `writers (2)`: from 1 to 1000000)",
                "5:11: error: group `night` has two limits, 2 and 3: write one, at any of its agents (help: the first is on line 3)",
            ],
        ),
        (
            "## Agents\n### a\n- Min: 3\n- Max: 2\n### b\n- Max: 0\n### c\n- Max: 2\n### c-2\n",
            &[
                "4:8: error: `Max` is 2 and `Min` is 3",
                "6:8: error: `0` is not a value of `Max`: write a whole number from 1 to 1000",
                "8:8: error: a copy of `c` and another agent are both called `c-2`",
            ],
        ),
        (
            "## Agents\n### a\n### b\n### a\n",
            &["4:5: error: agent `a` is declared twice (help: the first is on line 2)"],
        ),
        (
            "## Agents\n### my agent\n- Role: x\n### -b\n",
            &[
                "2:5: error: `my agent` cannot name an agent: ` ` at byte 2 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `my-agent`)",
                "4:5: error: `-b` cannot name an agent: `-` at byte 0 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `b`)",
            ],
        ),
        ("## Agents\n###\n- Role: x\n", &["2:4: error: the name of the agent is missing"]),
        (
            "## Agents\r\n### a\r\n- Gaol: x\r\n",
            &["3:3: error: unknown key `Gaol` (help: did you mean `Goal`?)"],
        ),
        (
            "## Agents\n### a\n- Depends On:\n  - b\n  - c d\n",
            &[
                "4:5: error: no agent is called `b` (help: write the name of another agent of this file)",
                "5:5: error: `c d` cannot name an agent: ` ` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `c-d`)",
            ],
        ),
    ]);
}

#[test]
fn faults_of_goals() {
    check(&[
        (
            "## Agents\n### a\n- Goal: demmo\n## Goals\n### demo\n",
            &["3:9: error: no goal is called `demmo` (help: did you mean `demo`?)"],
        ),
        (
            "## Agents\n### a\n- Goal: other\n## Goals\n### demo\n",
            &[
                "3:9: error: no goal is called `other` (help: declare it among the goals, or name one that is there)",
                "5:5: error: goal `demo` has no agent (help: give an agent `Goal: demo`, or declare an agent without a goal, which works for any)",
            ],
        ),
        (
            "## Agents\n### a\n- Goal: x\n## Goals\n### x\n### y: Why\n",
            &[
                "6:5: error: goal `y` has no agent (help: give an agent `Goal: y`, or declare an agent without a goal, which works for any)",
            ],
        ),
        (
            "## Agents\n### a\n## Goals\n### g\n### g\n",
            &["5:5: error: goal `g` is declared twice (help: the first is on line 4)"],
        ),
        (
            "## Agents\n### a\n## Goals\n### Write the report\n",
            &[
                "4:5: error: `Write the report` cannot name a goal: ` ` at byte 5 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `write-the-report`)",
            ],
        ),
        ("## Agents\n### a\n## Goals\n### : Title\n", &["4:5: error: the name of the goal is missing"]),
        (
            "## Agents\n### a\n## Goals\n### g\n- Plann: p.json\n- Plan:\n",
            &[
                "5:3: error: unknown key `Plann` (help: did you mean `Plan`?)",
                "6:3: error: `Plan` has no value (help: write the value, or remove the line)",
            ],
        ),
        (
            "## Agents\n### a\n## Goals\n### g\n- Plan: p.json\n\n- [ ] One\n",
            &["5:9: error: goal `g` has both a plan file and a checklist (help: remove one of them)"],
        ),
        (
            "## Agents\n### a\n## Goals\n- [ ] One\n",
            &[
                "4:1: error: these tasks belong to no goal (help: write a heading `### goal-id: Title` above them)",
            ],
        ),
        (
            "## Agents\n### a\n## Goals\n### g\n- Workspace: w\n- Max: 3\n\n- [ ] One\n- Six\n",
            &[
                "6:3: error: unknown key `Max` (help: the keys are `Plan` and `Workspace`)",
                "9:3: error: an item of a checklist has no checkbox (help: write `- [ ] Title`, indent it below its task, or set it apart with a line of text)",
            ],
        ),
    ]);
}

#[test]
fn faults_of_tasks() {
    tasks(&[
        (
            "- [ ] One {#x\n",
            &[
                "5:11: error: the `{` is not closed (help: close it with `}`, or write `\\{` for a brace in the title)",
            ],
        ),
        (
            "- [ ] One {#x prio=3 colour=red}\n",
            &[
                "5:15: error: unknown attribute `prio` (help: did you mean `priority`?)",
                "5:22: error: unknown attribute `colour` (help: the attributes are `priority`, `capabilities`, `after`, `attempts`, `timeout`, `kind`, `goal` and `plan`)",
            ],
        ),
        (
            "- [ ] One {x}\n",
            &["5:12: error: `x` is not an attribute (help: write `#x` for the task's id, or `key=value`)"],
        ),
        (
            "- [ ] One {#x} {#y}\n",
            &["5:16: error: a task has one pair of braces (help: put all attributes into the first pair)"],
        ),
        ("- [ ] One {#x #y}\n", &["5:15: error: a task has one id (help: the first is on line 5)"]),
        (
            "- [ ] One {#a:b}\n",
            &[
                "5:13: error: `a:b` cannot name a task: `:` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `a-b`)",
            ],
        ),
        ("- [ ] One {#}\n", &["5:13: error: the name of the task is missing"]),
        (
            "- [ ] One {#x priority=-1}\n",
            &["5:24: error: `-1` is not a value of `priority`: write a whole number from 0 to 1000000"],
        ),
        (
            "- [ ] One {#x priority=1000001 attempts=0 timeout=5x}\n",
            &[
                "5:24: error: `1000001` is not a value of `priority`: write a whole number from 0 to 1000000",
                "5:41: error: `0` is not a value of `attempts`: write a whole number from 1 to 1000",
                "5:51: error: `5x` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d",
            ],
        ),
        ("- [ ] One {#x after=}\n", &["5:15: error: `after` has no value"]),
        (
            "- [ ] One {#x after=y,,z}\n",
            &[
                "5:21: error: `after` names no task: `y` (help: write the id of another task of this goal)",
                "5:23: error: an entry of `after` is empty",
                "5:24: error: `after` names no task: `z` (help: write the id of another task of this goal)",
            ],
        ),
        ("- [ ] One {#x after=x}\n", &["5:21: error: task `x` waits for itself"]),
        (
            "- [ ] One {#count}\n- [ ] Two {after=cuont}\n",
            &["6:18: error: `after` names no task: `cuont` (help: did you mean `count`?)"],
        ),
        (
            "- [ ] One\n- [ ] Two {after=nothing-like-it}\n",
            &[
                "6:18: error: `after` names no task: `nothing-like-it` (help: write the id of another task of this goal)",
            ],
        ),
        (
            "- [ ] One {#a after=c}\n- [ ] Two {#b after=a}\n- [ ] Three {#c after=b}\n",
            &[
                "5:21: error: tasks wait for each other: a -> c -> b -> a (help: each waits for the next; take one of them out of `after`)",
            ],
        ),
        (
            "- [ ] One {#a}\n- [ ] Two {#a}\n",
            &["6:13: error: the task id `a` is taken (help: the first is on line 5)"],
        ),
        (
            "- [ ] One {#a}\n### h\n- [ ] Two {#a}\n- [ ] Three {after=b}\n",
            &[
                "7:13: error: the task id `a` is taken (help: the first is on line 5)",
                "8:20: error: `after` names no task: `b` (help: write the id of another task of this goal)",
            ],
        ),
        (
            "- [ ] One {#a}\n### h\n- [ ] Two {after=a}\n",
            &[
                "7:18: error: `a` is a task of goal `g` (help: a task can only wait for tasks of its own goal)",
            ],
        ),
        (
            "- [ ] One after=b\n- [ ] b\n",
            &[
                "5:11: error: `after=` stands outside of braces (help: write `{after=b}` behind the title, or put it in backticks if it is part of the title)",
            ],
        ),
        (
            "- [ ] One {#a} priority=3\n",
            &[
                "5:16: error: `priority=` stands outside of braces (help: write `{priority=3}` behind the title, or put it in backticks if it is part of the title)",
            ],
        ),
        (
            "- [ ] One {#a} more\n",
            &[
                "5:16: error: `more` stands behind the task's attributes (help: write the title first, then `{#id …}`, then `-> artifacts`; a description goes below)",
            ],
        ),
        (
            "- [ ] One -> /etc/passwd, ../x, a//b, ok.md\n",
            &[
                "5:14: error: `/etc/passwd` is not a usable artifact: it is not relative to the workspace (help: write a file's path inside the workspace, such as `out/report.md`)",
                "5:27: error: `../x` is not a usable artifact: it leads out of the workspace (help: write a file's path inside the workspace, such as `out/report.md`)",
                "5:33: error: `a//b` is not a usable artifact: a part of the path is empty (help: write a file's path inside the workspace, such as `out/report.md`)",
            ],
        ),
        (
            "- [ ] One -> C:\\x, a\\b\n",
            &[
                "5:14: error: `C:\\x` is not a usable artifact: `\\` and control characters are not allowed (help: write a file's path inside the workspace, such as `out/report.md`)",
                "5:20: error: `a\\b` is not a usable artifact: `\\` and control characters are not allowed (help: write a file's path inside the workspace, such as `out/report.md`)",
            ],
        ),
        (
            "- [ ] One ->\n",
            &[
                "5:11: error: no artifact stands behind the arrow (help: write the files that the task makes, such as `-> report.md`, or remove the arrow)",
            ],
        ),
        ("- [ ] One -> a,,b\n", &["5:16: error: an artifact's name is empty"]),
        ("- [ ]\n", &["5:3: error: a task has no title (help: write what is to be done behind `[ ]`)"]),
        ("- [ ] {#a}\n", &["5:3: error: a task has no title (help: write what is to be done behind `[ ]`)"]),
        (
            "- [] One\n- [ ] Two\n- [ ]Three\n- [-] Four\n- Five\n",
            &[
                "5:3: error: `[]` is not a checkbox (help: write `[ ]` and a blank)",
                "7:3: error: `[ ]` is not a checkbox (help: write `[ ]` and a blank)",
                "8:3: error: `[-]` is not a checkbox (help: write `[ ]` and a blank)",
                "9:3: error: an item of a checklist has no checkbox (help: write `- [ ] Title`, indent it below its task, or set it apart with a line of text)",
            ],
        ),
        (
            "- [ ] One\n  - [ ] Inner\n",
            &[
                "6:5: error: a checklist in a checklist is not supported (help: write the step as a task of its own, with `after=` for what it waits for)",
            ],
        ),
        (
            "- [ ] One\n  ```sh\n  a\n  ```\n  ```sh\n  b\n  ```\n",
            &[
                "9:3: error: a task has one command (help: put both into one block, or write `check` behind the fence of a check)",
            ],
        ),
        (
            "- [ ] One\n  ```check\n  ```\n",
            &["6:3: error: the code block is empty (help: write the command, or remove it)"],
        ),
        (
            "- [ ] One\n  ```sh\n  a\n",
            &[
                "6:3: error: the code block is not closed (help: close it with a fence of the same length, indented as the text of the item)",
            ],
        ),
        (
            "- [ ] Zwölf Boxkämpfer {#ä}\n",
            &[
                "5:26: error: `ä` cannot name a task: `ä` at byte 0 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`",
            ],
        ),
        (
            "- [x] One {#a priority}\n",
            &[
                "5:3: warning: ticking is ignored: the store knows what is done (help: write `[ ]`)",
                "5:15: error: `priority` has no value",
            ],
        ),
        (
            "- [ ] One {#a after=b, c priority=x}\n- [ ] B {#b}\n",
            &[
                "5:24: error: `after` names no task: `c` (help: write the id of another task of this goal)",
                "5:35: error: `x` is not a value of `priority`: write a whole number from 0 to 1000000",
            ],
        ),
        (
            "1. [ ] One {#a\n   after=b} -> x,\n   /y\n2. [ ] B\n",
            &[
                "7:4: error: `/y` is not a usable artifact: it is not relative to the workspace (help: write a file's path inside the workspace, such as `out/report.md`)",
            ],
        ),
        (
            "- [ ] Two {#a} -> o.md after=b\n",
            &[
                "5:24: error: `after=` stands outside of braces (help: write `{after=b}` behind the title, or put it in backticks if it is part of the title)",
            ],
        ),
    ]);
}
