//! Proofs of RFC 6962 §2.1: that a leaf is in a tree, that a tree is the beginning of another.
//!
//! A proof is a list of roots of subtrees. Which subtrees these are follows from the sizes alone
//! ([`inclusion_ranges`], [`consistency_ranges`]), so whoever has the hashes of the leaves in
//! order can make a proof in one pass: [`Consistency`] does.

use std::ops::Range;

use super::merkle::{Frontier, Hash, node_hash};

/// Hashes in the longest proof.
pub const PROOF_HASHES_MAX: usize = 64;

/// The largest power of two below `n`; `n` is at least 2.
fn split(n: u64) -> u64 {
    1 << (n - 1).ilog2()
}

/// The subtrees whose roots prove that the leaf at `index` is in the tree of `size` leaves, in
/// the order of the proof. Empty where there is no such leaf.
#[must_use]
pub fn inclusion_ranges(index: u64, size: u64) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    let (mut start, mut end) = (0, size);
    while index < size && end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    ranges.reverse();
    ranges
}

/// The subtrees whose roots prove that the tree of `old` leaves is the beginning of the tree of
/// `new` leaves, in the order of the proof. Empty for equal sizes, and for no leaves at all.
#[must_use]
pub fn consistency_ranges(old: u64, new: u64) -> Vec<Range<u64>> {
    let mut ranges = Vec::new();
    if old == 0 || old >= new {
        return ranges;
    }
    let (mut start, mut end) = (0, new);
    // Whether the old tree itself is the subtree that is left; whoever checks has its root.
    let mut whole = true;
    while end != old {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        ranges.push(start..end);
    }
    ranges.reverse();
    ranges
}

/// Whether `proof` shows that `leaf` stands at `index` in the tree of `size` leaves with `root`.
#[must_use]
pub fn verify_inclusion(
    leaf: &Hash,
    index: u64,
    (size, root): (u64, Hash),
    proof: &[Hash],
) -> bool {
    let ranges = inclusion_ranges(index, size);
    if index >= size || ranges.len() != proof.len() {
        return false;
    }
    let join = |hash, (range, other): (Range<u64>, &Hash)| {
        if range.start > index { node_hash(&hash, other) } else { node_hash(other, &hash) }
    };
    ranges.into_iter().zip(proof).fold(*leaf, join) == root
}

/// Whether `proof` shows that the tree `old` (size, root) is the beginning of the tree `new`.
#[must_use]
pub fn verify_consistency(old: (u64, Hash), new: (u64, Hash), proof: &[Hash]) -> bool {
    if old.0 > new.0 {
        return false;
    }
    if old.0 == new.0 || old.0 == 0 {
        let same = if old.0 == new.0 { new.1 } else { Frontier::default().root() };
        return proof.is_empty() && old.1 == same;
    }
    let ranges = consistency_ranges(old.0, new.0);
    if ranges.len() != proof.len() {
        return false;
    }
    let mut hashes = ranges.into_iter().zip(proof);
    // The first subtree ends where the old tree ends: it is the old tree where its size is a
    // power of two, else the proof's first hash.
    let first = if old.0.is_power_of_two() { Some(old.1) } else { hashes.next().map(|h| *h.1) };
    let Some(first) = first else { return false };
    let (mut old_root, mut new_root) = (first, first);
    for (range, hash) in hashes {
        if range.start >= old.0 {
            new_root = node_hash(&new_root, hash);
        } else {
            old_root = node_hash(hash, &old_root);
            new_root = node_hash(hash, &new_root);
        }
    }
    old_root == old.1 && new_root == new.1
}

/// A consistency proof in the making: the old tree's frontier, then every later leaf in order.
#[derive(Debug)]
pub struct Consistency {
    /// The proof's subtrees and, once known, their roots.
    parts: Vec<(Range<u64>, Option<Hash>)>,
    /// The part that is being filled, from the left.
    filling: Frontier,
    next: u64,
    new: u64,
}

