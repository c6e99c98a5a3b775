//! What people and programs see. Nothing else in this crate writes to the terminal.

pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod terminal;
pub(crate) mod text;
pub(crate) mod time;
pub(crate) mod view;

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anstream::{AutoStream, ColorChoice};
use indicatif::ProgressBar;
use serde::Serialize;

use crate::diagnostics;
use crate::error::{CliError, Kind};
use crate::spawned::OwnLog;
use style::paint;

/// Where to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stream {
    Out,
    Err,
}

/// The two streams of the process, for people or for programs.
#[derive(Debug, Clone)]
pub(crate) struct Out {
    json: bool,
    quiet: bool,
    colour: ColorChoice,
    /// A view that is redrawn below everything that is printed.
    view: Arc<Mutex<Option<ProgressBar>>>,
    /// The file that the outputs go to, where that has to be kept short.
    log: Arc<OnceLock<OwnLog>>,
}

impl Out {
    /// `json`: one JSON document or one object a line on the standard output, and nothing else.
    pub(crate) fn new(json: bool, quiet: bool, colour: ColorChoice) -> Self {
        Self { json, quiet, colour, view: Arc::default(), log: Arc::default() }
    }

    /// Whether a program reads.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Whether only what went wrong is wanted.
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether there is a terminal to draw a changing view on.
    pub(crate) fn can_redraw(&self) -> bool {
        !self.json && !self.quiet && io::stderr().is_terminal()
    }

    /// The width of the standard output, if it is a terminal.
    pub(crate) fn width(&self) -> Option<usize> {
        let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
        Some(usize::from(width.0))
    }

    /// The size of the terminal that a view is drawn on: columns and rows.
    pub(crate) fn screen(&self) -> (usize, usize) {
        terminal_size::terminal_size_of(io::stderr())
            .map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)))
    }

    /// From now on, what is printed goes above `view`; nothing does with `None`.
    pub(crate) fn draw_below(&self, view: Option<ProgressBar>) {
        *self.view.lock().unwrap_or_else(PoisonError::into_inner) = view;
    }

    /// Prints a line for people on the standard output.
    ///
    /// # Errors
    ///
    /// [`Kind::Closed`]: nobody reads any more.
    pub(crate) fn line(&self, line: impl AsRef<str>) -> Result<(), CliError> {
        self.text(&format!("{}\n", line.as_ref()))
    }

    /// Prints text for people, which ends its last line itself.
    ///
    /// # Errors
    ///
    /// [`Kind::Closed`]: nobody reads any more.
    pub(crate) fn text(&self, text: &str) -> Result<(), CliError> {
        self.write(Stream::Out, text).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => CliError::new(Kind::Closed, "nobody reads the output"),
            _ => CliError::internal("cannot write to the standard output", &error),
        })
    }

    /// Prints a value for programs, readably.
    ///
    /// # Errors
    ///
    /// As [`text`](Self::text).
    pub(crate) fn value(&self, value: &impl Serialize) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value);
        let text = text.map_err(|error| CliError::internal("cannot write JSON", &error))?;
        self.text(&format!("{}\n", text::inert(text)))
    }

    /// A line for people beside the output: on the standard error, and not when it is to be quiet.
    pub(crate) fn note(&self, line: impl AsRef<str>) {
        if !self.quiet {
            self.log(&format!("{}\n", line.as_ref()));
        }
    }

    /// Something that is probably not intended.
    pub(crate) fn warning(&self, line: impl AsRef<str>) {
        let line = text::clean(line.as_ref());
        self.note(format!("{} {line}", paint(style::WARNING, "warning:")));
    }

    /// Text on the standard error. That nobody can read it is no reason to stop.
    pub(crate) fn log(&self, text: &str) {
        let _ = self.write(Stream::Err, text);
        if let Some(log) = self.log.get() {
            log.keep_within();
        }
    }

    /// Keeps the file that the outputs go to within its bounds from now on.
    pub(crate) fn bound(&self, log: OwnLog) {
        // The first one is the one.
        let _ = self.log.set(log);
    }

    /// What is probably wrong in files, shown at its places.
    pub(crate) fn reports(&self, reports: &[downbeat_core::diagnostic::Report]) {
        let (width, _) = self.screen();
        self.log(&diagnostics::render(reports, width));
    }

    /// Why the command did not do what it was asked.
    pub(crate) fn error(&self, error: &CliError) {
        if error.kind == Kind::Closed {
            return;
        }
        if self.json {
            self.log(&format!("{}\n", text::inert(error.to_json().to_string())));
            return;
        }
        if !error.reports.is_empty() {
            self.reports(&error.reports);
        }
        let mut said = format!("{} {}\n", paint(style::ERROR, "error:"), text::clean_block(&error.message));
        for hint in &error.hints {
            said.push_str(&format!("{} {}\n", paint(style::HINT, "hint:"), text::clean(hint)));
        }
        self.log(&said);
    }

    fn write(&self, stream: Stream, text: &str) -> io::Result<()> {
        let raw = || match stream {
            Stream::Out => {
                let mut stream = AutoStream::new(io::stdout(), self.choice(&io::stdout())).lock();
                stream.write_all(text.as_bytes()).and_then(|()| stream.flush())
            }
            Stream::Err => {
                let mut stream = AutoStream::new(io::stderr(), self.choice(&io::stderr())).lock();
                stream.write_all(text.as_bytes()).and_then(|()| stream.flush())
            }
        };
        // The lock is held while writing: lines of two tasks do not mix.
        let view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        match &*view {
            Some(view) => view.suspend(raw),
            None => raw(),
        }
    }

    fn choice(&self, stream: &impl anstream::stream::RawStream) -> ColorChoice {
        match self.colour {
            ColorChoice::Auto => AutoStream::choice(stream),
            choice => choice,
        }
    }

    /// A frame of a view as this terminal shows it: without colours where none are wanted.
    pub(crate) fn frame(&self, frame: String) -> String {
        match self.choice(&io::stderr()) {
            ColorChoice::Never => anstream::adapter::strip_str(&frame).to_string(),
            _ => frame,
        }
    }
}
