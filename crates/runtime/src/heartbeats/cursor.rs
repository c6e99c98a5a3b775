//! How far a file was read: which of its lines acted already.
//!
//! A file is compared with what was consumed of it as a bag of lines: a line is new when the file has more
//! lines that say the same than were consumed. So an append is new, a line that moved is not, and a line
//! that is written a second time is an order of its own. What has left the file is forgotten once the file
//! has been at rest for a while, and acts again when it is written again.

use std::collections::BTreeMap;

use downbeat_core::heartbeat::HeartbeatDirective;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::file::{Line, Says, Seen};
use crate::steering::Order;

/// In how many places a file is remembered, such as copies on several machines.
const MAX_PLACES: usize = 8;

/// What was consumed of a file, wherever it stands, and what is to be done yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// Grows with each change of a place.
    pub(super) stamp: u64,
    pub(super) places: Vec<Place>,
    /// Decided and written down, not yet known to be done: done again by whoever finds it here, under the
    /// same request.
    #[serde(default)]
    pub(super) pending: Vec<Pending>,
}

/// What was consumed of the file in one place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Machine and path.
    pub(super) at: String,
    /// The cursor's stamp when it changed.
    pub(super) stamp: u64,
    /// How many lines that say the same were consumed, by a digest of what they say.
    pub(super) lines: BTreeMap<String, usize>,
    /// Which of PAUSE and RESUME was the last.
    pub(super) level: Option<Level>,
}

/// What the last of PAUSE and RESUME says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Pause,
    Resume,
}

/// Something to be done once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Pending {
    /// Names it for ever.
    pub(super) request: String,
    /// File and line.
    pub(super) by: String,
    /// The number of the newest event before it: its own is behind that.
    pub(super) after: u64,
    pub(super) what: Due,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Due {
    Order(Order),
    Warning(String),
}

/// For how long a file has been at rest, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rest {
    /// It has just changed: whole lines that are new count.
    None,
    /// Nobody is in the middle of a line any more: a last line without an end counts.
    Line,
    /// Nobody is in the middle of rewriting it any more: what has left the file counts.
    File,
}

/// What a look at the file comes to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// The lines that act, in the order of the file.
    pub(super) acts: Vec<Line>,
    /// The place as it is after them, if it changed.
    pub(super) place: Option<Place>,
    /// There is more to do at once.
    pub(super) more: bool,
    /// Another look is due when the file has rested for so long.
    pub(super) again: Option<Rest>,
}

impl Level {
    fn of(says: &Says) -> Option<Self> {
        match says {
            Says::Directive(HeartbeatDirective::Pause) => Some(Self::Pause),
            Says::Directive(HeartbeatDirective::Resume) => Some(Self::Resume),
            _ => None,
        }
    }
}

impl Cursor {
    /// What the file says anew in a place: at most `limit` lines of it in one step. Pure: nothing changes
    /// until the step is stored.
    pub(super) fn step(&self, at: &str, seen: &Seen, rest: Rest, limit: usize) -> Step {
        let tail = usize::from(seen.open && rest == Rest::None);
        let lines = seen.lines.get(..seen.lines.len() - tail).unwrap_or_default();
        let keys: Vec<String> = lines.iter().map(|line| digest(&line.says)).collect();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for key in &keys {
            *counts.entry(key.clone()).or_default() += 1;
        }
        let base = self.base(at, &counts);

        // Of lines that say the same the last ones are the new ones: that is where one appends.
        let mut known = base.lines.clone();
        let last_level = lines.iter().rposition(|line| Level::of(&line.says).is_some());
        let level = last_level.and_then(|index| lines.get(index)).and_then(|line| Level::of(&line.says));
        let mut place = Place { at: at.to_owned(), ..base.clone() };
        let mut step = Step::default();
        for (index, (line, key)) in lines.iter().zip(&keys).enumerate() {
            if let Some(left) = known.get_mut(key).filter(|left| **left > 0) {
                *left -= 1;
                continue;
            }
            if step.acts.len() >= limit {
                step.more = true;
                break;
            }
            *place.lines.entry(key.clone()).or_default() += 1;
            // Of several levels only the last one holds, so the others do nothing.
            if Level::of(&line.says).is_none() || Some(index) == last_level {
                step.acts.push(line.clone());
                if Some(index) == last_level {
                    place.level = level;
                }
            }
        }
        if !step.more {
            self.settle(&mut step, &mut place, lines, (level, last_level), &counts, rest);
            if tail > 0 {
                step.again = Some(Rest::Line);
            }
        }
        let same = |own: &Place| own.at == at && own.lines == place.lines && own.level == place.level;
        let nothing = self.places.is_empty() && place.lines.is_empty();
        if !nothing && !self.places.iter().any(same) {
            step.place = Some(place);
        }
        step
    }

    /// What follows from lines that have left the file.
    fn settle(
        &self,
        step: &mut Step,
        place: &mut Place,
        lines: &[Line],
        (level, last_level): (Option<Level>, Option<usize>),
        counts: &BTreeMap<String, usize>,
        rest: Rest,
    ) {
        if place.lines == *counts && place.level == level {
            return;
        }
        if rest < Rest::File {
            step.again = Some(Rest::File);
            return;
        }
        // Another level is the last one now, because what stood behind it is gone.
        if place.level != level
            && let Some(line) = last_level.and_then(|index| lines.get(index))
        {
            step.acts.push(line.clone());
        }
        place.level = level;
        place.lines.clone_from(counts);
    }

    /// What the file is compared with: what was consumed in this place, or in another one that was read
    /// since, whichever leaves less to do. So neither a file that several machines see nor one of several
    /// copies makes a line act twice.
    fn base(&self, at: &str, counts: &BTreeMap<String, usize>) -> Place {
        let own = self.places.iter().find(|place| place.at == at);
        let since = own.map_or(0, |own| own.stamp);
        let fresh = |place: &Place| -> usize {
            let known = |key: &String| place.lines.get(key).copied().unwrap_or_default();
            counts.iter().map(|(key, count)| count.saturating_sub(known(key))).sum()
        };
        let others = self.places.iter().filter(|place| place.at != at && place.stamp > since);
        own.into_iter().chain(others).min_by_key(|place| fresh(place)).cloned().unwrap_or_default()
    }

    /// The cursor after a step.
    pub(super) fn after(mut self, place: Option<Place>, pending: Vec<Pending>) -> Self {
        if let Some(mut place) = place {
            self.stamp += 1;
            place.stamp = self.stamp;
            self.places.retain(|other| other.at != place.at);
            self.places.push(place);
            let excess = self.places.len().saturating_sub(MAX_PLACES);
            self.places.drain(..excess);
        }
        self.pending = pending;
        self
    }
}

/// Tells apart what lines say; 16 hexadecimal digits.
fn digest(says: &Says) -> String {
    let mut hash = Sha256::new();
    match says {
        Says::Directive(directive) => hash.update(format!("d{directive}")),
        Says::Warning(warning) => hash.update(format!("w{warning}")),
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}
