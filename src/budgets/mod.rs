//! The budgets of a running sidecar: sums in memory that are always the sums of the ledger.
//!
//! The path of a call only leaves a charge in the [`Inbox`], after its entry is in the ledger, and
//! nothing at all where no budget is configured. Whoever asks (a scrape, the tick) takes the inbox
//! in first, so no figure is older than the question.
//!
//! Sums begin with the ledger's. A load names a place in the ledger: what stands before it comes
//! from the index, what comes after from memory, so that nothing is twice or missing. A correction
//! moves past spend, so it makes the sums anew in the same way. So does an inbox that overflowed.

mod errors;
mod families;
mod load;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::accounting::budget::{Alarms, Book, Budget, Change, Figures, Spent};
use crate::record::{BudgetCrossed, ErrorClassSeen, Notice};
use errors::ErrorWatch;

pub use families::{BudgetFamilies, Deliveries, DeliveryFamilies};
pub use load::{Loaded, load};

/// Charges and errors that wait to be taken in. Beyond it they are dropped from here, and the sums
/// are made anew from the ledger.
const INBOX_MAX: usize = 65_536;

/// What is watched, and how it stands.
pub struct Budgets {
    watched: Vec<Arc<Budget>>,
    /// The error types that somebody wants to hear of.
    classes: Vec<String>,
    inbox: Mutex<Inbox>,
    state: Mutex<State>,
}

/// What the path of calls left. Its lock is held for a push or a swap only.
#[derive(Default)]
struct Inbox {
    /// With the place of its entry in the ledger.
    spent: Vec<(u64, Spent)>,
    errors: Vec<(u64, SeenError)>,
    overflowed: bool,
}

/// An error of the API's.
#[derive(Clone, Debug)]
struct SeenError {
    class: String,
    team: String,
    at: i64,
}

#[derive(Default)]
struct State {
    /// Absent until the ledger's sums are there.
    book: Option<Book>,
    /// Its charges before this place came from the index.
    from: u64,
    alarms: Alarms,
    errors: ErrorWatch,
    /// The load that runs, and what came in after its place.
    loading: Option<Loading>,
    /// The sums do not hold any more.
    stale: bool,
    /// Crossings of this process, by budget and threshold.
    crossed: BTreeMap<(String, String), u64>,
}

struct Loading {
    from: u64,
    book: Book,
    errors: Vec<SeenError>,
}

/// Something to be written down, and told to whom it concerns.
#[derive(Clone, Debug)]
pub enum Due {
    /// About a budget.
    Budget(Change),
    /// A class of errors.
    Error(ErrorClassSeen),
}

impl Budgets {
    /// Watches budgets and classes of errors. `head` is the place in the ledger where this process
    /// begins, `now` the time, nanoseconds since 1970.
    #[must_use]
    pub fn new(watched: Vec<Arc<Budget>>, classes: Vec<String>, head: u64, now: i64) -> Budgets {
        let book = Book::new(&watched, now);
        let loading = Some(Loading { from: head, book, errors: Vec::new() });
        let state = Mutex::new(State { loading, ..State::default() });
        Budgets { watched, classes, inbox: Mutex::default(), state }
    }

