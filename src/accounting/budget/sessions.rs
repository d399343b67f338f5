//! What each session spent, for the limit on one session.

use std::collections::HashMap;

use super::super::Money;

/// Sessions that one budget remembers. Beyond it the half used longest ago is forgotten: such a
/// session begins at nothing if it comes back.
pub const SESSIONS_MAX: usize = 10_000;

/// The sums by session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sessions(HashMap<String, Session>);

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Session {
    pub(super) usd: Money,
    /// Its last charge, nanoseconds since 1970.
    pub(super) last: i64,
    /// Whose budget it spends from.
    pub(super) subject: String,
}

impl Sessions {
    pub(super) fn add(&mut self, session: &str, subject: &str, (usd, at): (Money, i64)) {
        let known = match self.0.get_mut(session) {
            Some(known) => known,
            None => {
                self.make_room();
                self.0.entry(session.to_owned()).or_default()
            }
        };
        known.usd = known.usd.saturating_add(usd);
        known.last = known.last.max(at);
        if known.subject != subject {
            subject.clone_into(&mut known.subject);
        }
    }

    /// Adds what other sums hold.
    pub(super) fn merge(&mut self, other: Sessions) {
        for (session, Session { usd, last, subject }) in other.0 {
            self.add(&session, &subject, (usd, last));
        }
    }

    /// Forgets sessions without a charge since `horizon`.
    pub(super) fn forget_before(&mut self, horizon: i64) {
        self.0.retain(|_, session| session.last >= horizon);
    }

    /// Sessions that spent `limit` or more.
    pub(super) fn above(&self, limit: Money) -> impl Iterator<Item = (&str, &Session)> {
        let all = self.0.iter().map(|(name, session)| (name.as_str(), session));
        all.filter(move |(_, session)| session.usd >= limit)
    }

    /// What a session spent.
    pub(super) fn spent(&self, session: &str) -> Money {
        self.0.get(session).map_or(Money::ZERO, |session| session.usd)
    }

    fn make_room(&mut self) {
        if self.0.len() < SESSIONS_MAX {
            return;
        }
        let mut moments: Vec<i64> = self.0.values().map(|session| session.last).collect();
        let middle = moments.len().div_euclid(2);
        let (_, median, _) = moments.select_nth_unstable(middle);
        let median = *median;
        self.0.retain(|_, session| session.last > median);
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
