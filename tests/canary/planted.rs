//! Values that stand nowhere else, each planted in one place, so that a find names its place.
//!
//! They are made from a counter: the same in every run.

/// Where a value must come to, so that the traffic was real.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// To the API: the fake one must have got it.
    Up,
    /// To the client, from the API.
    Down,
    /// No further than the sidecar.
    Stays,
}

/// A planted value.
#[derive(Clone, Debug)]
pub struct Canary {
    pub place: String,
    pub value: String,
    pub way: Way,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Planted {
    pub all: Vec<Canary>,
    made: u64,
}

const SMALL: &[u8] = b"abcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8] = b"0123456789";

impl Planted {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.made += 1;
        let mut z = self.made.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn some(&mut self, of: &[u8], count: usize) -> String {
        (0..count).map(|_| char::from(of[self.next() as usize % of.len()])).collect()
    }

    fn name(&mut self, letters: usize) -> String {
        self.some(SMALL, 1).to_uppercase() + &self.some(SMALL, letters - 1)
    }

    fn keep(&mut self, way: Way, place: String, value: &str) {
        self.all.push(Canary { place, value: value.to_owned(), way });
    }

    /// Letters and digits: what looks like an identifier, a key or a part of a path.
    pub fn word(&mut self, way: Way, place: &str) -> String {
        let letters = self.some(SMALL, 4);
        let rest = self.some(&[SMALL, DIGITS].concat(), 14);
        let word = letters + &self.some(DIGITS, 2) + &rest;
        self.keep(way, place.to_owned(), &word);
        word
    }

    /// The same in a text that is no identifier.
    pub fn text(&mut self, way: Way, place: &str) -> String {
        format!("of {}", self.word(way, place))
    }

    /// A sentence with a person in it: name, number of social security, record number and mail.
    pub fn person(&mut self, way: Way, place: &str) -> String {
        let first = self.name(9);
        // One letter that escapes differently everywhere.
        let last = self.name(6) + "\u{e9}" + &self.some(SMALL, 4);
        let ssn = [3, 2, 4].map(|count| self.some(DIGITS, count)).join("-");
        let mrn = format!("MRN{}", self.some(DIGITS, 10));
        let mail = format!("{}@{}.example", self.some(SMALL, 9), self.some(SMALL, 8));
        for (what, value) in
            [("first", &first), ("last", &last), ("ssn", &ssn), ("mrn", &mrn), ("mail", &mail)]
        {
            self.keep(way, format!("{place}, {what}"), value);
        }
        format!("Patient {first} {last} (SSN {ssn}, {mrn}, {mail}) says \"stop\".")
    }
}