    /// Whether there is nothing to watch.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.watched.is_empty() && self.classes.is_empty()
    }

    /// Whether any budget is configured: else a charge need not be made up.
    #[must_use]
    pub fn counts(&self) -> bool {
        !self.watched.is_empty()
    }

    /// Whether somebody wants to hear of errors of this class.
    #[must_use]
    pub fn watches(&self, class: &str) -> bool {
        self.classes.iter().any(|known| known == class)
    }

    /// Counts a charge whose entry stands at `sequence` in the ledger. On the path of every call.
    pub fn spent(&self, sequence: u64, spent: Spent) {
        let mut inbox = lock(&self.inbox);
        if inbox.spent.len() < INBOX_MAX {
            inbox.spent.push((sequence, spent));
        } else {
            inbox.overflowed = true;
        }
    }

    /// Counts an error of the API's whose entry stands at `sequence`.
    pub fn error_seen(&self, sequence: u64, class: &str, team: &str, at: i64) {
        let mut inbox = lock(&self.inbox);
        // Beyond the bound the class is known anyhow.
        if inbox.errors.len() < INBOX_MAX {
            let (class, team) = (class.to_owned(), team.to_owned());
            inbox.errors.push((sequence, SeenError { class, team, at }));
        }
    }

    /// The sums do not hold any more: past spend has moved.
    pub fn stale(&self) {
        self.state().stale = true;
    }

    /// The first load, or another one where the sums do not hold any more: gives the place before
    /// which it reads. `head` tells where the ledger ends now. `None` where there is none to do or
    /// one runs.
    pub fn begin_load(&self, head: impl Fn() -> u64, now: i64) -> Option<u64> {
        let mut state = self.state();
        self.take_in(&mut state, now);
        if state.book.as_ref().is_some_and(|book| book.is_wrong(now)) {
            // The clock was wrong and is right again: as at a start, what has fired included.
            (state.book, state.stale) = (None, true);
        }
        if state.loading.is_some() || !state.stale {
            return None;
        }
        state.stale = false;
        // Read before anything of it can come in: what is appended from here on comes later.
        let from = head();
        let book = Book::new(&self.watched, now);
        state.loading = Some(Loading { from, book, errors: Vec::new() });
        Some(from)
    }

    /// The ledger's sums are there.
    pub fn loaded(&self, loaded: Loaded, now: i64) {
        let mut state = self.state();
        self.take_in(&mut state, now);
        let Some(Loading { book: since, errors, from }) = state.loading.take() else { return };
        let Loaded { mut book, notices, errors: past } = loaded;
        book.merge(since, now);
        let is_first = state.book.is_none();
        if is_first {
            state.alarms = Alarms::new(&book);
            for noticed in &notices {
                match &noticed.notice {
                    Notice::Crossed(crossed) => {
                        if let Some(fired) = crossed.fired() {
                            state.alarms.restore(&book, &fired, now);
                        }
                    }
                    Notice::Rearmed(rearmed) => {
                        if let Some(tier) = rearmed.tier() {
                            let subject = rearmed.name.as_deref().unwrap_or_default();
                            state.alarms.rearm(&book, &rearmed.budget, subject, tier);
                        }
                    }
                    Notice::Error(_) => {}
                }
            }
            state.errors = past;
            for SeenError { class, team, at } in errors {
                state.errors.seen(&class, &team, at);
            }
        }
        (state.book, state.from) = (Some(book), from);
    }

    /// The place of the load that runs or is to be tried again.
    #[must_use]
    pub fn loading(&self) -> Option<u64> {
        self.state().loading.as_ref().map(|loading| loading.from)
    }

    /// What is to be written down at `now`; the same again until it is confirmed.
    pub fn due(&self, now: i64) -> Vec<Due> {
        let mut state = self.state();
        self.take_in(&mut state, now);
        let State { book: Some(book), alarms, errors, .. } = &mut *state else {
            return Vec::new();
        };
        book.settle(now);
        let changes = alarms.due(book, now).into_iter().map(Due::Budget);
        changes.chain(errors.due(now).map(Due::Error)).collect()
    }

    /// It is in the ledger.
    pub fn confirm(&self, due: &Due, now: i64) {
        let mut state = self.state();
        let State { book: Some(book), alarms, errors, crossed, .. } = &mut *state else { return };
        match due {
            Due::Budget(change) => {
                alarms.confirm(book, change, now);
                if let Change::Crossed(crossing) = change {
                    let key = (crossing.budget.name.clone(), crossing.threshold.name());
                    let count = crossed.entry(key).or_default();
                    *count = count.saturating_add(1);
                }
            }
            Due::Error(seen) => errors.told(seen.class.as_str(), now),
        }
    }

    /// Whether a crossing's period runs and its threshold is still crossed.
    #[must_use]
    pub fn holds(&self, crossed: &BudgetCrossed, now: i64) -> Option<bool> {
        let mut state = self.state();
        self.take_in(&mut state, now);
        let book = state.book.as_mut()?;
        book.settle(now);
        let mut accounts = book.accounts().iter();
        let account = accounts.find(|account| account.budget().name == crossed.budget);
        let Some((account, threshold)) = account.zip(crossed.crossed()) else { return Some(false) };
        let session = crossed.session.as_ref().map(|session| session.as_str());
        let runs = account.bounds() == crossed.bounds();
        Some(runs && account.holds(crossed.subject(), threshold, session, now))
    }

    /// The figures of every budget and subject; `None` until the ledger's sums are there.
    #[must_use]
    pub fn figures(&self, now: i64) -> Option<Vec<Figures>> {
        let mut state = self.state();
        self.take_in(&mut state, now);
        let book = state.book.as_mut()?;
        book.settle(now);
        Some(book.figures(now).collect())
    }

    /// Crossings of this process, by budget and threshold.
    fn crossed(&self) -> BTreeMap<(String, String), u64> {
        self.state().crossed.clone()
    }

    /// Takes in what calls have left since the last time.
    fn take_in(&self, state: &mut State, now: i64) {
        let Inbox { spent, errors, overflowed } = std::mem::take(&mut *lock(&self.inbox));
        if let Some(book) = &mut state.book {
            book.settle(now);
        }
        for (sequence, spent) in &spent {
            // One that took longer from the ledger to here than the load is in the sums already.
            if let Some(book) = state.book.as_mut().filter(|_| state.from <= *sequence) {
                book.add(spent);
            }
            if let Some(loading) = state.loading.as_mut().filter(|one| one.from <= *sequence) {
                loading.book.add(spent);
            }
        }
        for (sequence, error) in errors {
            match &mut state.loading {
                Some(loading) if state.book.is_none() => {
                    if loading.from <= sequence && loading.errors.len() < INBOX_MAX {
                        loading.errors.push(error);
                    }
                }
                _ => state.errors.seen(&error.class, &error.team, error.at),
            }
        }
        // The load that runs lacks something too, so it is followed by another.
        state.stale |= overflowed;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
