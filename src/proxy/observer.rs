//! Who looks on while a response passes: the meter, or for the results of a batch their reader.

use hyper::header::{self, HeaderMap};
use hyper::http::response::Parts;

use super::exchange::Exchange;
use crate::anthropic::{BatchStep, Form, Meter, ResponseHead, Seen};
use crate::capture::COPY_BYTES_MAX;
use crate::recorder::{BatchFetch, Ending};

/// Where Bedrock names an error: its body holds a text only.
const ERROR_HEADER: &str = "x-amzn-errortype";

/// Looks at the bytes of one response.
pub(super) enum Observer {
    /// One answer.
    Meter(Meter),
    /// The answer names a batch that was made.
    Made(Meter),
    /// The results of a batch.
    Batch(Box<BatchFetch>),
}

/// What looks at the body behind this head.
pub(super) async fn observer(head: &Parts, exchange: &Exchange) -> Observer {
    let content_encoding = text(&head.headers, header::CONTENT_ENCODING);
    let step = exchange.call.route.batch.as_ref().filter(|_| head.status.is_success());
    match step {
        Some(BatchStep::Create) => return Observer::Made(Meter::of_document(content_encoding)),
        Some(BatchStep::Results(id)) => {
            if let Some(fetch) = exchange.fetch_batch(id, content_encoding).await {
                return Observer::Batch(Box::new(fetch));
            }
        }
        None => {}
    }
    let mut meter = Meter::new(&ResponseHead {
        endpoint: exchange.call.route.endpoint,
        status: head.status.as_u16(),
        content_type: text(&head.headers, header::CONTENT_TYPE),
        content_encoding,
        stream_requested: exchange.call.streamed,
    });
    if exchange.keeps_content() {
        meter.keep_copy(COPY_BYTES_MAX);
    }
    let failed = head.status.is_client_error() || head.status.is_server_error();
    let error = head.headers.get(ERROR_HEADER).filter(|_| failed);
    Observer::Meter(meter.with_error_header(error.and_then(|value| value.to_str().ok())))
}

impl Observer {
    /// How the body is read, as far as its end depends on it.
    pub(super) const fn form(&self) -> Form {
        match self {
            Observer::Meter(meter) | Observer::Made(meter) => meter.form(),
            // What a line costs is in the ledger before its last byte goes out; only the end waits.
            Observer::Batch(_) => Form::Opaque,
        }
    }

    pub(super) fn observe(&mut self, data: &[u8]) -> Seen {
        match self {
            Observer::Meter(meter) | Observer::Made(meter) => meter.observe(data),
            Observer::Batch(fetch) => {
                fetch.observe(data);
                Seen::default()
            }
        }
    }

    pub(super) fn is_settled(&mut self) -> bool {
        match self {
            Observer::Meter(meter) | Observer::Made(meter) => meter.is_settled(),
            Observer::Batch(_) => true,
        }
    }

    /// Puts what was read into the ending. `whole`: the body came to its end.
    pub(super) fn finish(self, ending: &mut Ending, whole: bool) {
        match self {
            Observer::Meter(meter) => ending.metered = meter.finish(),
            Observer::Made(meter) => {
                let mut metered = meter.finish();
                ending.batch_created = metered.message_id.take();
                ending.metered = metered;
            }
            Observer::Batch(fetch) => ending.metered = fetch.finish(whole),
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
