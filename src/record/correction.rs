//! A correction: past spend moves to another cost centre. Nothing is changed; this entry is added.

use serde::{Deserialize, Serialize};

use crate::accounting::attribution::CostCentre;
use crate::privacy::Identifier;

/// The most exchanges that one correction names: its line stays within the bound of a line.
pub const EXCHANGES_MAX: usize = 250;

/// Exchanges recorded before this entry are paid for by another cost centre.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reattributed {
    /// Which exchanges.
    pub chosen: Chosen,
    /// The request's own id: one that was written down twice is the same correction.
    pub id: String,
    /// Who pays from now on.
    pub payer: CostCentre,
    /// Why: the name of a ticket or a decision, never free text.
    pub reason: Identifier,
}

/// Which exchanges a correction is about: those that meet every condition that is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chosen {
    /// These, by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exchanges: Vec<String>,
    /// Opened at this moment or later, nanoseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<i64>,
    /// Made with the credential of this fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of this session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// Paid for by this team so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team: Option<String>,
    /// Opened before this moment, nanoseconds since 1970 (UTC).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<i64>,
}

/// A correction that cannot be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CorrectionError {
    /// It would move everything.
    #[error("it names no exchange; give ids, --from and --to, --of, --key or --session")]
    Everything,
    /// It names too many.
    #[error("it names more than {EXCHANGES_MAX} exchanges; choose by --from and --to instead")]
    TooMany,
    /// A name that is not one.
    #[error("{0} must be 1 to 128 letters, digits or . _ : / @ -")]
    Name(&'static str),
}

impl Reattributed {
    /// Checks what came from outside.
    ///
    /// # Errors
    ///
    /// It chooses everything or too much, or a name is not one.
    pub fn check(&self) -> Result<(), CorrectionError> {
        if self.chosen == Chosen::default() {
            return Err(CorrectionError::Everything);
        }
        if self.chosen.exchanges.len() > EXCHANGES_MAX {
            return Err(CorrectionError::TooMany);
        }
        let Chosen { key, session, team, exchanges, .. } = &self.chosen;
        let payer = &self.payer;
        let names = [
            ("the new team", Some(&payer.team)),
            ("the user", payer.user.as_ref()),
            ("the project", payer.project.as_ref()),
            ("the key", key.as_ref()),
            ("the session", session.as_ref()),
            ("the team so far", team.as_ref()),
            ("the correction's id", Some(&self.id)),
        ];
        let ids = exchanges.iter().map(|id| ("an exchange's id", Some(id)));
        for (what, name) in names.into_iter().chain(ids) {
            if name.is_some_and(|name| !is_name(name)) {
                return Err(CorrectionError::Name(what));
            }
        }
        if !is_name(self.reason.as_str()) {
            return Err(CorrectionError::Name("the reason"));
        }
        Ok(())
    }
}

/// Whether a text is a name as `weighbridge keys` takes them.
pub(super) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/@-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn correction(chosen: Chosen) -> Reattributed {
        let payer = CostCentre { team: "research".into(), user: None, project: None };
        Reattributed { chosen, id: "c1".into(), payer, reason: Identifier::known("FIN-214") }
    }

    #[test]
    fn only_what_names_something_is_taken() {
        let one = |id: &str| Chosen { exchanges: vec![id.to_owned()], ..Chosen::default() };
        assert_eq!(correction(one("a-1")).check(), Ok(()));
        assert_eq!(correction(Chosen::default()).check(), Err(CorrectionError::Everything));
        assert_eq!(correction(one("a b")).check(), Err(CorrectionError::Name("an exchange's id")));
        let many = Chosen { exchanges: vec!["x".into(); EXCHANGES_MAX + 1], ..Chosen::default() };
        assert_eq!(correction(many).check(), Err(CorrectionError::TooMany));
        let mut unnamed = correction(one("a"));
        unnamed.payer.team = String::new();
        assert_eq!(unnamed.check(), Err(CorrectionError::Name("the new team")));
    }

    #[test]
    fn a_full_one_fits_a_line() {
        let ids = vec!["0192f0c1-7a10-7c1e-9d00-00005b73c604".to_owned(); EXCHANGES_MAX];
        let full = correction(Chosen { exchanges: ids, ..Chosen::default() });
        let bytes = serde_json::to_string(&full).unwrap().len();
        assert!(bytes + 1024 < super::super::encoding::LINE_BYTES_MAX, "{bytes}");
    }
}
