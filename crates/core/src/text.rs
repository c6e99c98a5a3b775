//! Keeping text from outside within bounds.

/// The mark that stands where something was left out.
const ELLIPSIS: &str = " […] ";

/// `text`, or its beginning and a mark, in at most `limit` bytes.
#[must_use]
pub fn clip(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut end = limit.saturating_sub(ELLIPSIS.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{}", text.get(..end).unwrap_or_default(), ELLIPSIS.trim_end())
}

/// `text`, or a mark and its end, in at most `limit` bytes: the end of an output says why it ended.
#[must_use]
pub fn clip_start(text: &str, limit: usize) -> String {
    if text.len() <= limit {
        return text.to_owned();
    }
    let mut start = text.len() - limit.saturating_sub(ELLIPSIS.len());
    while !text.is_char_boundary(start) {
        start += 1;
    }
    format!("{}{}", ELLIPSIS.trim_start(), text.get(start..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_says_so_and_stays_within_its_bytes() {
        assert_eq!(clip("short", 5), "short");
        for limit in [8, 9, 10, 11, 12] {
            let (head, tail) = (clip("äöüäöüäöü", limit), clip_start("äöüäöüäöü", limit));
            assert!(head.len() <= limit && head.contains('…'), "{head}");
            assert!(tail.len() <= limit && tail.contains('…'), "{tail}");
        }
    }
}
