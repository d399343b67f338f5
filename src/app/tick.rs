//! What a running sidecar does once a second, or when it is told to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::prices::LivePrices;
use crate::admin::Operator;
use crate::keys::LiveKeys;

/// How often a running sidecar looks whether its files changed, and shows that it is alive.
const TICK: Duration = Duration::from_secs(1);

/// What is looked at.
pub(super) struct Watch {
    pub(super) keys: Arc<LiveKeys>,
    pub(super) operator: Arc<Operator>,
    pub(super) prices: LivePrices,
    /// Asks for a look in between, at everything.
    pub(super) reload: Arc<Notify>,
}

/// Shows progress, and reads files again that have changed.
pub(super) async fn tick(mut watch: Watch, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(TICK);
    loop {
        let asked = tokio::select! {
            _ = ticks.tick() => false,
            () = watch.reload.notified() => true,
            () = stop.cancelled() => return,
        };
        let Watch { keys, operator, prices, .. } = &mut watch;
        operator.progress_ns.store(operator.recorder.clock().mono_ns(), Ordering::Relaxed);
        match keys.refresh() {
            Ok(true) => tracing::info!("the keys file was read again"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "the keys file was not read; old keys stay"),
        }
        prices.refresh(&operator.recorder, asked).await;
    }
}
