//! The two bodies of an exchange, as hyper wants them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use super::relay::Relay;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};

/// The exchange ended without an end: the connection must break off, as the upstream's did.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the response broke off upstream")]
pub struct BrokenOff;

/// All bodies that are collected and not sent, together: what clients can make us hold.
pub(super) const HELD_BODIES_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// The part of them that one request has; given back when it is dropped.
pub struct Held {
    all: Arc<AtomicU64>,
    bytes: u64,
}

impl Held {
    pub(super) fn none(all: &Arc<AtomicU64>) -> Held {
        Held { all: Arc::clone(all), bytes: 0 }
    }

    /// Takes room for so many more bytes; `false` where there is none.
    pub(super) fn take(&mut self, bytes: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        let before = self.all.fetch_add(bytes, Ordering::Relaxed);
        before.saturating_add(bytes) <= HELD_BODIES_BYTES_MAX
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.all.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A request body on its way upstream.
pub enum RequestBody {
    /// Collected before: the same chunks, never joined.
    Collected {
        /// What is still to be sent.
        chunks: VecDeque<Bytes>,
        /// How many bytes that is.
        left: u64,
        /// Their room.
        held: Held,
    },
    /// Passed on as it comes, without a size limit.
    Streaming(Incoming),
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            RequestBody::Collected { chunks, left, .. } => {
                Poll::Ready(chunks.pop_front().map(|chunk| {
                    *left = left.saturating_sub(chunk.len() as u64);
                    Ok(Frame::data(chunk))
                }))
            }
            RequestBody::Streaming(incoming) => Pin::new(incoming).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            RequestBody::Collected { chunks, .. } => chunks.is_empty(),
            RequestBody::Streaming(incoming) => incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            RequestBody::Collected { left, .. } => SizeHint::with_exact(*left),
            RequestBody::Streaming(incoming) => incoming.size_hint(),
        }
    }
}

/// A response body on its way to the client.
pub enum ReplyBody {
    /// All there is, or nothing.
    Whole(Option<Bytes>),
    /// Frames as they come from upstream.
    Relay(Box<Relay>),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.get_mut() {
            ReplyBody::Whole(bytes) => Poll::Ready(bytes.take().map(|all| Ok(Frame::data(all)))),
            ReplyBody::Relay(relay) => relay.poll_next(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            ReplyBody::Relay(relay) => relay.owed() == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            ReplyBody::Relay(relay) => {
                relay.owed().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}
