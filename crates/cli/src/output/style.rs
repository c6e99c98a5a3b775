//! Few colours, each with one meaning.

use std::fmt::Display;

use anstyle::{AnsiColor, Effects, Style};
use downbeat_core::cache::{Liveness, Phase};
use downbeat_core::goal::GoalStatus;
use downbeat_core::state::TaskStatus;

/// As it is.
pub(crate) const PLAIN: Style = Style::new();
/// What matters most in a line.
pub(crate) const STRONG: Style = Style::new().effects(Effects::BOLD);
/// What is there for whoever looks for it.
pub(crate) const FAINT: Style = Style::new().effects(Effects::DIMMED);
/// Went well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// Went wrong.
pub(crate) const BAD: Style = AnsiColor::Red.on_default();
/// Needs patience, or a look.
pub(crate) const CARE: Style = AnsiColor::Yellow.on_default();
/// At work.
pub(crate) const BUSY: Style = AnsiColor::Cyan.on_default();
/// Called off.
pub(crate) const GONE: Style = AnsiColor::Magenta.on_default();
/// `error:`.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
/// `warning:`.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().effects(Effects::BOLD);
/// `hint:`.
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().effects(Effects::BOLD);

/// Text in a style.
pub(crate) fn paint(style: Style, text: impl Display) -> String {
    if style == PLAIN { text.to_string() } else { format!("{style}{text}{style:#}") }
}

/// The mark and the colour of where a task stands.
pub(crate) const fn of_task(status: TaskStatus) -> (&'static str, Style) {
    match status {
        TaskStatus::Blocked => ("·", FAINT),
        TaskStatus::Ready => ("○", PLAIN),
        TaskStatus::Running => ("●", BUSY),
        TaskStatus::Done => ("✓", GOOD),
        TaskStatus::Failed => ("✗", BAD),
        TaskStatus::Cancelled => ("⊘", GONE),
    }
}

/// The mark and the colour of where a goal stands.
pub(crate) const fn of_goal(status: GoalStatus) -> (&'static str, Style) {
    match status {
        GoalStatus::Draft => ("·", FAINT),
        GoalStatus::Active => ("●", BUSY),
        GoalStatus::Complete => ("✓", GOOD),
        GoalStatus::Failed => ("✗", BAD),
        GoalStatus::Stalled => ("■", CARE),
        GoalStatus::Cancelled => ("⊘", GONE),
    }
}

/// The colour of what an agent does.
pub(crate) const fn of_phase(phase: Phase) -> Style {
    match phase {
        Phase::Assigned | Phase::Reasoning | Phase::Executing | Phase::Validating => BUSY,
        Phase::Quarantined => BAD,
        Phase::Created | Phase::Idle | Phase::Completed | Phase::Stopped => FAINT,
    }
}

/// The colour of whether an agent lives.
pub(crate) const fn of_liveness(liveness: Liveness) -> Style {
    match liveness {
        Liveness::Alive => GOOD,
        Liveness::Dead => FAINT,
        Liveness::Unknown => CARE,
    }
}
