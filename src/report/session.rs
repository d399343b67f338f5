//! Sessions: the exchanges of one client run, added up.

use std::collections::HashMap;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::exchange::Exchange;
use super::period::{Period, instant, readable};
use super::render::usd_readable;
use super::text::{NOTHING, lasted, printable, thousands};
use crate::accounting::Money;
use crate::agent::tool_use::State;

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

impl<'a> SessionFacts<'a> {
    /// Those of an exchange.
    #[must_use]
    pub fn of(exchange: &Exchange<'a>) -> SessionFacts<'a> {
        let facts = exchange.facts();
        SessionFacts {
            opened_at: exchange.opened_at,
            team: exchange.team,
            model: exchange.model,
            tokens: facts.tokens.into_iter().fold(0, u64::saturating_add),
            usd: exchange.usd,
            notional: exchange.notional,
            estimated: exchange.estimated,
            unpriced: exchange.unpriced,
        }
    }
}

/// Sums over exchanges of one session. No amount is in two of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
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

impl Figures {
    /// Counts one exchange.
    pub fn add(&mut self, facts: &SessionFacts<'_>) {
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
    }

    /// Adds other ones.
    pub fn merge(&mut self, other: &Figures) {
        self.exchanges += other.exchanges;
        self.tokens = self.tokens.saturating_add(other.tokens);
        self.usd = self.usd.saturating_add(other.usd);
        self.estimated = self.estimated.saturating_add(other.estimated);
        self.notional = self.notional.saturating_add(other.notional);
        self.unpriced += other.unpriced;
    }

    /// The amount for people: what is billed, else what a subscription paid for; `+ ?` where some
    /// of it is not known.
    #[must_use]
    pub fn amount(&self, decimals: u32) -> String {
        if self.exchanges > 0 && self.unpriced == self.exchanges {
            return "unpriced".to_owned();
        }
        let unpriced = if self.unpriced > 0 { " + ?" } else { "" };
        if self.usd == Money::ZERO && self.notional != Money::ZERO {
            return format!("({}){unpriced}", usd_readable(self.notional, decimals));
        }
        format!("{}{unpriced}", usd_readable(self.usd, decimals))
    }

    /// As entries of a JSON object.
    pub fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("exchanges", &self.exchanges)?;
        map.serialize_entry("tokens", &self.tokens)?;
        map.serialize_entry("usd", &self.usd)?;
        map.serialize_entry("estimated_usd", &self.estimated)?;
        map.serialize_entry("notional_usd", &self.notional)?;
        map.serialize_entry("unpriced", &self.unpriced)
    }
}

/// Tool calls of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ToolFigures {
    /// How many ended in each state, in the order of [`State::ALL`].
    pub states: [u64; State::ALL.len()],
    /// How many run.
    pub running: u64,
}

impl ToolFigures {
    /// Counts one; `None` where it runs.
    pub fn add(&mut self, state: Option<State>) {
        let place = state.and_then(|state| State::ALL.iter().position(|known| *known == state));
        match place.and_then(|place| self.states.get_mut(place)) {
            Some(count) => *count += 1,
            None => self.running += 1,
        }
    }

    /// Each state with its count.
    pub fn counts(&self) -> impl Iterator<Item = (State, u64)> + '_ {
        State::ALL.into_iter().zip(self.states)
    }

    /// All that the traffic knows and that ended, and how many of them are accounted for.
    #[must_use]
    pub fn accounted(&self) -> (u64, u64) {
        let count = |which: fn(State) -> bool| {
            self.counts().filter(|(state, _)| which(*state)).map(|(_, count)| count).sum()
        };
        (count(|state| state != State::Unverified), count(State::is_accounted_for))
    }

    /// How much of what happened is accounted for, in percent, rounded down: 100 means all. `None`
    /// where there is nothing to account for.
    #[must_use]
    pub fn completeness(&self) -> Option<u64> {
        let (all, accounted) = self.accounted();
        accounted.saturating_mul(100).checked_div(all)
    }

    /// Adds other ones.
    pub fn merge(&mut self, other: &ToolFigures) {
        for (count, more) in self.states.iter_mut().zip(other.states) {
            *count += more;
        }
        self.running += other.running;
    }

    /// How many there are, unverified ones too.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.states.iter().sum::<u64>() + self.running
    }
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
    /// What its exchanges add up to.
    pub figures: Figures,
    /// Its tool calls.
    pub tools: ToolFigures,
}

/// The columns of the table of sessions.
pub const HEADER: [&str; 10] = [
    "session",
    "team",
    "models",
    "last (UTC)",
    "time",
    "calls",
    "tokens",
    "usd",
    "tools",
    "complete",
];
/// Columns at its end that add up.
const SUMS: usize = 5;

