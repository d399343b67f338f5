//! Checkpoints: what the ledger was at a moment, signed, so that nobody can change it unseen later.
//!
//! The signer follows what the ledger has put on the disk, on a thread of its own: no call waits
//! for it. It writes a checkpoint down before anybody hears of it, and never signs a tree that is
//! smaller than one it signed, or another. Witnesses outside get every newest one; at a start they
//! are asked what they hold, for whoever restores an older copy restores its checkpoints too.

mod files;
mod http;
mod keys;
mod notes;
mod signer;
mod witness;

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use keys::Keys;
use notes::Notes;
use signer::{Control, Signer};
use witness::{Witness, Word};

use crate::audit::checkpoint::{self, Checkpoint};
use crate::audit::merkle::Frontier;
use crate::audit::note::{NOTE_BYTES_MAX, Note};
use crate::config::AuditConfig;
use crate::ledger;
use crate::outbound::Route;
use crate::record::Entry;
use crate::record::entry::Rollback;
use crate::recorder::Recorder;

/// How long the end waits for witnesses to take the last checkpoint.
const LAST_PUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// A checkpoint that is on the disk.
#[derive(Debug)]
struct Signed {
    checkpoint: Checkpoint,
    note: Note,
    tree: Frontier,
}

/// What signing needs to know.
pub struct Setup<'a> {
    /// `[audit]` and `[witness.NAME]`.
    pub config: &'a AuditConfig,
    /// How connections leave this machine.
    pub route: Route,
    /// The data directory.
    pub data_dir: &'a Path,
    /// The instance's id.
    pub instance: &'a str,
}

/// Keys, checkpoints and witnesses, found to agree with the ledger. Nothing is signed yet.
pub struct Opened {
    keys: Keys,
    notes: Notes,
    last: Option<Signed>,
    witnesses: Vec<Witness>,
    rollback: Option<Rollback>,
}

impl Opened {
    /// Opens what is there, asks the witnesses, and compares it with the ledger.
    ///
    /// # Errors
    ///
    /// The ledger is older than a checkpoint, or another one, and nobody accepts that; or a file
    /// cannot be read or made.
    pub async fn new(setup: &Setup<'_>, recorder: &Recorder) -> Result<Opened> {
        let Setup { config, route, data_dir, instance } = setup;
        let origin = checkpoint::origin(instance);
        let keys = Keys::open(data_dir, &origin).context("the keys of audit/keys")?;
        let (notes, last) =
            Notes::open(data_dir).context("the checkpoints of audit/checkpoints")?;
        let past =
            Past { data_dir, keys: &keys, origin: &origin, entries: recorder.ledger().head() };
        let mut rollback = Vec::new();
        let found = last.map(|note| past.find(note, "audit/checkpoints")).transpose()?;
        let last = found.and_then(|found| found.map_err(|older| rollback.push(older)).ok());
        let empty = Checkpoint::of(&origin, &Frontier::default());
        let empty = Signed {
            note: empty.sign(keys.current()),
            checkpoint: empty,
            tree: Frontier::default(),
        };
        let mut witnesses = Vec::new();
        for config in &config.witnesses {
            let mut witness = Witness::new(config, route, data_dir, &recorder.shared_metrics())?;
            let source = format!("witness.{}", witness.name);
            let word = witness.ask(last.as_ref().unwrap_or(&empty)).await;
            if let Word::Differs(signed) = word {
                rollback.push(past.older(signed, &source));
            }
            let said = if let Word::Note(note) = word { Some(*note) } else { None };
            // What is in the ledger already need not be read again.
            let known = last.as_ref().map(|last| last.note.text.clone());
            let words = witness.kept().into_iter().chain(said);
            for note in words.filter(|note| known.as_ref() != Some(&note.text)) {
                rollback.extend(past.find(note, &source)?.err());
            }
            witnesses.push(witness);
        }
        let rollback = rollback.into_iter().max_by_key(|older| older.signed);
        if let (Some(older), false) = (&rollback, config.accept_rollback) {
            bail!(refusal(data_dir, older));
        }
        let last = last.filter(|_| rollback.is_none());
        Ok(Opened { keys, notes, last, witnesses, rollback })
    }

    /// Begins to sign. What was accepted is an entry first.
    ///
    /// # Errors
    ///
    /// The entry is not taken, or the thread does not start.
    pub async fn start(self, config: &AuditConfig, recorder: &Arc<Recorder>) -> Result<Signing> {
        if let Some(rollback) = &self.rollback {
            recorder.record(&Entry::Rollback(rollback.clone())).await?;
            let Rollback { entries, signed, source } = rollback;
            tracing::error!(entries, signed, source, "a ledger that was rolled back goes on");
        }
        let (news, _) = watch::channel(None);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let mut shown = Vec::new();
        for witness in self.witnesses {
            shown.push(witness.shown()?);
            tasks.spawn(witness.run(news.subscribe(), stop.clone()));
        }
        tasks.close();
        let control = Arc::new(Control::default());
        let signer = Signer::new((self.keys, self.notes), self.last, recorder, news)?;
        let running = signer.with(config, shown, Arc::clone(&control));
        let thread = std::thread::Builder::new().name("signer".to_owned());
        let thread = thread.spawn(move || running.run())?;
        Ok(Signing { control, thread: Some(thread), tasks, stop })
    }
}

