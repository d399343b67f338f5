//! The request body: collected where the record needs to know what it asks for, else streamed.
//!
//! A collected body is kept in the chunks it came in, never joined and never parsed into a tree:
//! a scanner reads the few facts in passing. Clients send these bodies whole and at once, so
//! collecting costs a few microseconds of latency, and buys the model, the stream flag and the
//! messages' hash before anything is sent upstream.

use std::collections::VecDeque;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use hyper::header;
use hyper::http::request::Parts;
use tokio::time::{Instant, sleep_until};

use super::Gate;
use super::body::{Held, RequestBody};
use crate::anthropic::{Refusal, RequestFacts, RequestScanner, Route, Wanted};
use crate::record::exchange::Endpoint;

/// Silence between two frames of a request body.
const BODY_SILENCE_MAX: Duration = Duration::from_secs(30);
/// A whole request body: 32 MiB at 1 Mbit/s take 270 s.
const BODY_TIME_MAX: Duration = Duration::from_secs(300);

/// A request body and what it asks for; no facts where it is streamed.
pub(super) struct Collected {
    pub(super) body: RequestBody,
    pub(super) facts: Option<RequestFacts>,
}

/// Collects the body where the endpoint needs it; `keeps` asks for the messages that are new.
/// `Err(None)`: the client left before it had sent it all, so there is nobody to answer and nothing
/// to record.
pub(super) async fn body(
    gate: &Gate,
    route: &Route,
    (head, keeps): (&Parts, bool),
    mut body: Incoming,
) -> Result<Collected, Option<Refusal>> {
    let collects = route.endpoint.is_metered() || route.endpoint == Endpoint::CountTokens;
    if !collects {
        return Ok(Collected { body: RequestBody::Streaming(body), facts: None });
    }
    let limit = gate.body_bytes_max as u64;
    let too_large = Some(Refusal::BodyTooLarge { limit });
    if body.size_hint().lower() > limit {
        return Err(too_large);
    }
    let mut scanner = (!head.headers.contains_key(header::CONTENT_ENCODING))
        .then(|| RequestScanner::new(gate.seed));
    let end = Instant::now() + BODY_TIME_MAX;
    let (mut chunks, mut bytes) = (VecDeque::new(), 0_u64);
    let mut held = Held::none(&gate.held_bodies);
    let silence = sleep_until(Instant::now() + BODY_SILENCE_MAX);
    tokio::pin!(silence);
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            () = silence.as_mut() => return Err(Some(Refusal::RequestTimedOut)),
        };
        let Some(frame) = frame else { break };
        let Ok(data) = frame.map_err(|_| None)?.into_data() else { continue };
        bytes = bytes.saturating_add(data.len() as u64);
        if bytes > limit {
            return Err(too_large);
        }
        if !held.take(data.len() as u64) {
            return Err(Some(Refusal::NoRoom));
        }
        if let Some(scanner) = &mut scanner {
            scanner.observe(&data);
        }
        chunks.push_back(data);
        if body.is_end_stream() {
            break;
        }
        silence.as_mut().reset(end.min(Instant::now() + BODY_SILENCE_MAX));
    }
    let wanted = Wanted { offers: !gate.rules.is_idle(), messages: keeps };
    let facts = scanner.map_or_else(
        || RequestFacts { bytes, malformed: true, ..RequestFacts::default() },
        |scanner| scanner.finish_over(chunks.iter().map(AsRef::as_ref), wanted),
    );
    Ok(Collected { body: RequestBody::Collected { chunks, left: bytes, held }, facts: Some(facts) })
}
