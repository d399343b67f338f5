//! Which thresholds are crossed, and which of them were not before.
//!
//! * Percent of the limit and the forecast fire once a period and subject.
//! * A burn tier fires when both its windows are above it and the long one is at the floor at
//!   least. It is armed again once that has not held for as long as the long window. A slower tier
//!   is held back while a faster one burns: it would say the same more weakly.
//! * A session fires once.
//!
//! What fired is kept apart from the sums, which can be made again at any time. Nothing counts as
//! fired before its entry is in the ledger ([`Alarms::confirm`]).

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use super::super::Money;
use super::figures::Figures;
use super::sessions::SESSIONS_MAX;
use super::{Account, Book, Bounds, Budget, NS_PER_SECOND, Threshold, Tier};

/// A forecast is made from this part of the period on: a twentieth, 36 hours of a month.
const FORECAST_FROM: i64 = 20;

/// A threshold was crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crossing {
    /// The budget.
    pub budget: Arc<Budget>,
    /// Which team, project, …; empty for all spend.
    pub subject: String,
    /// The running period.
    pub bounds: Bounds,
    /// What was crossed.
    pub threshold: Threshold,
    /// Used in the period by then.
    pub used: Money,
    /// Expected at its end.
    pub forecast: Money,
    /// Of a burn tier: dollars an hour over its long window.
    pub per_hour: Option<Money>,
    /// Of a session's limit: the session and what it spent.
    pub session: Option<(String, Money)>,
}

/// Something to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A threshold was crossed.
    Crossed(Box<Crossing>),
    /// A burn tier has been quiet for long enough: it can fire again.
    Rearmed {
        /// The budget.
        budget: Arc<Budget>,
        /// Which team, project, …
        subject: String,
        /// The tier.
        tier: Tier,
    },
}

/// A crossing that was written down before, as far as it decides what fires again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired<'a> {
    /// The budget's name.
    pub budget: &'a str,
    /// Which team, project, …
    pub subject: &'a str,
    /// The start of its period.
    pub start: i64,
    /// What was crossed.
    pub threshold: Threshold,
    /// The limit at that time.
    pub limit: Money,
    /// Of a session's limit: the session.
    pub session: Option<&'a str>,
}

/// What has fired, in the order of the budgets.
#[derive(Clone, Debug, Default)]
pub struct Alarms {
    accounts: Vec<Raised>,
}

#[derive(Clone, Debug, Default)]
struct Raised {
    subjects: HashMap<String, Passed>,
    sessions: HashSet<String>,
}

#[derive(Clone, Debug, Default)]
struct Passed {
    /// The start of the period that `once` is about.
    start: i64,
    once: BTreeSet<Threshold>,
    /// When each tier that has fired last held.
    burning: [Option<i64>; 4],
}

impl Passed {
    fn begin(&mut self, start: i64) {
        if self.start != start {
            self.start = start;
            self.once.clear();
        }
    }
}

impl Alarms {
    /// Nothing has fired yet.
    #[must_use]
    pub fn new(book: &Book) -> Alarms {
        Alarms { accounts: book.accounts().iter().map(|_| Raised::default()).collect() }
    }

    /// What is to be written down at `now`; the same again until it is confirmed.
    pub fn due(&mut self, book: &Book, now: i64) -> Vec<Change> {
        let mut due = Vec::new();
        for (account, raised) in book.accounts().iter().zip(&mut self.accounts) {
            for figures in account.figures(now) {
                let passed = match raised.subjects.get_mut(&figures.subject) {
                    Some(passed) => passed,
                    None => raised.subjects.entry(figures.subject.clone()).or_default(),
                };
                passed.begin(figures.bounds.start);
                once(&figures, passed, now, &mut due);
                burning(&figures, passed, now, &mut due);
            }
            sessions(account, &raised.sessions, now, &mut due);
            raised.forget(account);
        }
        due
    }

    /// It is in the ledger.
    pub fn confirm(&mut self, book: &Book, change: &Change, now: i64) {
        match change {
            Change::Crossed(crossing) => {
                let session = crossing.session.as_ref().map(|(name, _)| name.as_str());
                let (name, start) = (&crossing.budget.name, crossing.bounds.start);
                let place = (name.as_str(), crossing.subject.as_str());
                self.fire(book, place, (crossing.threshold, session), (start, now));
            }
            Change::Rearmed { budget, subject, tier } => {
                self.rearm(book, &budget.name, subject, *tier);
            }
        }
    }

    /// Remembers what the ledger says has fired. Where the limit is another one since then, what
    /// the spend does not reach any more can fire again; what it still reaches does not.
    pub fn restore(&mut self, book: &Book, fired: &Fired<'_>, now: i64) {
        let Some(account) = account(book, fired.budget) else { return };
        let is_once = matches!(fired.threshold, Threshold::Percent(_) | Threshold::Forecast);
        if is_once && fired.start != account.bounds().start {
            return;
        }
        let changed = fired.limit != account.budget().limit;
        if is_once && changed && !account.holds(fired.subject, fired.threshold, None, now) {
            return;
        }
        let place = (fired.budget, fired.subject);
        self.fire(book, place, (fired.threshold, fired.session), (account.bounds().start, now));
    }

    /// A burn tier can fire again.
    pub fn rearm(&mut self, book: &Book, budget: &str, subject: &str, tier: Tier) {
        let passed = self.passed(book, budget, subject);
        if let Some(held) = passed.and_then(|passed| passed.burning.get_mut(tier as usize)) {
            *held = None;
        }
    }

