//! Output as lines of bounded length.

/// Cuts a stream of bytes into lines; a line that is too long loses its end and says so.
#[derive(Debug)]
pub struct Lines {
    line: Vec<u8>,
    limit: usize,
    cut: bool,
}

impl Lines {
    /// For lines of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { line: Vec::new(), limit, cut: false }
    }

    /// Takes what came next and gives each line that is complete now, without its end, and whether
    /// something of it was left out.
    pub fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8], bool)) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            let (head, rest) = bytes.split_at(end);
            self.keep(head);
            each(self.line.strip_suffix(b"\r").unwrap_or(&self.line), self.cut);
            self.line.clear();
            self.cut = false;
            bytes = rest.get(1..).unwrap_or_default();
        }
        self.keep(bytes);
    }

    /// Gives what stands behind the last end of a line, if anything does.
    pub fn finish(&mut self, each: impl FnOnce(&[u8], bool)) {
        if !self.line.is_empty() {
            each(&self.line, self.cut);
            self.line.clear();
            self.cut = false;
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.line.len());
        self.cut |= bytes.len() > room;
        self.line.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_whole_however_they_were_torn_and_long_ones_are_cut() {
        let mut lines = Lines::new(5);
        let mut seen = Vec::new();
        for piece in ["on", "e\ntwo\r\n", "\n1234", "5678", "9\nend"] {
            lines.push(piece.as_bytes(), |line, cut| {
                seen.push((String::from_utf8_lossy(line).into_owned(), cut));
            });
        }
        lines.finish(|line, cut| seen.push((String::from_utf8_lossy(line).into_owned(), cut)));
        let expected = [("one", false), ("two", false), ("", false), ("12345", true), ("end", false)]
            .map(|(l, c)| (l.to_owned(), c));
        assert_eq!(seen, expected);
    }
}
