//! One text and one digest for each JSON value.

use std::fmt::Write as _;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of the canonical form of `value`, hexadecimal.
pub(super) fn digest(value: &Value) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text(value).as_bytes()) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// `value` without blanks, the keys of every object sorted by their bytes.
fn text(value: &Value) -> String {
    sorted(value).to_string()
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.iter().map(sorted).collect()),
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(key, _)| *key);
            let members = members.into_iter().map(|(key, value)| (key.clone(), sorted(value)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        scalar => scalar.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_order_of_keys_and_blanks_do_not_matter() {
        let one = read(r#"{"b": [{"y": 1, "x": "é"}], "a": null}"#);
        let other = read(r#"{ "a":null,"b":[ {"x":"\u00e9","y":1} ] }"#);
        assert_eq!(text(&one), r#"{"a":null,"b":[{"x":"é","y":1}]}"#);
        assert_eq!(digest(&one), digest(&other));
    }

    #[test]
    fn everything_else_matters() {
        let all = [r#"{"a":[1,2]}"#, r#"{"a":[2,1]}"#, r#"{"a":["1",2]}"#, r#"{"a":[1,2],"b":null}"#, "{}"];
        for (at, one) in all.iter().enumerate() {
            for other in all.iter().skip(at + 1) {
                assert_ne!(digest(&read(one)), digest(&read(other)), "{one} {other}");
            }
        }
    }

    #[test]
    fn a_key_stays_what_it_is_from_version_to_version() {
        // Recorded files carry no keys, but messages do, and people search for them.
        assert_eq!(digest(&read("{}")), "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a");
    }
}
