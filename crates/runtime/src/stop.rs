//! How a run is asked to end.

use tokio_util::sync::CancellationToken;

/// Two requests to end, the second harder than the first.
///
/// Draining stops claiming and lets work finish. Stopping ends the work and gives its leases back.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    drain: CancellationToken,
    now: CancellationToken,
}

impl Stop {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that every request to this one reaches, and that asks nothing of this one.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { drain: self.drain.child_token(), now: self.now.child_token() }
    }

    /// Claim no more; let work finish.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// End the work, give the leases back.
    pub fn now(&self) {
        self.drain.cancel();
        self.now.cancel();
    }

    /// Whether nothing more may be claimed.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.drain.is_cancelled()
    }

    /// Whether work is to end.
    #[must_use]
    pub fn is_now(&self) -> bool {
        self.now.is_cancelled()
    }

    /// Until nothing more may be claimed.
    pub async fn draining(&self) {
        self.drain.cancelled().await;
    }

    /// Until work is to end.
    pub async fn stopping(&self) {
        self.now.cancelled().await;
    }

    /// A token for one piece of work, cancelled when all work is to end.
    #[must_use]
    pub fn for_work(&self) -> CancellationToken {
        self.now.child_token()
    }
}
