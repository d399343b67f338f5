//! Lines that are older than the configuration keeps are removed, with kept contents of that time.
//!
//! Only whole months go, and only lines that are signed, indexed, exported and held by every
//! witness that holds any. Their hashes stay, and an entry says so before anything is removed.

use std::path::Path;
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
use crate::config::LedgerConfig;
use crate::index;
use crate::ledger::{self, Prunable};
use crate::record::Entry;
use crate::record::act::Pruned;
use crate::signing;

/// How often it is looked whether a month is old enough.
const LOOK_INTERVAL: Duration = Duration::from_secs(3600);
/// The same before the index has read anything: nothing can be removed before.
const WAIT_INTERVAL: Duration = Duration::from_secs(1);

/// Looks once the index is there and then every hour, until `stop`. Ends where all is kept.
pub(super) async fn keep(operator: Arc<Operator>, config: LedgerConfig, stop: CancellationToken) {
    let Some(months) = config.retention_months else { return };
    loop {
        let is_indexed = operator.indexed.load(Ordering::Relaxed) > 0;
        let pause = if is_indexed { LOOK_INTERVAL } else { WAIT_INTERVAL };
        if is_indexed && let Err(error) = look(&operator, &config.dir, months).await {
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

async fn look(operator: &Operator, data_dir: &Path, months: u64) -> Result<()> {
    let recorder = &operator.recorder;
    let day = oldest_day(recorder.clock().today(), months);
    let before = day.to_zoned(TimeZone::UTC).context("the day is out of range")?;
    let before_ns = u64::try_from(before.timestamp().as_nanosecond()).unwrap_or(0);
    let mut upto = operator.indexed.load(Ordering::Relaxed);
    if let Some((exported, _)) = &operator.export {
        upto = upto.min(exported.load(Ordering::Relaxed));
    }
    let dir = data_dir.to_owned();
    let find = move || -> Result<Option<Prunable>> {
        let signed = signing::newest(&dir)?.and_then(|note| Checkpoint::parse(&note.text).ok());
        let witnessed = signing::witnessed(&dir).into_iter().map(|(_, held)| held.size);
        let upto = upto.min(signed.map_or(0, |signed| signed.size));
        let upto = witnessed.fold(upto, u64::min);
        let found = ledger::prunable(&dir, before_ns, upto)?;
        if let Some(found) = &found {
            ledger::keep_leaves(&dir, found)?;
        }
        Ok(found)
    };
    let Some(found) = tokio::task::spawn_blocking(find).await?? else { return Ok(()) };
    let (first, root) = (found.first, found.root.to_string());
    let pruned = Pruned { first, retention_months: months, root };
    let written = recorder.record(&Entry::Pruned(pruned)).await?;
    let sequence = written.sequence.context("the ledger does not take the entry")?;
    recorder.ledger().synced(sequence).await?;
    let dir = data_dir.to_owned();
    let remove = move || -> Result<()> {
        ledger::remove_lines(&dir, &found)?;
        capture::remove_before(&dir, day)?;
        // A view of lines that are gone is not kept either: it is built again from what is left.
        Ok(index::remove(&dir)?)
    };
    tokio::task::spawn_blocking(remove).await??;
    tracing::info!(first, months, "older lines were removed; their hashes stay");
    Ok(())
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
