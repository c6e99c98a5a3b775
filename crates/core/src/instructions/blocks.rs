//! A Markdown text as the blocks that instructions are written in.
//!
//! Only the outline is taken from the Markdown parser. Text is cut from the source, so that no
//! markup inside a line changes a title or a path.

use std::iter::Peekable;
use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Options, Parser, Tag};

use super::field::{slice, trimmed};

/// Lists in lists deeper than this are plain text.
const MAX_LIST_DEPTH: usize = 3;

/// A block at the top, or in a list item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Block {
    /// A heading; `title` is the text on its line.
    Heading { level: u8, title: Range<usize>, range: Range<usize> },
    /// A list of any kind.
    List(List),
    /// A code block.
    Code(Code),
    /// Running text.
    Text(Range<usize>),
    /// Anything else.
    Other(Range<usize>),
}

/// A list and what it lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct List {
    pub(super) range: Range<usize>,
    pub(super) items: Vec<Item>,
}

/// One item of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its first paragraph, as written; empty when it begins with something else.
    pub(super) head: Range<usize>,
    /// What follows the first paragraph.
    pub(super) children: Vec<Block>,
}

/// A code block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) range: Range<usize>,
    /// What stands after the fence; `None` for an indented block.
    pub(super) info: Option<String>,
    /// The code, without indentation that belongs to the list.
    pub(super) text: String,
}

impl Block {
    /// The bytes that it takes.
    pub(super) fn range(&self) -> Range<usize> {
        match self {
            Self::Heading { range, .. } => range.clone(),
            Self::List(list) => list.range.clone(),
            Self::Code(code) => code.range.clone(),
            Self::Text(range) | Self::Other(range) => range.clone(),
        }
    }
}

/// The blocks of `text`, whose places are `text`'s.
pub(super) fn read(text: &str) -> Vec<Block> {
    // A byte order mark would hide a heading on the first line; blanks of the same length do not.
    let blanked;
    let outline = match text.strip_prefix('\u{feff}') {
        Some(rest) => {
            blanked = format!("   {rest}");
            blanked.as_str()
        }
        None => text,
    };
    let options = Options::ENABLE_YAML_STYLE_METADATA_BLOCKS | Options::ENABLE_TABLES;
    let events = Parser::new_ext(outline, options).into_offset_iter();
    Reader { text, events: events.peekable() }.blocks(0)
}

struct Reader<'a, I: Iterator<Item = (Event<'a>, Range<usize>)>> {
    text: &'a str,
    events: Peekable<I>,
}

impl<'a, I: Iterator<Item = (Event<'a>, Range<usize>)>> Reader<'a, I> {
    /// The blocks up to the end of what is open.
    fn blocks(&mut self, depth: usize) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        // Items of a tight list hold their text without a paragraph around it.
        let mut bare: Option<Range<usize>> = None;
        while let Some((event, range)) = self.events.next() {
            let block = match event {
                Event::End(_) => break,
                Event::Start(tag) if is_inline(&tag) => {
                    self.skip();
                    None
                }
                Event::Start(Tag::Heading { level, .. }) => {
                    self.skip();
                    let title = heading_title(self.text, range.clone());
                    Some(Block::Heading {
                        level: level_number(level),
                        title,
                        range: trimmed(self.text, range.clone()),
                    })
                }
                Event::Start(Tag::List(_)) if depth < MAX_LIST_DEPTH => {
                    Some(Block::List(self.list(range.clone(), depth + 1)))
                }
                Event::Start(Tag::CodeBlock(kind)) => Some(Block::Code(self.code(&kind, &range))),
                Event::Start(Tag::Paragraph) => {
                    self.skip();
                    Some(Block::Text(trimmed(self.text, range.clone())))
                }
                Event::Start(_) => {
                    self.skip();
                    Some(Block::Other(trimmed(self.text, range.clone())))
                }
                Event::Rule => Some(Block::Other(range.clone())),
                _ => None,
            };
            match block {
                Some(block) => {
                    blocks.extend(bare.take().map(|range| Block::Text(trimmed(self.text, range))));
                    blocks.push(block);
                }
                None => {
                    bare = Some(match bare.take() {
                        Some(before) => before.start..range.end.max(before.end),
                        None => range,
                    });
                }
            }
        }
        blocks.extend(bare.map(|range| Block::Text(trimmed(self.text, range))));
        blocks
    }

    fn list(&mut self, range: Range<usize>, depth: usize) -> List {
        let mut items = Vec::new();
        while let Some((event, item)) = self.events.next() {
            match event {
                Event::Start(Tag::Item) => {
                    let mut children = self.blocks(depth);
                    let start = content_start(self.text, &item);
                    let head = match children.first() {
                        // The parser leaves out a backslash that stands first.
                        Some(Block::Text(text)) if start <= text.start => {
                            let head = start..text.end;
                            children.remove(0);
                            head
                        }
                        _ => start..start,
                    };
                    items.push(Item { head, children });
                }
                Event::Start(_) => self.skip(),
                _ => break,
            }
        }
        List { range: trimmed(self.text, range), items }
    }

    fn code(&mut self, kind: &CodeBlockKind<'_>, range: &Range<usize>) -> Code {
        let mut text = String::new();
        for (event, _) in self.events.by_ref() {
            match event {
                Event::Text(part) => text.push_str(&part),
                Event::End(_) => break,
                _ => {}
            }
        }
        Code {
            range: trimmed(self.text, range.clone()),
            info: match kind {
                CodeBlockKind::Fenced(info) => Some(info.to_string()),
                CodeBlockKind::Indented => None,
            },
            text: text.replace("\r\n", "\n"),
        }
    }

    /// Passes over the rest of what was just opened.
    fn skip(&mut self) {
        let mut open = 1_usize;
        for (event, _) in self.events.by_ref() {
            match event {
                Event::Start(_) => open += 1,
                Event::End(_) => open -= 1,
                _ => {}
            }
            if open == 0 {
                break;
            }
        }
    }
}

