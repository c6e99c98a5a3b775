//! Reads the events of a run as they come, and shows them.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use downbeat_core::cache::{Cache, CacheError, Page, Read, Topic, events_stream};
use downbeat_core::event::Event;
use downbeat_core::time::{Clock, Timestamp};
use downbeat_runtime::load::Project;
use downbeat_runtime::patient::Outage;
use downbeat_runtime::report::all_tasks;
use downbeat_runtime::supervise;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::board::{Board, How, News};
use super::{frame, lines};
use crate::output::Out;
use crate::output::terminal::NoEcho;

/// How many events are read at once.
const PAGE: usize = 1_000;
/// How long one wait for news lasts; another follows.
const WAIT: Duration = Duration::from_secs(60);
/// Between two pictures of the spinner. News is shown at once.
const TURN: Duration = Duration::from_millis(120);

type News_ = Pin<Box<dyn Future<Output = Result<u64, CacheError>> + Send>>;

/// Waits for events behind the number `after`.
pub(crate) fn news(cache: &Arc<dyn Cache>, after: u64) -> News_ {
    let cache = Arc::clone(cache);
    Box::pin(async move { cache.changed(&Topic::Stream(events_stream()), after, WAIT).await })
}

/// The number of the newest event.
pub(crate) async fn newest(cache: &dyn Cache) -> Result<u64, CacheError> {
    cache.changed(&Topic::Stream(events_stream()), u64::MAX, Duration::ZERO).await
}

/// A page of events behind the number `after`.
pub(crate) async fn page(cache: &dyn Cache, after: u64) -> Result<Page, CacheError> {
    cache.read(&Read { stream: events_stream(), after, limit: PAGE }).await
}

/// Whether a page is the last one there is now.
pub(crate) fn is_last(page: &[Event]) -> bool {
    page.len() < PAGE
}

/// A run, shown while it runs.
pub(crate) struct Live {
    cache: Arc<dyn Cache>,
    clock: Arc<dyn Clock>,
    out: Out,
    board: Board,
    view: Option<ProgressBar>,
    /// Restores the terminal when the view ends.
    _echo: Option<NoEcho>,
    running: Arc<AtomicUsize>,
    outage: Arc<Outage>,
    fleet: Option<watch::Receiver<supervise::Board>>,
    began: Timestamp,
    turn: usize,
    seen: u64,
}

impl Live {
    /// Knows what the store says now; shows what happens from now on.
    ///
    /// # Errors
    ///
    /// What the cache says.
    pub(crate) async fn new(
        cache: &Arc<dyn Cache>,
        clock: &Arc<dyn Clock>,
        out: &Out,
        project: &Project,
        running: &Arc<AtomicUsize>,
        outage: Arc<Outage>,
    ) -> Result<Self, CacheError> {
        let seen = newest(cache.as_ref()).await?;
        let mut board = Board::default();
        for agent in &project.agents {
            board.expect(&agent.spec.name.value);
        }
        for goal in &project.goals {
            if cache.goal(&goal.id).await?.is_some() {
                board.know(&all_tasks(cache.as_ref(), &goal.id).await?);
            }
        }
        let view = out.can_redraw().then(|| {
            let view = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(30));
            // The template has no fault: it is one key.
            let style =
                ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner());
            view.set_style(style);
            view
        });
        out.draw_below(view.clone());
        let echo = view.as_ref().and_then(|_| NoEcho::begin());
        Ok(Self {
            cache: Arc::clone(cache),
            clock: Arc::clone(clock),
            out: out.clone(),
            board,
            view,
            _echo: echo,
            running: Arc::clone(running),
            outage,
            fleet: None,
            began: clock.now(),
            turn: 0,
            seen,
        })
    }

    /// With where the lives of its agents stand.
    pub(crate) fn of_fleet(mut self, fleet: watch::Receiver<supervise::Board>) -> Self {
        self.fleet = Some(fleet);
        self
    }

    /// Shows what happens until `ended`, and then all that happened before it.
    pub(crate) async fn follow(mut self, ended: CancellationToken) {
        let mut turns = tokio::time::interval(TURN);
        turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
        if let Err(error) = self.until(&ended, &mut turns).await {
            tracing::warn!(target: "downbeat", "the view ends: {error}");
        }
        self.out.draw_below(None);
        if let Some(view) = &self.view {
            view.finish_and_clear();
        }
    }

    async fn until(&mut self, ended: &CancellationToken, turns: &mut Interval) -> Result<(), CacheError> {
        let mut news = news(&self.cache, self.seen);
        loop {
            tokio::select! {
                changed = &mut news => {
                    changed?;
                    self.read_on().await?;
                    self.draw();
                    news = self::news(&self.cache, self.seen);
                }
                // Only the clock and the spinner: what happened is told by the events.
                _ = turns.tick(), if self.view.is_some() => {
                    self.turn = self.turn.wrapping_add(1);
                    self.draw();
                }
                () = ended.cancelled() => return self.read_on().await,
            }
        }
    }

    async fn read_on(&mut self) -> Result<(), CacheError> {
        loop {
            let events = page(self.cache.as_ref(), self.seen).await?;
            for event in &events {
                self.seen = event.seq;
                if let Some(news) = self.board.apply(event) {
                    self.tell(event, &news).await?;
                }
            }
            self.running.store(self.board.running(), Ordering::Relaxed);
            if is_last(&events) {
                return Ok(());
            }
        }
    }

    async fn tell(&mut self, event: &Event, news: &News) -> Result<(), CacheError> {
        if let (News::Planned, Some(goal)) = (news, &event.what.goal) {
            let tasks = all_tasks(self.cache.as_ref(), goal).await?;
            self.board.know(&tasks);
            return Ok(());
        }
        if self.out.is_json() || self.out.is_quiet() {
            return Ok(());
        }
        let artifacts = match news {
            News::Ended { task, how: How::Done, .. } => {
                let expects = self
                    .board
                    .node(task)
                    .is_some_and(|node| node.run.is_none() || !node.expected_artifacts.is_empty());
                if expects {
                    self.cache.task(task).await?.map(|detail| detail.task.state.artifacts)
                } else {
                    None
                }
            }
            _ => None,
        };
        let line = lines::line(&self.board, news, &artifacts.unwrap_or_default(), self.out.width());
        if let Some(line) = line {
            // A run does not end because nobody reads its output.
            let _ = self.out.line(line);
        }
        Ok(())
    }

    fn draw(&mut self) {
        self.board.unreachable = self.outage.since();
        if let Some(fleet) = &mut self.fleet
            && fleet.has_changed().unwrap_or(false)
        {
            self.board.supervised(&fleet.borrow_and_update());
        }
        if let Some(view) = &self.view {
            let frame = frame::frame(&self.board, self.clock.now(), self.began, self.turn, self.out.screen());
            view.set_message(self.out.frame(frame));
            view.tick();
        }
    }
}