impl Session {
    fn add(&mut self, facts: &SessionFacts<'_>) {
        if self.figures.exchanges == 0 {
            (self.first, self.last) = (facts.opened_at, facts.opened_at);
        }
        self.first = self.first.min(facts.opened_at);
        self.last = self.last.max(facts.opened_at);
        self.figures.add(facts);
        if facts.team != self.team.as_deref() {
            self.team = facts.team.map(str::to_owned);
        }
        if let Some(model) = facts.model.filter(|_| self.models.len() < MODELS_MAX)
            && !self.models.iter().any(|known| known == model)
        {
            self.models.push(model.to_owned());
        }
    }

    /// The first model, and how many more there are.
    fn model_words(&self) -> String {
        match self.models.as_slice() {
            [] => NOTHING.to_owned(),
            [one] => one.clone(),
            [first, more @ ..] => format!("{first} +{}", more.len()),
        }
    }

    /// A row below [`HEADER`].
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        let mut cells = vec![
            printable(&self.id).into_owned(),
            printable(self.team.as_deref().unwrap_or(NOTHING)).into_owned(),
            printable(&self.model_words()).into_owned(),
            readable(self.last),
            lasted(u64::try_from(self.last.saturating_sub(self.first) / 1000).unwrap_or(0)),
        ];
        cells.extend(sums(&self.figures, &self.tools));
        cells
    }
}

fn sums(figures: &Figures, tools: &ToolFigures) -> [String; SUMS] {
    let completeness = tools.completeness();
    [
        thousands(figures.exchanges),
        thousands(figures.tokens),
        figures.amount(4),
        match tools.all() {
            0 => NOTHING.to_owned(),
            all => thousands(all),
        },
        completeness.map_or_else(|| NOTHING.to_owned(), |percent| format!("{percent} %")),
    ]
}

/// What several sessions add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Total {
    /// Of their exchanges.
    pub figures: Figures,
    /// Of their tool calls.
    pub tools: ToolFigures,
}

impl Total {
    /// Of these sessions.
    #[must_use]
    pub fn of(sessions: &[Session]) -> Total {
        let mut total = Total::default();
        for session in sessions {
            total.figures.merge(&session.figures);
            total.tools.merge(&session.tools);
        }
        total
    }

    /// A last row below [`HEADER`].
    #[must_use]
    pub fn cells(&self) -> Vec<String> {
        let mut cells = vec![String::new(); HEADER.len() - SUMS];
        cells[0] = "total".to_owned();
        cells.extend(sums(&self.figures, &self.tools));
        cells
    }
}

impl Serialize for Total {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.figures.entries(&mut map)?;
        map.serialize_entry("tools", &self.tools)?;
        map.serialize_entry("completeness", &self.tools.completeness())?;
        map.end()
    }
}

impl Session {
    /// As entries of a JSON object.
    pub fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        map.serialize_entry("session", &self.id)?;
        map.serialize_entry("team", &self.team)?;
        map.serialize_entry("models", &self.models)?;
        map.serialize_entry("first", &instant(self.first))?;
        map.serialize_entry("last", &instant(self.last))?;
        self.figures.entries(map)?;
        map.serialize_entry("tools", &self.tools)?;
        map.serialize_entry("completeness", &self.tools.completeness())
    }
}

impl Serialize for Session {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
        map.end()
    }
}

impl Serialize for ToolFigures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (state, count) in self.counts() {
            map.serialize_entry(state.name(), &count)?;
        }
        map.serialize_entry("running", &self.running)?;
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

    /// A session that hooks speak of, between two moments. It counts where no exchange is known.
    pub fn told(&mut self, id: &str, first: i64, last: i64) {
        if !self.0.contains_key(id) {
            let session = Session { id: id.to_owned(), first, last, ..Session::default() };
            self.0.insert(id.to_owned(), session);
        }
    }

    /// The sessions last used in a period, the newest at the end; no more than `limit`. So each
    /// session, whole, belongs to one of two periods that follow each other.
    #[must_use]
    pub fn recent(self, period: &Period, limit: usize) -> Vec<Session> {
        let sessions = self.0.into_values().filter(|session| period.contains(session.last));
        let mut sessions: Vec<Session> = sessions.collect();
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
        let recent = sessions.recent(&Period::default(), 2);
        assert_eq!(recent.iter().map(|s| s.id.as_str()).collect::<Vec<_>>(), ["b", "a"]);
        let session = &recent[0];
        let figures = &session.figures;
        assert_eq!((session.first, session.last, figures.exchanges, figures.tokens), (2, 5, 2, 6));
        assert_eq!(session.models, ["m1", "m2"]);
        assert_eq!(figures.usd.to_string(), "1");
    }

    #[test]
    fn completeness_is_all_or_less_than_a_hundred() {
        let mut tools = ToolFigures::default();
        assert_eq!(tools.completeness(), None);
        tools.add(Some(State::Unverified));
        tools.add(None);
        assert_eq!((tools.completeness(), tools.all()), (None, 2));
        (0..199).for_each(|_| tools.add(Some(State::Complete)));
        assert_eq!(tools.completeness(), Some(100));
        tools.add(Some(State::HookMissing));
        assert_eq!((tools.completeness(), tools.accounted()), (Some(99), (200, 199)));
    }
}
