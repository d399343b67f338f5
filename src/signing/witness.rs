//! One witness: what it held last, and bringing it what is new.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::http::{Answer, Post, Problem};
use super::{Signed, files, notes};
use crate::audit::merkle::{Frontier, Hash};
use crate::audit::note::{Note, Signature, Verdict, VerifierKey};
use crate::audit::proof::Consistency;
use crate::config::{WitnessConfig, WitnessKind};
use crate::ledger;
use crate::metrics::{Lag, Metrics};
use crate::outbound::Route;

/// Pause between two checkpoints that a witness gets: what nobody else holds is at most that old.
const PUSH_INTERVAL: Duration = Duration::from_secs(2);
/// The wait after a first failure; it doubles with each.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
/// The longest wait after a failure.
const BACKOFF_MAX: Duration = Duration::from_secs(5 * 60);
/// How long a start waits for one witness's last word.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);

enum Means {
    File(PathBuf),
    Http(Post, VerifierKey),
    Webhook(Post),
}

/// Somebody else who holds checkpoints.
pub(super) struct Witness {
    pub(super) name: String,
    means: Means,
    data_dir: PathBuf,
    /// The tree that it is known to hold.
    known: Frontier,
    /// Entries in it, for the metric.
    held: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

/// What a witness says at a start.
pub(super) enum Word {
    /// A checkpoint that the ledger must contain.
    Note(Box<Note>),
    /// It holds so many entries of something that is not this ledger.
    Differs(u64),
    /// Nothing that speaks against the ledger.
    Nothing,
}

impl Witness {
    pub(super) fn new(
        config: &WitnessConfig,
        route: &Route,
        data_dir: &Path,
        metrics: &Arc<Metrics>,
    ) -> Result<Witness> {
        let name = config.name.clone();
        let wrong = || format!("witness.{name}.to");
        let means = match &config.kind {
            WitnessKind::File(path) => Means::File(path.clone()),
            WitnessKind::Http(url, key) => {
                let address = format!("{url}/add-checkpoint");
                Means::Http(Post::new(&address, route).with_context(wrong)?, key.clone())
            }
            WitnessKind::Webhook(url) => Means::Webhook(Post::new(url, route).with_context(wrong)?),
        };
        let (held, known) = (Arc::default(), Frontier::default());
        let (data_dir, metrics) = (data_dir.to_owned(), Arc::clone(metrics));
        Ok(Witness { name, means, data_dir, known, held, metrics })
    }

    /// How many entries it holds, and where its lag is shown.
    pub(super) fn shown(&self) -> Result<(Arc<AtomicU64>, Arc<Lag>)> {
        Ok((Arc::clone(&self.held), self.metrics.evidence.witness(&self.name)?))
    }

    /// What it said last, as it was kept here.
    pub(super) fn kept(&self) -> Option<Note> {
        let text = std::fs::read_to_string(files::witnessed(&self.data_dir, &self.name)).ok()?;
        Note::parse(&text).ok()
    }

    /// Asks it what it holds, and waits a short time. `last` is what this instance signed last.
    pub(super) async fn ask(&mut self, last: &Signed) -> Word {
        if let Means::File(path) = &self.means {
            let note = file_word(path, &last.checkpoint.origin);
            if note.is_none() && self.kept().is_some() {
                self.passed_over("its file holds no checkpoint of this instance any more");
            }
            return note.map_or(Word::Nothing, |note| Word::Note(Box::new(note)));
        }
        if matches!(self.means, Means::Webhook(_)) {
            return Word::Nothing;
        }
        self.known = last.tree.clone();
        let problem = match tokio::time::timeout(ASK_TIMEOUT, self.bring(last)).await {
            Ok(Ok(())) => return Word::Nothing,
            Ok(Err(Problem { reason: "inconsistent", holds, .. })) => return Word::Differs(holds),
            Ok(Err(problem)) => problem.what,
            Err(_) => "no answer in time".to_owned(),
        };
        self.passed_over(&problem);
        Word::Nothing
    }

    fn passed_over(&self, problem: &str) {
        let witness = &self.name;
        tracing::warn!(witness, problem, "the start goes on without a witness's word");
    }

    /// Brings it every newest checkpoint until `stop`, and then the last.
    pub(super) async fn run(
        mut self,
        mut news: watch::Receiver<Option<Arc<Signed>>>,
        stop: CancellationToken,
    ) {
        let mut failures = 0;
        loop {
            let is_last = stop.is_cancelled();
            let newest = news.borrow_and_update().clone();
            let held = self.held.load(Ordering::Relaxed);
            let wait = match newest.filter(|signed| signed.checkpoint.size > held) {
                None => None,
                Some(signed) => match self.bring(&signed).await {
                    Ok(()) => {
                        self.took(&mut failures);
                        Some(PUSH_INTERVAL)
                    }
                    Err(problem) => Some(self.failed(&problem, &mut failures)),
                },
            };
            if is_last {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep(wait.unwrap_or(BACKOFF_MAX)) => {}
                changed = news.changed(), if wait.is_none() => {
                    if changed.is_err() {
                        return;
                    }
                }
                () = stop.cancelled() => {}
            }
        }
    }

