//! Commitments: what a tool was given and what it gave, as a salted hash and a size.
//!
//! Whoever has the content can be shown later that it is the one that was committed to; whoever has
//! the ledger alone learns nothing, not even by trying short contents one after the other: each
//! salt comes from the instance's key. To open one commitment its salt is published, and no other.
//! Destroying the key makes all of them mute.
//!
//! ```text
//! salt       = HMAC-SHA-256(key, session ‖ 0 ‖ tool use id ‖ 0 ‖ side)
//! commitment = SHA-256(salt ‖ content)
//! ```

use std::fmt;

use aws_lc_rs::{digest, hmac};

/// The instance's key for salts.
#[derive(Clone)]
pub struct CommitmentKey(hmac::Key);

/// Which content of a tool call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What the tool was given.
    Input,
    /// What it gave.
    Output,
}

impl CommitmentKey {
    /// From 32 secret random bytes.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> CommitmentKey {
        CommitmentKey(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The commitment to a content, as 64 hexadecimal digits. The same content of the same side of
    /// the same tool call gives the same commitment, by whichever way it was seen.
    #[must_use]
    pub fn commit(&self, session: &str, tool_use: &str, side: Side, content: &[u8]) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        let side: &[u8] = match side {
            Side::Input => b"input",
            Side::Output => b"output",
        };
        for part in [session.as_bytes(), b"\0", tool_use.as_bytes(), b"\0", side] {
            context.update(part);
        }
        let salt = context.sign();
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(salt.as_ref());
        hash.update(content);
        hash.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The key itself is never shown.
impl fmt::Debug for CommitmentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitmentKey(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_contents_are_equal_within_one_side_of_one_call_only() {
        let key = CommitmentKey::new(&[7; 32]);
        let commit = |session, id, side| key.commit(session, id, side, b"ls -l");
        let one = commit("s", "t", Side::Input);
        assert_eq!((one.len(), &one), (64, &commit("s", "t", Side::Input)));
        assert_ne!(one, key.commit("s", "t", Side::Input, b"ls -a"));
        for other in [
            commit("s", "t", Side::Output),
            commit("s2", "t", Side::Input),
            commit("s", "t2", Side::Input),
            // The parts cannot be moved against each other.
            commit("st", "", Side::Input),
            CommitmentKey::new(&[8; 32]).commit("s", "t", Side::Input, b"ls -l"),
        ] {
            assert_ne!(one, other);
        }
    }
}
