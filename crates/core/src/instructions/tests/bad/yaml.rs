//! Faults of the YAML form.

use super::check;

#[test]
fn faults_of_yaml() {
    check(&[
        (
            "instruction_schema_version: 3\nagents:\n  - name: a\n",
            &[
                "1:29: error: instructions of version `3` are not known (help: write `instruction_schema_version: \"2\"`)",
            ],
        ),
        (
            "instruction_schema_version:\nagents:\n  - name: a\n",
            &[
                "1:1: error: `instruction_schema_version` has no value (help: write `instruction_schema_version: \"2\"`)",
            ],
        ),
        (
            "instruction_schema_version: \"2\"\n",
            &[
                "1:1: error: no agent is declared (help: add a line `agents:`, and below it an entry such as `- name: worker`)",
            ],
        ),
        (
            "agents: []\n",
            &["1:1: error: no agent is declared (help: add below it an entry such as `- name: worker`)"],
        ),
        ("agents:\n  name: a\n", &["2:3: error: `agents` is not a list (help: begin each entry with `- `)"]),
        (
            "agents:\n  - a\n  - []\n",
            &[
                "2:5: error: an agent is not a mapping (help: write keys and values, such as `name: worker`)",
                "3:5: error: an agent is not a mapping (help: write keys and values, such as `name: worker`)",
            ],
        ),
        ("agents:\n  - role: x\n", &["2:5: error: an agent has no name (help: add `name: worker`)"]),
        (
            "agents:\n  - name: a\n    heartbeet: x\n    log_levle: info\n",
            &[
                "3:5: error: unknown key `heartbeet` (help: did you mean `heartbeat`?)",
                "4:5: error: unknown key `log_levle` (help: did you mean `log-level`?)",
            ],
        ),
        (
            "agents:\n  - name: a\n    name: b\n    goal: x\n    goal_id: y\n",
            &[
                "3:5: error: `name` is given twice (help: the first is on line 2)",
                "5:5: error: `goal_id` is given twice (help: the first is on line 4)",
            ],
        ),
        (
            "agents:\n  - name: a\n    log-level: loud\n    cadence_seconds: 0\n    max-parallel: \"1001\"\n",
            &[
                "3:16: error: `loud` is not a log level (help: write trace, debug, info, warn, error or off)",
                "4:22: error: `0` is not a time span: write for example `500ms`, `30s`, `5m`, `1h30m` or a number of seconds, up to 365d",
                "5:20: error: `1001` is not a value of `max-parallel`: write a whole number from 1 to 1000",
            ],
        ),
        (
            "agents:\n  - name: a\n    goal: [x]\n    role: {a: b}\n    heartbeat:\n",
            &[
                "3:12: error: `goal` takes one value, not a list",
                "4:12: error: `role` takes a text",
                "5:5: error: `heartbeat` has no value (help: write the value, or remove the line)",
            ],
        ),
        (
            "agents:\n  - name: a\n    capabilities: [a, [b]]\n    depends-on: [b c, d]\n",
            &[
                "3:23: error: `capabilities` takes a list of texts",
                "4:18: error: `b c` cannot name an agent: ` ` at byte 1 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_` (help: write for example `b-c`)",
                "4:23: error: no agent is called `d` (help: write the name of another agent of this file)",
            ],
        ),
        (
            "agents:\n  - name: a\n  - name: a\n",
            &["3:11: error: agent `a` is declared twice (help: the first is on line 2)"],
        ),
        (
            "agent:\n  - name: a\ninstruction_schema_version: 2\n",
            &["1:1: error: unknown key `agent` (help: did you mean `agents`?)"],
        ),
        (
            "agents:\n  - name: a\nagents:\n  - name: b\n",
            &["3:1: error: `agents` is given twice (help: the first is on line 1)"],
        ),
        (
            "agents:\n  - name: a\ngoals:\n  - title: T\n  - id: g\n    plann: x\n  - id: g\n",
            &[
                "4:5: error: a goal has no id (help: add `id: my-goal`)",
                "6:5: error: unknown key `plann` (help: did you mean `plan`?)",
                "7:9: error: goal `g` is declared twice (help: the first is on line 5)",
            ],
        ),
        (
            "agents:\n  - name: a\n    goal: x\ngoals:\n  - id: y\n",
            &[
                "3:11: error: no goal is called `x` (help: declare it among the goals, or name one that is there)",
                "5:9: error: goal `y` has no agent (help: give an agent `Goal: y`, or declare an agent without a goal, which works for any)",
            ],
        ),
        (
            "agents:\n  - name: a\n   role: x\n",
            &[
                "3:4: error: the YAML cannot be read: while parsing a block collection, did not find expected '-' indicator (help: write the keys of one entry below each other, in the same column)",
            ],
        ),
        (
            "agents:\n  - name: a\n    role: \"x\n",
            &["4:1: error: the YAML cannot be read: invalid indentation in multiline quoted scalar"],
        ),
        (
            "agents:\n  - name: a\n---\nagents: []\n",
            &["3:1: error: a second YAML document begins (help: only one is read: remove the line `---`)"],
        ),
        (
            "agents: *x\n",
            &[
                "1:9: error: the YAML cannot be read: alias references unknown anchor (help: put a text that begins with `*` in quotes)",
            ],
        ),
        (
            "agents:\n\t- name: a\n",
            &[
                "2:2: error: the YAML cannot be read: tabs disallowed within this context (block indentation) (help: indent with blanks)",
            ],
        ),
        (
            "a: &a [b,b]\nagents: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n",
            &[
                "6:11: error: the YAML is too large or too deep (help: aliases count as often as they are used)",
            ],
        ),
        (
            "agents: [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]\n",
            &["1:25: error: the YAML is too large or too deep"],
        ),
        (
            "# Ünï\n\n```yaml\nagents:\n  - name: ä\n    gaol: x\n```\n",
            &[
                "5:11: error: `ä` cannot name an agent: `ä` at byte 0 is not allowed in an id; ASCII letters, digits, `_`, `-` and `.` are, and the first must be a letter, a digit or `_`",
                "6:5: error: unknown key `gaol` (help: did you mean `goal`?)",
            ],
        ),
        (
            "```yml\nagents:\n  - name: a\n```\n\n```yaml\nagents:\n  - name: b\n```\n",
            &["6:1: error: a second block declares agents (help: write all agents into the first)"],
        ),
        (
            "agents:\n  - name: a\n    ? [x]\n    : y\n",
            &["3:7: error: the YAML cannot be read: expected string scalar"],
        ),
        (
            "agents:\n  - name: &n a\n  - name: *n\n",
            &["3:11: error: agent `a` is declared twice (help: the first is on line 2)"],
        ),
        (
            "instruction_schema_version: 2\nagents:\n  - name: no\n    goal: off\n    log-level: yes\n    max-parallel: 1_0\n",
            &[
                "5:16: error: `yes` is not a log level (help: write trace, debug, info, warn, error or off)",
                "6:19: error: `1_0` is not a value of `max-parallel`: write a whole number from 1 to 1000",
            ],
        ),
    ]);
}
