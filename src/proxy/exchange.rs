//! One call, from its first header to its last byte. Read this file to understand the proxy.
//!
//! The steps are values handed forward: request → caller → cost centre → opening → open exchange →
//! response → relay. A call runs on its connection's task: what the client does not take is not
//! asked for upstream, and a client that leaves drops the call, which cancels it upstream. The
//! record does not go with it: an [`Exchange`] that is dropped closes itself.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, Version};

use super::body::ReplyBody;
use super::call::Call;
use super::collect;
use super::connection::Line;
use super::headers;
use super::refuse::refuse;
use super::relay;
use super::rules;
use super::{Gate, NoAnswer};
use crate::accounting::attribution::{CostCentre, Payer};
use crate::anthropic::{BodyCopy, RateLimits, Refusal, RequestFacts, classify};
use crate::capture::{Subject, Taking};
use crate::privacy::rules::Mode;
use crate::record::{Opening, Outcome};
use crate::recorder::{BatchFetch, Ending, OpenExchange};

type Answer = Response<ReplyBody>;

/// One call, from the first header to the response's head; the rest is in the response's body.
pub(super) async fn run(
    gate: Arc<Gate>,
    request: Request<Incoming>,
    line: Line,
) -> Result<Answer, NoAnswer> {
    let started_ns = gate.recorder.clock().mono_ns();
    let (mut head, body) = request.into_parts();
    if let Err(refusal) = check(&head) {
        return Ok(gate.refuse_unrecorded(refusal));
    }
    let route = classify(head.method.as_str(), head.uri.path());
    let (payer, key) = gate.payer(headers::credential(&head.headers));
    let mut caller = headers::take_caller(&mut head.headers, key);
    let (centre, refusal) = gate.admit(payer, &mut head.headers);
    caller.subscription = headers::is_oauth(&head.headers);

    let mode = gate.capture.as_ref().and_then(|capture| capture.mode(&centre.team));
    let mode = mode.filter(|_| route.endpoint.is_metered());
    let mut collected = match collect::body(&gate, &route, (&head, mode.is_some()), body).await {
        Ok(collected) => collected,
        Err(Some(refusal)) => return Ok(gate.refuse_unrecorded(refusal)),
        Err(None) => return Err(NoAnswer),
    };
    let call = Call::new(&gate, &head.method, &caller, route, &collected.facts);
    let opening = call.opening(&gate, caller, &collected.facts, centre);
    let returned =
        collected.facts.as_mut().map(|f| std::mem::take(&mut f.returned)).unwrap_or_default();
    let taking = mode.map(|mode| taking(mode, &opening, collected.facts.as_mut()));
    let ruling = rules::ask(&gate, &opening, collected.facts.as_ref(), &returned);
    let ruling = ruling.map(|ruling| (ruling, opening.clone()));
    // What is refused is not sent: its results have not gone to the model.
    let refuses = ruling.as_ref().is_some_and(|(ruling, _)| ruling.refusal().is_some());
    let returned = if refuses || refusal.is_some() { Vec::new() } else { returned };
    let open = match gate.recorder.open(opening, started_ns, returned).await {
        Ok(open) => open, // R1: from here on the call is in the ledger
        Err(error) => {
            tracing::error!(%error, "a call was refused because it cannot be recorded");
            return Ok(gate.refuse_unrecorded(Refusal::LedgerUnavailable));
        }
    };
    let mut exchange = Exchange { gate, call, open: Some(open), line, taking };
    if let Some(refusal) = refusal {
        return Ok(exchange.refuse(refusal, None).await);
    }
    if let Some((ruling, opening)) = ruling {
        rules::record(&exchange.gate, &ruling, &opening).await;
        if let Some((refusal, message)) = ruling.refusal() {
            return Ok(exchange.refuse(refusal, Some(&message)).await);
        }
    }

    headers::strip_hop_by_hop(&mut head.headers);
    let request = Request::from_parts(head, collected.body);
    let upstream = &exchange.gate.upstream;
    let sent = tokio::time::timeout(upstream.head_timeout, upstream.send(request)).await;
    let refusal = match sent {
        Ok(Ok(response)) => return Ok(relay::start(response, exchange).await),
        Ok(Err(error)) => {
            tracing::warn!(error = %root_cause(&error), "the upstream did not answer");
            match error.is_connect() {
                true => Refusal::UpstreamUnreachable,
                false => Refusal::UpstreamBrokeOff,
            }
        }
        Err(_) => Refusal::UpstreamTimedOut,
    };
    Ok(exchange.refuse(refusal, None).await)
}

