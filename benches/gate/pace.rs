//! Keeps time for loads whose requests are due whatever the target does.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

/// Says when each request is due, by its moment since the start. A thread of its own, because the
/// runtime's timer has a grain of a millisecond.
pub(crate) fn keep_time(moments: impl Iterator<Item = Duration>, arrivals: &mpsc::Sender<Instant>) {
    sharpen_timer();
    let start = Instant::now() + Duration::from_millis(5);
    for moment in moments {
        let due = start + moment;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        if arrivals.blocking_send(due).is_err() {
            return;
        }
    }
}

/// Asks the kernel not to round this thread's sleeps up by its usual 50 µs. Where it refuses, the
/// same 50 µs are in every target's figure.
fn sharpen_timer() {
    let Ok(thread) = fs::read_link("/proc/thread-self") else { return };
    let Some(id) = thread.file_name() else { return };
    let path = Path::new("/proc").join(id).join("timerslack_ns");
    let _ = fs::write(path, "1");
}
