//! The two bodies of an exchange, as hyper wants them.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::HeaderMap;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

/// Frames on their way to a client that has not taken them yet: backpressure reaches the upstream
/// after this many.
pub const FRAMES_AHEAD_MAX: usize = 2;

/// The exchange ended without an end: the connection must break off, as the upstream's did.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the response broke off upstream")]
pub struct BrokenOff;

/// One piece of a response body.
pub enum Piece {
    /// Bytes, exactly as they came.
    Data(Bytes),
    /// Trailers, exactly as they came.
    Trailers(Box<HeaderMap>),
}

/// A request body on its way upstream.
pub enum RequestBody {
    /// Collected before: the same chunks, never joined.
    Collected {
        /// What is still to be sent.
        chunks: VecDeque<Bytes>,
        /// How many bytes that is.
        left: u64,
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
            RequestBody::Collected { chunks, left } => {
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
    /// Pieces from the exchange task, with the bytes still to come where the length is known.
    Pieces(mpsc::Receiver<Result<Piece, BrokenOff>>, Option<u64>),
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
            ReplyBody::Pieces(pieces, left) => pieces.poll_recv(context).map(|piece| {
                piece.map(|piece| match piece? {
                    Piece::Data(bytes) => {
                        if let Some(left) = left {
                            *left = left.saturating_sub(bytes.len() as u64);
                        }
                        Ok(Frame::data(bytes))
                    }
                    Piece::Trailers(trailers) => Ok(Frame::trailers(*trailers)),
                })
            }),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Whole(bytes) => bytes.as_ref().is_none_or(Bytes::is_empty),
            ReplyBody::Pieces(_, left) => *left == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            ReplyBody::Pieces(_, Some(left)) => SizeHint::with_exact(*left),
            ReplyBody::Pieces(_, None) => SizeHint::default(),
        }
    }
}
