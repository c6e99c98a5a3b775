//! What somebody probably meant to write.

/// Longer words are not compared: nobody misspells those by a letter.
const MAX_LEN: usize = 64;

/// The candidate that `word` was probably meant to be, if one is near: a slip of a letter or two
/// (a third of the word at most), another case, or the beginning of the word.
///
/// A word of one or two letters is near to everything, so only its case may differ. The first of
/// several that are equally near.
///
/// # Source
///
/// Slips are counted by optimal string alignment: letters put in, left out, changed, or swapped with
/// their neighbour.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().take(MAX_LEN + 1).count();
    if length == 0 || length > MAX_LEN {
        return None;
    }
    let most = (length / 3).min(2);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other = candidate.to_lowercase();
        let begins = length >= 3 && other.starts_with(&word);
        // A byte more or less is at most a letter more or less; four bytes make one.
        if !begins && (other.len().abs_diff(word.len()) > most * 4 || other.len() > MAX_LEN * 4) {
            continue;
        }
        // A beginning is a better guess than two slips, and a worse one than one.
        let slips = match begins {
            true => usize::from(other.len() != word.len()),
            false => strsim::osa_distance(&word, &other),
        };
        if slips <= most && best.is_none_or(|(least, _)| slips < least) {
            best = Some((slips, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        let known = ["goal", "heartbeat", "log level", "priority", "after", "build-api", "test"];
        for (word, meant) in [
            ("gaol", Some("goal")),
            ("GOAL", Some("goal")),
            ("heartbeet", Some("heartbeat")),
            ("prio", Some("priority")),
            ("buidl-api", Some("build-api")),
            ("build_api", Some("build-api")),
            ("tests", Some("test")),
            ("befor", None),
            ("x", None),
            ("ga", None),
            ("", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(word, known), meant, "{word}");
        }
    }
}