/// What a checkpoint is compared with.
struct Past<'a> {
    data_dir: &'a Path,
    keys: &'a Keys,
    origin: &'a str,
    entries: u64,
}

impl Past<'_> {
    /// The tree that a note speaks of, or that the ledger does not contain it.
    fn find(&self, note: Note, source: &str) -> Result<Result<Signed, Rollback>> {
        let checkpoint = Checkpoint::parse(&note.text).ok();
        let ours = checkpoint.filter(|checkpoint| checkpoint.origin == self.origin);
        let Some(checkpoint) = ours else {
            bail!(
                "{source} does not end with a checkpoint of this instance; restore it from a backup"
            );
        };
        // A key that is not known here is younger than what is here.
        if !self.keys.signed(&note) {
            return Ok(Err(self.older(checkpoint.size, source)));
        }
        let tree = ledger::tree_at(self.data_dir, checkpoint.size)?;
        Ok(match tree.filter(|tree| tree.root() == checkpoint.root) {
            Some(tree) => Ok(Signed { checkpoint, note, tree }),
            None => Err(self.older(checkpoint.size, source)),
        })
    }

    fn older(&self, signed: u64, source: &str) -> Rollback {
        Rollback { entries: self.entries, signed, source: source.to_owned() }
    }
}

fn refusal(data_dir: &Path, older: &Rollback) -> String {
    let Rollback { entries, signed, source } = older;
    let what = if entries < signed { "lacks entries" } else { "is another one" };
    format!(
        "the ledger in {} has {entries} entries and {what}: {source} holds a checkpoint of {signed}. \
         An older copy was put back, the directory is in use twice, or files were changed. Put the \
         newest copy back; or start once with --accept-rollback, which goes on with what is here \
         and writes that down",
        data_dir.display()
    )
}

/// The running signer and its witnesses.
pub struct Signing {
    control: Arc<Control>,
    thread: Option<std::thread::JoinHandle<()>>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Signing {
    /// What makes it add no more entries. Blocks while one is being added.
    pub fn quiet(&self) -> impl FnOnce() + Send + 'static {
        let control = Arc::clone(&self.control);
        move || control.quiet()
    }

    /// Signs what the ledger's last sync covers. Blocks for that long.
    pub fn sign_last(&mut self) {
        self.control.end();
        if let Some(thread) = self.thread.take() {
            // A panic there is a bug of ours that its own message has told already.
            let _ = thread.join();
        }
    }

    /// Lets the witnesses have the last checkpoint, and waits a short time for them.
    pub async fn end(self) {
        self.stop.cancel();
        if tokio::time::timeout(LAST_PUSH_TIMEOUT, self.tasks.wait()).await.is_err() {
            tracing::warn!("a witness gets the last checkpoint after the next start");
        }
    }
}

impl Drop for Signing {
    fn drop(&mut self) {
        self.control.end();
        self.stop.cancel();
    }
}

/// The newest checkpoint of a data directory.
///
/// # Errors
///
/// Its files cannot be read.
pub fn newest(data_dir: &Path) -> std::io::Result<Option<Note>> {
    match notes::newest(data_dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read,
    }
}

/// The last checkpoint of each witness, by name, as it was kept.
#[must_use]
pub fn witnessed(data_dir: &Path) -> Vec<(String, Checkpoint)> {
    let folder = files::witnessed(data_dir, "");
    let listing = folder.parent().and_then(|folder| std::fs::read_dir(folder).ok());
    let mut all = Vec::new();
    for entry in listing.into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap_or_default();
        let Some(name) = name.strip_suffix(".note") else { continue };
        // A pipe would be waited for without end.
        if !std::fs::metadata(entry.path()).is_ok_and(|found| found.is_file()) {
            continue;
        }
        let Ok(file) = std::fs::File::open(entry.path()) else { continue };
        let mut text = String::new();
        // What is longer, or no text, is no checkpoint.
        let _ = file.take(NOTE_BYTES_MAX as u64).read_to_string(&mut text);
        let checkpoint = Note::parse(&text).and_then(|note| Checkpoint::parse(&note.text));
        all.extend(checkpoint.ok().map(|checkpoint| (name.to_owned(), checkpoint)));
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// Asks for a new key: the running sidecar makes it within a second, else the next one does.
///
/// # Errors
///
/// The request cannot be left in the data directory.
pub fn ask_for_rotation(data_dir: &Path) -> std::io::Result<()> {
    files::write_whole(&files::rotation(data_dir), b"")
}

/// Whether a new key was asked for and is not there yet.
#[must_use]
pub fn is_rotation_asked(data_dir: &Path) -> bool {
    files::rotation(data_dir).exists()
}
