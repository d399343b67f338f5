//! Sessions: the exchanges of one client run, added up.

use std::collections::HashMap;

use serde::Serialize;

use super::period::{instant, readable};
use super::render::usd_readable;
use super::text::{NOTHING, printable, thousands};
use crate::accounting::Money;

/// The most models that are named for one session; a session that asks for more is cut there.
const MODELS_MAX: usize = 32;

/// What a session's sums need of one exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct SessionFacts<'a> {
    /// When it was opened, nanoseconds since 1970 (UTC).
    pub opened_at: i64,
    /// Who pays.
    pub team: Option<&'a str>,
    /// The model.
    pub model: Option<&'a str>,
    /// All tokens, whatever their kind.
    pub tokens: u64,
    /// The amount.
    pub usd: Option<Money>,
    /// A subscription paid: `usd` is not billed.
    pub notional: bool,
    /// What a cut stream may have cost beyond `usd`.
    pub estimated: Option<Money>,
    /// Usage was billed and no rate is known.
    pub unpriced: bool,
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Its id, as the client gave it.
    pub id: String,
    /// Who pays; the last one where that changed.
    pub team: Option<String>,
    /// The models, in the order they were first used.
    pub models: Vec<String>,
    /// When its first exchange was opened, nanoseconds since 1970 (UTC).
    pub first: i64,
    /// When its last exchange was opened.
    pub last: i64,
    /// How many exchanges.
    pub exchanges: u64,
    /// All tokens, whatever their kind.
    pub tokens: u64,
    /// What is billed, where it is known.
    pub usd: Money,
    /// Estimates for cut streams, beyond `usd`.
    pub estimated: Money,
    /// What a subscription paid for, at the API's prices.
    pub notional: Money,
    /// Exchanges that are not in `usd` because their model has no rate.
    pub unpriced: u64,
}

/// The columns of the table of sessions.
pub const HEADER: [&str; 8] =
    ["session", "team", "models", "first (UTC)", "last (UTC)", "exchanges", "tokens", "usd"];

impl Session {
    fn add(&mut self, facts: &SessionFacts<'_>) {
        if self.exchanges == 0 {
            (self.first, self.last) = (facts.opened_at, facts.opened_at);
        }
        self.first = self.first.min(facts.opened_at);
        self.last = self.last.max(facts.opened_at);
        self.exchanges += 1;
        self.tokens = self.tokens.saturating_add(facts.tokens);
        let usd = facts.usd.unwrap_or(Money::ZERO);
        if facts.notional {
            self.notional = self.notional.saturating_add(usd);
        } else {
            let estimated = facts.estimated.unwrap_or(Money::ZERO);
            self.usd = self.usd.saturating_add(usd);
            self.estimated = self.estimated.saturating_add(estimated);
        }
        self.unpriced += u64::from(facts.unpriced);
        if facts.team != self.team.as_deref() {
            self.team = facts.team.map(str::to_owned);
        }
        if let Some(model) = facts.model.filter(|_| self.models.len() < MODELS_MAX)
            && !self.models.iter().any(|known| known == model)
        {
            self.models.push(model.to_owned());
        }
    }

    /// A row below [`HEADER`].
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        let unpriced = if self.unpriced > 0 { " + ?" } else { "" };
        vec![
            printable(&self.id).into_owned(),
            printable(self.team.as_deref().unwrap_or(NOTHING)).into_owned(),
            printable(&self.models.join(", ")).into_owned(),
            readable(self.first),
            readable(self.last),
            thousands(self.exchanges),
            thousands(self.tokens),
            format!("{}{unpriced}", usd_readable(self.usd, 4)),
        ]
    }
}

impl Serialize for Session {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap as _;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("session", &self.id)?;
        map.serialize_entry("team", &self.team)?;
        map.serialize_entry("models", &self.models)?;
        map.serialize_entry("first", &instant(self.first))?;
        map.serialize_entry("last", &instant(self.last))?;
        map.serialize_entry("exchanges", &self.exchanges)?;
        map.serialize_entry("tokens", &self.tokens)?;
        map.serialize_entry("usd", &self.usd)?;
        map.serialize_entry("estimated_usd", &self.estimated)?;
        map.serialize_entry("notional_usd", &self.notional)?;
        map.serialize_entry("unpriced", &self.unpriced)?;
        map.end()
    }
}

/// Sessions by id, while they are added up.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<String, Session>);

impl Sessions {
    /// Counts one exchange of the session `id`.
    pub fn add(&mut self, id: &str, facts: &SessionFacts<'_>) {
        if let Some(session) = self.0.get_mut(id) {
            return session.add(facts);
        }
        let mut session = Session { id: id.to_owned(), ..Session::default() };
        session.add(facts);
        self.0.insert(id.to_owned(), session);
    }

    /// The sessions used last, the newest at the end.
    #[must_use]
    pub fn recent(self, limit: usize) -> Vec<Session> {
        let mut sessions: Vec<Session> = self.0.into_values().collect();
        sessions.sort_unstable_by(|a, b| (a.last, &a.id).cmp(&(b.last, &b.id)));
        let surplus = sessions.len().saturating_sub(limit);
        sessions.split_off(surplus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_add_up_and_the_newest_comes_last() {
        let mut sessions = Sessions::default();
        for (id, opened_at, model) in
            [("b", 5, "m1"), ("a", 9, "m1"), ("b", 2, "m2"), ("c", 1, "m")]
        {
            let usd = Some("0.5".parse().unwrap());
            let facts = SessionFacts {
                opened_at,
                model: Some(model),
                usd,
                tokens: 3,
                ..Default::default()
            };
            sessions.add(id, &facts);
        }
        let recent = sessions.recent(2);
        assert_eq!(recent.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        let session = &recent[0];
        assert_eq!((session.first, session.last, session.exchanges, session.tokens), (2, 5, 2, 6));
        assert_eq!(session.models, ["m1", "m2"]);
        assert_eq!(session.usd.to_string(), "1");
    }
}