/// What of this call is kept, as its team asks for it.
fn taking(mode: Mode, opening: &Opening, facts: Option<&mut RequestFacts>) -> Taking {
    let session = opening.session.as_ref().map(ToString::to_string);
    let subject = match (&opening.user, &session) {
        (Some(user), _) => Subject::User(opening.team.clone(), user.clone()),
        (None, Some(session)) => Subject::Session(session.clone()),
        (None, None) => Subject::Exchange(opening.exchange.clone()),
    };
    Taking {
        mode,
        exchange: opening.exchange.clone(),
        team: opening.team.clone(),
        session,
        subject,
        messages: facts.map(|facts| std::mem::take(&mut facts.new_messages)).unwrap_or_default(),
        answer: BodyCopy::None,
    }
}

/// What must hold for any request, before anything else is looked at.
fn check(head: &Parts) -> Result<(), Refusal> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::MethodNotAllowed);
    }
    if head.version >= Version::HTTP_11 && !head.headers.contains_key(header::HOST) {
        return Err(Refusal::MissingHost);
    }
    if headers::size(&head.headers) + head.uri.path().len() > headers::HEADER_BYTES_MAX {
        return Err(Refusal::HeadersTooLarge);
    }
    if head.headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Refusal::BadRequest("more than one host header"));
    }
    Ok(())
}

/// A call that is in the ledger and has not ended.
pub(super) struct Exchange {
    pub(super) gate: Arc<Gate>,
    pub(super) call: Call,
    /// Taken by the closing.
    open: Option<OpenExchange>,
    pub(super) line: Line,
    /// What of it is kept, handed over at its end.
    taking: Option<Taking>,
}

impl Exchange {
    /// A copy of the answer is wanted.
    pub(super) fn keeps_content(&self) -> bool {
        self.taking.is_some()
    }

    /// Hands over what is kept of this call.
    fn hand_over(&mut self, ending: &mut Ending) {
        let copy = std::mem::take(&mut ending.metered.copy);
        if let (Some(taking), Some(capture)) = (self.taking.take(), &self.gate.capture) {
            capture.take(Taking { answer: copy, ..taking });
        }
    }

    /// Begins to read the results of a batch that this call fetches.
    pub(super) async fn fetch_batch(&self, id: &str, coding: Option<&str>) -> Option<BatchFetch> {
        match &self.open {
            Some(open) => open.fetch_batch(id, coding).await,
            None => None,
        }
    }

    /// Shows the API's rate limits, where the head of the answer names them.
    pub(super) fn limits_seen(&self, headers: &HeaderMap) {
        if let Some(open) = self.open.as_ref().filter(|_| self.call.route.endpoint.is_metered()) {
            let all = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
            if let Some(limits) = RateLimits::read(all) {
                open.limits_seen(&limits);
            }
        }
    }

    /// Records the end (R2). The end may go out when the future returned is ready.
    pub(super) fn close(&mut self, mut ending: Box<Ending>) -> Closing {
        self.hand_over(&mut ending);
        self.call.complete(&self.gate, &mut ending);
        let open = self.open.take();
        let recording = async move {
            if let Some(open) = open {
                open.close(ending).await;
            }
        };
        Closing { recording: Some(Box::pin(recording)), gate: Arc::clone(&self.gate) }
    }

