//! Finds the one JSON object in a text that a model wrote.
//!
//! Fences, prose before and behind, comments and trailing commas are survived. Two different objects
//! are not guessed between: which of them is meant, only the model can say.

use std::collections::{BTreeSet, HashSet};

use downbeat_core::text::clip;
use jsonc_parser::ast::{self, ObjectPropName};
use jsonc_parser::{CollectOptions, ParseOptions, parse_to_ast};
use serde_json::Value;

use super::MAX_DEPTH;

/// What in a text looks like an object.
enum Found {
    Object(Value),
    /// It is one, or was to become one, and cannot be read.
    Broken {
        text: String,
        why: String,
    },
}

/// The object in `text` that has some of `keys`; if none has, the only one there is.
pub(super) fn object(text: &str, keys: &BTreeSet<String>) -> Result<Value, Vec<String>> {
    if text.trim().is_empty() {
        return Err(vec!["the answer is empty".to_owned()]);
    }
    let mut found = find(text);
    let is_meant = |found: &Found| match found {
        Found::Object(Value::Object(members)) => members.keys().any(|key| keys.contains(key)),
        Found::Object(_) => false,
        Found::Broken { text, .. } => keys.iter().any(|key| text.contains(&format!("\"{key}\""))),
    };
    // An example or a set in the prose does not stand in the way of the answer.
    if found.iter().any(is_meant) {
        found.retain(is_meant);
    }
    let mut objects: Vec<Value> = Vec::new();
    let mut broken = Vec::new();
    for one in found {
        if objects.len() + broken.len() > 1 {
            break;
        }
        match one {
            Found::Object(value) if objects.contains(&value) => {}
            Found::Object(value) => objects.push(value),
            Found::Broken { why, .. } => broken.push(why),
        }
    }
    match (objects.len() + broken.len(), objects.pop(), broken.pop()) {
        (1, Some(value), _) => Ok(value),
        (1, None, Some(why)) => Err(vec![why]),
        (0, ..) => Err(vec!["there is no JSON object in the answer".to_owned()]),
        _ => Err(vec![
            "there are different JSON objects in the answer, and it is not clear which is meant: give one"
                .to_owned(),
        ]),
    }
}

fn find(text: &str) -> Vec<Found> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        let (_, here) = rest.split_at(start);
        if !looks_like_json(here) {
            // Braces in prose: what is inside of them may be the answer.
            rest = skip_brace(here);
            continue;
        }
        let (read, why) = match extent(here) {
            Extent::Closed(end) => (end, None),
            Extent::Unclosed => (here.len(), Some("the JSON breaks off before it is complete".to_owned())),
            Extent::TooDeep => {
                (here.len(), Some(format!("the JSON is nested deeper than {MAX_DEPTH} levels")))
            }
        };
        let (region, behind) = here.split_at(read);
        found.push(match why.map_or_else(|| parse(region), Err) {
            Ok(value) => Found::Object(value),
            Err(why) => Found::Broken { text: region.to_owned(), why },
        });
        rest = behind;
    }
    found
}

fn skip_brace(text: &str) -> &str {
    text.get(1..).unwrap_or_default()
}

/// Whether what begins with a brace is meant as JSON and not as prose.
fn looks_like_json(text: &str) -> bool {
    let inside = skip_brace(text).trim_start();
    inside.starts_with(['"', '}']) || inside.starts_with("//") || inside.starts_with("/*")
}

/// Where the object that a text begins with ends.
enum Extent {
    /// At this byte.
    Closed(usize),
    /// Not in this text.
    Unclosed,
    /// Nobody knows: it is nested too deep.
    TooDeep,
}

fn extent(text: &str) -> Extent {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => {
                depth += 1;
                if depth > MAX_DEPTH {
                    return Extent::TooDeep;
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Extent::Closed(at + 1);
                }
            }
            _ => {}
        }
    }
    Extent::Unclosed
}

