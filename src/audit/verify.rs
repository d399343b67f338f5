//! What a ledger's lines prove: each follows from the one before, and together they have the roots
//! that were signed. Streaming: what is held does not grow with the number of lines, but for the
//! exchanges that are open.

use std::collections::HashMap;

use memchr::memmem;

use super::line::{Envelope, envelope, exchange};
use super::merkle::{Frontier, Hash, leaf_hash};

/// Damages that are described; more are counted.
pub const DAMAGES_MAX: usize = 64;
/// Exchanges that may be open at once; beyond it openings are not matched with closings.
pub const OPEN_MAX: usize = 1_000_000;
/// Open exchanges that are named.
pub const OPEN_NAMED_MAX: usize = 20;

/// Something that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The first entry that it touches, where that is known.
    pub index: Option<u64>,
    /// Where only a stretch is known, from `index` on: the last entry that it may touch.
    pub upto: Option<u64>,
    /// What is wrong, as a sentence.
    pub what: String,
}

/// All that is wrong.
#[derive(Clone, Debug, Default)]
pub struct Damages {
    /// The first [`DAMAGES_MAX`], in the order they were found.
    pub named: Vec<Damage>,
    /// How many there are.
    pub count: u64,
}

impl Damages {
    /// Adds one.
    pub fn add(&mut self, index: impl Into<Option<u64>>, what: impl Into<String>) {
        self.count += 1;
        if self.named.len() < DAMAGES_MAX {
            self.named.push(Damage { index: index.into(), upto: None, what: what.into() });
        }
    }

    /// Adds one that is somewhere in a stretch.
    pub fn add_stretch(&mut self, from: u64, upto: u64, what: String) {
        self.count += 1;
        if self.named.len() < DAMAGES_MAX {
            self.named.push(Damage { index: Some(from), upto: Some(upto), what });
        }
    }

    /// Takes over what somebody else found.
    pub fn append(&mut self, other: Damages) {
        self.count += other.count;
        self.named.extend(other.named);
        self.named.truncate(DAMAGES_MAX);
    }

    /// The first damaged entry; where no single one is known, the start of the shortest stretch.
    #[must_use]
    pub fn first_index(&self) -> Option<u64> {
        let exact = self.named.iter().filter(|damage| damage.upto.is_none());
        let stretches = self.named.iter().filter_map(|d| Some((d.upto? - d.index?, d.index?)));
        let shortest = || stretches.min().map(|(_, from)| from);
        exact.filter_map(|damage| damage.index).min().or_else(shortest)
    }
}

/// The last line read: its hash is right once the next line names it.
#[derive(Clone, Copy, Debug)]
struct Held {
    leaf: Hash,
    /// Known to be damaged: the next line knows its true hash.
    is_damaged: bool,
}

/// Lines that follow each other.
#[derive(Debug)]
pub struct Chain {
    next: u64,
    first: u64,
    held: Option<Held>,
    /// What the first line must name as the hash before it, where that is known.
    before: Option<Hash>,
    /// Its bytes.
    held_line: Vec<u8>,
    /// The line before the held one is not what the held one says: own hash, and the one it says.
    suspect: Option<(Hash, Hash)>,
    instance: Option<Vec<u8>>,
    /// True hashes, in order, not taken yet.
    leaves: Vec<Hash>,
    /// More than one line in a row is missing: no tree can be made of what comes then.
    broken_at: Option<u64>,
    /// What is wrong.
    pub damages: Damages,
    open: HashMap<u128, u64>,
    /// More were open at once than are remembered.
    pub open_overflow: bool,
    /// Closings whose opening is not among the lines.
    pub closings_alone: u64,
    first_closing_alone: Option<u64>,
    /// Entries that say that something is missing.
    pub gaps: u64,
    /// Entries that say that the wall clock was set.
    pub clock_jumps: u64,
}

impl Chain {
    /// A chain whose first line has the index `first`.
    #[must_use]
    pub fn new(first: u64) -> Chain {
        Chain {
            next: first,
            first,
            held: None,
            before: (first == 0).then_some(Hash::ZERO),
            held_line: Vec::new(),
            suspect: None,
            instance: None,
            leaves: Vec::new(),
            broken_at: None,
            damages: Damages::default(),
            open: HashMap::new(),
            open_overflow: false,
            closings_alone: 0,
            first_closing_alone: None,
            gaps: 0,
            clock_jumps: 0,
        }
    }

    /// The first line follows on a line that is not there, of which the hash is known.
    pub const fn follows_on(&mut self, leaf: Hash) {
        self.before = Some(leaf);
    }

    /// The index that comes next.
    #[must_use]
    pub const fn next_index(&self) -> u64 {
        self.next
    }