const fn is_inline(tag: &Tag<'_>) -> bool {
    matches!(
        tag,
        Tag::Emphasis
            | Tag::Strong
            | Tag::Strikethrough
            | Tag::Superscript
            | Tag::Subscript
            | Tag::Link { .. }
            | Tag::Image { .. }
    )
}

const fn level_number(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// The text of a heading without its marks: `## Text ##`, or text above a line of `=` or `-`.
fn heading_title(text: &str, range: Range<usize>) -> Range<usize> {
    let range = trimmed(text, range);
    let raw = slice(text, &range);
    if raw.starts_with('#') {
        let opened = raw.trim_start_matches('#');
        let start = range.start + (raw.len() - opened.len());
        let closed = opened.trim_end_matches('#');
        let end =
            if closed.is_empty() || closed.ends_with([' ', '\t']) { start + closed.len() } else { range.end };
        return trimmed(text, start..end);
    }
    let last_line = raw.trim_end().rfind('\n').unwrap_or(raw.len());
    trimmed(text, range.start..range.start + last_line)
}

/// Where an item's content begins: behind its bullet or number.
fn content_start(text: &str, item: &Range<usize>) -> usize {
    let item = trimmed(text, item.clone());
    let raw = slice(text, &item);
    let marker = match raw.strip_prefix(['-', '*', '+']) {
        Some(rest) => raw.len() - rest.len(),
        None => {
            let digits = raw.trim_start_matches(|c: char| c.is_ascii_digit());
            let rest = digits.strip_prefix(['.', ')']).unwrap_or(raw);
            raw.len() - rest.len()
        }
    };
    trimmed(text, item.start + marker..item.end).start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_first_lines_as_written() {
        let text =
            "- [ ] \\*a* `b` -- \"c\" {#x}\n  more\n\n  ```sh\n  echo 1\n\n  echo 2\n  ```\n- [ ] d\n1. e\n";
        let blocks = read(text);
        let [Block::List(list), Block::List(numbered)] = blocks.as_slice() else {
            panic!("{blocks:?}");
        };
        let first = &list.items[0];
        assert_eq!(slice(text, &first.head), "[ ] \\*a* `b` -- \"c\" {#x}\n  more");
        let Block::Code(code) = &first.children[0] else {
            panic!("{first:?}");
        };
        assert_eq!(code.info.as_deref(), Some("sh"));
        assert_eq!(code.text, "echo 1\n\necho 2\n");
        assert_eq!(slice(text, &list.items[1].head), "[ ] d");
        assert_eq!(slice(text, &numbered.items[0].head), "e");
    }

    #[test]
    fn headings_of_both_kinds_give_their_text() {
        let text = "\u{feff}# One #\n\nTwo\n---\n\n### c#\n\n##\n";
        let titles: Vec<(u8, &str)> = read(text)
            .iter()
            .filter_map(|block| match block {
                Block::Heading { level, title, .. } => Some((*level, slice(text, title))),
                _ => None,
            })
            .collect();
        assert_eq!(titles, [(1, "One"), (2, "Two"), (3, "c#"), (2, "")]);
    }

    #[test]
    fn deep_nesting_is_read_in_time() {
        for unit in ["- ", "> ", "[", "*a ", "`", "1. ", "![", "<", "&", "\\"] {
            let _ = read(&unit.repeat(100_000 / unit.len()));
            let _ = read(&format!("{}x\n", unit.repeat(20)).repeat(1_000));
        }
    }
}
