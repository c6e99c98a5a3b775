//! Aligned columns without borders.

use anstyle::Style;

use super::style::{self, paint};
use super::text::{cut, width};

/// Between two columns.
const GAP: usize = 2;
/// A column that shrinks keeps this much.
const LEAST: usize = 12;

/// One cell, with its colour.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A text in a colour. It must be [clean](super::text::clean).
    pub(crate) fn new(style: Style, text: impl Into<String>) -> Self {
        Self { text: text.into(), style }
    }

    /// A text as it is.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self::new(style::PLAIN, text)
    }
}

/// Rows of cells. Columns in which every cell is empty are left out.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    right: Vec<usize>,
    shrink: Vec<usize>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// With these headings; none when all are empty.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), ..Self::default() }
    }

    /// Columns of numbers.
    pub(crate) fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Columns that are cut when the whole is too wide, the first first.
    pub(crate) fn shrink(mut self, columns: &[usize]) -> Self {
        self.shrink = columns.to_vec();
        self
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: Vec<Cell>) {
        self.rows.push(cells);
    }

    /// The lines, each indented by `indent`, in at most `most` columns if that is possible.
    pub(crate) fn render(&self, indent: usize, most: Option<usize>) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let mut widths: Vec<usize> = (0..columns)
            .map(|column| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                let widest = cells.map(|cell| width(&cell.text)).max().unwrap_or_default();
                let head = self.head.get(column).map_or(0, |head| width(head));
                if widest == 0 { 0 } else { widest.max(head) }
            })
            .collect();
        if let Some(most) = most {
            self.shrink_to(&mut widths, most.saturating_sub(indent));
        }
        let mut text = String::new();
        if self.head.iter().any(|head| !head.is_empty()) && !self.rows.is_empty() {
            let head = self.head.iter().map(|head| Cell::new(style::FAINT, *head)).collect::<Vec<_>>();
            self.line(&head, &widths, indent, &mut text);
        }
        for row in &self.rows {
            self.line(row, &widths, indent, &mut text);
        }
        text
    }

    fn shrink_to(&self, widths: &mut [usize], most: usize) {
        for column in &self.shrink {
            let used: usize = widths.iter().filter(|width| **width > 0).map(|width| width + GAP).sum();
            let excess = used.saturating_sub(GAP).saturating_sub(most);
            if excess == 0 {
                return;
            }
            if let Some(width) = widths.get_mut(*column) {
                *width = width.saturating_sub(excess).max(LEAST.min(*width));
            }
        }
    }

    fn line(&self, row: &[Cell], widths: &[usize], indent: usize, text: &mut String) {
        let mut blanks = indent;
        for (column, most) in widths.iter().enumerate() {
            if *most == 0 {
                continue;
            }
            let shown = row.get(column).map(|cell| (cut(&cell.text, *most), cell.style));
            let (shown, style) = shown.unwrap_or_default();
            let rest = most.saturating_sub(width(&shown));
            let right = self.right.contains(&column);
            if right {
                blanks += rest;
            }
            if !shown.is_empty() {
                // Blanks wait for what follows them, so that no line ends in any.
                text.push_str(&" ".repeat(std::mem::take(&mut blanks)));
                text.push_str(&paint(style, shown));
            }
            blanks += if right { GAP } else { rest + GAP };
        }
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "N", "NOTE", "TITLE"]).right(&[1]).shrink(&[3]);
        for (id, number, title) in [("a", "1", "short"), ("longer", "10", "a title that takes much room")] {
            table.row([id, number, "", title].map(Cell::plain).to_vec());
        }
        table
    }

    #[test]
    fn columns_stand_below_each_other_and_empty_ones_are_left_out() {
        assert_eq!(
            anstream::adapter::strip_str(&table().render(2, None)).to_string(),
            "  ID       N  TITLE\n  a        1  short\n  longer  10  a title that takes much room\n"
        );
    }

    #[test]
    fn a_narrow_terminal_cuts_what_may_be_cut() {
        let text = anstream::adapter::strip_str(&table().render(0, Some(30))).to_string();
        assert!(text.contains("a title that take…\n"), "{text}");
        assert!(text.lines().all(|line| width(line) <= 30), "{text}");
        let text = table().render(0, Some(5));
        assert!(text.contains("a title tha…\n"), "{text}");
    }
}
