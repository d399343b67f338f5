//! Hash tiles as C2SP tlog-tiles lays them out: 256 hashes wide, eight levels of the tree high.

use super::merkle::{Frontier, Hash, node_hash};

/// Hashes in a full tile.
pub const WIDTH: usize = 256;
/// Levels of tiles that a tree of 64-bit size can need.
pub const LEVELS_MAX: u8 = 8;
/// Bytes of a hash in a tile.
pub const HASH_BYTES: usize = 32;

/// The path of a tile below the tiles' folder. `width` is less than [`WIDTH`] for the last one of
/// a level.
#[must_use]
pub fn path(level: u8, index: u64, width: usize) -> String {
    let mut digits = format!("{:03}", index % 1000);
    let mut rest = index / 1000;
    while rest > 0 {
        digits = format!("x{:03}/{digits}", rest % 1000);
        rest /= 1000;
    }
    let partial = if width < WIDTH { format!(".p/{width}") } else { String::new() };
    format!("tile/{level}/{digits}{partial}")
}

/// How many hashes a level holds for a tree of `size` leaves.
#[must_use]
pub const fn hashes(level: u8, size: u64) -> u64 {
    if level >= LEVELS_MAX { 0 } else { size >> (8 * level as u32) }
}

/// How many hashes the tile at `index` holds, of a level with `hashes`.
#[must_use]
pub fn width(index: u64, hashes: u64) -> usize {
    let left = hashes.saturating_sub(index.saturating_mul(WIDTH as u64));
    usize::try_from(left).unwrap_or(WIDTH).min(WIDTH)
}

/// The hash that a full tile has in the level above: its eight levels folded.
#[must_use]
pub fn fold(tile: &[Hash]) -> Hash {
    let mut row = tile.to_vec();
    while row.len() > 1 {
        let pairs = row.chunks(2);
        row = pairs.map(|pair| pair.get(1).map_or(pair[0], |r| node_hash(&pair[0], r))).collect();
    }
    row.first().copied().unwrap_or_default()
}

/// Hashes from a tile's bytes; `None` where they are not whole.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Vec<Hash>> {
    let whole = !bytes.is_empty() && bytes.len().is_multiple_of(HASH_BYTES);
    let (chunks, _) = bytes.as_chunks::<HASH_BYTES>();
    whole.then(|| chunks.iter().map(|chunk| Hash::new(*chunk)).collect())
}

/// A tile that is complete, or that is the last of its level.
#[derive(Debug, PartialEq, Eq)]
pub struct Tile {
    /// 0 for leaf hashes.
    pub level: u8,
    /// Its place in the level.
    pub index: u64,
    /// What it holds.
    pub hashes: Vec<Hash>,
}

/// Makes the tiles of a growing tree; holds one unfinished tile for each level.
#[derive(Debug, Default)]
pub struct Tiler {
    tree: Frontier,
    levels: Vec<(u64, Vec<Hash>)>,
}

impl Tiler {
    /// Adds a leaf; gives the tiles that it completed, at most one for each level.
    pub fn push(&mut self, leaf: Hash) -> Vec<Tile> {
        self.tree.push(leaf);
        let mut complete = Vec::new();
        let mut hash = leaf;
        for level in 0..LEVELS_MAX {
            let at = usize::from(level);
            if self.levels.len() <= at {
                self.levels.push((0, Vec::with_capacity(WIDTH)));
            }
            let (index, row) = &mut self.levels[at];
            row.push(hash);
            if row.len() < WIDTH {
                break;
            }
            hash = fold(row);
            complete.push(Tile { level, index: *index, hashes: std::mem::take(row) });
            *index += 1;
        }
        complete
    }

    /// The unfinished tiles at the right edge.
    #[must_use]
    pub fn partial(&self) -> Vec<Tile> {
        let rows = (0..).zip(&self.levels).filter(|(_, (_, row))| !row.is_empty());
        rows.map(|(level, (index, row))| Tile { level, index: *index, hashes: row.clone() })
            .collect()
    }

    /// The tree so far.
    #[must_use]
    pub const fn tree(&self) -> &Frontier {
        &self.tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::merkle::leaf_hash;

    #[test]
    fn paths_are_those_of_the_specification() {
        assert_eq!(path(0, 1_234_067, WIDTH), "tile/0/x001/x234/067");
        assert_eq!(path(1, 0, 4), "tile/1/000.p/4");
    }

    #[test]
    fn tiles_hold_the_tree() {
        let mut tiler = Tiler::default();
        let size = 256 * 256 + 300_u64;
        let mut top = Vec::new();
        let mut count = 0_u64;
        for i in 0..size {
            for tile in tiler.push(leaf_hash(&i.to_be_bytes())) {
                assert_eq!(tile.hashes.len(), WIDTH);
                count += 1;
                if tile.level == 1 {
                    top.push(fold(&tile.hashes));
                }
            }
        }
        assert_eq!(count, size / 256 + 1);
        assert_eq!(tiler.tree().roots()[0], top[0]);
        let partial = tiler.partial();
        let widths: Vec<_> = partial.iter().map(|t| (t.level, t.index, t.hashes.len())).collect();
        assert_eq!(widths, [(0, 257, 44), (1, 1, 1), (2, 0, 1)]);
        for (level, index, held) in widths {
            assert_eq!(width(index, hashes(level, size)), held);
        }
    }
}
