//! Files that a command leaves in the data directory for a running sidecar.

use std::path::Path;
use std::time::{Duration, Instant};

/// A running sidecar looks once a second.
const TAKEN_TIMEOUT: Duration = Duration::from_secs(4);
/// Between two looks whether it is gone.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// Whether a running sidecar takes the file in.
#[expect(clippy::disallowed_methods, reason = "waits for another process")]
pub(super) fn taken(path: &Path) -> bool {
    let end = Instant::now() + TAKEN_TIMEOUT;
    while path.exists() {
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
    true
}
