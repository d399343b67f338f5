//! The way of every signal: read the ledger from its cursor, gather, post, move the cursor.
//!
//! Each signal has a thread and a cursor of its own, so one that its collector does not take holds
//! up no other, and none of them holds up a call.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::progress::Cursor;
use super::transport::Posted;
use crate::clock::Clock;
use crate::ledger::reader::{Batch, ReadError, Reader};
use crate::metrics::Metrics;

/// Lines read in one go.
const LINES_MAX: usize = 4 * 1024;
/// How often the doorbell and the stop are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// The cursor's file is written this often at most: what is sent again after a crash has the same
/// ids.
const SAVE_INTERVAL_NS: u64 = 1_000_000_000;
/// After an error of the file system.
const ERROR_PAUSE: Duration = Duration::from_secs(5);

/// What makes one signal out of entries.
pub(super) trait Signal {
    /// Names the cursor's file and the thread.
    const NAME: &'static str;
    /// What entries before the cursor left unfinished.
    type State: Default + DeserializeOwned + Serialize;

    /// The unfinished part, for the cursor's file.
    fn state(&self) -> &Self::State;
    /// Begins with what a cursor's file holds.
    fn resume(&mut self, state: Self::State);
    /// Takes a line of the ledger in.
    fn take(&mut self, line: &[u8]);
    /// Whether what was gathered is enough for a post.
    fn is_full(&self) -> bool;
    /// Whether a post is due by time. `now_ns`: wall clock; `stopping`: it is the last.
    fn is_due(&mut self, now_ns: u64, stopping: bool) -> bool;
    /// Posts what was gathered. Blocks until the collector has it.
    fn post(&mut self) -> Vec<Post>;
}

/// What came of posting the items of one of OpenTelemetry's signals.
pub(super) struct Post {
    /// `traces`, `metrics`, `logs`.
    pub(super) signal: &'static str,
    pub(super) items: usize,
    pub(super) posted: Posted,
}

/// What a follower needs beside its signal.
pub(super) struct Surroundings {
    pub(super) doorbell: watch::Receiver<u64>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
    /// The first entry not exported yet, for others to see.
    pub(super) position: Arc<AtomicU64>,
    /// Where the ledger ended when export was first turned on.
    pub(super) first: u64,
    /// How long items are gathered.
    pub(super) delay: Duration,
}

/// One signal on its way through the ledger.
pub(super) struct Follower<S: Signal> {
    signal: S,
    around: Surroundings,
    cursor: Cursor,
    reader: Reader,
    next: u64,
    /// What the cursor's file says, and when it was written.
    saved: u64,
    saved_at_ns: u64,
    batch: Batch,
}

/// The sidecar stops and the collector did not take the rest.
struct Stopped;

impl<S: Signal> Follower<S> {
    pub(super) fn open(
        data_dir: &Path,
        mut signal: S,
        around: Surroundings,
    ) -> anyhow::Result<Follower<S>> {
        let cursor = Cursor::new(data_dir, S::NAME);
        let next = match cursor.load() {
            Ok(Some((next, state))) => {
                signal.resume(state);
                next
            }
            Ok(None) => {
                cursor.save(around.first, signal.state())?;
                around.first
            }
            Err(error) => {
                let signal = S::NAME;
                tracing::error!(signal, %error, "the cursor of an export cannot be read: it \
                    starts again with this run");
                around.first
            }
        };
        around.position.store(next, Ordering::Relaxed);
        let reader = Reader::open(data_dir, next)?;
        let batch = Batch::default();
        Ok(Follower { signal, around, cursor, reader, next, saved: next, saved_at_ns: 0, batch })
    }

    /// Follows until the sidecar stops and what is there was posted, or could not be.
    pub(super) fn run(mut self) {
        loop {
            let stopping = self.around.stop.is_cancelled();
            match self.catch_up(stopping) {
                Ok(Ok(())) if !stopping => self.pause(self.around.delay),
                Ok(Ok(())) => {
                    self.save();
                    break;
                }
                Ok(Err(Stopped)) => break,
                Err(error) => {
                    tracing::error!(signal = S::NAME, %error, "an export cannot read the ledger");
                    if stopping {
                        break;
                    }
                    self.pause(ERROR_PAUSE);
                }
            }
        }
    }

    fn pause(&self, longest: Duration) {
        let mut waited = Duration::ZERO;
        while waited < longest && !self.around.stop.is_cancelled() {
            std::thread::sleep(LOOK_INTERVAL);
            waited += LOOK_INTERVAL;
        }
    }

    fn catch_up(&mut self, stopping: bool) -> Result<Result<(), Stopped>, ReadError> {
        let end = *self.around.doorbell.borrow();
        while self.next < end {
            let mut batch = std::mem::take(&mut self.batch);
            let read = self.reader.read_batch(&mut batch, LINES_MAX)?;
            let mut taken = Ok(());
            for (index, line) in batch.iter() {
                self.signal.take(line);
                self.next = index + 1;
                if self.signal.is_full() {
                    taken = self.post();
                }
                if taken.is_err() {
                    break;
                }
            }
            self.batch = batch;
            if taken.is_err() {
                return Ok(taken);
            }
            if read == 0 {
                break;
            }
        }
        let now_ns = self.around.clock.stamp().wall_ns;
        let posted = if self.signal.is_due(now_ns, stopping) { self.post() } else { Ok(()) };
        if posted.is_ok() {
            self.around.position.store(self.next, Ordering::Relaxed);
        }
        Ok(posted)
    }

    /// Posts what was gathered, then moves the cursor.
    fn post(&mut self) -> Result<(), Stopped> {
        for Post { signal, items, posted } in self.signal.post() {
            let items = items as u64;
            let count = |result: &str, items: u64| {
                let labels = [signal, result];
                self.around.metrics.followers.otlp_items.with_label_values(&labels).inc_by(items);
            };
            match posted {
                Posted::Stopped => return Err(Stopped),
                Posted::Nothing => {}
                Posted::Taken { rejected } => {
                    count("accepted", items.saturating_sub(rejected));
                    count("rejected", rejected.min(items));
                    if rejected > 0 {
                        tracing::error!(signal, rejected, "the collector left items out");
                    }
                }
                Posted::Refused(status) => {
                    count("rejected", items);
                    tracing::error!(
                        signal,
                        status,
                        items,
                        "the collector refuses a post for \
                        good; is otlp.endpoint right, and does it take this signal?"
                    );
                }
            }
        }
        self.around.position.store(self.next, Ordering::Relaxed);
        let now_ns = self.around.clock.mono_ns();
        let stopping = self.around.stop.is_cancelled();
        if stopping || now_ns.saturating_sub(self.saved_at_ns) >= SAVE_INTERVAL_NS {
            self.saved_at_ns = now_ns;
            self.save();
        }
        Ok(())
    }

    fn save(&mut self) {
        if self.saved == self.next {
            return;
        }
        self.saved = self.next;
        if let Err(error) = self.cursor.save(self.next, self.signal.state()) {
            tracing::error!(signal = S::NAME, %error, "the cursor of an export was not written");
        }
    }
}
