//! From what a model said to a value of our type, or everything that is wrong with it.

mod text;

use std::collections::BTreeSet;

use downbeat_core::schema::Validator;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::transport::Answer;

/// How deep an answer may be nested. Ours need five levels.
const MAX_DEPTH: usize = 64;

/// The most faults that a model is told at once.
const MAX_FAULTS: usize = 50;

/// Reads the answer: from the vendor's structured field if it was filled, else from the text.
///
/// `amend` may complete the value before it is judged by the schema.
///
/// # Errors
///
/// Everything that is wrong, each fault in a line; never empty.
pub(crate) fn read<T: DeserializeOwned>(
    answer: &Answer,
    validator: &Validator,
    amend: impl FnOnce(&mut Value),
) -> Result<T, Vec<String>> {
    let mut value = match &answer.structured {
        Some(Value::String(text)) => text::object(text, &keys(validator.schema()))?,
        Some(value) => value.clone(),
        None => text::object(&answer.text, &keys(validator.schema()))?,
    };
    if !value.is_object() {
        return Err(vec!["the answer is no JSON object".to_owned()]);
    }
    if is_deeper(&value, MAX_DEPTH) {
        return Err(vec![format!("the answer is nested deeper than {MAX_DEPTH} levels")]);
    }
    // Strict modes make every key required and the optional ones nullable: null is nothing.
    drop_nulls(&mut value);
    amend(&mut value);
    let mut faults: Vec<String> = validator
        .faults(&value)
        .into_iter()
        .map(|fault| {
            format!("{}: {}", if fault.pointer.is_empty() { "/" } else { &fault.pointer }, fault.message)
        })
        .collect();
    if faults.len() > MAX_FAULTS {
        let more = faults.len() - MAX_FAULTS;
        faults.truncate(MAX_FAULTS);
        faults.push(format!("and {more} more faults"));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    serde_path_to_error::deserialize(&value).map_err(|error| vec![error.to_string()])
}

/// The keys that an answer may have at its top.
fn keys(schema: &Value) -> BTreeSet<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.into_iter().flat_map(|properties| properties.keys().cloned()).collect()
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return true };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, levels)),
        Value::Object(members) => members.values().any(|member| is_deeper(member, levels)),
        _ => false,
    }
}

fn drop_nulls(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use downbeat_core::llm::{Execution, Selection};
    use serde_json::json;

    use super::*;

    fn execution(answer: &Answer) -> Result<Execution, Vec<String>> {
        read(answer, &Validator::for_type::<Execution>(), |_| {})
    }

    fn structured(value: Value) -> Answer {
        Answer { structured: Some(value), text: "ignored {\"status\": 1}".to_owned(), ..Answer::default() }
    }

    #[test]
    fn the_structured_field_goes_before_the_text() {
        let answer = structured(json!({"status": "done", "notes": "n", "outputs": null, "summary": null}));
        let read = execution(&answer).unwrap();
        assert_eq!((read.notes.as_str(), read.outputs.len(), read.summary), ("n", 0, None));
        let text = structured(json!("{\"status\":\"done\",\"notes\":\"n\"}"));
        assert!(execution(&text).is_ok());
    }

    #[test]
    fn every_fault_is_told_at_once() {
        let faults =
            execution(&structured(json!({"status": "fine", "outputs": [""], "extra": 1}))).unwrap_err();
        assert_eq!(faults.len(), 4, "{faults:?}");
        assert!(execution(&structured(json!([1]))).unwrap_err()[0].contains("no JSON object"));
        let none = read::<Selection>(
            &structured(json!({"selected_task_id": null})),
            &Validator::for_type::<Selection>(),
            |_| {},
        );
        assert_eq!(none.unwrap().selected_task_id, None);
    }

    #[test]
    fn a_deep_answer_is_refused_before_it_is_walked() {
        let mut value = json!(1);
        for _ in 0..100 {
            value = json!({ "a": value });
        }
        assert!(execution(&structured(value)).unwrap_err()[0].contains("deeper than 64"));
    }

    #[test]
    fn thousands_of_faults_become_fifty() {
        let outputs = vec![""; 250];
        let answer = structured(json!({"status": "done", "notes": "n", "outputs": outputs}));
        let faults = execution(&answer).unwrap_err();
        assert_eq!((faults.len(), faults[50].as_str()), (51, "and 200 more faults"));
    }
}
