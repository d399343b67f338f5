//! Text that has passed the redactor, and no other.
//!
//! [`Redacted`] has one way in: [`Redactor::redact`](super::redactor::Redactor::redact). What
//! keeps or shows a text from outside takes this type, so a path around the redactor does not
//! compile:
//!
//! ```compile_fail
//! use weighbridge::privacy::Redacted;
//! let raw = Redacted("Jane Roe".to_owned());
//! ```

use std::fmt;

use serde::Serialize;

/// Text in which every finding of the rules is replaced by its label. The rules do not find
/// everything: `docs/privacy.md` says what not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Redacted(String);

impl Redacted {
    pub(super) fn new(text: String) -> Redacted {
        Redacted(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