impl Consistency {
    /// From the old tree to `new` leaves.
    #[must_use]
    pub fn new(old: &Frontier, new: u64) -> Consistency {
        let mut start = 0;
        let mut known = Vec::new();
        for root in old.roots() {
            let width = 1_u64 << (old.size() - start).ilog2();
            known.push((start..start + width, *root));
            start += width;
        }
        let with_root = |range: Range<u64>| {
            let root = known.iter().find(|(r, _)| *r == range).map(|(_, root)| *root);
            (range, root)
        };
        let parts = consistency_ranges(old.size(), new).into_iter().map(with_root).collect();
        Consistency { parts, filling: Frontier::default(), next: old.size(), new }
    }

    /// Takes the next leaf.
    pub fn push(&mut self, leaf: Hash) {
        let at = self.next;
        self.next += 1;
        let Some((range, root)) = self.parts.iter_mut().find(|(r, _)| r.contains(&at)) else {
            return;
        };
        self.filling.push(leaf);
        if self.next == range.end {
            *root = Some(std::mem::take(&mut self.filling).root());
        }
    }

    /// The proof; `None` where leaves are missing.
    #[must_use]
    pub fn finish(self) -> Option<Vec<Hash>> {
        if self.next < self.new && !self.parts.is_empty() {
            return None;
        }
        self.parts.into_iter().map(|(_, root)| root).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::merkle::leaf_hash;

    const LEAVES: u64 = 40;

    fn leaf(index: u64) -> Hash {
        leaf_hash(&index.to_be_bytes())
    }

    fn tree(range: Range<u64>) -> Frontier {
        let mut frontier = Frontier::default();
        range.for_each(|index| frontier.push(leaf(index)));
        frontier
    }

    fn head(size: u64) -> (u64, Hash) {
        (size, tree(0..size).root())
    }

    /// Every other hash and every shorter and longer proof must fail.
    fn only(proof: &[Hash], verifies: impl Fn(&[Hash]) -> bool) {
        assert!(verifies(proof));
        for i in 0..proof.len() {
            let mut changed = proof.to_vec();
            changed[i] = leaf(999);
            assert!(!verifies(&changed));
            changed.remove(i);
            assert!(!verifies(&changed));
        }
        let mut longer = proof.to_vec();
        longer.push(leaf(0));
        assert!(!verifies(&longer));
    }

    #[test]
    fn every_leaf_is_proved_in_every_tree() {
        for size in 1..LEAVES {
            for index in 0..size {
                let ranges = inclusion_ranges(index, size);
                let proof: Vec<Hash> = ranges.into_iter().map(|r| tree(r).root()).collect();
                only(&proof, |p| verify_inclusion(&leaf(index), index, head(size), p));
                assert!(!verify_inclusion(&leaf(index + 1), index, head(size), &proof));
            }
            assert!(!verify_inclusion(&leaf(size), size, head(size), &[]));
        }
    }

    #[test]
    fn every_tree_is_proved_in_every_later_one() {
        for new in 0..LEAVES {
            for old in 0..=new {
                let mut making = Consistency::new(&tree(0..old), new);
                (old..new).for_each(|index| making.push(leaf(index)));
                let proof = making.finish().unwrap();
                only(&proof, |p| verify_consistency(head(old), head(new), p));
                let other = (old, leaf(77));
                assert!(!verify_consistency(other, head(new), &proof), "{old} {new}");
                if old > 0 {
                    assert!(!verify_consistency(head(old), (new, leaf(77)), &proof));
                }
                assert!(old == new || !verify_consistency(head(new), head(old), &proof));
            }
        }
    }

    #[test]
    fn the_subtrees_are_those_of_the_rfc() {
        // RFC 6962 §2.1.3: d0, d3 and d4 in a tree of seven leaves, and consistency with it.
        assert_eq!(inclusion_ranges(0, 7), [1..2, 2..4, 4..7]);
        assert_eq!(inclusion_ranges(4, 7), [5..6, 6..7, 0..4]);
        assert_eq!(consistency_ranges(3, 7), [2..3, 3..4, 0..2, 4..7]);
        assert_eq!(consistency_ranges(4, 7), std::slice::from_ref(&(4..7)));
        assert_eq!(consistency_ranges(6, 7), [4..6, 6..7, 0..4]);
    }

    #[test]
    fn a_proof_with_leaves_missing_is_none() {
        assert_eq!(Consistency::new(&tree(0..3), 7).finish(), None);
    }
}
