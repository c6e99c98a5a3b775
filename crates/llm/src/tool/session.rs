//! One run of a tool: a question in, lines out.

use std::io;
use std::ops::ControlFlow;

use downbeat_core::llm::LlmError;
use downbeat_process::lines::Lines;
use downbeat_process::{End, Input, Report, Sink, Stream};
use tokio_util::sync::CancellationToken;

use super::{Place, Tool, fault, prompt};
use crate::transport::Ask;

/// The longest line that is read whole, in bytes. An answer is one line.
const MAX_LINE: usize = 16 * 1024 * 1024;

/// The longest line of the tool's complaints, in bytes.
const MAX_COMPLAINT: usize = 64 * 1024;

/// More output than this ends a tool, in bytes.
const MAX_OUTPUT: u64 = 256 * 1024 * 1024;

/// How much of the complaints' end is kept, in lines.
const COMPLAINTS: usize = 20;

/// What hears a tool's lines.
pub(crate) trait Heard: Send {
    /// A line of its standard output, without secrets. `Break` ends the tool: the error is known, and
    /// waiting would not help.
    fn line(&mut self, line: &str) -> ControlFlow<LlmError>;

    /// A line of its standard error.
    fn complaint(&mut self, _line: &str) -> ControlFlow<LlmError> {
        ControlFlow::Continue(())
    }
}

/// How a run ended, when it did so by itself.
#[derive(Debug)]
pub(crate) struct Finished {
    /// How.
    pub(crate) report: Report,
    /// The last lines of its standard error.
    pub(crate) complaints: String,
}

impl Finished {
    /// Why there is no answer, when the tool's own words did not say it.
    pub(crate) fn fault(&self, tool: &Tool) -> LlmError {
        let said = tool.quote(&self.complaints);
        if let Some(error) = fault::read(tool, None, &self.complaints) {
            return error;
        }
        let how = self.report.failure().unwrap_or_else(|| "ended without an answer".to_owned());
        let reason = match said.as_str() {
            "" => format!("`{}` {how}", tool.name),
            said => format!("`{}` {how}: {said}", tool.name),
        };
        LlmError::Unavailable { reason, retry_after: None }
    }
}

/// Runs the tool once with `args`, the question on its standard input.
///
/// # Errors
///
/// It is not there, cannot be started, took too long, or `heard` ended it.
pub(crate) async fn converse(
    tool: &Tool,
    ask: &Ask,
    place: &Place,
    args: &[String],
    heard: &mut dyn Heard,
) -> Result<Finished, LlmError> {
    let mut program = tool.program(&tool.find()?, &place.directory).args(args).args(tool.arguments());
    program.input = Input::Bytes(prompt(ask).into_bytes());
    program.timeout = ask.timeout;
    if let Some(work) = &ask.work {
        program.env.extend(work.env.iter().map(|(name, value)| (name.into(), value.into())));
    }
    let mut ears = Ears {
        tool,
        ask,
        heard,
        output: Lines::new(MAX_LINE),
        errors: Lines::new(MAX_COMPLAINT),
        complaints: Vec::new(),
        total: 0,
        verdict: None,
    };
    // Cancelling is dropping this future.
    let ended = downbeat_process::run(&program, &CancellationToken::new(), &mut ears).await;
    ears.finish();
    if let Some(error) = ears.verdict.take() {
        return Err(error);
    }
    let complaints = std::mem::take(&mut ears.complaints);
    let report = ended.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
            let reason = format!("`{}` cannot be started: {error}", tool.name);
            LlmError::Unusable { reason }
        }
        _ => {
            let reason = format!("`{}` cannot be run: {error}", tool.name);
            LlmError::Unavailable { reason, retry_after: None }
        }
    })?;
    if let End::TimedOut(limit) = report.end {
        return Err(LlmError::TimedOut { limit });
    }
    Ok(Finished { report, complaints: complaints.join("\n") })
}

/// Cuts both outputs into lines and passes them on.
struct Ears<'a> {
    tool: &'a Tool,
    ask: &'a Ask,
    heard: &'a mut dyn Heard,
    output: Lines,
    errors: Lines,
    complaints: Vec<String>,
    total: u64,
    verdict: Option<LlmError>,
}

impl Ears<'_> {
    fn hear(&mut self, stream: Stream, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let text = self.tool.redactor.clean(&text);
        self.ask.observer.output(text.as_bytes());
        self.ask.observer.output(b"\n");
        let flow = match stream {
            Stream::Out => self.heard.line(&text),
            Stream::Err => {
                if !text.trim().is_empty() {
                    self.complaints.push(downbeat_process::plain_text(text.as_bytes()));
                }
                let excess = self.complaints.len().saturating_sub(COMPLAINTS);
                self.complaints.drain(..excess);
                self.heard.complaint(&text)
            }
        };
        if let ControlFlow::Break(error) = flow {
            self.verdict.get_or_insert(error);
        }
    }

    fn lines(&mut self, stream: Stream) -> &mut Lines {
        match stream {
            Stream::Out => &mut self.output,
            Stream::Err => &mut self.errors,
        }
    }

    fn finish(&mut self) {
        for stream in [Stream::Out, Stream::Err] {
            let mut last = None;
            self.lines(stream).finish(|line, _| last = Some(line.to_vec()));
            if let Some(line) = last {
                self.hear(stream, &line);
            }
        }
    }
}

/// Who is cut off may have begun a line: that is kept, too.
impl Drop for Ears<'_> {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Sink for Ears<'_> {
    fn piece(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        self.total = self.total.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        if self.total > MAX_OUTPUT && self.verdict.is_none() {
            let reason = format!("`{}` wrote more than {MAX_OUTPUT} bytes and was ended", self.tool.name);
            self.verdict = Some(LlmError::Unavailable { reason, retry_after: None });
        }
        let mut complete = Vec::new();
        self.lines(stream).push(bytes, |line, _| complete.push(line.to_vec()));
        for line in complete {
            self.hear(stream, &line);
        }
        if self.verdict.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
