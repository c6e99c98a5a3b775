//! `downbeat events`: what happened.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use downbeat_core::cache::{Cache, Disposition, Page};
use downbeat_core::event::{Event, EventKind};
use downbeat_core::suggest::nearest;
use downbeat_runtime::nested::chain::Chains;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::args;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::live::follow::{is_last, news, page};
use crate::output::style::{BAD, BUSY, CARE, FAINT, GONE, GOOD, PLAIN, STRONG, paint};
use crate::output::text::{clean, cut, inert, width};
use crate::output::time;
use crate::store::{self, Lies};

/// Columns wider than this would push the rest off the screen.
const TASK: usize = 28;
const AGENT: usize = 18;

/// Shows events, and waits for more if that is wanted.
pub(crate) async fn events(args: &args::Events, context: &Context) -> Result<(), CliError> {
    doubt(&args.kind, context);
    let cache = context.open().await?;
    // Listened to from the beginning: Ctrl-C is how following ends, also while the past is printed.
    let interrupt = match args.follow {
        true => Some(
            signal(SignalKind::interrupt())
                .map_err(|error| CliError::internal("cannot listen to signals", &error))?,
        ),
        false => None,
    };
    let mut seen = args.since.unwrap_or_default();
    // From the end without --since: all are read, and the newest kept.
    let newest = args.since.is_none();
    let mut kept: VecDeque<Event> = VecDeque::new();
    let mut widths = Columns { chains: Chains::of(&cache.goals().await?), ..Columns::default() };
    'reading: loop {
        let events = page(cache.as_ref(), seen).await?;
        let last = is_last(&events);
        if events.trimmed > 0 {
            let (from, to) = (seen.saturating_add(1), events.first.saturating_sub(1));
            tracing::warn!(from, to, "these events are kept no more: the log has a bounded length");
        }
        for event in events {
            seen = event.seq;
            if !is_wanted(args, &event) {
                continue;
            }
            if let Some(limit) = args.limit
                && kept.len() >= limit
            {
                if !newest || limit == 0 {
                    break 'reading;
                }
                kept.pop_front();
            }
            kept.push_back(event);
        }
        if args.limit.is_none() {
            print(context, kept.drain(..), &mut widths)?;
        }
        if last {
            break;
        }
    }
    print(context, kept.drain(..), &mut widths)?;
    match interrupt {
        Some(mut interrupt) => {
            let mut follower = Follower { args, context, interrupt: &mut interrupt, seen, widths };
            match &context.store {
                Lies::Here(path) => follower.beside(path, cache).await,
                Lies::Shared(_) | Lies::Remote(_) => follower.news(&cache, true).await.map(|_| ()),
            }
        }
        None => Ok(()),
    }
}

/// Between two looks whether somebody else used the store.
const LOOK: Duration = Duration::from_millis(200);

/// Shows what happens from now on, until Ctrl-C.
struct Follower<'a> {
    args: &'a args::Events,
    context: &'a Context,
    interrupt: &'a mut Signal,
    seen: u64,
    widths: Columns,
}

/// What later lines need to know of earlier ones.
#[derive(Debug, Default)]
struct Columns {
    /// How wide the column of tasks is.
    task: usize,
    /// And that of agents.
    agent: usize,
    /// Which goal is below which.
    chains: Chains,
}

/// Why following ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// By Ctrl-C.
    Interrupted,
    /// Whoever has the events is away.
    Away,
}

