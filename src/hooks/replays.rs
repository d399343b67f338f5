//! Events that were taken, so that the same one sent again is told apart.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Events remembered; older ones are told apart by the index alone.
const REPLAYS_MAX: usize = 50_000;

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replay {
    /// The event's place in the ledger; `None` where it is not there (`observe`), or not yet.
    pub(super) sequence: Option<u64>,
    pub(super) body: Bytes,
}

/// By the hash of their bytes.
#[derive(Debug, Default)]
pub(super) struct Replays {
    known: HashMap<u128, Replay>,
    order: VecDeque<u128>,
}

impl Replays {
    /// What was answered to the event before; `None` where it is new: it is known from now on.
    pub(super) fn begin(&mut self, key: u128) -> Option<Replay> {
        if let Some(known) = self.known.get(&key) {
            return Some(known.clone());
        }
        if self.order.len() >= REPLAYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        self.known.insert(key, Replay { body: Bytes::from_static(b"{}"), sequence: None });
        self.order.push_back(key);
        None
    }

    /// It was answered.
    pub(super) fn done(&mut self, key: u128, replay: Replay) {
        if let Some(known) = self.known.get_mut(&key) {
            *known = replay;
        }
    }

    /// It was not taken after all.
    pub(super) fn forget(&mut self, key: u128) {
        self.known.remove(&key);
        if let Some(place) = self.order.iter().rposition(|known| *known == key) {
            self.order.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_new_once_and_the_oldest_are_forgotten() {
        let mut replays = Replays::default();
        assert_eq!(replays.begin(1), None);
        let answered = Replay { sequence: Some(7), body: Bytes::from_static(b"no") };
        replays.done(1, answered.clone());
        assert_eq!(replays.begin(1), Some(answered));
        replays.forget(1);
        assert_eq!(replays.begin(1), None, "it was not taken");
        for key in 2..2 + REPLAYS_MAX as u128 {
            assert_eq!(replays.begin(key), None);
        }
        assert_eq!((replays.known.len(), replays.begin(1)), (REPLAYS_MAX, None));
    }
}
