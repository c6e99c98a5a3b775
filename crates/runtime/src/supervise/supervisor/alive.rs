//! One life, as its supervisor sees it.

use tokio::sync::watch;

use super::super::tend::Press;
use super::silence::Silence;

/// A life, as its supervisor sees it.
pub(super) struct Alive {
    pub(super) generation: u64,
    pub(super) press: watch::Sender<Press>,
    /// Its spawner says that it began.
    pub(super) begun: bool,
    /// Its own word that it began was heard: what is heard of its name from then on is of it.
    pub(super) entered: bool,
    /// Since when it is not heard.
    pub(super) silence: Option<Silence>,
    /// Why it was ended without asking.
    pub(super) killed: Option<String>,
}

impl Alive {
    pub(super) const fn new(generation: u64, press: watch::Sender<Press>) -> Self {
        Self { generation, press, begun: false, entered: false, silence: None, killed: None }
    }

    /// Asks it for something, unless it was asked for more.
    pub(super) fn press(&self, asked: Press) {
        self.press.send_if_modified(|press| {
            let harder = *press < asked;
            *press = asked.max(*press);
            harder
        });
    }
}
