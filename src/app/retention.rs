//! Lines that are older than the configuration keeps are removed, with kept contents of that time.
//!
//! Only whole months go, and only lines that are signed, indexed, exported and held by every
//! witness that holds any. Their hashes stay, and an entry says so before anything is removed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Span;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio_util::sync::CancellationToken;

use crate::admin::Operator;
use crate::audit::checkpoint::Checkpoint;
use crate::capture;
use crate::config::Config;
use crate::index;
use crate::ledger::{self, Prunable};
use crate::record::Entry;
use crate::record::act::Pruned;
use crate::signing;

/// How often it is looked whether a month is old enough.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);
/// The same before the index has read anything: nothing can be removed before.
const WAIT_INTERVAL: Duration = Duration::from_secs(1);

/// How often it is looked whether the entry about what goes is signed, every [`WAIT_INTERVAL`].
const SIGNED_LOOKS: u32 = 30;
/// After so many days without a line the clock may be wrong, and lines that are gone are gone: the
/// next run decides.
const IDLE_DAYS_MAX: u64 = 31;
const DAY_NS: u64 = 86_400_000_000_000;

/// What is kept, and where.
pub(super) struct Keep {
    data_dir: PathBuf,
    months: u64,
    /// Names of the witnesses that are configured.
    witnesses: Vec<String>,
    /// When the last line before this run was written, nanoseconds; absent without one.
    last_ns: Option<u64>,
}

impl Keep {
    /// What `config` asks for; `entries` were in the ledger before this run. `None`: all is kept.
    pub(super) fn new(config: &Config, entries: u64) -> Result<Option<Keep>> {
        let Some(months) = config.ledger.retention_months else { return Ok(None) };
        let data_dir = config.ledger.dir.clone();
        let last = entries.checked_sub(1).map(|last| ledger::written_at(&data_dir, last));
        let witnesses = config.audit.witnesses.iter().map(|witness| witness.name.clone());
        let (witnesses, last_ns) = (witnesses.collect(), last.transpose()?.flatten());
        Ok(Some(Keep { data_dir, months, witnesses, last_ns }))
    }

    fn was_idle(&self, now_ns: u64) -> bool {
        let age = self.last_ns.map(|last| now_ns.saturating_sub(last));
        age.is_some_and(|age| age > IDLE_DAYS_MAX * DAY_NS)
    }
}

/// Looks once the index is there and then every hour, until `stop`. Ends where all is kept.
pub(super) async fn keep(operator: Arc<Operator>, config: Option<Keep>, stop: CancellationToken) {
    let Some(config) = config else { return };
    if config.was_idle(operator.recorder.clock().stamp().wall_ns) {
        tracing::error!(
            days = IDLE_DAYS_MAX,
            "nothing is removed in this run: no line is younger than so many days, or the clock is \
             wrong; where it is right, restart the sidecar"
        );
        return;
    }
    loop {
        let is_indexed = operator.indexed.load(Ordering::Relaxed) > 0;
        let pause = if is_indexed { LOOK_INTERVAL } else { WAIT_INTERVAL };
        if is_indexed && let Err(error) = look(&operator, &config).await {
            let error = format!("{error:#}");
            tracing::error!(error, "lines older than ledger.retention_months are not removed yet");
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// The first day of the oldest month that is kept.
fn oldest_day(today: Date, months: u64) -> Date {
    let span = Span::new().try_months(i64::try_from(months).unwrap_or(i64::MAX));
    let back = span.ok().and_then(|span| today.first_of_month().checked_sub(span).ok());
    back.unwrap_or(Date::MIN)
}

/// One look: lines that can go, then what is left of them elsewhere, also of an earlier time.
async fn look(operator: &Operator, config: &Keep) -> Result<()> {
    let day = oldest_day(operator.recorder.clock().today(), config.months);
    if let Some(found) = find(operator, config, day).await? {
        announce(operator, config, &found).await?;
        let (first, dir) = (found.first, config.data_dir.clone());
        tokio::task::spawn_blocking(move || ledger::remove_lines(&dir, &found)).await??;
        tracing::info!(
            first,
            months = config.months,
            "older lines were removed; their hashes stay"
        );
    }
    let dir = config.data_dir.clone();
    let follow = move || -> Result<()> {
        capture::remove_before(&dir, day).context("kept contents of that time")?;
        // A view of lines that are gone is not kept either: it is built again from what is left.
        if index::holds_before(&dir, ledger::pruned_upto(&dir)?)? {
            index::remove(&dir)?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(follow).await?
}

/// The lines that can go, their hashes kept.
async fn find(operator: &Operator, config: &Keep, day: Date) -> Result<Option<Prunable>> {
    let before = day.to_zoned(TimeZone::UTC).context("the day is out of range")?;
    let before_ns = u64::try_from(before.timestamp().as_nanosecond()).unwrap_or(0);
    let mut upto = operator.indexed.load(Ordering::Relaxed);
    if let Some((exported, _)) = &operator.export {
        upto = upto.min(exported.load(Ordering::Relaxed));
    }
    let (dir, names) = (config.data_dir.clone(), config.witnesses.clone());
    let find = move || -> Result<Option<Prunable>> {
        let upto = signed(&dir)?.min(upto);
        let held = signing::witnessed(&dir).into_iter().filter(|(name, _)| names.contains(name));
        let upto = held.map(|(_, held)| held.size).fold(upto, u64::min);
        let found = ledger::prunable(&dir, before_ns, upto)?;
        if let Some(found) = &found {
            ledger::keep_leaves(&dir, found)?;
        }
        Ok(found)
    };
    tokio::task::spawn_blocking(find).await?
}

/// Lines that the newest checkpoint covers.
fn signed(data_dir: &Path) -> Result<u64> {
    let newest = signing::newest(data_dir)?.and_then(|note| Checkpoint::parse(&note.text).ok());
    Ok(newest.map_or(0, |newest| newest.size))
}

/// Writes down what goes, and waits until that is signed.
async fn announce(operator: &Operator, config: &Keep, found: &Prunable) -> Result<()> {
    let (first, root) = (found.first, found.root.to_string());
    let pruned = Pruned { first, retention_months: config.months, root };
    let written = operator.recorder.record(&Entry::Pruned(pruned)).await?;
    let sequence = written.sequence.context("the ledger does not take the entry")?;
    for _ in 0..SIGNED_LOOKS {
        let dir = config.data_dir.clone();
        if tokio::task::spawn_blocking(move || signed(&dir)).await?? > sequence {
            return Ok(());
        }
        tokio::time::sleep(WAIT_INTERVAL).await;
    }
    anyhow::bail!("the entry that says so is not signed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_months_are_kept() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        assert_eq!(oldest_day(day("2026-11-26"), 3), day("2026-08-01"));
        assert_eq!(oldest_day(day("2026-03-31"), 3), day("2025-12-01"));
        assert_eq!(oldest_day(day("2026-01-01"), 13), day("2024-12-01"));
        assert_eq!(oldest_day(day("0001-01-01"), u64::MAX), Date::MIN);
    }
}
