//! What a terminal does by itself while a view is drawn on it.

use std::io::{self, IsTerminal};
use std::sync::Mutex;

use nix::sys::termios::{LocalFlags, SetArg, Termios, tcgetattr, tcsetattr};

/// How the terminal was, while it is otherwise. Leaving at once has to know it too.
static BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// While this lives, Ctrl-C leaves no `^C` on the terminal: it would move the view by a line.
#[derive(Debug)]
pub(crate) struct NoEcho;

impl NoEcho {
    /// `None` when there is no terminal to change.
    pub(crate) fn begin() -> Option<Self> {
        let terminal = io::stderr();
        if !terminal.is_terminal() {
            return None;
        }
        let before = tcgetattr(&terminal).ok()?;
        let mut without = before.clone();
        without.local_flags.remove(LocalFlags::ECHOCTL);
        tcsetattr(&terminal, SetArg::TCSANOW, &without).ok()?;
        *BEFORE.lock().ok()? = Some(before);
        Some(Self)
    }
}

impl Drop for NoEcho {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal as it was.
pub(crate) fn restore() {
    if let Some(before) = BEFORE.lock().ok().and_then(|mut before| before.take()) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(io::stderr(), SetArg::TCSANOW, &before);
    }
}
