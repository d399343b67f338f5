//! How often one place in the source may write: a fault that happens with every call must not
//! fill the disk of whoever keeps the log. Pure: the time is an argument.

use std::collections::HashMap;
use std::hash::Hash;

/// Most lines of one place in one interval.
pub const LINES_MAX: u32 = 20;
/// The interval, in nanoseconds: ten seconds.
pub const INTERVAL_NS: u64 = 10_000_000_000;
/// Most places told apart; the rest share one limit.
pub const PLACES_MAX: usize = 1_024;

/// What becomes of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is written; so many before it were left out and not told yet.
    Write(u64),
    /// It is left out.
    LeaveOut,
}

/// The lines of all places.
#[derive(Debug)]
pub(super) struct Limiter<P> {
    places: HashMap<Option<P>, Window>,
}

/// The lines of one place in the interval that runs.
#[derive(Debug)]
struct Window {
    began_ns: u64,
    written: u32,
    left_out: u64,
}

impl<P: Hash + Eq + Clone> Limiter<P> {
    pub(super) fn new() -> Limiter<P> {
        Limiter { places: HashMap::new() }
    }

    /// Counts a line of a place.
    pub(super) fn line(&mut self, place: &P, now_ns: u64) -> Verdict {
        let mut key = Some(place.clone());
        if self.places.len() >= PLACES_MAX && !self.places.contains_key(&key) {
            key = None;
        }
        let fresh = Window { began_ns: now_ns, written: 0, left_out: 0 };
        let window = self.places.entry(key).or_insert(fresh);
        let mut told = 0;
        if now_ns.saturating_sub(window.began_ns) >= INTERVAL_NS {
            told = window.left_out;
            *window = Window { began_ns: now_ns, written: 0, left_out: 0 };
        }
        if window.written >= LINES_MAX {
            window.left_out = window.left_out.saturating_add(1);
            return Verdict::LeaveOut;
        }
        window.written += 1;
        Verdict::Write(told)
    }

    /// The places whose interval is over, with how many lines of each were left out and are told
    /// now; `None` stands for those that share a limit.
    pub(super) fn over(&mut self, now_ns: u64) -> Vec<(Option<P>, u64)> {
        let mut told = Vec::new();
        self.places.retain(|place, window| {
            let is_over = now_ns.saturating_sub(window.began_ns) >= INTERVAL_NS;
            if is_over && window.left_out > 0 {
                told.push((place.clone(), window.left_out));
            }
            !is_over
        });
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_writes_so_many_lines_and_says_how_many_it_left_out() {
        let mut limiter = Limiter::new();
        for _ in 0..LINES_MAX {
            assert_eq!(limiter.line(&"a", 5), Verdict::Write(0));
        }
        for _ in 0..3 {
            assert_eq!(limiter.line(&"a", 6), Verdict::LeaveOut);
        }
        assert_eq!(limiter.line(&"b", 6), Verdict::Write(0), "others are not concerned");
        assert!(limiter.over(INTERVAL_NS).is_empty());
        assert_eq!(limiter.line(&"a", 5 + INTERVAL_NS), Verdict::Write(3));
        assert_eq!(limiter.line(&"a", 6 + INTERVAL_NS), Verdict::Write(0), "told once");
    }

    #[test]
    fn a_place_that_falls_silent_is_told_and_forgotten() {
        let mut limiter = Limiter::new();
        for _ in 0..LINES_MAX + 7 {
            limiter.line(&"a", 0);
        }
        assert_eq!(limiter.over(INTERVAL_NS), [(Some("a"), 7)]);
        assert!(limiter.over(INTERVAL_NS).is_empty() && limiter.places.is_empty());
    }

    #[test]
    fn memory_is_bounded() {
        let mut limiter = Limiter::new();
        for place in 0..10 * PLACES_MAX {
            limiter.line(&place, 0);
        }
        assert_eq!(limiter.places.len(), PLACES_MAX + 1);
        assert_eq!(limiter.line(&(10 * PLACES_MAX), 0), Verdict::LeaveOut, "they share one limit");
    }
}
