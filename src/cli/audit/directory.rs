//! Verifies a data directory: its segments, keys, checkpoints, witnessed heads and index.

use std::path::Path;

use super::heads::{Brought, Keys, Notes, witnessed};
use super::pruned::Pruned;
use super::verify::{Answer, jumps, limits, nothing};
use crate::accounting::Money;
use crate::audit::checkpoint::origin;
use crate::audit::line::{Envelope, usd};
use crate::audit::verify::{Chain, Damages, Roots};
use crate::cli::CliError;
use crate::index::{Expected, IndexError, Rows, Snapshot, Totals};
use crate::ledger;
use crate::ledger::reader::{Batch, ReadError, Reader, SEGMENTS};

/// Amounts and calls as the lines say.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// Calls that are closed.
    pub(super) closed: u64,
    /// What they cost; results of batches have entries of their own.
    pub(super) usd: Money,
}

impl Sums {
    /// Takes a line in.
    pub(super) fn add(&mut self, found: &Envelope<'_>) {
        if found.kind == b"closed" {
            self.closed += 1;
            let amount = usd(found.body).and_then(|text| text.parse().ok());
            self.usd = self.usd.saturating_add(amount.unwrap_or(Money::ZERO));
        }
    }
}

/// Lines and the heads that they must meet.
#[derive(Debug)]
struct Walk {
    chain: Chain,
    roots: Roots,
    damages: Damages,
    keys: Keys,
    notes: Notes,
    /// The last note was read, or cannot be compared any more.
    exhausted: bool,
    /// The size up to which a head is known that is not met yet.
    ahead: u64,
}

impl Walk {
    fn leaves(&mut self) -> Result<(), CliError> {
        if self.chain.broken_at().is_some() {
            self.chain.take_leaves();
            return Ok(());
        }
        let leaves: Vec<_> = self.chain.take_leaves().collect();
        for leaf in leaves {
            self.look_ahead()?;
            self.roots.push(leaf, &mut self.damages);
        }
        Ok(())
    }

    /// Takes in the hashes of lines that were pruned.
    fn pruned(&mut self, dir: &Path, first: u64) -> Result<(), CliError> {
        let (mut failed, mut last) = (Ok(()), None);
        ledger::each_leaf(dir, 0..first, |leaf| {
            if failed.is_ok() {
                failed = self.look_ahead();
            }
            self.roots.push(leaf, &mut self.damages);
            last = Some(leaf);
        })
        .map_err(unread)?;
        if let Some(leaf) = last {
            self.chain.follows_on(leaf);
        }
        failed
    }

    /// Reads checkpoints until one is ahead of the tree.
    fn look_ahead(&mut self) -> Result<(), CliError> {
        while !self.exhausted && self.ahead <= self.roots.tree().size() {
            let Some((text, name)) = self.notes.next()? else {
                self.exhausted = true;
                break;
            };
            match self.keys.head(&text, &name) {
                Ok(head) => {
                    self.ahead = head.size;
                    self.roots.meet(head, &mut self.damages);
                }
                Err(why) => self.damages.add(None, why),
            }
        }
        Ok(())
    }

