//! The sums: what each subject of each budget spent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::super::Money;
use super::figures::{BUCKET_SECONDS, Figures, WINDOW_SECONDS_MAX};
use super::sessions::Sessions;
use super::{Bounds, Budget, NS_PER_SECOND, Scope};

/// Subjects that a budget for each one tracks by themselves. Charges of more are counted as
/// untracked: each subject is a set of series in metrics.
pub const SUBJECTS_MAX: usize = 1000;
/// A charge may be so much later than the moment that sums were settled at, in nanoseconds: a
/// minute. One that is later still was stamped by a clock that was wrong, and begins no period.
const AHEAD_NS_MAX: i64 = 60 * NS_PER_SECOND;
/// Sums of five minutes that one subject keeps, at most: the longest window and both its ends.
const BUCKETS_MAX: usize = 866;

/// A charge that counts: billed, with a known price, and in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// When its entry was written, nanoseconds since 1970 (UTC): the period it belongs to.
    pub at: i64,
    /// The amount.
    pub usd: Money,
    /// Who pays; absent only where the opening is lost.
    pub team: Option<String>,
    /// The project the credential belongs to.
    pub project: Option<String>,
    /// The user the credential belongs to.
    pub user: Option<String>,
    /// The model that answered, else the one asked for.
    pub model: Option<String>,
    /// The client's session.
    pub session: Option<String>,
}

impl Spent {
    /// Whose budget of this scope it spends from; `None` where it has none.
    fn subject(&self, scope: Scope) -> Option<&str> {
        match scope {
            Scope::Total => Some(""),
            Scope::Team => self.team.as_deref(),
            Scope::Project => self.project.as_deref(),
            Scope::User => self.user.as_deref(),
            Scope::Model => self.model.as_deref(),
        }
    }
}

/// What one subject spent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums {
    /// In the running period, exactly.
    pub(super) used: Money,
    /// By five minutes since 1970; only those with a charge, and only as far back as the longest
    /// window.
    pub(super) buckets: BTreeMap<i64, Money>,
}

/// The sums of one budget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    budget: Arc<Budget>,
    bounds: Bounds,
    /// When it was settled last.
    settled: i64,
    pub(super) subjects: BTreeMap<String, Sums>,
    pub(super) sessions: Sessions,
    untracked: u64,
    /// The first charge of a later period: its clock was ahead. It is in no sum of that period.
    later: Option<i64>,
}

/// The sums of all budgets, in the order of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    accounts: Vec<Account>,
}

impl Book {
    /// Nothing spent yet, at the moment `now` (nanoseconds since 1970).
    #[must_use]
    pub fn new(budgets: &[Arc<Budget>], now: i64) -> Book {
        Book { accounts: budgets.iter().map(|budget| Account::new(budget, now)).collect() }
    }

    /// The earliest moment whose charges still matter at `now`.
    #[must_use]
    pub fn horizon(budgets: &[Arc<Budget>], now: i64) -> i64 {
        let starts = budgets.iter().map(|budget| budget.period.bounds(now, &budget.zone).start);
        starts.fold(window_horizon(now), i64::min)
    }

    /// Adds a charge to every budget that it spends from.
    pub fn add(&mut self, spent: &Spent) {
        for account in &mut self.accounts {
            account.add(spent);
        }
    }

    /// Adds the sums of another book over the same budgets.
    pub fn merge(&mut self, other: Book, now: i64) {
        for (account, theirs) in self.accounts.iter_mut().zip(other.accounts) {
            account.merge(theirs, now);
        }
    }

    /// Begins new periods, and forgets what no window reaches any more.
    pub fn settle(&mut self, now: i64) {
        for account in &mut self.accounts {
            account.settle(now);
        }
    }

    /// Whether sums do not hold because the clock was ahead. A period has begun that `now` is not
    /// in yet, and the sums of the one before it are gone; or the period runs that was begun too
    /// early, and what was charged then is missing.
    #[must_use]
    pub fn is_wrong(&self, now: i64) -> bool {
        let latest = now.saturating_add(AHEAD_NS_MAX);
        let lacks = |account: &Account| account.later.is_some_and(|at| at < account.bounds.end);
        self.accounts.iter().any(|account| account.bounds.start > latest || lacks(account))
    }

    /// One account a budget.
    #[must_use]
    pub fn accounts(&self) -> &[Account] {
        &self.accounts
    }

    /// What follows from the sums at `now`, by budget, then subject.
    pub fn figures(&self, now: i64) -> impl Iterator<Item = Figures> {
        let each = move |account: &Account| account.figures(now).collect::<Vec<_>>();
        self.accounts.iter().flat_map(each)
    }
}

/// Before this moment no window reaches.
fn window_horizon(now: i64) -> i64 {
    let seconds = WINDOW_SECONDS_MAX.saturating_add(BUCKET_SECONDS);
    now.saturating_sub(seconds.saturating_mul(NS_PER_SECOND))
}

