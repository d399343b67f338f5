//! Calls as clients make them: attempts, sessions. Pure.
