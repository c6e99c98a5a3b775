//! The id that somebody probably meant.

/// How far a suggestion may be from what was written.
const FAR: usize = 2;
/// How many ids are compared, so that many slips in a large draft cost little.
const COMPARED: usize = 10_000;
/// The longest id that is compared, in bytes.
const LONGEST: usize = 64;

/// The one of `known` that is most like `written`; `None` when none is much like it.
///
/// The first of several equally good ones.
pub(super) fn suggest<'a>(written: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if written.len() > LONGEST {
        return None;
    }
    // A short id is like every other short id.
    let far = FAR.min(written.len() / 3);
    known
        .take(COMPARED)
        .filter(|id| id.len() <= LONGEST && id.len().abs_diff(written.len()) <= FAR)
        .filter_map(|id| {
            let distance = if id.eq_ignore_ascii_case(written) {
                0
            } else {
                distance(written.as_bytes(), id.as_bytes())
            };
            (distance <= far).then_some((distance, id))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, id)| id)
}

/// How many bytes to insert, remove or replace; `FAR + 1` for anything more than [`FAR`].
///
/// # Source
///
/// Esko Ukkonen, "Algorithms for approximate string matching" (1985): only the cells within `FAR` of
/// the diagonal of the Levenshtein matrix can count.
fn distance(left: &[u8], right: &[u8]) -> usize {
    const BAND: usize = 2 * FAR + 1;
    const OUT: usize = FAR + 1;
    // Cell `k` of row `i` is column `i + k - FAR`.
    let mut row = [OUT; BAND];
    for (k, cell) in row.iter_mut().enumerate().skip(FAR) {
        *cell = k - FAR;
    }
    for (i, a) in left.iter().enumerate().map(|(i, a)| (i + 1, a)) {
        let mut next = [OUT; BAND];
        let mut beside = OUT;
        for (k, cell) in next.iter_mut().enumerate() {
            let Some(column) = (i + k).checked_sub(FAR).filter(|c| *c <= right.len()) else {
                continue;
            };
            let above = row.get(k + 1).copied().unwrap_or(OUT);
            let diagonal = row.get(k).copied().unwrap_or(OUT);
            let replaced = match column.checked_sub(1).and_then(|c| right.get(c)) {
                None => OUT,
                Some(b) => diagonal + usize::from(a != b),
            };
            let best = replaced.min(above + 1).min(beside + 1);
            *cell = best.min(OUT);
            beside = *cell;
        }
        row = next;
    }
    (right.len() + FAR)
        .checked_sub(left.len())
        .and_then(|k| row.get(k).copied())
        .unwrap_or(OUT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised() {
        let known = ["plan", "build-api", "test"];
        for (written, expected) in [
            ("plam", Some("plan")),
            ("buidl-api", Some("build-api")),
            ("Test", Some("test")),
            ("tests", Some("test")),
            ("build_api", Some("build-api")),
            ("deploy", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(suggest(written, known.into_iter()), expected, "{written}");
        }
    }

    #[test]
    fn the_distance_is_levenshtein_s_up_to_two() {
        for (left, right, expected) in [
            ("", "", 0),
            ("", "ab", 2),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "ab", 1),
            ("abc", "bc", 1),
            ("abc", "axc", 1),
            ("abcd", "badc", 3),
            ("kitten", "sitten", 1),
            ("abcdef", "cdef", 2),
            ("cdef", "abcdef", 2),
        ] {
            assert_eq!(
                distance(left.as_bytes(), right.as_bytes()),
                expected,
                "{left} {right}"
            );
        }
    }
}
