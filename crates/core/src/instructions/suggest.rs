//! What somebody probably meant to write.

/// Longer words are not compared: nobody misspells those by a letter.
const MAX_LEN: usize = 64;

/// The candidate that `word` was probably meant to be, if one is near: a slip of a letter or two
/// (a third of the word at most), another case, or the beginning of the word.
///
/// A word of one or two letters is near to everything, so only its case may differ.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word: Vec<char> = word.to_lowercase().chars().take(MAX_LEN + 1).collect();
    if word.is_empty() || word.len() > MAX_LEN {
        return None;
    }
    let most = (word.len() / 3).min(2);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let other: Vec<char> = candidate.to_lowercase().chars().take(MAX_LEN + 1).collect();
        let far = if word.len() >= 3 && other.starts_with(&word) {
            // A beginning is a better guess than two slips, and a worse one than one.
            if other.len() == word.len() { 0 } else { 1 }
        } else if other.len().abs_diff(word.len()) > most {
            continue;
        } else {
            distance(&word, &other)
        };
        if far <= most && best.is_none_or(|(least, _)| far < least) {
            best = Some((far, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// How many letters must be put in, left out, changed or swapped with their neighbour.
fn distance(from: &[char], to: &[char]) -> usize {
    // Three rows of the usual table: the swap looks two rows back.
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut current = vec![row + 1];
        for (column, other) in to.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let changed = at(&above, column) + usize::from(letter != other);
            let mut least = changed.min(at(&above, column + 1) + 1).min(at(&current, column) + 1);
            let swapped = row > 0
                && column > 0
                && from.get(row - 1) == Some(other)
                && to.get(column - 1) == Some(letter);
            if swapped {
                least = least.min(at(&before, column - 1) + 1);
            }
            current.push(least);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn far(from: &str, to: &str) -> usize {
        let from: Vec<char> = from.chars().collect();
        let to: Vec<char> = to.chars().collect();
        distance(&from, &to)
    }

    #[test]
    fn distance_counts_slips() {
        for (from, to, slips) in [
            ("", "", 0),
            ("", "abc", 3),
            ("goal", "goal", 0),
            ("gaol", "goal", 1),
            ("goals", "goal", 1),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("äöü", "äou", 2),
        ] {
            assert_eq!(far(from, to), slips, "{from} {to}");
            assert_eq!(far(to, from), slips, "{to} {from}");
        }
    }

    #[test]
    fn near_words_are_offered_and_far_ones_are_not() {
        let keys = ["goal", "heartbeat", "log level", "priority", "after"];
        for (word, meant) in [
            ("gaol", Some("goal")),
            ("GOAL", Some("goal")),
            ("heartbeet", Some("heartbeat")),
            ("prio", Some("priority")),
            ("befor", None),
            ("x", None),
            ("ga", None),
            ("", None),
            ("colour", None),
        ] {
            assert_eq!(nearest(word, keys), meant, "{word}");
        }
    }
}
