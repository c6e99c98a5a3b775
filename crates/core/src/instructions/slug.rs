//! An id made of a text.

use crate::ids::MAX_ID_LEN;

/// The longest id that is made of a title.
const MAX_SLUG: usize = 48;

/// `text` as an id, if anything of it can be one: lower case, ASCII letters, digits and `_`, one `-`
/// for everything else, cut at a word's end before 49 bytes.
pub(super) fn slug(text: &str) -> Option<String> {
    let mut slug = String::new();
    for letter in text.chars() {
        if letter.is_ascii_alphanumeric() {
            slug.push(letter.to_ascii_lowercase());
        } else if letter == '_' || letter == '.' {
            // Ids may have them, but a title's full stop is no part of a name.
            slug.push(if letter == '_' { '_' } else { '-' });
        } else if !matches!(letter, '`' | '*' | '\'' | '"') {
            slug.push('-');
        }
        if slug.ends_with("--") {
            slug.pop();
        }
        if slug.len() > MAX_SLUG.min(MAX_ID_LEN) {
            let cut = slug.rfind('-').filter(|at| *at > MAX_SLUG / 2);
            slug.truncate(cut.unwrap_or(MAX_SLUG));
            break;
        }
    }
    let slug = slug.trim_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;

    #[test]
    fn titles_become_ids() {
        for (title, id) in [
            ("Count the lines", "count-the-lines"),
            ("  `sort` them, *twice*! ", "sort-them-twice"),
            ("Don't", "dont"),
            ("Über", "ber"),
            ("3.5 times", "3-5-times"),
            (
                "A title that goes on and on for much longer than anybody would read",
                "a-title-that-goes-on-and-on-for-much-longer-than",
            ),
        ] {
            assert_eq!(slug(title).as_deref(), Some(id), "{title}");
            assert!(TaskId::new(id).is_ok());
        }
        assert_eq!(slug("数える"), None);
    }
}