/// The five minutes that a moment lies in.
pub(super) fn bucket_of(at: i64) -> i64 {
    at.div_euclid(BUCKET_SECONDS.saturating_mul(NS_PER_SECOND))
}

impl Account {
    fn new(budget: &Arc<Budget>, now: i64) -> Account {
        let mut account = Account {
            budget: Arc::clone(budget),
            bounds: budget.period.bounds(now, &budget.zone),
            settled: now,
            subjects: BTreeMap::new(),
            sessions: Sessions::default(),
            untracked: 0,
            later: None,
        };
        account.subjects.extend(account.standing().map(|name| (name, Sums::default())));
        account
    }

    /// The subject that is there without any spend.
    fn standing(&self) -> Option<String> {
        match self.budget.scope {
            Scope::Total => Some(String::new()),
            _ => self.budget.subject.clone(),
        }
    }

    /// What it is about.
    #[must_use]
    pub fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The running period.
    #[must_use]
    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// Charges of subjects beyond [`SUBJECTS_MAX`], in the running period.
    #[must_use]
    pub fn untracked(&self) -> u64 {
        self.untracked
    }

    /// What follows from the sums at `now`, by subject.
    pub fn figures(&self, now: i64) -> impl Iterator<Item = Figures> {
        let of = move |(name, sums): (&String, &Sums)| Figures::new(self, name, sums, now);
        self.subjects.iter().map(of)
    }

    /// The figures of one subject; `None` where it is not tracked.
    #[must_use]
    pub fn figures_of(&self, subject: &str, now: i64) -> Option<Figures> {
        Some(Figures::new(self, subject, self.subjects.get(subject)?, now))
    }

    fn add(&mut self, spent: &Spent) {
        let Some(subject) = spent.subject(self.budget.scope) else { return };
        if self.budget.subject.as_deref().is_some_and(|only| only != subject) {
            return;
        }
        if spent.at.saturating_sub(self.settled) <= AHEAD_NS_MAX {
            self.begin(spent.at);
        } else if spent.at >= self.bounds.end {
            self.later = Some(self.later.map_or(spent.at, |at| at.min(spent.at)));
        }
        if let (Some(_), Some(session)) = (self.budget.session_limit, &spent.session) {
            self.sessions.add(session, subject, (spent.usd, spent.at));
        }
        let is_full = self.subjects.len() >= SUBJECTS_MAX;
        let sums = match self.subjects.get_mut(subject) {
            Some(sums) => sums,
            None if is_full => {
                self.untracked = self.untracked.saturating_add(1);
                return;
            }
            None => self.subjects.entry(subject.to_owned()).or_default(),
        };
        if self.bounds.holds(spent.at) {
            sums.used = sums.used.saturating_add(spent.usd);
        }
        sums.add_to_bucket(bucket_of(spent.at), spent.usd);
    }

    fn merge(&mut self, mut other: Account, now: i64) {
        self.settle(now);
        other.settle(now);
        self.untracked = self.untracked.saturating_add(other.untracked);
        self.sessions.merge(other.sessions);
        self.later = self.later.into_iter().chain(other.later).min();
        for (name, theirs) in other.subjects {
            if self.subjects.len() >= SUBJECTS_MAX && !self.subjects.contains_key(&name) {
                self.untracked = self.untracked.saturating_add(1);
                continue;
            }
            let sums = self.subjects.entry(name).or_default();
            sums.used = sums.used.saturating_add(theirs.used);
            for (bucket, usd) in theirs.buckets {
                sums.add_to_bucket(bucket, usd);
            }
        }
    }

    /// Begins the period that `at` lies in, if it is a later one.
    fn begin(&mut self, at: i64) {
        if at < self.bounds.end {
            return;
        }
        self.bounds = self.budget.period.bounds(at, &self.budget.zone);
        self.untracked = 0;
        for sums in self.subjects.values_mut() {
            sums.used = Money::ZERO;
        }
    }

    fn settle(&mut self, now: i64) {
        self.begin(now);
        self.settled = now;
        let horizon = window_horizon(now);
        let first = bucket_of(horizon);
        for sums in self.subjects.values_mut() {
            while sums.buckets.first_key_value().is_some_and(|(bucket, _)| *bucket < first) {
                sums.buckets.pop_first();
            }
        }
        let standing = self.standing();
        self.subjects.retain(|name, sums| {
            let spends = sums.used != Money::ZERO || !sums.buckets.is_empty();
            spends || standing.as_ref() == Some(name)
        });
        self.sessions.forget_before(horizon);
    }
}

impl Sums {
    fn add_to_bucket(&mut self, bucket: i64, usd: Money) {
        let sum = self.buckets.entry(bucket).or_default();
        *sum = sum.saturating_add(usd);
        // Charges older than every window come in when sums are made again.
        if self.buckets.len() > BUCKETS_MAX {
            self.buckets.pop_first();
        }
    }
}
