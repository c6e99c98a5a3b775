//! What an agent remembers from task to task: bounded, kept after each task and while one is worked on, and
//! given back after a crash with a note of what it was at.
//!
//! A flush is counted beside the memory ([`Standing::flushes`](crate::steering::Standing)), and a snapshot
//! says how many it knew of. So a snapshot that was written while somebody flushed is recognised as older
//! and never comes back, whichever of the two reached the store first.

mod keep;

use std::collections::{BTreeMap, VecDeque};

use downbeat_core::ids::TaskId;
use downbeat_core::text::clip;
use serde::{Deserialize, Serialize};

/// How many lines an agent remembers.
pub const MAX_LINES: usize = 50;

/// The longest line, in bytes.
pub const MAX_LINE: usize = 2 * 1024;

/// How much an agent remembers in all, in bytes.
pub const MAX_BYTES: usize = 32 * 1024;

/// The longest note on a task that is worked on, in bytes.
const MAX_NOTE: usize = 1_024;

/// What an agent remembers, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// How many flushes it knows of.
    pub flushes: u64,
    /// Oldest first.
    pub lines: VecDeque<String>,
    /// What it works on, by task.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub at_work: BTreeMap<TaskId, AtWork>,
}

/// A task that is worked on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtWork {
    /// Which attempt, from 1.
    pub attempt: u32,
    /// How far it is, as it said last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Memory {
    /// What a snapshot says, for a new life of the agent, when so many flushes were ever ordered.
    ///
    /// What the last life was at becomes a line. A snapshot from before the newest flush says nothing, nor
    /// does one that cannot be read.
    #[must_use]
    pub fn restored(snapshot: &str, flushes: u64) -> Self {
        let mut memory = Self { flushes, ..Self::default() };
        let read = serde_json::from_str::<Self>(snapshot);
        // Earlier versions kept the lines alone.
        let earlier = || Some(Self { lines: serde_json::from_str(snapshot).ok()?, ..Self::default() });
        let Some(kept) = read.ok().or_else(earlier) else { return memory };
        if kept.flushes < flushes {
            return memory;
        }
        for line in kept.lines {
            memory.add(&line);
        }
        for (task, at_work) in kept.at_work {
            let note = at_work.note.map(|note| format!(" It had said: {note}")).unwrap_or_default();
            memory.add(&format!(
                "Was cut off in attempt {} of {task}, which may be half done.{note}",
                at_work.attempt
            ));
        }
        memory
    }

    /// Adds a line, and lets go of the oldest that are too many.
    pub fn add(&mut self, line: &str) {
        self.lines.push_back(clip(line, MAX_LINE));
        let mut bytes: usize = self.lines.iter().map(String::len).sum();
        while self.lines.len() > MAX_LINES || bytes > MAX_BYTES {
            bytes -= self.lines.pop_front().map_or(0, |line| line.len());
        }
    }

    /// Says how far a task is. Says whether that is new.
    pub fn note(&mut self, task: &TaskId, attempt: u32, note: Option<&str>) -> bool {
        let note = note.map(|note| clip(note, MAX_NOTE));
        let now = AtWork { attempt, note };
        self.at_work.insert(task.clone(), now.clone()) != Some(now)
    }

    /// The task is worked on no more. Says whether it was.
    pub fn put_down(&mut self, task: &TaskId) -> bool {
        self.at_work.remove(task).is_some()
    }

    /// Forgets everything but what it is at, when more flushes were ordered than it knew of.
    pub fn flushed(&mut self, flushes: u64) -> bool {
        let news = flushes > self.flushes;
        if news {
            self.flushes = flushes;
            self.lines.clear();
        }
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: &str) -> TaskId {
        TaskId::new(id).unwrap()
    }

    #[test]
    fn it_is_bounded_in_lines_and_in_bytes() {
        let mut memory = Memory::default();
        for number in 0..200 {
            memory.add(&format!("line {number}"));
        }
        assert_eq!(memory.lines.len(), MAX_LINES);
        assert_eq!(memory.lines.back().unwrap(), "line 199");
        for number in 0..200 {
            memory.add(&format!("{number} {}", "x".repeat(10_000)));
        }
        let bytes: usize = memory.lines.iter().map(String::len).sum();
        assert!(bytes <= MAX_BYTES && bytes > MAX_BYTES / 2, "{bytes}");
        assert!(memory.lines.iter().all(|line| line.len() <= MAX_LINE));
        assert!(memory.lines.back().unwrap().starts_with("199 "));
    }

    #[test]
    fn what_it_was_at_comes_back_as_a_line() {
        let mut memory = Memory::default();
        memory.add("Completed a: fine");
        assert!(memory.note(&task("b"), 2, Some("half way")));
        assert!(!memory.note(&task("b"), 2, Some("half way")));
        assert!(memory.note(&task("c"), 1, None) && memory.put_down(&task("c")));
        let snapshot = serde_json::to_string(&memory).unwrap();

        let restored = Memory::restored(&snapshot, 0);
        assert_eq!(
            restored.lines,
            [
                "Completed a: fine",
                "Was cut off in attempt 2 of b, which may be half done. It had said: half way"
            ]
        );
        assert!(restored.at_work.is_empty());
    }

    #[test]
    fn what_was_flushed_never_comes_back() {
        let mut memory = Memory::default();
        memory.add("old");
        let stale = serde_json::to_string(&memory).unwrap();
        assert!(memory.flushed(1) && !memory.flushed(1));
        memory.add("new");
        let fresh = serde_json::to_string(&memory).unwrap();

        assert_eq!(Memory::restored(&stale, 1), Memory { flushes: 1, ..Memory::default() });
        assert_eq!(Memory::restored(&fresh, 1).lines, ["new"]);
        assert_eq!(Memory::restored(r#"["from an earlier version"]"#, 0).lines, ["from an earlier version"]);
        assert_eq!(Memory::restored("{}", 0), Memory::default());
    }
}
