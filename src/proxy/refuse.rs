//! Our own answers, in the place of the API's.

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};

use super::body::ReplyBody;
use super::headers::EXCHANGE_HEADER;
use crate::anthropic::Refusal;

const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

/// Our own answer, in the API's error shape. `message` says more than the refusal's own.
pub(super) fn refuse(
    refusal: Refusal,
    exchange: Option<&str>,
    message: Option<&str>,
) -> Response<ReplyBody> {
    let body = message.map_or_else(|| refusal.body(), |message| refusal.body_saying(message));
    let mut response = Response::new(ReplyBody::Whole(Some(Bytes::from(body))));
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
