//! Contents that a team asks to keep: redacted, sealed, beside the ledger and never in it.
//!
//! Nothing is kept by default. Where a team's level says so, a copy of a call's new messages and of
//! its answer is taken while they pass; when the call has ended, a thread of its own reads the copy
//! into pieces, redacts each once and seals the whole under the key of its subject. Nobody waits
//! for it: where the thread has too much to do, a text is too long, or a redaction fails, the
//! content is dropped and counted, and never kept as it was.

mod lines;
mod sessions;
mod store;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

pub use store::{Appended, Store, StoreError, Subject, remove_before};

use sessions::Sessions;

use crate::anthropic::BodyCopy;
use crate::anthropic::content::{self, Author, Piece};
use crate::clock::Clock;
use crate::config::{CaptureConfig, CaptureLevel, RedactionConfig};
use crate::metrics::Metrics;
use crate::privacy::identifier::HashKey;
use crate::privacy::known::Known;
use crate::privacy::redactor::{Outcome, TEXT_BYTES_MAX};
use crate::privacy::rules::Mode;
use crate::privacy::{Identifier, Label, Redacted, Redactor};
use crate::record::act::ContentKept;

/// Calls that wait to be redacted.
const JOBS_MAX: usize = 256;

/// Bytes that wait to be redacted.
const BYTES_MAX: usize = 64 << 20;

/// The longest copy of an answer that is taken, in bytes.
pub const COPY_BYTES_MAX: usize = 4 << 20;

/// How long the pieces of one call may take; what is left then is dropped, and so is the piece that
/// is being read. The time is looked at before each part of a text is scanned: a table's cell, a
/// value of JSON, or text without structure, of which 4 MiB take a third of a second.
const TIME_NS_MAX: u64 = 5_000_000_000;

/// How long the end of the process waits for what is to be sealed, looking every [`END_STEP`].
const END_MAX: Duration = Duration::from_secs(5);
const END_STEP: Duration = Duration::from_millis(5);

/// Hears what was kept, and writes it down; may wait for the ledger.
pub type Told = Box<dyn Fn(ContentKept) + Send>;

/// What of one call is to be kept.
#[derive(Debug)]
pub struct Taking {
    /// How it is redacted.
    pub mode: Mode,
    /// The exchange's id.
    pub exchange: String,
    /// Who pays.
    pub team: String,
    /// The session, where the client names one.
    pub session: Option<String>,
    /// Whose content it is.
    pub subject: Subject,
    /// Messages that are new with the request, as they came.
    pub messages: Vec<Vec<u8>>,
    /// The answer, decoded.
    pub answer: BodyCopy,
}

/// A call's contents as they are sealed.
#[derive(Debug, Serialize)]
pub struct Kept {
    /// The exchange.
    pub exchange: String,
    /// `standard` or `strict`.
    pub mode: &'static str,
    /// The pieces, in order.
    pub pieces: Vec<KeptPiece>,
}

/// One piece of content as it is sealed.
#[derive(Debug, Serialize)]
pub struct KeptPiece {
    /// `user` or `assistant`.
    pub author: &'static str,
    /// What it is.
    pub kind: &'static str,
    /// The tool, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<Identifier>,
    /// The redacted text; absent where there was none or it was dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<Redacted>,
    /// Bytes of the text or data before.
    pub bytes: u64,
    /// Type of data that is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media: Option<Identifier>,
    /// Keyed hash of data that is not text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hash: Option<Identifier>,
    /// Why the text is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropped: Option<&'static str>,
    /// Redactions in the text, by label; not sealed with it.
    #[serde(skip)]
    pub counts: [u32; Label::ALL.len()],
}

/// Takes what is to be kept; shared by all exchanges.
pub struct Capture {
    levels: CaptureConfig,
    /// Taken at the end, so that the thread ends too.
    jobs: Mutex<Option<SyncSender<Taking>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    waiting: Arc<AtomicUsize>,
    metrics: Arc<Metrics>,
}

