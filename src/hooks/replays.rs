//! Events that were taken, so that the same one sent again is told apart.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::OnceCell;

/// Events remembered; older ones are told apart by the index alone.
const REPLAYS_MAX: usize = 50_000;

/// What was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replay {
    /// The event's place in the ledger; `None` where it is not there (`observe`).
    pub(super) sequence: Option<u64>,
    pub(super) body: Bytes,
}

/// One event: whoever comes first answers it, and others of the same bytes wait for that. Where
/// the first gives up, the next takes its place, so nobody is told to go on before it is decided.
pub(super) type Slot = Arc<OnceCell<Replay>>;

/// By the hash of their bytes.
#[derive(Debug, Default)]
pub(super) struct Replays {
    known: HashMap<u128, Slot>,
    order: VecDeque<u128>,
}

impl Replays {
    /// Where the event is answered; it is known from now on.
    pub(super) fn slot(&mut self, key: u128) -> Slot {
        if let Some(known) = self.known.get(&key) {
            return Arc::clone(known);
        }
        if self.order.len() >= REPLAYS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        let slot = Slot::default();
        self.known.insert(key, Arc::clone(&slot));
        self.order.push_back(key);
        slot
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn an_event_is_new_once_and_the_oldest_are_forgotten() {
        let mut replays = Replays::default();
        let answered = Replay { sequence: Some(7), body: Bytes::from_static(b"no") };
        replays.slot(1).set(answered.clone()).unwrap();
        assert_eq!(replays.slot(1).get(), Some(&answered));
        for key in 2..2 + REPLAYS_MAX as u128 {
            assert_eq!(replays.slot(key).get(), None);
        }
        assert_eq!((replays.known.len(), replays.slot(1).get()), (REPLAYS_MAX, None));
    }

    #[test]
    fn the_same_event_waits_for_the_answer_to_the_first() {
        let mut replays = Replays::default();
        let deny = || Replay { sequence: Some(1), body: Bytes::from_static(b"deny") };
        let (one, other) = (replays.slot(1), replays.slot(1));
        let mut context = Context::from_waker(Waker::noop());
        let mut first = Box::pin(one.get_or_init(std::future::pending));
        let mut second = Box::pin(other.get_or_init(async || deny()));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending(), "nobody is told to go on");
        // Its client has left.
        drop(first);
        assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(&deny()));
        assert_eq!(replays.slot(1).get(), Some(&deny()));
    }
}
