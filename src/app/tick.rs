//! What a running sidecar does once a second, or when it is told to.

use std::collections::HashSet;
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
use crate::inbox::{self, Waiting};
use crate::keys::{self, LiveKeys};
use crate::ledger::{self, LedgerError};
use crate::logging;
use crate::record::Entry;
use crate::record::act::Changed;
use crate::recorder::Recorder;

/// How often a running sidecar looks whether its files changed, and shows that it is alive.
const TICK: Duration = Duration::from_secs(1);

/// What is looked at.
pub(super) struct Watch {
    pub(super) budgets: BudgetWatch,
    pub(super) keys: Arc<LiveKeys>,
    pub(super) operator: Arc<Operator>,
    pub(super) prices: LivePrices,
    /// The data directory, where commands leave what they did.
    pub(super) data_dir: PathBuf,
    /// Asks for a look in between, at everything.
    pub(super) reload: Arc<Notify>,
}

/// Shows progress, and reads files again that have changed.
pub(super) async fn tick(mut watch: Watch, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    let (mut disk, mut inbox) = (Disk::default(), Inbox::default());
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
        if let Some(change) = keys.change() {
            record_payers(&operator.recorder, change).await;
        }
        prices.refresh(&operator.recorder, asked).await;
        inbox.look(&operator.recorder, data_dir).await;
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

/// Writes down that other keys and payers hold.
async fn record_payers(recorder: &Recorder, change: keys::Change) {
    let keys::Change { before, after } = change;
    let by_uid = after.uid.unwrap_or_else(|| rustix::process::getuid().as_raw());
    let changed = Changed { after: after.hash, before: before.hash, by_uid };
    // A revoked key is refused in any case: what holds does not wait for the disk.
    if let Err(error) = recorder.record(&Entry::PayersChanged(changed)).await {
        tracing::error!(%error, "that the keys file changed is not in the ledger");
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

/// The inbox, and what of it cannot be taken away.
#[derive(Default)]
struct Inbox {
    stuck: HashSet<PathBuf>,
}

impl Inbox {
    /// Takes in the acts that commands have left. On a thread of its own: it reads files that
    /// anybody may have put there.
    async fn look(&mut self, recorder: &Recorder, data_dir: &Path) {
        let (dir, stuck) = (data_dir.to_owned(), self.stuck.clone());
        let looked = tokio::task::spawn_blocking(move || inbox::waiting(&dir, &stuck)).await;
        for waiting in looked.unwrap_or_default() {
            let recorded = match &waiting.entry {
                Ok(entry) => recorder.record(entry).await.map(drop),
                Err(error) => {
                    tracing::error!(%error, "a file of the inbox is not taken: it is no act");
                    self.settle(&waiting, waiting.reject());
                    continue;
                }
            };
            match recorded {
                Ok(()) => self.settle(&waiting, waiting.done()),
                Err(error @ LedgerError::Encoding(_)) => {
                    tracing::error!(%error, "an act does not fit into an entry");
                    self.settle(&waiting, waiting.reject());
                }
                Err(error) => {
                    tracing::error!(%error, "acts wait: the ledger does not take them");
                    return;
                }
            }
        }
    }

    /// What cannot be taken away is not taken in again, and keeps nobody else waiting.
    fn settle(&mut self, waiting: &Waiting, settled: std::io::Result<()>) {
        if let Err(error) = settled {
            tracing::error!(%error, "a file of the inbox cannot be taken away; remove it");
            if self.stuck.len() < inbox::STUCK_MAX {
                self.stuck.insert(waiting.path.clone());
            }
        }
    }
}
