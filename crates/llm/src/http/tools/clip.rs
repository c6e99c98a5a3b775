//! Bounds of what a tool says.

/// The most that a tool says, in bytes.
pub(super) const MOST: usize = 48 * 1024;

/// Lines, up to a bound.
#[derive(Debug)]
pub(super) struct Lines {
    text: String,
    left: usize,
}

impl Lines {
    /// At most so many lines, of at most [`MOST`] bytes together.
    pub(super) const fn new(most: usize) -> Self {
        Self { text: String::new(), left: most }
    }

    /// Takes a line; false if there is no more room for it.
    pub(super) fn push(&mut self, line: &str) -> bool {
        if self.left == 0 || self.text.len().saturating_add(line.len()) > MOST {
            self.left = 0;
            return false;
        }
        self.left -= 1;
        self.text.push_str(line);
        self.text.push('\n');
        true
    }

    /// Whether no more is taken.
    pub(super) const fn is_full(&self) -> bool {
        self.left == 0
    }

    /// All the lines, when none was left out; `nothing` if there are none.
    pub(super) fn whole(self, nothing: &str) -> String {
        if self.text.is_empty() { nothing.to_owned() } else { self.text }
    }

    /// The lines and a mark that there are more; `then` says what to do about that.
    pub(super) fn cut(mut self, then: &str) -> String {
        self.text.push_str("[… there is more, which was left out; ");
        self.text.push_str(then);
        self.text.push_str("]\n");
        self.text
    }
}

/// A line of at most `most` bytes, without what a terminal or a reader could stumble over.
pub(super) fn line(text: &str, most: usize) -> String {
    let plain: String = text
        .chars()
        .map(
            |letter| if letter.is_control() && letter != '\t' { char::REPLACEMENT_CHARACTER } else { letter },
        )
        .collect();
    downbeat_core::text::clip(&plain, most)
}