fn parse(text: &str) -> Result<Value, String> {
    let options = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
        .map_err(|error| clip(&format!("the JSON cannot be read: {error}"), 300))?;
    let value = parsed.value.ok_or("the JSON is empty")?;
    if let Some(key) = repeated_key(&value) {
        return Err(format!("the key `{}` is there twice in one object", clip(&key, 80)));
    }
    Ok(value.into())
}

fn repeated_key(value: &ast::Value<'_>) -> Option<String> {
    match value {
        ast::Value::Array(array) => array.elements.iter().find_map(repeated_key),
        ast::Value::Object(object) => {
            let mut seen = HashSet::new();
            object.properties.iter().find_map(|property| {
                let name = match &property.name {
                    ObjectPropName::String(name) => name.value.as_ref(),
                    ObjectPropName::Word(name) => name.value,
                };
                if seen.insert(name) { repeated_key(&property.value) } else { Some(name.to_owned()) }
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn keys() -> BTreeSet<String> {
        ["status", "notes"].map(str::to_owned).into()
    }

    fn fault(text: &str) -> String {
        let faults = object(text, &keys()).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        faults.concat()
    }

    #[test]
    fn one_object_is_found_wherever_it_stands() {
        let expected = json!({"status": "done", "notes": "a } b \" { c"});
        let plain = r#"{"status": "done", "notes": "a } b \" { c"}"#;
        for text in [
            plain.to_owned(),
            format!("\u{feff}  {plain}\n\n"),
            format!("```json\n{plain}\n```"),
            format!("Sure! Here it is:\n\n```\n{plain}\n```\nAnything else?"),
            format!("I used the set {{a, b}} and an empty {{}}. {plain}"),
            format!("First I thought of {{\"x\": 1}}, now: {plain}"),
            format!("{plain}\n\nOnce more:\n{plain}"),
            format!("[{plain}]"),
            r#"{"status": "done", /* well */ "notes": "a } b \" { c", } // end"#.to_owned(),
        ] {
            assert_eq!(object(&text, &keys()).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn two_objects_are_not_guessed_between() {
        assert!(fault(r#"{"status": "done"} or {"status": "failed"}"#).contains("different JSON objects"));
        // One of them cannot be read: it may be the one that was meant.
        assert!(
            fault(r#"The file says {"status": "done"}. {"status": "failed", "notes": oops}"#)
                .contains("different JSON objects")
        );
        assert!(fault(r#"{"a": 1} {"b": 2}"#).contains("different JSON objects"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(fault(" \n").contains("empty"));
        assert!(fault("I cannot do that.").contains("no JSON object"));
        assert!(fault(r#"{"status": "done", "notes": "it bre"#).contains("breaks off"));
        assert!(fault(r#"{"status": NaN}"#).contains("cannot be read"));
        assert!(fault(r#"{"status": "done", "status": "failed"}"#).contains("`status` is there twice"));
        assert!(fault(r#"{"notes": {"a": [{"b": 1, "b": 2}]}}"#).contains("`b` is there twice"));
        let deep = format!(r#"{{"notes": {}1{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
        assert!(fault(&deep).contains("deeper than 64"));
    }

    #[test]
    fn hostile_texts_take_no_time_that_anybody_notices() {
        // Each would be quadratic for a reader that begins anew at every brace.
        for text in
            ["{".repeat(4 << 20), "{ \"".repeat(1 << 20), "{a}".repeat(1 << 20), "{\"a\":[".repeat(1 << 19)]
        {
            let found = object(&text, &keys());
            assert!(found.is_err(), "{:.20}: {found:?}", text);
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[{}\\[\\]\",:a1\\\\ /*\n`é]{0,80}") {
            let _ = object(&text, &keys());
        }

        #[test]
        fn any_object_is_found_again(notes in "\\PC{0,40}", before in "[a-z .`\n]{0,20}") {
            let value = json!({"status": "done", "notes": notes});
            prop_assert_eq!(object(&format!("{before}{value}{before}"), &keys()).unwrap(), value);
        }
    }
}