    /// Who wrote the lines.
    #[must_use]
    pub fn instance(&self) -> Option<&[u8]> {
        self.instance.as_deref()
    }

    /// Where lines are missing so that no tree can be made.
    #[must_use]
    pub const fn broken_at(&self) -> Option<u64> {
        self.broken_at
    }

    /// The next line, without its newline.
    pub fn line<'a>(&mut self, line: &'a [u8]) -> Option<Envelope<'a>> {
        let leaf = leaf_hash(line);
        let Some(found) = envelope(line) else {
            let at = self.next;
            self.damages.add(at, format!("line {at} is not a line as a ledger writes it"));
            self.confirm(None);
            self.held = Some(Held { leaf, is_damaged: true });
            self.next += 1;
            return None;
        };
        if !self.in_place(&found) {
            return None;
        }
        self.follows(&found);
        self.held = Some(Held { leaf, is_damaged: false });
        self.held_line.clear();
        self.held_line.extend_from_slice(line);
        self.next += 1;
        self.note(&found);
        Some(found)
    }

    /// Whether the line belongs here; says what is wrong where its index is not the next one.
    fn in_place(&mut self, found: &Envelope<'_>) -> bool {
        let (index, next) = (found.index, self.next);
        if index == next {
            return true;
        }
        if self.held.is_some_and(|held| !held.is_damaged && held.leaf == found.previous) {
            self.damages.add(next, format!("line {next} calls itself {index}"));
            return true;
        }
        if index < next {
            let after = next.saturating_sub(1);
            self.damages.add(index, format!("line {index} stands again, or after line {after}"));
            return false;
        }
        let lines = if index == next + 1 {
            format!("line {next} is missing")
        } else {
            format!("lines {next} to {} are missing", index - 1)
        };
        self.damages.add(next, lines);
        self.confirm(None);
        // The line that is there names the hash of the last one that is missing.
        if index > next + 1 {
            self.broken_at.get_or_insert(next);
        }
        self.held = Some(Held { leaf: found.previous, is_damaged: true });
        self.next = index;
        true
    }

    /// Compares the hash of the line before with what this one says.
    fn follows(&mut self, found: &Envelope<'_>) {
        let Some(held) = self.held else {
            if self.before.is_some_and(|before| before != found.previous) {
                let at = self.first;
                let what = match at {
                    0 => "line 0 names a line before it".to_owned(),
                    _ => format!("line {at} does not follow on the hash that was kept before it"),
                };
                self.damages.add(at, what);
            }
            return;
        };
        let at = self.next - 1;
        if held.leaf == found.previous || held.is_damaged {
            return self.confirm(Some(found.previous));
        }
        if let Some((own, _)) = self.suspect {
            // Neither the line before nor the line after agrees with the held one. Where it is
            // whole once it names the line before as it is, that one was not changed.
            let was_right = self.held_naming(own) == Some(found.previous);
            self.confirm_suspect(!was_right);
            self.damages.add(at, format!("line {at} was changed"));
            self.leaves.push(found.previous);
        } else {
            self.suspect = Some((held.leaf, found.previous));
        }
    }

    /// The hash of the held line if it named `previous` for the line before it.
    fn held_naming(&self, previous: Hash) -> Option<Hash> {
        let mut line = self.held_line.clone();
        let at = memmem::rfind(&line, b"\"prev\":\"")? + 8;
        let digits = previous.to_hex();
        line.get_mut(at..at + digits.len())?.copy_from_slice(&digits);
        Some(leaf_hash(&line))
    }

    /// The held line is what the next one says, or nothing says otherwise.
    fn confirm(&mut self, claimed: Option<Hash>) {
        let Some(held) = self.held.take() else { return };
        self.confirm_suspect(claimed == Some(held.leaf));
        self.leaves.push(claimed.unwrap_or(held.leaf));
    }

    /// Of two neighbours that disagree, the one that agrees with the line after it is right.
    fn confirm_suspect(&mut self, later_is_right: bool) {
        let Some((own, claimed)) = self.suspect.take() else { return };
        let at = self.next.saturating_sub(2);
        if later_is_right {
            self.damages.add(at, format!("line {at} was changed: line {} knows its hash", at + 1));
            self.leaves.push(claimed);
        } else {
            self.leaves.push(own);
        }
    }

    fn note(&mut self, found: &Envelope<'_>) {
        match &self.instance {
            None => self.instance = Some(found.instance.to_vec()),
            Some(instance) if instance != found.instance => {
                let index = found.index;
                self.damages.add(index, format!("line {index} was written by another instance"));
            }
            Some(_) => {}
        }
        match found.kind {
            b"opened" => self.opened(found),
            b"closed" => self.closed(found),
            b"gap" => self.gaps += 1,
            b"clock_jump" => self.clock_jumps += 1,
            _ => {}
        }
    }

    fn opened(&mut self, found: &Envelope<'_>) {
        let Some(id) = exchange(found.body) else { return };
        if self.open.len() >= OPEN_MAX {
            self.open_overflow = true;
        } else if self.open.insert(key(id), found.index).is_some() {
            let index = found.index;
            self.damages.add(index, format!("line {index} opens an exchange that is open"));
        }
    }

    fn closed(&mut self, found: &Envelope<'_>) {
        let Some(id) = exchange(found.body) else { return };
        if self.open.remove(&key(id)).is_none() {
            self.closings_alone += 1;
            self.first_closing_alone.get_or_insert(found.index);
        }
    }

    /// The true hashes that became known, in order.
    pub fn take_leaves(&mut self) -> std::vec::Drain<'_, Hash> {
        self.leaves.drain(..)
    }

    /// No line follows.
    pub fn finish(&mut self) {
        if self.suspect.is_some() {
            let at = self.next.saturating_sub(2);
            let what = format!("line {at} or line {} was changed", at + 1);
            self.damages.add_stretch(at, at + 1, what);
        }
        self.confirm(None);
        let alone = self.first_closing_alone;
        if let Some(at) = alone
            && self.first == 0
            && self.gaps == 0
            && !self.open_overflow
        {
            self.damages.add(at, format!("line {at} closes an exchange that was never opened"));
        }
    }

    /// Exchanges that are open at the end: how many, and the lines that opened the oldest.
    #[must_use]
    pub fn open(&self) -> (usize, Vec<u64>) {
        let mut lines: Vec<u64> = self.open.values().copied().collect();
        lines.sort_unstable();
        lines.truncate(OPEN_NAMED_MAX);
        (self.open.len(), lines)
    }
}