    fn took(&self, failures: &mut u32) {
        if std::mem::take(failures) > 0 {
            tracing::info!(witness = self.name, "a witness takes checkpoints again");
        }
    }

    fn failed(&self, problem: &Problem, failures: &mut u32) -> Duration {
        let Problem { reason, what, .. } = problem;
        let witness = &self.name;
        self.metrics.evidence.not_witnessed(witness, reason);
        if *reason == "inconsistent" {
            tracing::error!(
                witness,
                problem = what,
                "a witness holds another history of this ledger: is its data directory in use twice?"
            );
        } else if *failures == 0 {
            tracing::warn!(witness, reason, problem = what, "a witness does not take checkpoints");
        }
        let wait = backoff(*failures);
        *failures = failures.saturating_add(1);
        wait
    }

    /// Brings it one checkpoint; once it returns, the witness holds it.
    async fn bring(&mut self, signed: &Signed) -> Result<(), Problem> {
        let mut kept = signed.note.clone();
        match &self.means {
            Means::File(path) => {
                let (path, text) = (path.clone(), format!("{kept}\n"));
                let written = blocking(move || append(&path, &text)).await;
                written.map_err(|error| Problem::new("refused", error.to_string()))?;
            }
            Means::Webhook(post) => post.tell(&signed.note).await?,
            Means::Http(post, key) => {
                let lines = cosigned(post, (&self.data_dir, &self.known), signed).await?;
                kept.signatures.extend(lines);
                if !matches!(kept.verdict(key), Verdict::Signed(Some(_))) {
                    let what = "its answer is not signed with the key in witness.NAME.verifier";
                    return Err(Problem::new("invalid", what));
                }
                kept.signatures
                    .retain(|s| s.name == key.name() || signed.note.signatures.contains(s));
            }
        }
        self.known = signed.tree.clone();
        self.held.store(signed.checkpoint.size, Ordering::Relaxed);
        let path = files::witnessed(&self.data_dir, &self.name);
        let written = blocking(move || files::write_whole(&path, kept.to_string().as_bytes()));
        if let Err(error) = written.await {
            let witness = &self.name;
            tracing::warn!(witness, %error, "a witness's answer cannot be written down");
        }
        Ok(())
    }
}

/// The signature lines of a witness that speaks `tlog-witness`. Where it holds another size than
/// `known`, it is asked once more with that.
async fn cosigned(
    post: &Post,
    (data_dir, known): (&Path, &Frontier),
    signed: &Signed,
) -> Result<Vec<Signature>, Problem> {
    let size = signed.checkpoint.size;
    let mut known = known.clone();
    for _ in 0..2 {
        let proof = proof(data_dir, &known, size).await?;
        let holds = match post.add(known.size(), &proof, &signed.note).await {
            Ok(Answer::Cosigned(lines)) => return Ok(lines),
            Ok(Answer::Holds(holds)) => holds,
            Err(problem) => return Err(Problem { holds: known.size(), ..problem }),
        };
        let differs = |what: String| Problem { reason: "inconsistent", what, holds };
        if holds > size {
            return Err(differs(format!("it holds {holds} entries, and {size} are signed here")));
        }
        if holds == known.size() {
            return Err(differs(format!("its first {holds} entries are others")));
        }
        let dir = data_dir.to_owned();
        let tree = blocking(move || ledger::tree_at(&dir, holds).map_err(io::Error::other)).await;
        known = tree.ok().flatten().ok_or_else(|| unread(holds))?;
    }
    Err(Problem::new("invalid", "it names one size after the other"))
}

fn unread(size: u64) -> Problem {
    Problem::new("refused", format!("the ledger cannot be read back at {size} entries"))
}

/// That the tree `old` is the beginning of the one with `new` leaves.
async fn proof(data_dir: &Path, old: &Frontier, new: u64) -> Result<Vec<Hash>, Problem> {
    let size = old.size();
    if size == 0 || size >= new {
        return Ok(Vec::new());
    }
    let (dir, mut making) = (data_dir.to_owned(), Consistency::new(old, new));
    let made = blocking(move || {
        ledger::each_leaf(&dir, size..new, |leaf| making.push(leaf)).map_err(io::Error::other)?;
        Ok(making.finish())
    });
    made.await.ok().flatten().ok_or_else(|| unread(new))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The last checkpoint of an instance in a file of notes.
fn file_word(path: &Path, origin: &str) -> Option<Note> {
    let (notes, _) = notes::last_notes(&File::open(path).ok()?).ok()?;
    let is_ours = |note: &Note| note.text.lines().next() == Some(origin);
    notes.into_iter().rev().find(is_ours)
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = options.append(true).create(true).mode(files::FILE_MODE).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_data()
}

/// The wait after so many failures before this one.
fn backoff(failures: u32) -> Duration {
    let doubled = 2_u32.checked_pow(failures).and_then(|times| BACKOFF_MIN.checked_mul(times));
    doubled.unwrap_or(BACKOFF_MAX).min(BACKOFF_MAX)
}
