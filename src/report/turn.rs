//! Exchanges put into turns, out of the index's rows: a turn is one user prompt until its final
//! answer ([`crate::agent::query`]).
//!
//! A row holds both ends of an exchange, so the ends are put back into the ledger's order: whoever
//! feeds this gives exchanges and hooks in the order they began, and each closing is taken where it
//! stands between them.

use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error;

use super::exchange::Exchange;
use crate::agent::query::{Begin, End, Queries, Query};
use crate::record::exchange::Endpoint;

/// Exchanges that run at the same time, at most; what opens beyond it is in no turn.
const RUNNING_MAX: usize = 100_000;

/// What hooks say of turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The user gave a prompt.
    Prompt,
    /// The prompt is answered.
    Stop,
    /// It could not be.
    StopFailure,
    /// The session is over.
    SessionEnd,
}

impl Mark {
    /// All of them.
    pub const ALL: [Mark; 4] = [Mark::Prompt, Mark::Stop, Mark::StopFailure, Mark::SessionEnd];

    /// The hook's name.
    #[must_use]
    pub const fn event(self) -> &'static str {
        match self {
            Mark::Prompt => "UserPromptSubmit",
            Mark::Stop => "Stop",
            Mark::StopFailure => "StopFailure",
            Mark::SessionEnd => "SessionEnd",
        }
    }

    /// The mark of a hook; `None` where it says nothing of turns.
    #[must_use]
    pub fn of(event: &str) -> Option<Mark> {
        Mark::ALL.into_iter().find(|mark| mark.event() == event)
    }
}

/// A closing that stands further on in the ledger.
#[derive(Debug)]
struct Closing {
    exchange: String,
    session: Option<String>,
    call: String,
    team: String,
    agent: Option<String>,
    model: Option<String>,
    parent_agent: Option<String>,
    began_ns: u64,
    /// The turn.
    first: String,
    end: End,
    at_ns: u64,
}

/// Puts exchanges into turns.
#[derive(Debug, Default)]
pub struct Turns {
    queries: Queries,
    /// By their place in the ledger.
    closings: BTreeMap<u64, Closing>,
    over: Vec<Query>,
}

impl Turns {
    /// An exchange of the main agent's session or of a sub-agent, opened at its place. Gives the id
    /// of its turn's first exchange; `None` for what is no part of any prompt's answer: counting
    /// tokens, results of batches, what lost its opening.
    pub fn exchange(&mut self, exchange: &Exchange<'_>) -> Option<String> {
        self.settle(exchange.sequence);
        let is_lost = exchange.closed_sequence == Some(exchange.sequence);
        if is_lost || !is_metered(exchange.endpoint) || self.closings.len() >= RUNNING_MAX {
            return None;
        }
        let place = self.queries.begin(&begin(exchange));
        self.over.extend(place.ended);
        let sequence = exchange.closed_sequence.filter(|closed| *closed > exchange.sequence);
        if let Some(sequence) = sequence {
            self.closings.insert(sequence, Closing::new(exchange, &place.query));
        }
        Some(place.query)
    }

    /// A hook of the main agent at its place.
    pub fn hook(&mut self, sequence: u64, session: &str, mark: Mark, at_ns: u64) {
        self.settle(sequence);
        let over = match mark {
            Mark::Prompt => self.queries.prompt(session, at_ns),
            Mark::Stop => self.queries.stop(session, false, at_ns),
            Mark::StopFailure => self.queries.stop(session, true, at_ns),
            Mark::SessionEnd => self.queries.session_over(session),
        };
        self.over.extend(over);
    }

    /// Takes the closings before a place.
    fn settle(&mut self, sequence: u64) {
        while let Some(next) = self.closings.first_entry().filter(|next| *next.key() < sequence) {
            let closing = next.remove();
            let at = (closing.at_ns, 0);
            let over = self.queries.end((&closing.begin(), &closing.first), closing.end, at);
            self.over.extend(over);
        }
    }

    /// The end of the ledger is reached, and it is `now_ns`.
    pub fn finish(&mut self, now_ns: u64) {
        self.settle(u64::MAX);
        self.over.extend(self.queries.expire(now_ns, usize::MAX));
    }

    /// The turns that ended since the last call.
    pub fn take_over(&mut self) -> impl Iterator<Item = Query> + '_ {
        self.over.drain(..)
    }
}

