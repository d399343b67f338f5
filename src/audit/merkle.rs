//! The Merkle tree of RFC 6962 (SHA-256) over the ledger's lines.
//!
//! A leaf is `SHA-256(0x00 ‖ line)`, a node `SHA-256(0x01 ‖ left ‖ right)`. The running process
//! keeps the *frontier* only: the roots of the full subtrees, at most 64 hashes, from which the
//! root of the whole tree follows at any size.

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

/// A SHA-256 hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash before the first leaf: all zeros.
    pub const ZERO: Hash = Hash([0; 32]);

    /// From its bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 32]) -> Hash {
        Hash(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn to_hex(&self) -> [u8; 64] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut out = [0_u8; 64];
        for (pair, byte) in out.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        out
    }

    /// From 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Hash> {
        let bytes = text.as_bytes();
        if bytes.len() != 64 {
            return None;
        }
        let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let mut out = [0_u8; 32];
        for (byte, pair) in out.iter_mut().zip(bytes.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Hash(out))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.to_hex()))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

fn finish(context: Context) -> Hash {
    let mut out = [0_u8; 32];
    out.copy_from_slice(context.finish().as_ref());
    Hash(out)
}

/// The hash of a leaf. `line` is without its newline.
#[must_use]
pub fn leaf_hash(line: &[u8]) -> Hash {
    let mut context = Context::new(&SHA256);
    context.update(&[0]);
    context.update(line);
    finish(context)
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1_u8; 65];
    bytes[1..33].copy_from_slice(&left.0);
    bytes[33..].copy_from_slice(&right.0);
    let mut context = Context::new(&SHA256);
    context.update(&bytes);
    finish(context)
}

/// The right edge of the tree: enough to append and to name the root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frontier {
    size: u64,
    /// Roots of the full subtrees, largest first; one for each bit set in `size`.
    roots: Vec<Hash>,
}

impl Frontier {
    /// A frontier as it was written down; `None` where the number of roots does not fit the size.
    #[must_use]
    pub fn from_parts(size: u64, roots: Vec<Hash>) -> Option<Frontier> {
        (roots.len() == size.count_ones() as usize).then_some(Frontier { size, roots })
    }

    /// Leaves so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Roots of the full subtrees, largest first.
    #[must_use]
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Adds a leaf.
    pub fn push(&mut self, leaf: Hash) {
        let mut hash = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.roots.pop() {
                hash = node_hash(&left, &hash);
            }
        }
        self.roots.push(hash);
        self.size += 1;
    }

    /// The root of the tree. For no leaves at all: the hash of the empty string, as RFC 6962 says.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut roots = self.roots.iter().rev();
        match roots.next() {
            None => finish(Context::new(&SHA256)),
            Some(last) => roots.fold(*last, |right, left| node_hash(left, &right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition of RFC 6962 §2.1, written down as it stands.
    fn reference(leaves: &[Hash]) -> Hash {
        match leaves.len() {
            0 => finish(Context::new(&SHA256)),
            1 => leaves[0],
            n => {
                let k = (n - 1).ilog2();
                let (left, right) = leaves.split_at(1 << k);
                node_hash(&reference(left), &reference(right))
            }
        }
    }

    #[test]
    fn the_frontier_gives_the_root_of_the_definition() {
        let mut frontier = Frontier::default();
        let mut leaves = Vec::new();
        for i in 0..70_u8 {
            assert_eq!(frontier.root(), reference(&leaves), "size {i}");
            let leaf = leaf_hash(&[i]);
            frontier.push(leaf);
            leaves.push(leaf);
        }
        let again = Frontier::from_parts(frontier.size(), frontier.roots().to_vec());
        assert_eq!(again, Some(frontier));
    }

    #[test]
    fn known_answers() {
        // RFC 6962: the empty tree is SHA-256 of nothing; the empty leaf is SHA-256 of one zero.
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Frontier::default().root().to_string(), empty);
        let zero = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(leaf_hash(b"").to_string(), zero);
        assert_eq!(Hash::from_hex(zero).map(|h| h.to_string()).as_deref(), Some(zero));
    }
}
