//! One call, from its first header to its last byte. Read this file to understand the proxy.
//!
//! Every call runs on a task of its own, so a client that leaves does not take the record with it.
//! The steps are values handed forward: request → caller → cost centre → opening → open exchange →
//! response → ending → rest. R1 and R2 are the two awaits on the recorder.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, PoisonError};

use hyper::body::Incoming;
use hyper::header::{self, HeaderMap};
use hyper::http::request::Parts;
use hyper::{Method, Request, Version};
use uuid::Uuid;

use super::Gate;
use super::collect;
use super::headers::{self, Caller};
use super::relay::{self, Asked, Rest};
use super::reply::{Reply, refuse};
use crate::accounting::Flag;
use crate::accounting::attribution::{CostCentre, Payer};
use crate::anthropic::{Refusal, RequestFacts, Route, classify};
use crate::record::{Opening, Outcome};
use crate::recorder::{Ending, OpenExchange};

/// One call, from the first header to the last byte.
pub(super) async fn run(gate: Arc<Gate>, request: Request<Incoming>, mut reply: Reply) {
    let started_ns = gate.recorder.clock().mono_ns();
    let (mut head, body) = request.into_parts();
    if let Err(refusal) = check(&head) {
        return gate.refuse_unrecorded(refusal, reply);
    }
    let route = classify(head.method.as_str(), head.uri.path());
    let (payer, key) = gate.payer(headers::credential(&head.headers));
    let caller = headers::take_caller(&mut head.headers, key);
    let (centre, refusal) = gate.admit(payer, &mut head.headers);

    let collected = match collect::body(&gate, &route, &head, body).await {
        Ok(collected) => collected,
        Err(Some(refusal)) => return gate.refuse_unrecorded(refusal, reply),
        Err(None) => return,
    };
    let call = Call::new(&gate, &head.method, &caller, route, &collected.facts);
    let opening = call.opening(&gate, caller, &collected.facts, centre);
    let open = match gate.recorder.open(opening, started_ns).await {
        Ok(open) => open, // R1: from here on the call is in the ledger
        Err(error) => {
            tracing::error!(%error, "a call was refused because it cannot be recorded");
            return gate.refuse_unrecorded(Refusal::LedgerUnavailable, reply);
        }
    };
    if let Some(refusal) = refusal {
        return Box::pin(gate.refuse(refusal, &call, open, reply)).await;
    }

    headers::strip_hop_by_hop(&mut head.headers);
    let request = Request::from_parts(head, collected.body);
    let sent = tokio::select! {
        sent = tokio::time::timeout(gate.upstream.head_timeout, gate.upstream.send(request)) => {
            sent
        }
        () = reply.departed() => {
            let mut ending = Ending::without_response(Outcome::ClientLeft);
            ending.flags.extend(call.usage_unknown());
            return gate.close(ending, &call, open).await;
        }
    };
    let response = match sent {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::warn!(error = %root_cause(&error), "the upstream did not answer");
            let refusal = if error.is_connect() {
                Refusal::UpstreamUnreachable
            } else {
                Refusal::UpstreamBrokeOff
            };
            return Box::pin(gate.refuse(refusal, &call, open, reply)).await;
        }
        Err(_) => {
            let refusal = Refusal::UpstreamTimedOut;
            return Box::pin(gate.refuse(refusal, &call, open, reply)).await;
        }
    };
    let (ending, rest) = relay::run(response, reply, &call.asked(&gate)).await;
    gate.close(ending, &call, open).await; // R2: the end is held until this returns
    rest.release().await;
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

/// What one call is, for the record and for the relay.
pub(super) struct Call {
    /// The exchange's id.
    id: String,
    route: Route,
    streamed: bool,
    method: Method,
    flags: Vec<Flag>,
    /// The call's first attempt, and which attempt this is.
    first: String,
    attempt: u32,
    /// Under which key a repetition of this call would be found.
    group: Option<u64>,
}

impl Call {
    fn new(
        gate: &Gate,
        method: &Method,
        caller: &Caller,
        route: Route,
        facts: &Option<RequestFacts>,
    ) -> Call {
        let id = Uuid::now_v7().to_string();
        let group = group(gate, caller, facts);
        let repeats = caller.repeats || caller.traceparent.is_some();
        let now = gate.recorder.clock().mono_ns();
        let (first, attempt) = match group {
            Some(key) => {
                let mut attempts = gate.attempts.lock().unwrap_or_else(PoisonError::into_inner);
                let attempt = attempts.open(key, &id, repeats, now);
                (attempt.call, attempt.number)
            }
            None => (id.clone(), 1),
        };
        let probe = facts.as_ref().is_some_and(|facts| facts.max_tokens == Some(1));
        Call {
            first,
            attempt,
            group,
            streamed: route.streamed.unwrap_or(facts.as_ref().is_some_and(|facts| facts.stream)),
            method: method.clone(),
            flags: if probe { vec![Flag::Probe] } else { Vec::new() },
            route,
            id,
        }
    }

