//! Where two JSON values differ.

use std::collections::HashSet;
use std::fmt;

use downbeat_core::text::clip;
use serde_json::Value;

/// How much of a value is shown, in bytes.
const MAX_SHOWN: usize = 100;

/// One place at which what was asked is not what a script has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Difference {
    /// A JSON pointer (RFC 6901).
    pub(super) pointer: String,
    /// What the script has there, as JSON; `None` for nothing.
    scripted: Option<String>,
    /// What the request has there.
    asked: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
        let pointer = if self.pointer.is_empty() { "the whole" } else { &self.pointer };
        write!(f, "{pointer}: scripted {}, asked {}", shown(&self.scripted), shown(&self.asked))
    }
}

/// Where `asked` differs from `scripted`, in the order of `scripted`.
pub(super) fn between(scripted: &Value, asked: &Value) -> Vec<Difference> {
    let mut walk = Walk { found: Vec::new(), pointer: String::new() };
    walk.visit(Some(scripted), Some(asked), false);
    walk.found
}

/// Where `asked` does not have what `pattern` wants: an object wants the keys that it has and allows
/// others, `null` wants nothing or `null`, everything else wants its equal. Empty when it matches.
pub(super) fn from_pattern(pattern: &Value, asked: &Value) -> Vec<Difference> {
    let mut walk = Walk { found: Vec::new(), pointer: String::new() };
    walk.visit(Some(pattern), Some(asked), true);
    walk.found
}

struct Walk {
    found: Vec<Difference>,
    pointer: String,
}

impl Walk {
    fn visit(&mut self, scripted: Option<&Value>, asked: Option<&Value>, loose: bool) {
        match (scripted, asked) {
            (Some(Value::Object(left)), Some(Value::Object(right))) => {
                for (key, value) in left {
                    self.step(key, Some(value), right.get(key), loose);
                }
                if !loose {
                    for (key, value) in right.iter().filter(|(key, _)| !left.contains_key(*key)) {
                        self.step(key, None, Some(value), loose);
                    }
                }
            }
            (Some(Value::Array(left)), Some(Value::Array(right))) => {
                // Lists are wanted whole, also by a pattern: a part of a list has no clear meaning.
                for at in 0..left.len().max(right.len()) {
                    self.step(&at.to_string(), left.get(at), right.get(at), false);
                }
            }
            (Some(Value::Null), None) if loose => {}
            (left, right) if left == right => {}
            (left, right) => self.found.push(Difference {
                pointer: self.pointer.clone(),
                scripted: left.map(shown),
                asked: right.map(shown),
            }),
        }
    }

    fn step(&mut self, key: &str, scripted: Option<&Value>, asked: Option<&Value>, loose: bool) {
        let len = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&escaped(key));
        self.visit(scripted, asked, loose);
        self.pointer.truncate(len);
    }
}

fn shown(value: &Value) -> String {
    clip(&value.to_string(), MAX_SHOWN)
}

/// `key` as a part of a JSON pointer.
pub(super) fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The keys of `read` that `understood` lost, each as a pointer: those that a type does not have.
pub(super) fn lost(read: &Value, understood: &Value) -> Vec<String> {
    let differences = between(read, understood);
    let mut seen = HashSet::new();
    differences
        .into_iter()
        // A `null` that is left out on writing was understood.
        .filter(|found| found.asked.is_none() && found.scripted.as_deref() != Some("null"))
        // An empty list is left out by some types, too.
        .filter(|found| !matches!(found.scripted.as_deref(), Some("[]" | "{}")))
        .map(|found| found.pointer)
        .filter(|pointer| seen.insert(pointer.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(found: &[Difference]) -> Vec<String> {
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn every_place_is_named_with_both_values() {
        let scripted = json!({ "a": 1, "b": [1, 2], "c": { "x/y": "~" }, "gone": null, "same": [{}] });
        let asked = json!({ "a": "1", "b": [1, 3, 4], "c": { "x/y": "" }, "new": {}, "same": [{}] });
        assert_eq!(
            lines(&between(&scripted, &asked)),
            [
                "/a: scripted 1, asked \"1\"",
                "/b/1: scripted 2, asked 3",
                "/b/2: scripted nothing, asked 4",
                "/c/x~1y: scripted \"~\", asked \"\"",
                "/gone: scripted null, asked nothing",
                "/new: scripted nothing, asked {}",
            ]
        );
        assert_eq!(lines(&between(&json!(1), &json!(2))), ["the whole: scripted 1, asked 2"]);
    }

    #[test]
    fn a_pattern_wants_what_it_names_and_no_more() {
        let asked = json!({ "kind": "execute", "node": { "id": "a", "priority": 0 }, "memory": ["x"] });
        for pattern in [
            json!({}),
            json!({ "kind": "execute" }),
            json!({ "node": {} }),
            json!({ "node": { "id": "a", "run": null } }),
            json!({ "memory": ["x"] }),
        ] {
            assert_eq!(lines(&from_pattern(&pattern, &asked)), [""; 0], "{pattern}");
        }
        for pattern in [
            json!({ "kind": "assess" }),
            json!({ "node": { "id": "b" } }),
            json!({ "node": { "run": "ls" } }),
            json!({ "node": null }),
            json!({ "memory": [] }),
            json!({ "memory": ["x", "y"] }),
            json!([]),
        ] {
            assert_eq!(from_pattern(&pattern, &asked).len(), 1, "{pattern}");
        }
    }

    #[test]
    fn what_is_shown_is_short() {
        let found = between(&json!("x".repeat(5_000)), &json!("y".repeat(5_000)));
        assert!(lines(&found).concat().len() < 2 * MAX_SHOWN + 50);
    }
}
