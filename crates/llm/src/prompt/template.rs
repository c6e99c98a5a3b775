//! Texts with places that are filled in: replacement, and nothing else.

/// `template` with each `{{name}}` replaced by its value. Values are put in as they are: what looks
/// like a place in one of them stays as it is written. A place that has no value stays, too, and a
/// test sees to it that there is none. Empty values leave no gap of blank lines behind.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out =
        String::with_capacity(template.len() + values.iter().map(|(_, text)| text.len()).sum::<usize>());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let place = behind.split_once("}}");
        let found = place.and_then(|(name, after)| {
            values.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value, after))
        });
        out.push_str(before);
        match found {
            Some((value, after)) => {
                out.push_str(value.trim_end_matches('\n'));
                // A place that is a line of its own and has nothing to say goes with its blank line.
                let alone = value.is_empty() && (out.is_empty() || out.ends_with("\n\n"));
                rest = if alone { after.trim_start_matches('\n') } else { after };
            }
            None => {
                out.push_str("{{");
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_filled_once_and_values_are_not_read_again() {
        assert_eq!(fill("a {{x}} b {{y}}.", &[("x", "{{y}}"), ("y", "2")]), "a {{y}} b 2.");
        assert_eq!(fill("{{z}} {{", &[("x", "1")]), "{{z}} {{");
    }

    #[test]
    fn what_is_empty_leaves_no_gap() {
        assert_eq!(fill("{{x}}\n\na\n\n{{x}}\n\nb {{x}}c\n", &[("x", "")]), "a\n\nb c\n");
        assert_eq!(fill("a\n\n{{x}}\n\nb\n", &[("x", "1\n2\n")]), "a\n\n1\n2\n\nb\n");
    }
}