    fn fire(
        &mut self,
        book: &Book,
        (budget, subject): (&str, &str),
        (threshold, session): (Threshold, Option<&str>),
        (start, now): (i64, i64),
    ) {
        if let (Threshold::Session, Some(session)) = (threshold, session) {
            let place = place(book, budget);
            if let Some(raised) = place.and_then(|place| self.accounts.get_mut(place)) {
                raised.sessions.insert(session.to_owned());
            }
            return;
        }
        let Some(passed) = self.passed(book, budget, subject) else { return };
        passed.begin(start);
        match threshold {
            Threshold::Burn(tier) => {
                if let Some(held) = passed.burning.get_mut(tier as usize) {
                    *held = Some(now);
                }
            }
            _ => drop(passed.once.insert(threshold)),
        }
    }

    fn passed(&mut self, book: &Book, budget: &str, subject: &str) -> Option<&mut Passed> {
        let raised = self.accounts.get_mut(place(book, budget)?)?;
        Some(raised.subjects.entry(subject.to_owned()).or_default())
    }
}

fn place(book: &Book, budget: &str) -> Option<usize> {
    book.accounts().iter().position(|account| account.budget().name == budget)
}

fn account<'b>(book: &'b Book, budget: &str) -> Option<&'b Account> {
    book.accounts().iter().find(|account| account.budget().name == budget)
}

impl Raised {
    /// Keeps what the account still knows, and what fired in the running period.
    fn forget(&mut self, account: &Account) {
        if self.subjects.len() > account.subjects.len() {
            let start = account.bounds().start;
            self.subjects.retain(|name, passed| {
                account.subjects.contains_key(name) || passed.start == start
            });
        }
        if self.sessions.len() > SESSIONS_MAX {
            self.sessions.retain(|session| account.sessions.spent(session) != Money::ZERO);
        }
    }
}

/// What fires once a period.
fn once(figures: &Figures, passed: &Passed, now: i64, due: &mut Vec<Change>) {
    let budget = &figures.budget;
    for percent in &budget.percents {
        let threshold = Threshold::Percent(*percent);
        if figures.reaches(*percent) && !passed.once.contains(&threshold) {
            due.push(crossed(figures, threshold, None));
        }
    }
    let Bounds { start, end } = figures.bounds;
    let early = end.saturating_sub(start).div_euclid(FORECAST_FROM);
    let in_time = now.saturating_sub(start) >= early && figures.used < budget.limit;
    let ahead = budget.forecast && in_time && exceeds_at_the_end(figures);
    if ahead && !passed.once.contains(&Threshold::Forecast) {
        due.push(crossed(figures, Threshold::Forecast, None));
    }
}

/// Burn tiers that begin, go on, or have ended.
fn burning(figures: &Figures, passed: &mut Passed, now: i64, due: &mut Vec<Change>) {
    let mut faster = false;
    for (tier, last) in Tier::ALL.into_iter().zip(&mut passed.burning) {
        let holds = burns(figures, tier);
        let (long, _) = tier.windows();
        let quiet = long.seconds().saturating_mul(NS_PER_SECOND);
        match last {
            // First, because nobody looks at a subject while nothing is known of it.
            Some(held) if now.saturating_sub(*held) >= quiet => {
                let (budget, subject) = (Arc::clone(&figures.budget), figures.subject.clone());
                due.push(Change::Rearmed { budget, subject, tier });
            }
            Some(held) if holds => *held = now,
            Some(_) => {}
            None if holds && figures.budget.burn && !faster => {
                let per_hour = figures.burn(long).per_hour;
                due.push(crossed(figures, Threshold::Burn(tier), Some(per_hour)));
            }
            None => {}
        }
        faster |= holds || last.is_some();
    }
}

fn sessions(account: &Account, fired: &HashSet<String>, now: i64, due: &mut Vec<Change>) {
    let Some(limit) = account.budget().session_limit else { return };
    for (name, session) in account.sessions.above(limit) {
        if fired.contains(name) {
            continue;
        }
        let Some(figures) = account.figures_of(&session.subject, now) else { continue };
        let mut change = crossed(&figures, Threshold::Session, None);
        if let Change::Crossed(crossing) = &mut change {
            crossing.session = Some((name.to_owned(), session.usd));
        }
        due.push(change);
    }
}

fn crossed(figures: &Figures, threshold: Threshold, per_hour: Option<Money>) -> Change {
    Change::Crossed(Box::new(Crossing {
        budget: Arc::clone(&figures.budget),
        subject: figures.subject.clone(),
        bounds: figures.bounds,
        threshold,
        used: figures.used,
        forecast: figures.forecast,
        per_hour,
        session: None,
    }))
}

fn exceeds_at_the_end(figures: &Figures) -> bool {
    figures.forecast > figures.budget.limit
}

/// Whether both windows of a tier are above it now.
fn burns(figures: &Figures, tier: Tier) -> bool {
    let (long, short) = tier.windows();
    let (long, short) = (figures.burn(long), figures.burn(short));
    let fast = long.ratio_ppm > tier.ppm() && short.ratio_ppm > tier.ppm();
    fast && long.per_hour >= figures.budget.burn_floor
}

impl Account {
    /// Whether what a threshold is about holds at `now`, fired or not.
    #[must_use]
    pub fn holds(
        &self,
        subject: &str,
        threshold: Threshold,
        session: Option<&str>,
        now: i64,
    ) -> bool {
        if let (Threshold::Session, Some(session)) = (threshold, session) {
            let limit = self.budget().session_limit;
            return limit.is_some_and(|limit| self.sessions.spent(session) >= limit);
        }
        let Some(figures) = self.figures_of(subject, now) else { return false };
        match threshold {
            Threshold::Percent(percent) => figures.reaches(percent),
            Threshold::Forecast => exceeds_at_the_end(&figures),
            Threshold::Burn(tier) => burns(&figures, tier),
            Threshold::Session => false,
        }
    }
}