impl Capture {
    /// Starts the thread that redacts and seals. `None` where no team keeps anything.
    ///
    /// # Errors
    ///
    /// The store cannot be made, or the thread cannot be started.
    pub fn start(
        dir: &Path,
        (levels, redaction): (&CaptureConfig, &RedactionConfig),
        key: [u8; 32],
        metrics: &Arc<Metrics>,
        (identifiers, clock, told): (HashKey, Clock, Told),
    ) -> Result<Option<Capture>, StoreError> {
        if !levels.keeps_anything() {
            return Ok(None);
        }
        let store = Store::open(dir, key)?;
        let (jobs, taken) = sync_channel(JOBS_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let worker = Worker {
            store,
            standard: Redactor::new(redaction.rules(Mode::Standard)),
            strict: Redactor::new(redaction.rules(Mode::Strict)),
            sessions: Sessions::default(),
            metrics: Arc::clone(metrics),
            waiting: Arc::clone(&waiting),
            identifiers,
            clock,
            told,
        };
        let thread = std::thread::Builder::new().name("capture".to_owned());
        let thread = thread.spawn(move || worker.run(&taken)).map_err(StoreError::Io)?;
        Ok(Some(Capture {
            levels: levels.clone(),
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            waiting,
            metrics: Arc::clone(metrics),
        }))
    }

    /// How the contents of a team's calls are kept; `None` where they are not.
    #[must_use]
    pub fn mode(&self, team: &str) -> Option<Mode> {
        match self.levels.of(team) {
            CaptureLevel::Metadata => None,
            CaptureLevel::Kept(mode) => Some(mode),
        }
    }

    /// Hands a call over. Never waits: what has no room is dropped and counted.
    pub fn take(&self, taking: Taking) {
        let bytes = taking.bytes();
        let before = self.waiting.fetch_add(bytes, Ordering::Relaxed);
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let room = jobs.as_ref().filter(|_| before + bytes <= BYTES_MAX);
        if room.is_some_and(|jobs| jobs.try_send(taking).is_ok()) {
            return;
        }
        self.waiting.fetch_sub(bytes, Ordering::Relaxed);
        self.metrics.privacy.dropped("busy", 1);
    }
}

impl Capture {
    /// Takes nothing more and waits until what waits is sealed, at most [`END_MAX`]. Gives the
    /// bytes that are left. Blocks.
    pub fn finish(&self) -> usize {
        drop(self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(thread) = thread else { return 0 };
        let mut waited = Duration::ZERO;
        while !thread.is_finished() && waited < END_MAX {
            std::thread::sleep(END_STEP);
            waited += END_STEP;
        }
        self.waiting.load(Ordering::Relaxed)
    }
}

impl Taking {
    fn bytes(&self) -> usize {
        let answer = match &self.answer {
            BodyCopy::Whole(answer) => answer.len(),
            BodyCopy::None | BodyCopy::TooLong => 0,
        };
        answer + self.messages.iter().map(Vec::len).sum::<usize>()
    }
}

/// The thread's own state.
struct Worker {
    store: Store,
    standard: Redactor,
    strict: Redactor,
    /// Names that each session has told.
    sessions: Sessions,
    metrics: Arc<Metrics>,
    waiting: Arc<AtomicUsize>,
    identifiers: HashKey,
    clock: Clock,
    told: Told,
}

impl Worker {
    fn run(mut self, taken: &Receiver<Taking>) {
        while let Ok(taking) = taken.recv() {
            let bytes = taking.bytes();
            let kept = catch_unwind(AssertUnwindSafe(|| self.keep(taking)));
            self.waiting.fetch_sub(bytes, Ordering::Relaxed);
            match kept {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    self.metrics.privacy.dropped("unwritten", 1);
                    tracing::error!(%error, "contents that a team keeps were not written");
                }
                Err(_) => self.metrics.privacy.dropped("failed", 1),
            }
        }
    }

