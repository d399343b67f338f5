//! Posts to the sidecar's own HTTP, as the client of the hooks makes them.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Uri};

use crate::outbound::{Client, Route};

/// Of an answer no more is read: decisions are short, and `/metrics` is bounded by its labels.
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What came back.
pub(super) struct Answer {
    pub(super) status: u16,
    /// Where the event stands in the ledger.
    pub(super) sequence: Option<u64>,
    /// It was there before.
    pub(super) again: bool,
    pub(super) body: Bytes,
}

/// Why nothing came back. No address is in the words: it can come from the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PostError {
    #[error("the address is not one like http://127.0.0.1:8485/hooks")]
    Address,
    #[error(
        "no sidecar answers: start it with `weighbridge serve`, or see `weighbridge hooks check`"
    )]
    NoAnswer,
    #[error("it takes too long")]
    TooLate,
    #[error("the hook token is not one line of text")]
    Token,
}

/// Posts one event with the token.
pub(super) async fn post(
    url: &str,
    token: &str,
    event: Bytes,
    within: Duration,
) -> Result<Answer, PostError> {
    let mut bearer =
        HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| PostError::Token)?;
    bearer.set_sensitive(true);
    let json = HeaderValue::from_static("application/json");
    let headers = [(header::AUTHORIZATION, bearer), (header::CONTENT_TYPE, json)];
    send(Method::POST, url, &headers, event, within).await
}

/// Asks for a page.
pub(super) async fn get(url: &str, within: Duration) -> Result<Answer, PostError> {
    send(Method::GET, url, &[], Bytes::new(), within).await
}

async fn send(
    method: Method,
    url: &str,
    headers: &[(header::HeaderName, HeaderValue)],
    body: Bytes,
    within: Duration,
) -> Result<Answer, PostError> {
    let address: Uri = url.parse().map_err(|_| PostError::Address)?;
    if !matches!(address.scheme_str(), Some("http" | "https")) || address.host().is_none() {
        return Err(PostError::Address);
    }
    let route = Route { connect_timeout: within, ..Route::default() };
    let client = Client::new(&address, &route).map_err(|_| PostError::Address)?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = address;
    request.headers_mut().extend(headers.iter().cloned());
    let answer = async {
        let response = client.request(request).await.map_err(|_| PostError::NoAnswer)?;
        let (head, body) = response.into_parts();
        let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
        let sequence = text("x-weighbridge-sequence").and_then(|number| number.parse().ok());
        let again = text("x-weighbridge-replay") == Some("1");
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| PostError::NoAnswer)?.to_bytes();
        Ok(Answer { status: head.status.as_u16(), sequence, again, body })
    };
    tokio::time::timeout(within, answer).await.unwrap_or(Err(PostError::TooLate))
}

/// What a refusal means and what to do about it.
pub(super) fn refusal(status: u16) -> &'static str {
    match status {
        401 => "the hook token is missing or wrong: `weighbridge hooks install` sets it",
        403 => "it answers to its loopback name only: use 127.0.0.1 in the address",
        404 => "this is not the admin address: see `weighbridge hooks install --admin URL`",
        413 => "the event is longer than 1 MiB",
        400 | 415 => "the event is not one JSON object with hook_event_name",
        503 => "the ledger cannot be written: see /readyz of the sidecar",
        _ => "see the sidecar's log",
    }
}
