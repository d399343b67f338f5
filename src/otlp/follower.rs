//! The way of the export: read the ledger from the cursor, gather, post, move the cursor.
//!
//! One thread reads each line once and gives it to both halves of the export: [`Calls`] (traces and
//! logs), which posts until it is taken, and [`Meters`] (metrics), which tries once an interval and
//! keeps its sums. None of it is on the path of a call.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::calls::Calls;
use super::meters::Meters;
use super::progress::{Counted, Cursor, Progress, Saving};
use super::transport::Posted;
use super::wire::LineParser;
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
/// How long the export may go on once the sidecar stops; what it does not reach waits for the next
/// start.
const STOP_NS_MAX: u64 = 5_000_000_000;

/// What came of posting the items of one of OpenTelemetry's signals.
pub(super) struct Post {
    /// `traces`, `metrics`, `logs`.
    pub(super) signal: &'static str,
    pub(super) items: usize,
    pub(super) posted: Posted,
}

/// What the follower needs of the running sidecar.
pub(super) struct Surroundings {
    pub(super) data_dir: PathBuf,
    pub(super) doorbell: watch::Receiver<u64>,
    pub(super) clock: Clock,
    pub(super) metrics: Arc<Metrics>,
    pub(super) stop: CancellationToken,
    /// The first entry not exported yet, for others to see.
    pub(super) position: Arc<AtomicU64>,
    /// Where this run begins: a first export begins there.
    pub(super) first: u64,
    /// How long items are gathered.
    pub(super) delay: Duration,
}

/// The export on its way through the ledger.
pub(super) struct Follower {
    calls: Calls,
    meters: Option<Meters>,
    around: Surroundings,
    parser: LineParser,
    cursor: Cursor,
    /// Opened where it is needed, and again after an error: a read that failed may have lost lines.
    reader: Option<Reader>,
    batch: Batch,
    /// The next entry to be read.
    next: u64,
    /// Entries before it were exported as calls; only metrics read them again.
    calls_from: u64,
    /// What metrics have been taken of.
    counted: Counted,
    /// Whether there is something to write into the cursor's file, and when that was done last.
    unsaved: bool,
    saved_at_ns: Option<u64>,
    /// When the sidecar began to stop.
    stopping_since_ns: Option<u64>,
}

/// The sidecar stops and the rest was not exported.
struct Stopped;

impl Follower {
    pub(super) fn open(
        mut calls: Calls,
        mut meters: Option<Meters>,
        around: Surroundings,
    ) -> anyhow::Result<Follower> {
        let cursor = Cursor::new(&around.data_dir);
        let progress = progress(&cursor, &around);
        let Progress { next: calls_from, calls: state, counted } = progress;
        cursor.save(&Saving { next: calls_from, calls: &state, counted: &counted })?;
        calls.resume(state);
        let next = match &mut meters {
            Some(meters) => {
                meters.resume(counted.running.clone());
                calls_from.min(counted.next)
            }
            None => calls_from,
        };
        around.position.store(next, Ordering::Relaxed);
        Ok(Follower {
            calls,
            meters,
            around,
            parser: LineParser::default(),
            cursor,
            reader: None,
            batch: Batch::default(),
            next,
            calls_from,
            counted,
            unsaved: false,
            saved_at_ns: None,
            stopping_since_ns: None,
        })
    }