impl Closing {
    fn new(exchange: &Exchange<'_>, first: &str) -> Closing {
        let own = |text: Option<&str>| text.map(str::to_owned);
        let at_ns = exchange.closed_at.map_or(0, moment);
        let lasted_ns = exchange.duration_us.unwrap_or(0).saturating_mul(1000);
        // A crash leaves no duration.
        let began_ns = if lasted_ns == 0 { u64::MAX } else { at_ns.saturating_sub(lasted_ns) };
        let named = exchange.error_class.or(exchange.error_type);
        let failed = named.is_some() || exchange.outcome != Some("completed");
        let status = exchange.status.and_then(|status| u16::try_from(status).ok());
        let left = exchange.outcome == Some("client_left");
        Closing {
            exchange: exchange.id.to_owned(),
            session: own(exchange.session),
            call: exchange.call.to_owned(),
            team: own(exchange.team).unwrap_or_default(),
            agent: own(exchange.agent),
            model: own(exchange.model_requested),
            parent_agent: own(exchange.parent_agent),
            began_ns: began_ns.min(moment(exchange.opened_at)),
            first: first.to_owned(),
            end: End::of(status, failed, exchange.stop_reason, left),
            at_ns,
        }
    }

    fn begin(&self) -> Begin<'_> {
        Begin {
            exchange: &self.exchange,
            session: self.session.as_deref(),
            call: &self.call,
            team: &self.team,
            agent: self.agent.as_deref(),
            model: self.model.as_deref(),
            parent_agent: self.parent_agent.as_deref(),
            trace: None,
            at_ns: self.began_ns,
        }
    }
}

fn begin<'a>(exchange: &Exchange<'a>) -> Begin<'a> {
    Begin {
        exchange: exchange.id,
        session: exchange.session,
        call: exchange.call,
        team: exchange.team.unwrap_or_default(),
        agent: exchange.agent,
        model: exchange.model_requested,
        parent_agent: exchange.parent_agent,
        trace: None,
        at_ns: moment(exchange.opened_at),
    }
}

fn moment(at: i64) -> u64 {
    u64::try_from(at).unwrap_or(0)
}

fn is_metered(endpoint: Option<&str>) -> bool {
    let Some(name) = endpoint else { return false };
    let endpoint: Result<Endpoint, Error> = Endpoint::deserialize(name.into_deserializer());
    endpoint.is_ok_and(Endpoint::is_metered)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: i64 = 1_000_000_000;

    fn exchange(id: &'static str, sequence: u64, closed: Option<u64>) -> Exchange<'static> {
        let at = |sequence| i64::try_from(sequence).unwrap() * S;
        Exchange {
            id,
            call: id,
            sequence,
            closed_sequence: closed,
            opened_at: at(sequence),
            closed_at: closed.map(at),
            outcome: closed.map(|_| "completed"),
            status: closed.map(|_| 200),
            stop_reason: closed.map(|_| "end_turn"),
            endpoint: Some("messages"),
            session: Some("s"),
            model_requested: Some("m"),
            ..Exchange::default()
        }
    }

    #[test]
    fn closings_are_taken_where_they_stand() {
        let mut turns = Turns::default();
        let asks = Exchange { stop_reason: Some("tool_use"), ..exchange("a", 1, Some(2)) };
        assert_eq!(turns.exchange(&asks).as_deref(), Some("a"));
        // Runs beside the final answer and closes after it.
        let sub = Exchange { agent: Some("x"), ..exchange("b", 3, Some(6)) };
        assert_eq!(turns.exchange(&sub).as_deref(), Some("a"));
        assert_eq!(turns.exchange(&exchange("c", 4, Some(5))).as_deref(), Some("a"));
        assert_eq!(turns.take_over().count(), 0);
        assert_eq!(turns.exchange(&exchange("d", 7, Some(8))).as_deref(), Some("d"));
        let over: Vec<Query> = turns.take_over().collect();
        assert_eq!((over.len(), over[0].first.as_str(), over[0].exchanges), (1, "a", 3));
        turns.finish(0);
        assert_eq!(turns.take_over().next().unwrap().first, "d");
    }

    #[test]
    fn hooks_say_when_a_turn_ends() {
        let mut turns = Turns::default();
        turns.hook(0, "s", Mark::Prompt, 1);
        assert_eq!(turns.exchange(&exchange("a", 1, Some(2))).as_deref(), Some("a"));
        // Final by the wire, but the hook has not said so.
        assert_eq!(turns.exchange(&exchange("b", 3, Some(4))).as_deref(), Some("a"));
        turns.hook(5, "s", Mark::Stop, 6 * 1_000_000_000);
        let over: Vec<Query> = turns.take_over().collect();
        assert_eq!((over[0].first.as_str(), over[0].from_ns), ("a", 1));
        assert_eq!(turns.exchange(&exchange("c", 6, None)).as_deref(), Some("c"));
    }

    #[test]
    fn what_answers_no_prompt_is_in_no_turn() {
        let mut turns = Turns::default();
        let counting = Exchange { endpoint: Some("count_tokens"), ..exchange("a", 1, Some(2)) };
        let lost = Exchange { endpoint: None, ..exchange("b", 3, Some(3)) };
        assert_eq!((turns.exchange(&counting), turns.exchange(&lost)), (None, None));
    }
}
