//! What a program writes: heard as it comes, its end kept in memory, its beginning in a file.

use std::collections::VecDeque;
use std::io;
use std::ops::ControlFlow;

use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;

use crate::program::Program;

/// How much of an output's end is kept for people and models, in bytes.
pub const TAIL: usize = 16 * 1024;

/// Which of the two outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; both, when they are merged.
    Out,
    /// Standard error.
    Err,
}

/// Hears a program's output as it comes.
pub trait Sink: Send {
    /// Takes a piece of at most 64 KiB, torn anywhere. `Break` ends the program: who listens has had
    /// enough.
    fn piece(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()>;
}

impl<F: FnMut(Stream, &[u8]) -> ControlFlow<()> + Send> Sink for F {
    fn piece(&mut self, stream: Stream, bytes: &[u8]) -> ControlFlow<()> {
        self(stream, bytes)
    }
}

/// The reading ends of the outputs, and what was read.
pub(crate) struct Output {
    out: Option<pipe::Receiver>,
    err: Option<pipe::Receiver>,
    log: Option<tokio::fs::File>,
    tail: VecDeque<u8>,
    written: u64,
    kept: u64,
    limit: u64,
    buffer: Vec<u8>,
}

impl Output {
    /// Opens the log, so that nothing starts whose output cannot be kept.
    pub(crate) async fn open(program: &Program) -> io::Result<Self> {
        let log = match &program.log {
            Some(path) => {
                if let Some(parent) = path.parent() {
                    tokio::fs::create_dir_all(parent).await?;
                }
                Some(tokio::fs::OpenOptions::new().create(true).append(true).open(path).await?)
            }
            None => None,
        };
        Ok(Self {
            out: None,
            err: None,
            log,
            tail: VecDeque::new(),
            written: 0,
            kept: 0,
            limit: program.max_log,
            buffer: vec![0; 64 * 1024],
        })
    }

    pub(crate) fn listen_to(&mut self, out: Option<pipe::Receiver>, err: Option<pipe::Receiver>) {
        self.out = out;
        self.err = err;
    }

    /// Copies what arrives until `end` does; `None` when the sink had enough.
    pub(crate) async fn copy_until<T>(
        &mut self,
        sink: &mut dyn Sink,
        end: impl Future<Output = io::Result<T>>,
    ) -> io::Result<Option<T>> {
        tokio::pin!(end);
        loop {
            // Only the waiting is raced, so that nothing that was read can be lost.
            let stream = tokio::select! {
                biased;
                result = &mut end => return result.map(Some),
                stream = self.ready() => match stream? {
                    Some(stream) => stream,
                    None => return end.await.map(Some),
                },
            };
            if self.copy_some(stream, sink).await?.is_break() {
                return Ok(None);
            }
        }
    }

    /// Copies what is left, to the end of both.
    pub(crate) async fn drain(&mut self, sink: &mut dyn Sink) -> io::Result<()> {
        while let Some(stream) = self.ready().await? {
            // What it says no longer ends anything.
            let _ = self.copy_some(stream, sink).await?;
        }
        Ok(())
    }

    /// Which output can be read or is at its end; none when both are closed.
    async fn ready(&self) -> io::Result<Option<Stream>> {
        let wait = async |pipe: &Option<pipe::Receiver>| match pipe {
            Some(pipe) => pipe.readable().await,
            None => std::future::pending().await,
        };
        if self.out.is_none() && self.err.is_none() {
            return Ok(None);
        }
        tokio::select! {
            ready = wait(&self.out) => ready.map(|()| Some(Stream::Out)),
            ready = wait(&self.err) => ready.map(|()| Some(Stream::Err)),
        }
    }

    async fn copy_some(&mut self, stream: Stream, sink: &mut dyn Sink) -> io::Result<ControlFlow<()>> {
        let pipe = match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        };
        let Some(receiver) = pipe else { return Ok(ControlFlow::Continue(())) };
        let count = match receiver.try_read(&mut self.buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(ControlFlow::Continue(())),
            Err(error) => return Err(error),
        };
        let piece = self.buffer.get(..count).unwrap_or_default();
        if piece.is_empty() {
            *pipe = None;
            return Ok(ControlFlow::Continue(()));
        }
        self.written = self.written.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        let newest = piece.get(count.saturating_sub(TAIL)..).unwrap_or_default();
        self.tail.extend(newest);
        let excess = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..excess);
        let flow = sink.piece(stream, piece);
        if let Some(log) = &mut self.log {
            let room = usize::try_from(self.limit.saturating_sub(self.kept)).unwrap_or(usize::MAX);
            let kept = piece.get(..room.min(count)).unwrap_or_default();
            if !kept.is_empty() {
                log.write_all(kept).await?;
            }
            self.kept = self.kept.saturating_add(u64::try_from(kept.len()).unwrap_or(u64::MAX));
        }
        Ok(flow)
    }

    /// The end of the outputs as plain text, and how long they were.
    pub(crate) async fn finish(mut self) -> io::Result<(String, u64)> {
        if let Some(mut log) = self.log.take() {
            if self.written > self.kept {
                let left_out = self.written - self.kept;
                log.write_all(format!("\n[… {left_out} bytes left out]\n").as_bytes()).await?;
            }
            log.flush().await?;
        }
        let bytes: Vec<u8> = self.tail.into();
        Ok((plain_text(&bytes), self.written))
    }
}

/// Text that may go to terminals, stores and prompts: no escape sequences, no control characters but
/// ends of lines and tabs.
#[must_use]
pub fn plain_text(bytes: &[u8]) -> String {
    let mut text = without_escapes(&String::from_utf8_lossy(bytes));
    text.retain(|c| c == '\n' || c == '\t' || !c.is_control());
    text
}

/// Text without the escape sequences of terminals, whole: without their first character alone, the
/// colours of a tool would stand as `[31m` in every message.
fn without_escapes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            plain.push(letter);
            continue;
        }
        match letters.next_if(|next| matches!(next, ' '..='~')) {
            // CSI: parameters, then one final byte.
            Some('[') => {
                while letters.next_if(|next| matches!(next, ' '..='?')).is_some() {}
                letters.next_if(|next| matches!(next, '@'..='~'));
            }
            // OSC and its kin: up to BEL or ESC \, on one line.
            Some(']' | 'P' | '^' | '_' | 'X') => {
                while letters.next_if(|next| !matches!(next, '\u{7}' | '\u{1b}' | '\n')).is_some() {}
                letters.next_if_eq(&'\u{7}');
            }
            _ => {}
        }
    }
    plain
}

#[cfg(test)]
mod escapes {
    use super::without_escapes;

    #[test]
    fn escape_sequences_go_whole_and_text_stays() {
        for (written, plain) in [
            ("\u{1b}[1;31mred\u{1b}[0m and [31m", "red and [31m"),
            ("\u{1b}]0;title\u{7}text", "text"),
            ("\u{1b}]8;;http://x\u{1b}\\link\u{1b}]8;;\u{1b}\\", "link"),
            ("\u{1b}(Btext", "Btext"),
            ("end\u{1b}", "end"),
            ("\u{1b}]open\nnext", "\nnext"),
            ("\u{1b}äöü", "äöü"),
        ] {
            assert_eq!(without_escapes(written), plain, "{written:?}");
        }
    }
}