    /// Follows until the sidecar stops and what is there was posted, or could not be.
    pub(super) fn run(mut self) {
        loop {
            let stopping = self.around.stop.is_cancelled();
            if stopping && self.stopping_since_ns.is_none() {
                self.stopping_since_ns = Some(self.around.clock.mono_ns());
            }
            match self.catch_up(stopping) {
                Ok(Ok(())) if !stopping => self.pause(self.around.delay),
                Ok(Ok(())) => {
                    self.save();
                    if self.meters.as_ref().is_some_and(Meters::has_counted) {
                        self.around.position.store(self.counted.next, Ordering::Relaxed);
                    }
                    return;
                }
                // What is unfinished is ahead of what was taken: the file stays as it is.
                Ok(Err(Stopped)) => return,
                Err(error) => {
                    // What it had read and not given on is read again.
                    self.reader = None;
                    tracing::error!(%error, "the export cannot read the ledger; it tries again");
                    if stopping {
                        return;
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

    fn is_out_of_time(&self) -> bool {
        let spent = |since| self.around.clock.mono_ns().saturating_sub(since);
        self.stopping_since_ns.is_some_and(|since| spent(since) > STOP_NS_MAX)
    }

    fn catch_up(&mut self, stopping: bool) -> Result<Result<(), Stopped>, ReadError> {
        let end = *self.around.doorbell.borrow();
        while self.next < end {
            let read = self.read()?;
            let batch = std::mem::take(&mut self.batch);
            let mut taken = Ok(());
            for (index, line) in batch.iter() {
                self.take(index, line);
                if self.calls.is_full() {
                    taken = self.post_calls();
                }
                if taken.is_err() || self.is_out_of_time() {
                    taken = Err(Stopped);
                    break;
                }
            }
            // Where it stopped within the batch, it stops for good.
            self.batch = batch;
            if taken.is_err() {
                return Ok(taken);
            }
            if read == 0 {
                break;
            }
        }
        let now_ns = self.around.clock.stamp().wall_ns;
        self.unsaved |= self.calls.expire(now_ns, stopping);
        if self.post_calls().is_err() {
            return Ok(Err(Stopped));
        }
        self.post_meters(now_ns, stopping);
        self.around.position.store(self.next, Ordering::Relaxed);
        self.save_in_time();
        Ok(Ok(()))
    }

    fn read(&mut self) -> Result<usize, ReadError> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(Reader::open(&self.around.data_dir, self.next)?),
        };
        let before = reader.skipped();
        let read = reader.read_batch(&mut self.batch, LINES_MAX)?;
        if let Some(skipped) = reader.skipped().filter(|now| Some(now) != before.as_ref()) {
            let (from, to) = (skipped.start, skipped.end);
            tracing::error!(from, to, "entries that the ledger does not hold are not exported");
        }
        Ok(read)
    }

    fn take(&mut self, index: u64, line: &[u8]) {
        if let Some(fact) = self.parser.parse(line) {
            if let Some(meters) = self.meters.as_mut().filter(|_| index >= self.counted.next) {
                meters.take(&fact);
            }
            if index >= self.calls_from {
                self.calls.take(fact);
            }
        }
        self.next = index + 1;
        self.unsaved = true;
    }

    /// Posts spans and log records until they are taken.
    fn post_calls(&mut self) -> Result<(), Stopped> {
        for post in self.calls.post() {
            if post.posted == Posted::Stopped {
                return Err(Stopped);
            }
            self.count(&post);
        }
        self.calls_from = self.calls_from.max(self.next);
        self.around.position.store(self.next, Ordering::Relaxed);
        self.save_in_time();
        Ok(())
    }

    /// Posts metrics where it is time. Where they are not taken the sums go with the next post.
    fn post_meters(&mut self, now_ns: u64, stopping: bool) {
        let Some(meters) = self.meters.as_mut().filter(|m| m.is_due(now_ns, stopping)) else {
            return;
        };
        let post = meters.post(now_ns);
        if matches!(post.posted, Posted::Taken { .. } | Posted::Refused(_)) {
            self.counted = Counted { next: self.next, running: meters.running() };
            self.unsaved = true;
        }
        self.count(&post);
        if self.unsaved {
            // At once: what is counted twice after a crash is no more than what came since.
            self.save();
        }
    }

    fn count(&self, post: &Post) {
        let Post { signal, items, posted } = post;
        let (signal, items) = (*signal, *items as u64);
        let count = |result: &str, items: u64| {
            let labels = [signal, result];
            self.around.metrics.followers.otlp_items.with_label_values(&labels).inc_by(items);
        };
        match *posted {
            Posted::Nothing | Posted::Stopped | Posted::Failed => {}
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
                    "the collector refuses a post for good; is otlp.endpoint right, and does it \
                     take this signal (otlp.signals)?"
                );
            }
        }
    }

    fn save_in_time(&mut self) {
        let now_ns = self.around.clock.mono_ns();
        let since = self.saved_at_ns.map(|at| now_ns.saturating_sub(at));
        if self.unsaved && since.is_none_or(|since| since >= SAVE_INTERVAL_NS) {
            self.save();
        }
    }

    fn save(&mut self) {
        self.saved_at_ns = Some(self.around.clock.mono_ns());
        // Only what was posted is behind the cursor; what was gathered is read again.
        let Some(calls) = self.calls.state() else { return };
        let saving = Saving { next: self.calls_from, calls, counted: &self.counted };
        match self.cursor.save(&saving) {
            Ok(()) => self.unsaved = false,
            Err(error) => tracing::error!(%error, "the cursor of the export was not written"),
        }
    }
}

/// Where the export goes on.
fn progress(cursor: &Cursor, around: &Surroundings) -> Progress {
    let head = *around.doorbell.borrow();
    let begin = || Progress {
        next: around.first,
        counted: Counted { next: around.first, ..Counted::default() },
        ..Progress::default()
    };
    match cursor.load() {
        Ok(Some(progress)) if progress.next.max(progress.counted.next) <= head => progress,
        Ok(Some(progress)) => {
            let (next, set_aside) = (progress.next, cursor.set_aside());
            tracing::error!(
                next,
                head,
                set_aside,
                "the ledger is shorter than what was exported \
                (an older copy?): the export starts again with this run"
            );
            begin()
        }
        Ok(None) => begin(),
        Err(error) => {
            let set_aside = cursor.set_aside();
            tracing::error!(%error, set_aside, "the cursor of the export cannot be read: it \
                starts again with this run");
            begin()
        }
    }
}
