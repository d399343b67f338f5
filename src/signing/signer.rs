//! The thread that signs.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::keys::Keys;
use super::notes::Notes;
use super::{Signed, files};
use crate::audit::checkpoint::{self, Checkpoint};
use crate::audit::merkle::Frontier;
use crate::config::AuditConfig;
use crate::metrics::Lag;
use crate::record::entry::{Heartbeat, KeyRotated};
use crate::record::{Entry, Stamp};
use crate::recorder::Recorder;

/// Pause between two looks; with the ledger's own sync a checkpoint is less than 1 s behind.
const CHECKPOINT_INTERVAL: Duration = Duration::from_millis(500);
/// The wait after a key could not be made.
const ROTATION_RETRY_NS: u64 = 60_000_000_000;

/// What the thread is told.
#[derive(Debug, Default)]
struct Told {
    quiet: bool,
    end: bool,
}

/// How the thread is told.
#[derive(Debug, Default)]
pub(super) struct Control {
    told: Mutex<Told>,
    wake: Condvar,
}

impl Control {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn quiet(&self) {
        self.told().quiet = true;
    }

    pub(super) fn end(&self) {
        let mut told = self.told();
        told.quiet = true;
        told.end = true;
        self.wake.notify_one();
    }

    /// Waits until the next look, or the end.
    fn wait(&self) -> bool {
        let goes_on = |told: &mut Told| !told.end;
        let waited = self.wake.wait_timeout_while(self.told(), CHECKPOINT_INTERVAL, goes_on);
        waited.unwrap_or_else(PoisonError::into_inner).0.end
    }
}

/// How many entries a witness holds, and where its lag is shown.
type Shown = (Arc<AtomicU64>, Arc<Lag>);

/// When the ledger was last seen to grow.
#[derive(Clone, Copy)]
struct Seen {
    entries: u64,
    at: Stamp,
}

/// Signs what is on the disk.
pub(super) struct Signer {
    keys: Keys,
    notes: Notes,
    last: Option<Checkpoint>,
    recorder: Arc<Recorder>,
    news: watch::Sender<Option<Arc<Signed>>>,
    runtime: Handle,
    origin: String,
    lag: Arc<Lag>,
    seen: Seen,
    /// Nothing is signed any more: why was said.
    stopped: bool,
    rotate_after_ns: u64,
}

