//! The tree's leaves, and its shape at an earlier size, read back from the files alone.
//!
//! A leaf is what the next line says it is: where a line was damaged later its own bytes no longer
//! give the hash that the tree was made of.

use std::ops::Range;
use std::path::Path;

use super::prune::each_kept;
use super::reader::{Batch, ReadError, Reader};
use super::segment::{self, Start};
use crate::audit::merkle::{Frontier, Hash, leaf_hash};
use crate::record::encoding::Line;

/// Lines that are read at once.
const BATCH_LINES: usize = 4096;

/// Hands every leaf of `range` to `take`, in order; gives how many there are.
pub fn each_leaf(
    data_dir: &Path,
    range: Range<u64>,
    mut take: impl FnMut(Hash),
) -> Result<u64, ReadError> {
    let wanted = range.end.saturating_sub(range.start);
    // Of lines that were pruned the hashes are left.
    let from = each_kept(data_dir, range.clone(), &mut take)?;
    let mut reader = Reader::open(data_dir, from)?;
    let mut batch = Batch::default();
    let (mut taken, mut own) = (from - range.start, None);
    while taken < wanted && reader.read_batch(&mut batch, BATCH_LINES)? > 0 {
        for (index, line) in batch.iter() {
            let is_next = index == range.start + taken + u64::from(own.is_some());
            if !is_next || taken == wanted {
                break;
            }
            if let Some(own) = own.replace(leaf_hash(line)) {
                take(Line::parse(line).map_or(own, |line| line.previous));
                taken += 1;
            }
        }
        if reader.skipped().is_some_and(|skipped| skipped.end > from) {
            break;
        }
    }
    if let (Some(own), true) = (own, taken < wanted) {
        take(own);
        taken += 1;
    }
    Ok(taken)
}

/// The tree over the first `size` lines; `None` where the ledger has fewer. It begins with what is
/// known of the last segment that starts before.
pub fn tree_at(data_dir: &Path, size: u64) -> Result<Option<Frontier>, ReadError> {
    if size == 0 {
        return Ok(Some(Frontier::default()));
    }
    let folder = segment::directory(data_dir);
    let firsts =
        segment::list(data_dir).map_err(|source| ReadError::List { path: folder, source })?;
    let before = firsts.into_iter().rev().filter(|first| *first <= size);
    let known = before.filter_map(|first| Start::read(data_dir, first)).next();
    let mut tree = known.map(|start| start.tree).unwrap_or_default();
    let range = tree.size()..size;
    each_leaf(data_dir, range, |leaf| tree.push(leaf))?;
    Ok(Some(tree).filter(|tree| tree.size() == size))
}
