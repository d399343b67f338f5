//! The ledger's sums, read from the index.

use std::path::Path;
use std::sync::Arc;

use super::errors::ErrorWatch;
use crate::accounting::budget::{Book, Budget};
use crate::index::{Index, IndexError};
use crate::record::{Notice, Noticed};

/// How far back errors are read, in nanoseconds: a day. An episode that lasts longer without a
/// pause and over a restart is told once more.
const ERRORS_NS: i64 = 24 * 60 * 60 * 1_000_000_000;

/// What the ledger says up to a place.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The sums.
    pub book: Book,
    /// What was told, the oldest first.
    pub notices: Vec<Noticed>,
    pub(super) errors: ErrorWatch,
}

/// Reads what counts before the place `before`. Waits for the index, however long that takes: give
/// it a thread of its own.
///
/// # Errors
///
/// The index cannot be used, or stands still.
pub fn load(
    data_dir: &Path,
    (budgets, classes): (&[Arc<Budget>], &[String]),
    before: u64,
    now: i64,
) -> Result<Loaded, IndexError> {
    let index = Index::open_for_reading(data_dir, &mut |_, _| ())?;
    let read = || read(&index, (budgets, classes), before, now);
    match read() {
        Err(error) if error.is_damage() => {
            index.discard()?;
            Err(error)
        }
        read => read,
    }
}

fn read(
    index: &Index,
    (budgets, classes): (&[Arc<Budget>], &[String]),
    before: u64,
    now: i64,
) -> Result<Loaded, IndexError> {
    let mut book = Book::new(budgets, now);
    if !budgets.is_empty() {
        index.spent(Book::horizon(budgets, now), before, |spent| book.add(spent))?;
    }
    let notices = index.notices(before)?;
    let mut errors = ErrorWatch::default();
    if !classes.is_empty() {
        let since = now.saturating_sub(ERRORS_NS);
        let mut told = notices.iter().peekable();
        index.errors(since, before, |class, team, at| {
            while let Some(noticed) = told.next_if(|noticed| noticed.at < at) {
                tell(&mut errors, noticed);
            }
            if classes.iter().any(|known| known == class) {
                errors.seen(class, team, at);
            }
        })?;
        told.for_each(|noticed| tell(&mut errors, noticed));
    }
    Ok(Loaded { book, notices, errors })
}

fn tell(errors: &mut ErrorWatch, noticed: &Noticed) {
    if let Notice::Error(seen) = &noticed.notice {
        errors.told(seen.class.as_str(), noticed.at);
    }
}

impl Budgets {
    /// [`load`], for what this watches.
    ///
    /// # Errors
    ///
    /// The index cannot be used, or stands still.
    pub fn load(&self, data_dir: &Path, before: u64, now: i64) -> Result<Loaded, IndexError> {
        load(data_dir, (&self.watched, &self.classes), before, now)
    }
}

use super::Budgets;