/// A signer with all that it is told.
pub(super) struct Running {
    signer: Signer,
    heartbeat_ns: u64,
    key_age_ns: u64,
    witnesses: Vec<Shown>,
    control: Arc<Control>,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Signer {
    pub(super) fn new(
        (keys, notes): (Keys, Notes),
        last: Option<Signed>,
        recorder: &Arc<Recorder>,
        news: watch::Sender<Option<Arc<Signed>>>,
    ) -> Result<Signer> {
        let checkpoint = last.as_ref().map(|last| last.checkpoint.clone());
        news.send_replace(last.map(Arc::new));
        let origin = keys.current().verifier().name().to_owned();
        let evidence = &recorder.metrics().evidence;
        evidence.ledger_is(checkpoint::instance(&origin));
        let lag = evidence.lag()?;
        let seen = Seen { entries: recorder.ledger().head(), at: recorder.clock().stamp() };
        Ok(Signer {
            keys,
            notes,
            last: checkpoint,
            recorder: Arc::clone(recorder),
            news,
            runtime: Handle::current(),
            origin,
            lag,
            seen,
            stopped: false,
            rotate_after_ns: 0,
        })
    }

    pub(super) fn with(
        self,
        config: &AuditConfig,
        witnesses: Vec<Shown>,
        control: Arc<Control>,
    ) -> Running {
        let heartbeat_ns = nanoseconds(config.heartbeat);
        let key_age_ns = nanoseconds(config.key_age);
        Running { signer: self, heartbeat_ns, key_age_ns, witnesses, control }
    }

    fn size(&self) -> u64 {
        self.last.as_ref().map_or(0, |last| last.size)
    }

    /// Signs what the last sync covers, where it is more than was signed.
    fn sign(&mut self) {
        if self.stopped {
            return;
        }
        let Some(tree) = self.recorder.ledger().synced_tree() else {
            self.stop("a sync of the ledger failed");
            return;
        };
        let size = tree.size();
        let changed = self.last.as_ref().is_some_and(|last| {
            size < last.size || (size == last.size && tree.root() != last.root)
        });
        if changed {
            self.stop("the ledger is not what was signed");
            return;
        }
        // A new key signs from its own entry on.
        if size <= self.size().max(self.keys.from()) {
            return;
        }
        if let Err(error) = self.write(tree) {
            self.recorder.metrics().evidence.failed();
            tracing::error!(%error, "a checkpoint cannot be written");
            if self.notes.has_failed() {
                self.stop("a checkpoint may not be on the disk");
            }
        }
    }

    /// On the disk first, then for all to see.
    fn write(&mut self, tree: Frontier) -> std::io::Result<()> {
        let checkpoint = Checkpoint::of(&self.origin, &tree);
        let note = checkpoint.sign(self.keys.current());
        let day = self.recorder.clock().today().to_string();
        self.notes.append(&day, &note)?;
        self.last = Some(checkpoint.clone());
        self.recorder.metrics().evidence.signed(checkpoint.size);
        self.news.send_replace(Some(Arc::new(Signed { checkpoint, note, tree })));
        Ok(())
    }

    fn stop(&mut self, why: &str) {
        self.stopped = true;
        self.recorder.metrics().evidence.failed();
        tracing::error!(why, "no checkpoints are signed until a restart");
    }

    /// Says that nothing happens, where nothing did for so long.
    fn heartbeat(&mut self, interval_ns: u64) {
        let now = self.recorder.clock().stamp();
        let entries = self.recorder.ledger().head();
        if entries != self.seen.entries {
            self.seen = Seen { entries, at: now };
        }
        if now.mono_ns.saturating_sub(self.seen.at.mono_ns) < interval_ns {
            return;
        }
        let open_exchanges = self.recorder.ledger().health().open_exchanges;
        let heartbeat = Heartbeat { idle_since: self.seen.at.wall_ns, open_exchanges };
        let recorded = self.runtime.block_on(self.recorder.record(&Entry::Heartbeat(heartbeat)));
        if let Err(error) = recorded {
            tracing::warn!(%error, "a heartbeat is not in the ledger");
        }
        self.seen = Seen { entries: self.recorder.ledger().head(), at: now };
    }

    /// Takes a new key where one was asked for, or where this one is old.
    fn rotate_if_due(&mut self, age_ns: u64) {
        let now = self.recorder.clock().stamp();
        if now.mono_ns < self.rotate_after_ns {
            return;
        }
        let wanted = self.wanted();
        let is_old = || {
            let made = self.keys.made_ns();
            made.is_some_and(|made| now.wall_ns.saturating_sub(made) > age_ns)
        };
        let reason = match wanted.exists() {
            true => "asked",
            false if is_old() => "age",
            false => return,
        };
        if let Err(error) = self.rotate(reason) {
            self.rotate_after_ns = now.mono_ns.saturating_add(ROTATION_RETRY_NS);
            self.recorder.metrics().evidence.failed();
            let error = format!("{error:#}");
            tracing::error!(error, "the key for checkpoints stays the old one");
        }
    }

    fn wanted(&self) -> PathBuf {
        files::rotation(self.recorder.ledger().dir())
    }

    fn rotate(&mut self, reason: &str) -> Result<()> {
        self.sign();
        let next = self.keys.next()?;
        let (after, before) = (next.verifier().to_string(), self.keys.current().verifier());
        let rotated =
            KeyRotated { after: after.clone(), before: before.to_string(), reason: reason.into() };
        let written = self.runtime.block_on(self.recorder.record(&Entry::KeyRotated(rotated)))?;
        let from = written.sequence.context("the ledger does not take the entry")?;
        self.keys.follow(next, from)?;
        if self.wanted().exists() {
            fs::remove_file(self.wanted())?;
        }
        tracing::info!(key = after, reason, "checkpoints are signed with a new key");
        Ok(())
    }
}

impl Running {
    /// The thread's life.
    pub(super) fn run(mut self) {
        self.signer.recorder.metrics().evidence.signed(self.signer.size());
        loop {
            let end = self.control.wait();
            self.step();
            if end {
                return;
            }
        }
    }

    fn step(&mut self) {
        {
            // Held while an entry is added: after `quiet` there is none.
            let told = self.control.told();
            if !told.quiet {
                self.signer.heartbeat(self.heartbeat_ns);
                self.signer.rotate_if_due(self.key_age_ns);
            }
        }
        self.signer.sign();
        let (signed, mono_ns) = (self.signer.size(), self.signer.recorder.clock().mono_ns());
        self.signer.lag.is(signed, self.signer.recorder.ledger().head(), mono_ns);
        for (held, lag) in &self.witnesses {
            lag.is(held.load(Ordering::Relaxed), signed, mono_ns);
        }
    }
}
