//! What we and the guards say to each other, over a socket that is a guard's standard input.
//!
//! To a guard: the length of the plan, which carries the program's standard input if it has one; the
//! plan, as JSON; then a byte for each request. The end of the stream ends everything. From a guard: one
//! outcome, as JSON, when nothing is left below it.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};

use crate::confine::{Confine, Enforcement};
use crate::program::Limits;

/// Asks the program and all below it to end (`SIGTERM`).
pub(crate) const TERMINATE: u8 = b't';

/// The longest plan, in bytes.
const MAX_MESSAGE: u32 = 8 * 1024 * 1024;

/// What a guard is to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The program and its arguments.
    pub(crate) words: Vec<OsString>,
    /// Start the program, rather than another guard.
    pub(crate) inner: bool,
    pub(crate) limits: Limits,
    pub(crate) confine: Option<Confine>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) ending: Ending,
    pub(crate) confined: Option<Enforcement>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ending {
    Exited(i32),
    Signalled(i32),
    /// Ended by the guard: we wanted it, or were gone.
    Ordered,
    /// Ended by the guard: more processes than this.
    TooMany(usize),
    /// It could not be started: the error's number if there is one, and its text.
    NotStarted {
        number: Option<i32>,
        message: String,
    },
}

/// Sends a plan, and what stands as the program's standard input.
///
/// Blocks when the plan is longer than the socket's buffer and nobody reads it.
pub(crate) fn send(socket: &UnixStream, input: Option<BorrowedFd<'_>>, plan: &Plan) -> io::Result<()> {
    let plan = serde_json::to_vec(plan)?;
    let length = u32::try_from(plan.len()).map_err(io::Error::other)?.to_be_bytes();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let descriptors: Vec<BorrowedFd<'_>> = input.into_iter().collect();
    if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    // Four bytes into an empty buffer go whole.
    sendmsg(socket, &[IoSlice::new(&length)], &mut ancillary, SendFlags::NOSIGNAL)?;
    let mut socket = socket;
    socket.write_all(&plan)
}

/// Receives what [`send`] sent.
pub(crate) fn receive(mut socket: &UnixStream) -> io::Result<(Option<OwnedFd>, Plan)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut length = [0; 4];
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut length)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut input = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut descriptors) = message {
            input = descriptors.next();
        }
    }
    socket.read_exact(length.get_mut(got.bytes..).unwrap_or_default())?;
    let length = u32::from_be_bytes(length);
    if length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut plan = Vec::new();
    socket.take(u64::from(length)).read_to_end(&mut plan)?;
    Ok((input, serde_json::from_slice(&plan)?))
}

/// The outcome, from what stood on the socket until its end.
pub(crate) fn outcome(bytes: &[u8]) -> Option<Outcome> {
    serde_json::from_slice(bytes).ok()
}