    fn opening(
        &self,
        gate: &Gate,
        caller: Caller,
        facts: &Option<RequestFacts>,
        centre: CostCentre,
    ) -> Opening {
        let name = |text: &[u8]| gate.recorder.identifier(text);
        let keep = |text: Option<Vec<u8>>| text.map(|text| name(&text));
        let read = facts.as_ref();
        let asserted = read.and_then(|facts| facts.user_id.as_deref());
        let mut tags: std::collections::BTreeMap<_, _> =
            caller.tags.into_iter().map(|(tag, value)| (tag, name(&value))).collect();
        let session = caller.session.or_else(|| read?.session.clone().map(String::into_bytes));
        if let Some(user) = asserted {
            tags.insert("user_id".to_owned(), name(user.as_bytes()));
        }
        let model = self.route.model.as_deref().or_else(|| read?.model.as_deref());
        Opening {
            agent: keep(caller.agent),
            attempt: self.attempt,
            call: self.first.clone(),
            endpoint: self.route.endpoint,
            exchange: self.id.clone(),
            key: caller.key.map(|key| key.fingerprint()),
            max_tokens: read.and_then(|facts| facts.max_tokens),
            method: name(self.method.as_str().as_bytes()),
            model: model.map(|model| name(model.as_bytes())),
            parent_agent: keep(caller.parent_agent),
            project: centre.project,
            request_bytes: read.map(|facts| facts.bytes),
            session: keep(session),
            streamed: u8::from(self.streamed),
            tags,
            team: centre.team,
            traceparent: keep(caller.traceparent),
            user: centre.user,
        }
    }

    /// The request reached the API and no answer came: it may have been billed.
    fn usage_unknown(&self) -> Option<Flag> {
        self.route.endpoint.is_metered().then_some(Flag::UsageUnknown)
    }

    fn asked<'a>(&'a self, gate: &Gate) -> Asked<'a> {
        Asked {
            exchange: &self.id,
            endpoint: self.route.endpoint,
            streamed: self.streamed,
            head_only: self.method == Method::HEAD,
            idle_timeout: gate.upstream.idle_timeout,
            clock: gate.recorder.clock(),
        }
    }
}

/// What attempts of one call have in common: the client's trace context, which it keeps over its
/// retries, or else credential, session, agent and messages.
fn group(gate: &Gate, caller: &Caller, facts: &Option<RequestFacts>) -> Option<u64> {
    let messages = facts.as_ref()?.messages_hash?;
    let mut hasher = gate.hashes.build_hasher();
    match &caller.traceparent {
        Some(traceparent) => traceparent.hash(&mut hasher),
        None => {
            caller.key.map(|key| key.fingerprint()).hash(&mut hasher);
            (&caller.session, &caller.agent, messages).hash(&mut hasher);
        }
    }
    Some(hasher.finish())
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
    fn refuse_unrecorded(&self, refusal: Refusal, reply: Reply) {
        self.count_refusal(refusal);
        let _ = reply.send(refuse(refusal, None));
    }

    /// Answers instead of the API, on the record.
    async fn refuse(&self, refusal: Refusal, call: &Call, open: OpenExchange, reply: Reply) {
        self.count_refusal(refusal);
        let response = refuse(refusal, Some(&call.id));
        let mut ending = Ending::without_response(match refusal {
            Refusal::UpstreamUnreachable | Refusal::UpstreamBrokeOff => Outcome::UpstreamError,
            Refusal::UpstreamTimedOut => Outcome::TimedOut,
            _ => Outcome::Refused,
        });
        ending.status = Some(refusal.status());
        ending.error_type = Some(refusal.error_type());
        if matches!(refusal, Refusal::UpstreamBrokeOff | Refusal::UpstreamTimedOut) {
            ending.flags.extend(call.usage_unknown());
        }
        self.close(ending, call, open).await;
        Rest::Response(Box::new(response), reply).release().await;
    }

    async fn close(&self, mut ending: Box<Ending>, call: &Call, open: OpenExchange) {
        if let Some(group) = call.group {
            let failed = may_be_repeated(&ending);
            let now = self.recorder.clock().mono_ns();
            let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            attempts.close(group, &call.id, failed, now);
        }
        ending.flags.extend(&call.flags);
        open.close(ending).await;
    }

    fn count_refusal(&self, refusal: Refusal) {
        let metrics = self.recorder.metrics();
        metrics.refusals.with_label_values(&[refusal.name()]).inc();
    }
}

/// Whether a client that got this would try the same call again.
fn may_be_repeated(ending: &Ending) -> bool {
    ending.outcome != Outcome::Completed
        || ending.status.is_none_or(|status| status >= 400)
        || ending.metered.error_type.is_some()
        || ending.metered.flags.contains(&Flag::JsonForStream)
        || ending.metered.flags.contains(&Flag::Unparseable)
}

/// The innermost error: what the system said, without addresses or content.
fn root_cause<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a dyn std::error::Error {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}
