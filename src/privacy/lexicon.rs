//! Which words are names, and which are words.
//!
//! The lists are data (`data/README.md` says whose). 467,623 words in a table of four bytes each:
//! twenty bits of a word's hash say where it stands, 26 more are kept to recognise it, so that
//! about one strange word in ten million is taken for one of the list. No word itself is kept in
//! memory.

use std::io::Read as _;
use std::sync::LazyLock;

use flate2::read::GzDecoder;
use xxhash_rust::xxh3::xxh3_64;

static PACKED: &[u8] = include_bytes!("data/lexicon.txt.gz");

static TABLE: LazyLock<Table> = LazyLock::new(Table::load);

const SLOT_BITS: u32 = 20;
const SLOTS: usize = 1 << SLOT_BITS;
const FLAG_BITS: u32 = 6;

/// What the lists say of a word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u8);

impl Flags {
    const FIRST: u8 = 1;
    const LAST: u8 = 2;
    const RARE_FIRST: u8 = 4;
    const RARE_LAST: u8 = 8;
    const WORD: u8 = 16;
    const VOCABULARY: u8 = 32;

    /// A first name of the census.
    #[must_use]
    pub const fn is_first(self) -> bool {
        self.0 & Flags::FIRST != 0
    }

    /// A first name of any list.
    #[must_use]
    pub const fn is_any_first(self) -> bool {
        self.0 & (Flags::FIRST | Flags::RARE_FIRST) != 0
    }

    /// One of the 30,000 most frequent surnames of the census.
    #[must_use]
    pub const fn is_last(self) -> bool {
        self.0 & Flags::LAST != 0
    }

    /// A surname of any list.
    #[must_use]
    pub const fn is_any_last(self) -> bool {
        self.0 & (Flags::LAST | Flags::RARE_LAST) != 0
    }

    /// A name of any list.
    #[must_use]
    pub const fn is_name(self) -> bool {
        self.is_any_first() || self.is_any_last()
    }

    /// A word that is written in small letters.
    #[must_use]
    pub const fn is_word(self) -> bool {
        self.0 & Flags::WORD != 0
    }

    /// A word that may stand in a text about nobody: common, or of medicine.
    #[must_use]
    pub const fn is_known(self) -> bool {
        self.0 & (Flags::WORD | Flags::VOCABULARY) != 0
    }

    /// On no list.
    #[must_use]
    pub const fn is_strange(self) -> bool {
        self.0 == 0
    }

    fn from_letters(letters: &[u8]) -> Flags {
        let bit = |letter| match letter {
            b'f' => Flags::FIRST,
            b'l' => Flags::LAST,
            b'r' => Flags::RARE_FIRST,
            b's' => Flags::RARE_LAST,
            b'w' => Flags::WORD,
            _ => Flags::VOCABULARY,
        };
        Flags(letters.iter().fold(0, |flags, letter| flags | bit(*letter)))
    }
}

/// The hash of a word in small ASCII letters, as tables of words use it.
#[must_use]
pub fn hash(word: &[u8]) -> u64 {
    xxh3_64(word)
}

/// What the lists say of the word with this [`hash`].
#[must_use]
pub fn flags(hash: u64) -> Flags {
    TABLE.get(hash)
}

/// Unpacks the lists, about 30 ms, so that no call has to wait for it.
pub fn load() {
    LazyLock::force(&TABLE);
}

/// Open addressing: the low bits of an entry are its flags, the others recognise the word.
struct Table(Vec<u32>);

impl Table {
    fn load() -> Table {
        let mut table = Table(vec![0; SLOTS]);
        let mut text = Vec::new();
        // The bytes are part of the program: a test reads them.
        if GzDecoder::new(PACKED).read_to_end(&mut text).is_err() {
            return table;
        }
        for line in text.split(|byte| *byte == b'\n') {
            let mut parts = line.split(|byte| *byte == b' ');
            if let (Some(word), Some(letters)) = (parts.next(), parts.next()) {
                table.put(hash(word), Flags::from_letters(letters));
            }
        }
        table
    }

    fn put(&mut self, hash: u64, flags: Flags) {
        let (mut slot, tag) = place(hash);
        while self.0[slot] != 0 {
            slot = (slot + 1) % SLOTS;
        }
        self.0[slot] = tag << FLAG_BITS | u32::from(flags.0);
    }

    fn get(&self, hash: u64) -> Flags {
        let (mut slot, tag) = place(hash);
        loop {
            let entry = self.0[slot];
            if entry == 0 {
                return Flags::default();
            }
            if entry >> FLAG_BITS == tag {
                return Flags((entry & ((1 << FLAG_BITS) - 1)) as u8);
            }
            slot = (slot + 1) % SLOTS;
        }
    }
}

fn place(hash: u64) -> (usize, u32) {
    let slot = usize::try_from(hash >> (64 - SLOT_BITS)).unwrap_or(0);
    let tag = (hash & ((1 << (32 - FLAG_BITS)) - 1)) as u32;
    (slot, tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(word: &str) -> Flags {
        flags(hash(word.as_bytes()))
    }

    #[test]
    fn the_lists_are_whole() {
        let entries = TABLE.0.iter().filter(|entry| **entry != 0).count();
        assert_eq!(entries, 467_623);
    }

    #[test]
    fn names_words_and_strangers_are_told_apart() {
        assert!(of("tammy").is_first() && !of("tammy").is_known());
        assert!(of("rose").is_first() && of("rose").is_word());
        assert!(of("okonkwo").is_any_last() && !of("okonkwo").is_last());
        assert!(of("metformin").is_known() && !of("metformin").is_name());
        assert!(of("qqzzx").is_strange());
    }
}
