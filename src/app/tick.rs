//! What a running sidecar does once a second, or when it is told to.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::budgets::BudgetWatch;
use super::prices::LivePrices;
use crate::admin::Operator;
use crate::clock::JumpWatch;
use crate::corrections;
use crate::keys::LiveKeys;
use crate::ledger;
use crate::logging;
use crate::record::Entry;
use crate::recorder::Recorder;

/// How often a running sidecar looks whether its files changed, and shows that it is alive.
const TICK: Duration = Duration::from_secs(1);

/// What is looked at.
pub(super) struct Watch {
    pub(super) budgets: BudgetWatch,
    pub(super) keys: Arc<LiveKeys>,
    pub(super) operator: Arc<Operator>,
    pub(super) prices: LivePrices,
    /// The data directory, where commands leave corrections.
    pub(super) data_dir: PathBuf,
    /// Asks for a look in between, at everything.
    pub(super) reload: Arc<Notify>,
}

/// Shows progress, and reads files again that have changed.
pub(super) async fn tick(mut watch: Watch, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    let mut disk = Disk::default();
    let mut jumps = JumpWatch::new(watch.operator.recorder.clock().stamp());
    loop {
        let asked = tokio::select! {
            _ = ticks.tick() => false,
            () = watch.reload.notified() => true,
            () = stop.cancelled() => return,
        };
        let Watch { budgets, keys, operator, prices, data_dir, .. } = &mut watch;
        operator.progress_ns.store(operator.recorder.clock().mono_ns(), Ordering::Relaxed);
        record_jump(&operator.recorder, &mut jumps).await;
        operator.look();
        operator.recorder.expire();
        if let Some(log) = logging::control() {
            log.look(data_dir, operator.recorder.clock().stamp().wall_ns);
        }
        disk.look(operator, data_dir).await;
        match keys.refresh() {
            Ok(true) => tracing::info!("the keys file was read again"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the keys file was not read; old keys stay"),
        }
        prices.refresh(&operator.recorder, asked).await;
        record_corrections(&operator.recorder, data_dir).await;
        budgets.step(&operator.recorder).await;
    }
}

/// How often the free room of the disk is looked at, in ticks.
const DISK_TICKS: u32 = 10;

/// When the disk is looked at.
#[derive(Default)]
struct Disk {
    ticks: u32,
}

impl Disk {
    /// Shows the free room every so often. On a thread of its own: a network disk may hang.
    async fn look(&mut self, operator: &Operator, data_dir: &Path) {
        let is_due = self.ticks.is_multiple_of(DISK_TICKS);
        self.ticks = self.ticks.wrapping_add(1);
        if !is_due {
            return;
        }
        let dir = data_dir.to_owned();
        let looked = tokio::task::spawn_blocking(move || ledger::free_bytes(&dir)).await;
        if let Ok(Ok(free)) = looked {
            operator.recorder.metrics().health.show_disk(free);
        }
    }
}

/// Writes down that the wall clock was set. Where the ledger does not take it, a gap counts it.
async fn record_jump(recorder: &Recorder, jumps: &mut JumpWatch) {
    let Some(jump) = jumps.look(recorder.clock().stamp()) else { return };
    tracing::warn!(ms = jump.ms, "the wall clock has jumped; the order of entries is their index");
    if let Err(error) = recorder.record(&Entry::ClockJump(jump)).await {
        tracing::error!(%error, "a jump of the clock is not in the ledger");
    }
}

/// Takes in the corrections that commands have left.
async fn record_corrections(recorder: &Recorder, data_dir: &Path) {
    for waiting in corrections::waiting(data_dir) {
        let settled = match &waiting.correction {
            Ok(correction) => {
                let entry = Entry::Reattributed(Box::new(correction.clone()));
                if let Err(error) = recorder.record(&entry).await {
                    tracing::error!(%error, "a correction waits: the ledger does not take it");
                    return;
                }
                waiting.done()
            }
            Err(error) => {
                tracing::error!(%error, "a correction is not taken: it is not one");
                waiting.reject()
            }
        };
        if let Err(error) = settled {
            tracing::error!(%error, "the file of a correction cannot be taken away");
            return;
        }
    }
}