impl Follower<'_> {
    fn show(&mut self, events: Page) -> Result<(), CliError> {
        self.seen = events.last().map_or(self.seen, |event| event.seq);
        let args = self.args;
        print(self.context, events.into_iter().filter(|event| is_wanted(args, event)), &mut self.widths)
    }

    /// Follows an embedded store: through the process that holds it, while one does.
    ///
    /// One process holds the store at a time, and a follower that held it would keep everybody else from
    /// adding events. So while nobody answers for it, it looks at how often the store was opened, which needs no
    /// hold, and opens it only after somebody else did.
    async fn beside(&mut self, path: &Path, cache: Arc<dyn Cache>) -> Result<(), CliError> {
        let mut known = store::openings(path);
        let mut asked = self.context.has_joined().then_some(cache);
        loop {
            if let Some(cache) = asked.take() {
                if self.news(&cache, false).await? == Ended::Interrupted {
                    return Ok(());
                }
                // Its last words are in the store.
                known = 0;
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = self.interrupt.recv() => return Ok(()),
            };
            if store::openings(path) == known {
                continue;
            }
            let cache = match self.context.open().await {
                Ok(cache) => cache,
                Err(error) if error.kind == Kind::Busy => continue,
                Err(error) => return Err(error),
            };
            known = store::openings(path);
            loop {
                let events = match page(cache.as_ref(), self.seen).await {
                    Ok(events) => events,
                    // It ended just now.
                    Err(error) if error.disposition() == Disposition::Retry => break,
                    Err(error) => return Err(error.into()),
                };
                let last = is_last(&events);
                self.show(events)?;
                if last {
                    break;
                }
            }
            asked = self.context.has_joined().then_some(cache);
        }
    }

    /// Shows news as somebody else tells it. Who is away is waited for, if that is wanted.
    async fn news(&mut self, cache: &Arc<dyn Cache>, patient: bool) -> Result<Ended, CliError> {
        let mut silent = false;
        loop {
            let seen = self.seen;
            let heard = async {
                news(cache, seen).await?;
                page(cache.as_ref(), seen).await
            };
            let heard = tokio::select! {
                heard = heard => heard,
                _ = self.interrupt.recv() => return Ok(Ended::Interrupted),
            };
            match heard {
                Ok(events) => {
                    silent = false;
                    self.show(events)?;
                }
                Err(error) if error.disposition() == Disposition::Retry => {
                    if !patient {
                        return Ok(Ended::Away);
                    }
                    if !std::mem::replace(&mut silent, true) {
                        self.context.out.warning(format!("{error}; waiting for it"));
                    }
                    tokio::select! {
                        () = tokio::time::sleep(LOOK) => {}
                        _ = self.interrupt.recv() => return Ok(Ended::Interrupted),
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn is_wanted(args: &args::Events, event: &Event) -> bool {
    fn is<T: AsRef<str>>(wanted: Option<&str>, found: Option<&T>) -> bool {
        wanted.is_none_or(|wanted| found.is_some_and(|found| found.as_ref() == wanted))
    }
    let what = &event.what;
    is(args.goal.as_deref(), what.goal.as_ref())
        && is(args.task.as_deref(), what.task.as_ref())
        && is(args.agent.as_deref(), what.agent.as_ref())
        && (args.kind.is_empty() || args.kind.iter().any(|wanted| is_of(&what.kind, wanted)))
}

/// Whether a kind is the one that is wanted, or one of those that begin so.
fn is_of(kind: &EventKind, wanted: &str) -> bool {
    let wanted = wanted.trim_end_matches('*').trim_end_matches('.');
    kind.as_str().strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Tells of kinds that nothing of Downbeat's is of: a slip shows nothing, and looks like silence. Other programs
/// may write some of their own.
fn doubt(kinds: &[String], context: &Context) {
    let unknown = |wanted: &&String| !EventKind::ALL.iter().any(|kind| is_of(kind, wanted));
    for wanted in kinds.iter().filter(unknown) {
        let all = EventKind::ALL.iter().map(EventKind::as_str);
        let beginnings = all.clone().filter_map(|kind| kind.split_once('.')).map(|(first, _)| first);
        let near = nearest(wanted, all.chain(beginnings)).map(|near| format!("; is it `{near}`?"));
        let near = near.unwrap_or_default();
        context.out.warning(format!("no event of Downbeat is of kind `{}`{near}", cut(wanted, AGENT)));
    }
}

/// Prints a page at once. Columns grow with what they have to hold, and never shrink.
fn print(
    context: &Context,
    events: impl Iterator<Item = Event>,
    widths: &mut Columns,
) -> Result<(), CliError> {
    let events: Vec<Event> = events.collect();
    let mut text = String::new();
    if context.out.is_json() {
        for event in &events {
            widths.chains.hear(&event.what);
            let line = serde_json::to_value(event).map(|mut line| {
                let chain = widths.chains.goal_of(&event.what).map(|goal| widths.chains.to(&goal));
                if let (Some(members), Some(chain)) = (line.as_object_mut(), chain) {
                    members.insert("chain".to_owned(), serde_json::json!(chain));
                }
                line.to_string()
            });
            text.push_str(&inert(line.map_err(|error| CliError::internal("cannot write JSON", &error))?));
            text.push('\n');
        }
    } else {
        for event in &events {
            let (task, agent) = (subject(event), agent(event));
            widths.task = widths.task.max(width(&task)).min(TASK);
            widths.agent = widths.agent.max(width(&agent)).min(AGENT);
        }
        let most = context.out.width();
        for event in &events {
            line(event, widths, most, &mut text);
        }
    }
    if text.is_empty() { Ok(()) } else { context.out.text(&text) }
}

/// The task that an event is about, or else the goal.
fn subject(event: &Event) -> String {
    let what = &event.what;
    match (&what.task, &what.goal) {
        (Some(task), _) => task.to_string(),
        (None, Some(goal)) => goal.to_string(),
        (None, None) => String::new(),
    }
}

fn agent(event: &Event) -> String {
    event.what.agent.as_ref().map(ToString::to_string).unwrap_or_default()
}

fn line(event: &Event, widths: &Columns, most: Option<usize>, text: &mut String) {
    let kind = event.what.kind.as_str();
    let colour = match kind {
        "task.done" | "goal.complete" => GOOD,
        "task.failed" | "goal.failed" | "agent.error" | "agent.quarantined" | "directive.refused" => BAD,
        "task.retry" | "task.expired" | "goal.stalled" | "agent.silent" | "agent.paused" => CARE,
        "task.cancelled" | "goal.cancelled" => GONE,
        "task.claimed" | "task.progress" => BUSY,
        _ if kind.starts_with("agent") => FAINT,
        _ => PLAIN,
    };
    let phase = event.what.data.get("phase").and_then(serde_json::Value::as_str);
    let mut said = event.what.reason.as_deref().or(phase).map(clean).unwrap_or_default();
    if let Some(attempt) = event.what.attempt.filter(|attempt| *attempt > 1) {
        said = format!("(attempt {attempt}) {said}").trim_end().to_owned();
    }
    let before = 6 + 2 + 12 + 2 + 17 + 2 + widths.task + 2 + widths.agent + 2;
    if let Some(most) = most {
        said = cut(&said, most.saturating_sub(before).max(20));
    }
    let subject = cut(&subject(event), TASK);
    let agent = cut(&agent(event), AGENT);
    let cells = [
        (FAINT, format!("{:>6}", event.seq), 6),
        (FAINT, time::clock(event.at), 12),
        (colour, kind.to_owned(), 17),
        (STRONG, subject, widths.task),
        (FAINT, agent, widths.agent),
        (PLAIN, said, 0),
    ];
    // Blanks wait for what follows them, so that no line ends in any.
    let mut blanks = String::new();
    for (style, cell, least) in cells {
        if !cell.is_empty() {
            text.push_str(&std::mem::take(&mut blanks));
            text.push_str(&paint(style, &cell));
        }
        blanks.push_str(&" ".repeat(least.saturating_sub(width(&cell)) + 2));
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use downbeat_core::event::{EventDraft, EventKind};
    use downbeat_core::ids::GoalId;
    use downbeat_core::time::Timestamp;

    use super::*;

    fn wanted(kinds: &[&str], goal: Option<&str>) -> bool {
        let args = args::Events {
            goal: goal.map(str::to_owned),
            task: None,
            agent: None,
            kind: kinds.iter().map(|kind| (*kind).to_owned()).collect(),
            since: None,
            limit: None,
            follow: false,
        };
        let what = EventDraft::new(EventKind::GOAL_PLANNED).goal(&GoalId::new("demo").unwrap());
        is_wanted(&args, &Event { seq: 1, at: Timestamp::default(), what })
    }

    #[test]
    fn kinds_are_named_whole_or_by_their_beginning() {
        assert!(wanted(&[], None));
        assert!(wanted(&["goal.planned"], None) && wanted(&["goal"], None) && wanted(&["goal.*"], None));
        assert!(!wanted(&["goa"], None) && !wanted(&["task"], None));
        assert!(wanted(&["task", "goal"], Some("demo")));
        assert!(!wanted(&[], Some("other")));
    }
}
