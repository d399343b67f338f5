//! Which names each session has told.

use std::collections::HashMap;

use crate::privacy::known::Known;

/// Sessions whose names are remembered.
const SESSIONS_MAX: usize = 1_024;

/// Names by session. A session's id is the client's own: another team's is another session.
#[derive(Default)]
pub(super) struct Sessions {
    known: HashMap<(String, String), (u64, Known)>,
    /// Counts what was put back, so that the oldest is known.
    moment: u64,
}

impl Sessions {
    /// Takes what a session has told out, to be put back.
    pub(super) fn take(&mut self, team: &str, session: &str) -> Known {
        let known = self.known.remove(&(team.to_owned(), session.to_owned()));
        known.map(|(_, known)| known).unwrap_or_default()
    }

    /// Puts it back. Where there are too many, the one that was used longest ago is forgotten.
    pub(super) fn put(&mut self, team: &str, session: &str, known: Known) {
        self.moment += 1;
        let session = (team.to_owned(), session.to_owned());
        self.known.insert(session, (self.moment, known));
        if self.known.len() <= SESSIONS_MAX {
            return;
        }
        let oldest = self.known.iter().min_by_key(|(_, (moment, _))| *moment);
        if let Some(oldest) = oldest.map(|(session, _)| session.clone()) {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::privacy::text::Text;

    fn told(sessions: &mut Sessions, team: &str, session: &str) {
        let mut known = sessions.take(team, session);
        known.learn(&Text::new("Zyxela").tokens);
        sessions.put(team, session, known);
    }

    #[test]
    fn the_oldest_session_is_forgotten_and_no_other() {
        let mut sessions = Sessions::default();
        for nth in 0..SESSIONS_MAX {
            told(&mut sessions, "onc", &nth.to_string());
        }
        told(&mut sessions, "onc", "0");
        told(&mut sessions, "onc", "one more");
        assert!(sessions.take("onc", "1").is_empty(), "used longest ago");
        for nth in (0..SESSIONS_MAX).filter(|nth| *nth != 1) {
            assert!(!sessions.take("onc", &nth.to_string()).is_empty(), "{nth}");
        }
        assert!(!sessions.take("onc", "one more").is_empty());
    }

    #[test]
    fn a_team_does_not_meet_the_names_of_another() {
        let mut sessions = Sessions::default();
        told(&mut sessions, "onc", "s");
        assert!(sessions.take("lab", "s").is_empty());
        assert!(!sessions.take("onc", "s").is_empty());
    }
}