    fn keep(&mut self, taking: Taking) -> Result<(), StoreError> {
        let end = self.clock.mono_ns() + TIME_NS_MAX;
        let mut pieces = content::of_request(&taking.messages);
        match &taking.answer {
            BodyCopy::Whole(answer) => pieces.extend(content::of_response(answer)),
            BodyCopy::TooLong => self.metrics.privacy.dropped("too_long", 1),
            BodyCopy::None => {}
        }
        // A call without a session has none that could come again.
        let session = taking.session.as_deref();
        let told = session.map(|session| self.sessions.take(&taking.team, session));
        let mut known = told.unwrap_or_default();
        let kept = pieces.into_iter().map(|piece| self.piece(piece, (&taking, end), &mut known));
        let pieces: Vec<KeptPiece> = kept.collect();
        if let Some(session) = session {
            self.sessions.put(&taking.team, session, known);
        }
        let mode = match taking.mode {
            Mode::Standard => "standard",
            Mode::Strict => "strict",
        };
        let kept = Kept { exchange: taking.exchange, mode, pieces };
        let appended = self.store.append(&taking.subject, &kept);
        let lost = match appended {
            Ok(Appended::Sealed) => None,
            Ok(Appended::Erased) => Some("erased"),
            Ok(Appended::TooLong) => Some("too_long"),
            Err(_) => Some("unwritten"),
        };
        let told = ContentKept {
            session: taking.session,
            team: taking.team.clone(),
            ..in_counts(&kept, lost)
        };
        match lost {
            None => {
                let pieces = usize::try_from(told.pieces).unwrap_or(usize::MAX);
                self.metrics.privacy.kept(&taking.team, pieces);
            }
            Some("unwritten") => {}
            Some(reason) => self.metrics.privacy.dropped(reason, 1),
        }
        (self.told)(told);
        appended.map(drop)
    }

    fn piece(&self, piece: Piece, (taking, end): (&Taking, u64), known: &mut Known) -> KeptPiece {
        let mut kept = KeptPiece {
            author: if piece.author == Author::User { "user" } else { "assistant" },
            kind: piece.kind,
            tool: piece.tool.map(|tool| self.name(&tool)),
            text: None,
            bytes: piece.text.len() as u64,
            media: None,
            hash: None,
            dropped: None,
            counts: [0; Label::ALL.len()],
        };
        if let Some((media, data)) = piece.data {
            kept.bytes = data.len() as u64;
            kept.media = Some(self.name(&media));
            kept.hash = Some(Identifier::hashed(data.as_bytes(), &self.identifiers));
            return kept;
        }
        match self.redacted(&piece.text, (taking, end), known) {
            Ok(Outcome { text, counts }) => {
                kept.text = Some(text);
                kept.counts = counts;
            }
            Err(reason) => {
                kept.dropped = Some(reason);
                self.metrics.privacy.dropped(reason, 1);
            }
        }
        kept
    }

    fn name(&self, text: &str) -> Identifier {
        Identifier::from_outside(text.as_bytes(), &self.identifiers)
    }

    fn redacted(
        &self,
        text: &str,
        (taking, end): (&Taking, u64),
        known: &mut Known,
    ) -> Result<Outcome, &'static str> {
        if text.len() > TEXT_BYTES_MAX {
            return Err("too_long");
        }
        let late = || self.clock.mono_ns() > end;
        if late() {
            return Err("timed_out");
        }
        let redactor = match taking.mode {
            Mode::Standard => &self.standard,
            Mode::Strict => &self.strict,
        };
        let began = self.clock.mono_ns();
        let redact = AssertUnwindSafe(|| redactor.redact_until(text, known, &late));
        let outcome = catch_unwind(redact).map_err(|_| "failed")?;
        let outcome = outcome.ok_or("timed_out")?;
        let took = Duration::from_nanos(self.clock.mono_ns().saturating_sub(began));
        self.metrics.privacy.redacted(&taking.team, &outcome.counts, took);
        Ok(outcome)
    }
}

/// What the ledger may know of it. Where the whole was `lost`, no piece is kept.
fn in_counts(kept: &Kept, lost: Option<&str>) -> ContentKept {
    let mut told = ContentKept {
        exchange: kept.exchange.clone(),
        mode: kept.mode.to_owned(),
        ..ContentKept::default()
    };
    for piece in &kept.pieces {
        if let Some(reason) = piece.dropped.or(lost) {
            *told.dropped.entry(reason.to_owned()).or_default() += 1;
            continue;
        }
        told.pieces += 1;
        for (label, count) in Label::ALL.iter().zip(piece.counts).filter(|(_, count)| *count > 0) {
            *told.redactions.entry(label.as_str().to_owned()).or_default() += u64::from(count);
        }
    }
    told
}

#[cfg(test)]
mod tests;
