//! Text from models, commands and files, made safe and short enough for a terminal.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text in one line, without anything that a terminal would obey.
///
/// Titles, summaries and errors come from models and commands: an escape sequence in them could
/// redraw what was printed, retitle the window or worse.
pub(crate) fn clean(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in anstream::adapter::strip_str(text).to_string().chars() {
        if letter.is_whitespace() || matches!(letter, '\u{2028}' | '\u{2029}') {
            if !line.ends_with(' ') {
                line.push(' ');
            }
        } else if is_shown(letter) {
            line.push(letter);
        }
    }
    line.trim().to_owned()
}

/// The same for several lines.
pub(crate) fn clean_block(text: &str) -> String {
    let stripped = anstream::adapter::strip_str(text).to_string();
    let lines: Vec<String> = stripped
        .lines()
        .map(|line| {
            let line: String =
                line.replace('\t', "    ").chars().filter(|letter| is_shown(*letter)).collect();
            line.trim_end().to_owned()
        })
        .collect();
    lines.join("\n").trim_end().to_owned()
}

/// JSON that a terminal obeys as little as [`clean`] text: what is left of control characters and of marks
/// that turn the direction stands in its strings only, where an escape means the same.
pub(crate) fn inert(json: String) -> String {
    let harmless = |letter: char| letter.is_ascii_control() && letter != '\u{7f}' || is_shown(letter);
    if json.chars().all(harmless) {
        return json;
    }
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        if harmless(letter) {
            text.push(letter);
        } else {
            // None of them lies beyond the first plane.
            text.push_str(&format!("\\u{:04x}", u32::from(letter)));
        }
    }
    text
}

/// Whether a character shows something and only that: no controls, and none of the marks that turn
/// the direction of what follows.
fn is_shown(letter: char) -> bool {
    !letter.is_control()
        && !matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// How many columns a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// A text in at most `most` columns; what is cut ends in `…`.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if width(text) <= most {
        return text.to_owned();
    }
    let mut cut = String::new();
    let mut used = 0;
    for letter in text.chars() {
        let columns = letter.width().unwrap_or_default();
        if used + columns + 1 > most {
            break;
        }
        used += columns;
        cut.push(letter);
    }
    if most > 0 {
        cut.truncate(cut.trim_end().len());
        cut.push('…');
    }
    cut
}

/// A text filled up with blanks to `least` columns.
pub(crate) fn pad(text: &str, least: usize) -> String {
    format!("{text}{}", " ".repeat(least.saturating_sub(width(text))))
}

/// `1 task`, `2 tasks`.
pub(crate) fn count(number: impl Into<u64>, what: &str) -> String {
    let number: u64 = number.into();
    let s = if number == 1 { "" } else { "s" };
    format!("{} {what}{s}", thousands(number))
}

/// `count` for what the standard library counts.
pub(crate) fn counted(number: usize, what: &str) -> String {
    count(u64::try_from(number).unwrap_or(u64::MAX), what)
}

/// `12,345`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.2 kB`.
pub(crate) fn bytes(number: u64) -> String {
    let mut unit = 1_u64;
    for name in ["B", "kB", "MB", "GB"] {
        if number < unit.saturating_mul(1000) {
            return match name {
                "B" => format!("{number} B"),
                _ => format!("{}.{} {name}", number / unit, number % unit * 10 / unit),
            };
        }
        unit = unit.saturating_mul(1000);
    }
    format!("{}.{} TB", number / unit, number % unit / (unit / 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_a_model_says() {
        for (written, shown) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("two\nlines\r\n and\ttabs", "two lines and tabs"),
            ("bell\u{7} back\u{8} c1\u{9b}31m", "bell back c131m"),
            ("\u{202e}txt.exe", "txt.exe"),
        ] {
            assert_eq!(clean(written), shown, "{written:?}");
        }
        assert_eq!(clean_block("a\u{1b}[2J\n\tb\n\n"), "a\n    b");
    }

    #[test]
    fn json_means_the_same_and_moves_nothing() {
        let said = "a\u{1b}[2J \u{9b}31m \u{7f} \u{202e} \u{feff} ü 日 🎵\n";
        let shown = inert(serde_json::to_string_pretty(&[said]).unwrap());
        assert!(shown.chars().all(|letter| letter == '\n' || is_shown(letter)), "{shown:?}");
        assert!(shown.contains("\\u009b31m") && shown.contains("ü 日 🎵"), "{shown}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&shown).unwrap(), [said]);
    }

    #[test]
    fn what_is_cut_fits_its_columns() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 4), "abc…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("abc", 0), "");
        assert_eq!(pad("日", 4), "日  ");
    }

    #[test]
    fn numbers_read_as_people_write_them() {
        assert_eq!(count(1_u64, "task"), "1 task");
        assert_eq!(counted(12_345, "task"), "12,345 tasks");
        assert_eq!(thousands(0), "0");
        assert_eq!(thousands(1_000_000), "1,000,000");
        for (number, text) in [(0, "0 B"), (999, "999 B"), (1_234, "1.2 kB"), (10_500_000, "10.5 MB")] {
            assert_eq!(bytes(number), text);
        }
    }
}
