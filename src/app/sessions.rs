//! What sessions had spent before this process, where a limit asks for it.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::accounting::Money;
use crate::agent::session::SESSIONS_MAX;
use crate::config::Config;
use crate::index::{Index, IndexError};
use crate::recorder::Recorder;

/// How far back a session's spend counts after a restart, in nanoseconds: 30 days.
const BACK_NS: i64 = 30 * 24 * 60 * 60 * 1_000_000_000;

/// Gives the recorder's memory what the ledger says of sessions. Waits for the index: nobody is
/// served before a limit holds again.
pub(super) async fn resume(config: &Config, recorder: &Recorder) -> Result<()> {
    if !config.policy.limits_spend() {
        return Ok(());
    }
    let dir = config.ledger.dir.clone();
    let now_ns = recorder.clock().stamp().wall_ns;
    let since = i64::try_from(now_ns).unwrap_or(i64::MAX).saturating_sub(BACK_NS);
    let spent = tokio::task::spawn_blocking(move || by_session(dir, since)).await?;
    let spent = spent.context("what sessions spent cannot be read from the index")?;
    for (session, usd) in spent {
        recorder.live().resume(&session, usd, now_ns);
    }
    Ok(())
}

fn by_session(dir: PathBuf, since: i64) -> Result<HashMap<String, Money>, IndexError> {
    let index = Index::open_for_reading(&dir, &mut |_, _| ())?;
    let mut sums: HashMap<String, Money> = HashMap::new();
    index.spent(since, u64::MAX, |one| {
        let Some(session) = &one.session else { return };
        let has_room = sums.len() < SESSIONS_MAX;
        if let Some(sum) = sums.get_mut(session) {
            *sum = sum.saturating_add(one.usd);
        } else if has_room {
            sums.insert(session.clone(), one.usd);
        }
    })?;
    Ok(sums)
}
