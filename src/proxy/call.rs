//! What one call is: its facts for the record, and which attempt of which call it is.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::PoisonError;

use hyper::Method;
use uuid::Uuid;

use super::Gate;
use super::headers::Caller;
use crate::accounting::Flag;
use crate::accounting::attribution::CostCentre;
use crate::anthropic::{RequestFacts, Route};
use crate::privacy::Identifier;
use crate::record::{Opening, Outcome};
use crate::recorder::Ending;

/// What one call is, for the record and for the relay.
pub(super) struct Call {
    /// The exchange's id.
    pub(super) id: String,
    pub(super) route: Route,
    pub(super) streamed: bool,
    pub(super) method: Method,
    flags: Vec<Flag>,
    /// The call's first attempt, and which attempt this is.
    first: String,
    attempt: u32,
    /// Under which key a repetition of this call would be found.
    group: Option<u64>,
}

impl Call {
    pub(super) fn new(
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

    pub(super) fn opening(
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
        let mut tags: BTreeMap<_, _> =
            caller.tags.into_iter().map(|(tag, value)| (tag, name(&value))).collect();
        let session = caller.session.or_else(|| read?.session.clone().map(String::into_bytes));
        if let Some(user) = asserted {
            tags.insert("user_id".to_owned(), name(user.as_bytes()));
        }
        let platform = gate.upstream.platform.or(self.route.platform);
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
            platform: platform.map(|platform| Identifier::known(platform.name())),
            project: centre.project,
            request_bytes: read.map(|facts| facts.bytes),
            returned: read.map_or(0, |facts| facts.returned.len() as u64),
            session: keep(session),
            streamed: u8::from(self.streamed),
            subscription: u8::from(caller.subscription && gate.upstream.oauth_is_subscription),
            tags,
            team: centre.team,
            traceparent: keep(caller.traceparent),
            user: centre.user,
        }
    }

    /// The request reached the API and no answer came: it may have been billed.
    pub(super) fn usage_unknown(&self) -> Option<Flag> {
        self.route.endpoint.is_metered().then_some(Flag::UsageUnknown)
    }

    /// Adds what the request side knows to the ending, and lets a repetition find this attempt.
    pub(super) fn complete(&self, gate: &Gate, ending: &mut Ending) {
        if let Some(group) = self.group {
            let failed = may_be_repeated(ending);
            let now = gate.recorder.clock().mono_ns();
            let mut attempts = gate.attempts.lock().unwrap_or_else(PoisonError::into_inner);
            attempts.close(group, &self.id, failed, now);
        }
        ending.flags.extend(&self.flags);
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

/// Whether a client that got this would try the same call again.
fn may_be_repeated(ending: &Ending) -> bool {
    ending.outcome != Outcome::Completed
        || ending.status.is_none_or(|status| status >= 400)
        || ending.metered.error_type.is_some()
        || ending.metered.flags.contains(&Flag::JsonForStream)
        || ending.metered.flags.contains(&Flag::Unparseable)
}