    /// Records that the call was dropped before its end, without waiting.
    pub(super) fn drop_with(&mut self, mut ending: Box<Ending>) {
        let Some(open) = self.open.take() else { return };
        self.hand_over(&mut ending);
        ending.outcome = self.departure();
        self.call.complete(&self.gate, &mut ending);
        open.close_now(ending);
    }

    /// Who ended a call that was dropped.
    fn departure(&self) -> Outcome {
        if self.gate.force.is_cancelled() || std::thread::panicking() {
            Outcome::Interrupted
        } else if self.line.has_stalled() {
            Outcome::TimedOut
        } else {
            Outcome::ClientLeft
        }
    }

    /// Answers instead of the API, on the record.
    async fn refuse(&mut self, refusal: Refusal, message: Option<&str>) -> Answer {
        self.gate.count_refusal(refusal);
        let mut ending = Ending::without_response(match refusal {
            Refusal::UpstreamUnreachable | Refusal::UpstreamBrokeOff => Outcome::UpstreamError,
            Refusal::UpstreamTimedOut => Outcome::TimedOut,
            _ => Outcome::Refused,
        });
        ending.status = Some(refusal.status());
        ending.error_type = Some(refusal.error_type());
        if matches!(refusal, Refusal::UpstreamBrokeOff | Refusal::UpstreamTimedOut) {
            ending.flags.extend(self.call.usage_unknown());
        } else {
            // Nothing was sent: there is no content that anybody has seen.
            self.taking = None;
        }
        self.close(ending).await;
        refuse(refusal, Some(&self.call.id), message)
    }
}

impl Drop for Exchange {
    /// No response came yet: the request may have reached the API or not.
    fn drop(&mut self) {
        if self.open.is_some() {
            let mut ending = Ending::without_response(Outcome::Interrupted);
            ending.flags.extend(self.call.usage_unknown());
            self.drop_with(ending);
        }
    }
}

/// The recording of an end. Dropped before it is done, it goes on by itself: a client that leaves
/// does not take the record with it.
pub(super) struct Closing {
    recording: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    gate: Arc<Gate>,
}

impl Future for Closing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(recording) = &mut self.recording {
            std::task::ready!(recording.as_mut().poll(context));
            self.recording = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        // Without a runtime the process is about to end, and the entry was appended by the first
        // poll; only the wait for the disk is cut short.
        if let (Some(recording), Ok(runtime)) =
            (self.recording.take(), tokio::runtime::Handle::try_current())
        {
            self.gate.tasks.spawn_on(recording, &runtime);
        }
    }
}

impl Gate {
    /// Who pays, and why the call is refused all the same. A virtual key is replaced on the way.
    fn admit(&self, payer: Payer, headers: &mut HeaderMap) -> (CostCentre, Option<Refusal>) {
        match payer {
            Payer::Virtual(centre) => match self.upstream.key() {
                Some(key) => {
                    headers::replace_credential(headers, key);
                    (centre, None)
                }
                None => (centre, Some(Refusal::NoUpstreamKey)),
            },
            Payer::Direct(centre) => (centre, None),
            Payer::Unknown => {
                let refusal = self.require_key.then_some(Refusal::KeyRequired);
                (CostCentre::unattributed(), refusal)
            }
            Payer::InvalidKey => (CostCentre::unattributed(), Some(Refusal::UnknownKey)),
            Payer::RevokedKey(centre) => (centre, Some(Refusal::RevokedKey)),
        }
    }

    /// Answers a request that is not a call yet: malformed, or the ledger cannot take it.
    fn refuse_unrecorded(&self, refusal: Refusal) -> Answer {
        self.count_refusal(refusal);
        refuse(refusal, None, None)
    }

    fn count_refusal(&self, refusal: Refusal) {
        let metrics = self.recorder.metrics();
        metrics.health.refusals.with_label_values(&[refusal.name()]).inc();
    }
}

/// The innermost error: what the system said, without addresses or content.
fn root_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a dyn std::error::Error {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
