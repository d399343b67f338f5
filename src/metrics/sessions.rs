//! Sessions that show signs of life.

use std::collections::HashMap;
use std::sync::Mutex;

use prometheus::IntGauge;

use super::build::{Build, level, lock};

/// Most sessions whose last sign of life is remembered.
pub const SESSIONS_MAX: usize = 100_000;
/// A session without a sign of life for this long is not active.
pub const SESSION_IDLE_NS: u64 = 5 * 60 * 1_000_000_000;

/// When each session last opened a call, monotonic nanoseconds.
pub(super) struct Sessions {
    active: IntGauge,
    last: Mutex<HashMap<String, u64>>,
}

impl Sessions {
    pub(super) fn new(build: &Build<'_>) -> Result<Sessions, prometheus::Error> {
        let active = build.gauge(
            "claude_active_sessions",
            "Sessions with a call or hook in the last five minutes and no end.",
        )?;
        Ok(Sessions { active, last: Mutex::default() })
    }

    /// A sign of life.
    pub(super) fn seen(&self, session: &str, mono_ns: u64) {
        let mut sessions = lock(&self.last);
        if let Some(last) = sessions.get_mut(session) {
            *last = mono_ns;
        } else if sessions.len() < SESSIONS_MAX {
            sessions.insert(session.to_owned(), mono_ns);
        }
    }

    /// A client says that it is over.
    pub(super) fn over(&self, session: &str) {
        lock(&self.last).remove(session);
    }

    /// Forgets who is idle, and shows how many are not.
    pub(super) fn show(&self, mono_ns: u64) {
        let mut sessions = lock(&self.last);
        sessions.retain(|_, last| mono_ns.saturating_sub(*last) < SESSION_IDLE_NS);
        self.active.set(level(sessions.len() as u64));
    }
}