    /// Reads all checkpoints that are left.
    fn exhaust(&mut self) -> Result<(), CliError> {
        while !self.exhausted {
            self.ahead = 0;
            self.look_ahead()?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Result<(), CliError> {
        self.chain.finish();
        self.leaves()?;
        match self.chain.broken_at() {
            Some(at) => {
                self.damages.add(at, format!("no root from line {at} on can be made anew"));
            }
            None => self.roots.finish(&mut self.damages),
        }
        Ok(())
    }
}

pub(super) fn verify(dir: &Path, brought: Brought<'_>) -> Result<Answer, CliError> {
    if !dir.join(SEGMENTS).is_dir() {
        return Err(nothing(dir, "ledger: name its directory with --data-dir, or a bundle"));
    }
    let mut damages = Damages::default();
    let audit = dir.join("audit");
    let keys = Keys::read(&audit.join("keys"), &mut damages)?;
    let found = witnessed(brought, &audit.join("witness"), &keys, &mut damages)?;
    let notes = Notes::open(&audit.join("checkpoints"))?;
    let mut answer = Answer { keys: keys.len(), ..Answer::default() };
    let mut roots = Roots::default();
    found.heads(&mut answer).for_each(|head| roots.meet(head, &mut damages));
    let first = ledger::pruned_upto(dir).map_err(unread)?;
    let (chain, exhausted) = (Chain::new(first), false);
    let mut walk = Walk { chain, roots, damages, keys, notes, exhausted, ahead: 0 };
    walk.look_ahead()?;
    walk.pruned(dir, first)?;
    answer.first = first;
    let mut pruned = Pruned::new(first, walk.roots.tree().root());

    // Its rows are read beside the lines: each takes as long as the other.
    let snapshot = content(Snapshot::open(dir), &mut walk.damages)?.flatten();
    let indexed_upto = snapshot.as_ref().map(|snapshot| snapshot.indexed_upto);
    let reading = snapshot.map(|snapshot| std::thread::spawn(move || snapshot.totals()));
    let (mut sums, mut expected, mut said) = (Sums::default(), Expected::default(), None);
    let mut reader = Reader::open(dir, first).map_err(unread)?;
    let mut batch = Batch::default();
    let mut next = |batch: &mut Batch| reader.read_batch(batch, usize::MAX).map_err(unread);
    // While a sidecar writes, a checkpoint may cover lines that came after the last look: they are
    // there before it is, and are read once more when every checkpoint has been.
    for _ in 0..2 {
        while next(&mut batch)? > 0 {
            for (_, line) in batch.iter() {
                if let Some(found) = walk.chain.line(line) {
                    sums.add(&found);
                    pruned.line(&found);
                    let is_row = matches!(found.kind, b"opened" | b"closed");
                    if is_row && indexed_upto.is_some_and(|upto| found.index < upto) {
                        expected.line(line)?;
                    }
                }
                walk.leaves()?;
                if indexed_upto == Some(walk.chain.next_index()) {
                    said = Some((sums, expected.rows()?));
                }
            }
        }
        walk.exhaust()?;
    }
    walk.finish()?;
    if let Some(what) = pruned.damage(walk.roots.proved_upto) {
        walk.damages.add_stretch(0, first.saturating_sub(1), what);
    }
    let totals = match reading.map(std::thread::JoinHandle::join) {
        Some(Ok(totals)) => content(totals, &mut walk.damages)?,
        Some(Err(_)) => return Err(CliError::Failed("the index cannot be read".to_owned())),
        None => None,
    };
    let compared = said.zip(totals).map(|(said, totals)| compare(said, &totals, &mut walk.damages));
    conclude(&mut answer, walk, compared);
    Ok(answer)
}

fn unread(error: ReadError) -> CliError {
    CliError::Failed(error.to_string())
}

/// What was read; `None` where the index is damaged: the lines are the truth, and are verified all
/// the same.
fn content<T>(read: Result<T, IndexError>, damages: &mut Damages) -> Result<Option<T>, CliError> {
    match read {
        Err(error) if error.is_of_content() => {
            damages.add(None, error.to_string());
            Ok(None)
        }
        read => Ok(Some(read?)),
    }
}

/// What was compared of the index.
#[derive(Clone, Copy, Debug)]
struct Compared {
    rows: bool,
    payers: bool,
}

fn compare(said: (Sums, Option<Rows>), indexed: &Totals, damages: &mut Damages) -> Compared {
    let (sums, rows) = said;
    let truth = "the lines are the truth: delete index.sqlite and it is built again";
    if indexed.closed != sums.closed || indexed.usd != sums.usd {
        damages.add(
            None,
            format!(
                "index.sqlite holds {} closed calls and {} USD, the lines hold {} and {}; {truth}",
                indexed.closed, indexed.usd, sums.closed, sums.usd
            ),
        );
    } else if rows.is_some_and(|rows| !rows.agree(&indexed.rows, indexed.is_moved)) {
        damages.add(None, format!("index.sqlite holds other rows than the lines give; {truth}"));
    }
    Compared { rows: rows.is_some(), payers: !indexed.is_moved }
}

fn conclude(answer: &mut Answer, walk: Walk, compared: Option<Compared>) {
    let Walk { chain, roots, damages, keys, notes, .. } = walk;
    if notes.is_torn {
        answer.not_provable.push("the last checkpoint: it was not written to its end".to_owned());
    }
    answer.instance = String::from_utf8_lossy(chain.instance().unwrap_or_default()).into_owned();
    answer.end = chain.next_index();
    answer.tree = chain.broken_at().is_none().then(|| (roots.tree().size(), roots.tree().root()));
    answer.proved_upto = roots.proved_upto;
    answer.checkpoints = roots.met;
    answer.open = chain.open();
    answer.damages = chain.damages;
    answer.damages.append(damages);
    if keys.origin().is_some_and(|name| name != origin(&answer.instance)) {
        answer.damages.add(None, "the keys are those of another instance");
    }
    let mut checked = vec!["every line's form, index and hash of the line before".to_owned()];
    if answer.checkpoints > 0 {
        checked
            .push("the root at every checkpoint, so that each follows from the one before".into());
        checked.push("every signature, by keys that are valid for its lines".into());
    }
    checked.push("every opening has one closing".into());
    match compared {
        Some(compared) => {
            checked.push("calls and amounts against index.sqlite".into());
            if compared.rows {
                checked.push("every call's row in index.sqlite".into());
            }
            if !compared.payers {
                let what = "who pays in the index: corrections moved calls there";
                answer.not_provable.push(what.to_owned());
            }
        }
        None => {
            let what = "the index: there is none that is level with the ledger";
            answer.not_provable.push(what.to_owned());
        }
    }
    if chain.open_overflow {
        answer.not_provable.push("openings and closings: too many were open at once".into());
    } else if chain.closings_alone > 0 && (chain.gaps > 0 || answer.first > 0) {
        let alone = chain.closings_alone;
        let why = if chain.gaps > 0 { "gaps in the ledger say why" } else { "they were pruned" };
        answer.not_provable.push(format!("{alone} closings have no opening: {why}"));
    }
    answer.not_provable.extend(Pruned::limit(answer.first));
    jumps(answer, chain.clock_jumps);
    answer.checked = checked;
    limits(answer);
}
