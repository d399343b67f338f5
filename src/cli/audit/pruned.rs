//! Whether lines that are gone were pruned: an entry must say so, and be signed itself.

use crate::audit::line::Envelope;
use crate::audit::merkle::Hash;
use crate::record::act;

/// Lines that are known by their hashes only, and what entries say of them.
#[derive(Debug)]
pub(super) struct Pruned {
    first: u64,
    root: String,
    /// The index of an entry that names them.
    named_at: Option<u64>,
}

impl Pruned {
    /// The lines before `first` are gone; `root` is that of the tree over their hashes.
    pub(super) fn new(first: u64, root: Hash) -> Pruned {
        Pruned { first, root: root.to_string(), named_at: None }
    }

    /// Takes a line in; says whether it is the one that names them. Where a crash left lines that
    /// were to go, the entry names more.
    pub(super) fn line(&mut self, found: &Envelope<'_>) -> bool {
        if self.first == 0 || found.kind != b"pruned" || self.named_at.is_some() {
            return false;
        }
        let Ok(entry) = serde_json::from_slice::<act::Pruned>(found.body) else { return false };
        let is_it = entry.first == self.first && entry.root == self.root;
        let is_more = entry.first > self.first && entry.first <= found.index;
        if is_it || is_more {
            self.named_at = Some(found.index);
        }
        self.named_at.is_some()
    }

    /// What is wrong, where checkpoints cover the lines before `signed`.
    pub(super) fn damage(&self, signed: u64) -> Option<String> {
        let last = self.first.checked_sub(1)?;
        match self.named_at {
            Some(at) if at < signed => None,
            Some(at) => Some(format!(
                "lines 0 to {last} are gone, and line {at}, which says that they were pruned, is not \
                 signed"
            )),
            None => {
                Some(format!("lines 0 to {last} are gone, and no entry says that they were pruned"))
            }
        }
    }

    /// What cannot be proved of them.
    pub(super) fn limit(first: u64) -> Option<String> {
        let last = first.checked_sub(1)?;
        Some(format!("what lines 0 to {last} said: they were pruned, and their hashes were kept"))
    }
}
