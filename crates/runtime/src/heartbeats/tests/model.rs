//! Random edits, restarts and crashes, against what a person would expect of them.

use downbeat_core::cache::Directive;
use proptest::prelude::*;

use super::*;
use crate::steering::{self, Given};

/// The lines to choose from; the last two are levels.
const LINES: [&str; 7] =
    ["DROP-TASK a", "DROP-TASK b", "ELEVATE a 1", "REPARSE", "FLUSH-MEMORY", "PAUSE", "RESUME"];

#[derive(Debug, Clone)]
enum Edit {
    /// Lines at the end: each is an order.
    Append(Vec<usize>),
    /// A line somewhere: an order.
    Insert(usize, usize),
    /// A line is taken out: no order, and it may be given again later.
    TakeOut(usize),
    /// Lines change their places: no order.
    Reverse,
    /// Prose between all lines: no order.
    Prose,
    /// The whole file is emptied.
    Truncate,
    /// Somebody says it at the command line.
    Cli(bool),
    /// The reader ends; another one begins.
    Restart,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        4 => proptest::collection::vec(0..LINES.len(), 1..4).prop_map(Edit::Append),
        2 => (0..LINES.len(), 0..8_usize).prop_map(|(line, at)| Edit::Insert(line, at)),
        2 => (0..8_usize).prop_map(Edit::TakeOut),
        1 => Just(Edit::Reverse),
        1 => Just(Edit::Prose),
        1 => Just(Edit::Truncate),
        1 => any::<bool>().prop_map(Edit::Cli),
        2 => Just(Edit::Restart),
    ]
}

/// What a person expects: the edges that were ordered, and whether the agent is paused.
#[derive(Debug, Default)]
struct Expected {
    lines: Vec<usize>,
    edges: Vec<String>,
    paused: bool,
}

fn is_level(line: usize) -> bool {
    line >= 5
}

impl Expected {
    fn last_level(&self) -> Option<usize> {
        self.lines.iter().rev().copied().find(|line| is_level(*line))
    }

    fn edit(&mut self, edit: &Edit) {
        let before = self.last_level();
        let mut again = false;
        match edit {
            Edit::Append(lines) => {
                for line in lines {
                    self.lines.push(*line);
                    if is_level(*line) {
                        again = true;
                    } else {
                        self.edges.push(LINES[*line].to_owned());
                    }
                }
            }
            Edit::Insert(line, at) => {
                self.lines.insert((*at).min(self.lines.len()), *line);
                if is_level(*line) {
                    // As good as appended when it says what the last one says: nobody can tell which is new.
                    again = self.last_level() == Some(*line);
                } else {
                    self.edges.push(LINES[*line].to_owned());
                }
            }
            Edit::TakeOut(at) if *at < self.lines.len() => {
                self.lines.remove(*at);
            }
            Edit::Reverse => self.lines.reverse(),
            Edit::Truncate => self.lines.clear(),
            Edit::Cli(pause) => self.paused = *pause,
            Edit::TakeOut(_) | Edit::Prose | Edit::Restart => {}
        }
        let after = self.last_level();
        if let Some(level) = after
            && (again || after != before)
        {
            self.paused = level == 5;
        }
    }
}

async fn run(edits: Vec<Edit>) -> Result<(), TestCaseError> {
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("heartbeat")).unwrap();
    let path = root.path().join(NAME);
    let cache = memory();
    let mut reader = Reader::new(Arc::clone(&cache), steering(root.path()));
    let mut expected = Expected::default();
    let mut prose = false;
    for edit in &edits {
        expected.edit(edit);
        match edit {
            Edit::Prose => prose = !prose,
            Edit::Restart => reader = Reader::new(Arc::clone(&cache), steering(root.path())),
            Edit::Cli(pause) => {
                let agent = agent();
                let directive = if *pause { Directive::Pause { agent } } else { Directive::Resume { agent } };
                let request = crate::entropy::request_id();
                let given = Given { order: directive.into(), by: "cli".to_owned(), request };
                steering::give(cache.as_ref(), &given).await.unwrap();
            }
            _ => {}
        }
        let between = if prose { "\nand so it goes on\n" } else { "\n" };
        let text: String = expected.lines.iter().map(|line| format!("{}{between}", LINES[*line])).collect();
        std::fs::write(&path, text).unwrap();
        // Until all has followed; time is the runtime's, and passes by itself.
        while let Some(again) = reader.look().await.unwrap() {
            tokio::time::sleep_until(again).await;
        }
    }

    let mut got = lines(cache.as_ref()).await;
    let level = |line: &String| matches!(line.as_str(), "PAUSE" | "RESUME");
    let last = got.iter().rev().find(|line| level(line)).cloned();
    got.retain(|line| !level(line));
    // Within one edit the order is that of the file, which an insertion does not follow.
    let mut edges = expected.edges.clone();
    got.sort();
    edges.sort();
    prop_assert_eq!(got, edges, "{:?}", edits);
    prop_assert_eq!(last.as_deref() == Some("PAUSE"), expected.paused, "{:?}", edits);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_line_acts_once_and_the_last_level_holds(edits in proptest::collection::vec(edit(), 1..20)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
        runtime.block_on(run(edits))?;
    }
}
