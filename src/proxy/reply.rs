//! What goes back to the client: the head, once; our own answers; and whether it is still there.

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::oneshot;

use super::body::ReplyBody;
use super::headers::EXCHANGE_HEADER;
use crate::anthropic::Refusal;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// The way back to a client that may leave at any time.
pub(super) struct Reply(oneshot::Sender<Response<ReplyBody>>);

/// The client went away.
#[derive(Clone, Copy, Debug)]
pub(super) struct Departed;

impl Reply {
    pub(super) fn channel() -> (Reply, oneshot::Receiver<Response<ReplyBody>>) {
        let (sender, receiver) = oneshot::channel();
        (Reply(sender), receiver)
    }

    /// Sends the head, with a whole body or the channel of a streamed one.
    pub(super) fn send(self, response: Response<ReplyBody>) -> Result<(), Departed> {
        self.0.send(response).map_err(|_| Departed)
    }

    /// Waits until the client goes away.
    pub(super) async fn departed(&mut self) {
        self.0.closed().await;
    }
}

/// Our own answer, in the API's error shape.
pub(super) fn refuse(refusal: Refusal, exchange: Option<&str>) -> Response<ReplyBody> {
    let mut response = Response::new(ReplyBody::Whole(Some(Bytes::from(refusal.body()))));
    *response.status_mut() =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(retry) = refusal.should_retry() {
        let value = if retry { "true" } else { "false" };
        headers.insert(SHOULD_RETRY, HeaderValue::from_static(value));
    }
    if let Some(seconds) = refusal.retry_after_s() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if let Some(value) = exchange.and_then(|id| HeaderValue::from_str(id).ok()) {
        headers.insert(EXCHANGE_HEADER, value);
    }
    response
}