/// An exchange's id as a number: what is a UUID as it is, else half of its hash.
fn key(id: &[u8]) -> u128 {
    let digits = id.iter().filter(|b| **b != b'-');
    let number = digits.clone().try_fold(0_u128, |sum, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(sum << 4 | u128::from(digit))
    });
    match number {
        Some(number) if digits.count() == 32 => number,
        _ => {
            let mut half = [0; 16];
            half.copy_from_slice(&leaf_hash(id).as_bytes()[..16]);
            u128::from_be_bytes(half)
        }
    }
}

/// A size and a root that somebody vouched for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many lines it covers.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
    /// Which one it is, for people: `checkpoint 12`, `witness FILE`.
    pub name: String,
}

/// The tree over the lines, compared with every head that it passes.
#[derive(Debug, Default)]
pub struct Roots {
    tree: Frontier,
    waiting: Vec<Head>,
    /// Lines up to here have a root that was vouched for.
    pub proved_upto: u64,
    /// Heads that were met.
    pub met: u64,
}

impl Roots {
    /// The tree so far.
    #[must_use]
    pub const fn tree(&self) -> &Frontier {
        &self.tree
    }

    /// A head that is to be met; one of a size that is passed already is damage.
    pub fn meet(&mut self, head: Head, damages: &mut Damages) {
        if head.size < self.tree.size() {
            let Head { size, name, .. } = head;
            return damages.add(None, format!("{name} covers {size} lines: fewer than one before"));
        }
        self.waiting.push(head);
        self.compare(damages);
    }

    /// The next leaf.
    pub fn push(&mut self, leaf: Hash, damages: &mut Damages) {
        self.tree.push(leaf);
        let size = self.tree.size();
        if self.waiting.iter().any(|head| head.size == size) {
            self.compare(damages);
        }
    }

    fn compare(&mut self, damages: &mut Damages) {
        let size = self.tree.size();
        if !self.waiting.iter().any(|head| head.size == size) {
            return;
        }
        let (root, proved) = (self.tree.root(), self.proved_upto);
        for head in self.waiting.extract_if(.., |head| head.size == size) {
            if head.root == root {
                self.met += 1;
                self.proved_upto = size;
            } else {
                let lines = if proved >= size {
                    format!("the first {size} lines")
                } else {
                    format!("a line from {proved} to {}", size - 1)
                };
                let what = format!("{} has another root: {lines} or it was changed", head.name);
                let last = size.saturating_sub(1);
                damages.add_stretch(proved.min(last), last, what);
            }
        }
    }

    /// Heads that cover more than there is: lines were cut off.
    pub fn finish(&mut self, damages: &mut Damages) {
        let end = self.tree.size();
        for head in self.waiting.drain(..) {
            let Head { size, name, .. } = head;
            let what =
                format!("{name} covers {size} lines: lines {end} to {} are missing", size - 1);
            damages.add(end, what);
        }
    }
}

#[cfg(test)]
mod tests;
