//! Attempts of one logical call, grouped.
//!
//! Every attempt is an exchange of its own, with its own usage and price. Claude Code repeats a
//! failed call from its own loop and always sends `x-stainless-retry-count: 0`, so attempts are
//! recognised here: same credential, session, agent and messages, after an attempt that failed;
//! or the same `traceparent`, which the client keeps over its retries.

use std::collections::{HashMap, VecDeque};

/// Calls remembered at the same time; the oldest is forgotten first.
pub const CALLS_MAX: usize = 4096;
/// How long after its last attempt a call can still be continued: Claude Code's ten retries with
/// their longest waits take about six minutes.
pub const WINDOW_NS: u64 = 15 * 60 * 1_000_000_000;

/// Which call and which attempt of it an exchange is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The exchange id of the first attempt.
    pub call: String,
    /// 1 for the first.
    pub number: u32,
}

#[derive(Clone, Debug)]
struct Call {
    call: String,
    exchange: String,
    number: u32,
    failed: bool,
    at_ns: u64,
    /// Which `open` put it here, counted over the process.
    opened: u64,
}

/// The calls that may still be repeated.
#[derive(Debug, Default)]
pub struct Attempts {
    calls: HashMap<u64, Call>,
    order: VecDeque<(u64, u64)>,
    opened: u64,
}

impl Attempts {
    /// Places a new exchange. `repeats`: the client says itself that this is a repetition.
    pub fn open(&mut self, key: u64, exchange: &str, repeats: bool, now_ns: u64) -> Attempt {
        let attempt = match self.calls.get(&key) {
            Some(last)
                if (last.failed || repeats) && now_ns.saturating_sub(last.at_ns) < WINDOW_NS =>
            {
                Attempt { call: last.call.clone(), number: last.number.saturating_add(1) }
            }
            _ => Attempt { call: exchange.to_owned(), number: 1 },
        };
        self.opened = self.opened.wrapping_add(1);
        let call = Call {
            call: attempt.call.clone(),
            exchange: exchange.to_owned(),
            number: attempt.number,
            failed: false,
            at_ns: now_ns,
            opened: self.opened,
        };
        self.calls.insert(key, call);
        self.order.push_back((key, self.opened));
        self.forget();
        attempt
    }

    /// Says how an exchange ended; `failed` means that a client may repeat it.
    pub fn close(&mut self, key: u64, exchange: &str, failed: bool, now_ns: u64) {
        if let Some(call) = self.calls.get_mut(&key)
            && call.exchange == exchange
        {
            call.failed = failed;
            call.at_ns = now_ns;
        }
    }

    /// Drops the oldest calls beyond the bound; one that was repeated since stands further back
    /// in the queue under its new number.
    fn forget(&mut self) {
        while self.order.len() > CALLS_MAX {
            if let Some((key, opened)) = self.order.pop_front()
                && self.calls.get(&key).is_some_and(|call| call.opened == opened)
            {
                self.calls.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_failed_attempt_is_continued() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.open(1, "a", false, 0), Attempt { call: "a".into(), number: 1 });
        attempts.close(1, "a", true, SECOND);
        assert_eq!(
            attempts.open(1, "b", false, 2 * SECOND),
            Attempt { call: "a".into(), number: 2 }
        );
        attempts.close(1, "b", false, 3 * SECOND);
        assert_eq!(
            attempts.open(1, "c", false, 4 * SECOND),
            Attempt { call: "c".into(), number: 1 }
        );
    }

    #[test]
    fn the_same_messages_twice_are_two_calls_unless_the_client_says_otherwise() {
        let mut attempts = Attempts::default();
        attempts.open(1, "a", false, 0);
        attempts.close(1, "a", false, 1);
        assert_eq!(attempts.open(1, "b", false, 2).number, 1);
        assert_eq!(attempts.open(1, "c", true, 3), Attempt { call: "b".into(), number: 2 });
    }

    #[test]
    fn a_late_repetition_is_a_new_call() {
        let mut attempts = Attempts::default();
        attempts.open(1, "a", false, 0);
        attempts.close(1, "a", true, 0);
        assert_eq!(attempts.open(1, "b", false, WINDOW_NS).number, 1);
    }

    #[test]
    fn memory_is_bounded() {
        let mut attempts = Attempts::default();
        for key in 0..100_000 {
            attempts.open(key, "x", false, key);
            attempts.close(key, "x", true, key);
        }
        assert!(attempts.calls.len() <= CALLS_MAX && attempts.order.len() <= CALLS_MAX);
    }
}
