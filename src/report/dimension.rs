//! What a report can be grouped by.

use std::fmt;
use std::str::FromStr;

/// The longest tag name that can be asked for: no longer one is ever kept.
const TAG_NAME_BYTES_MAX: usize = 128;
/// The names, for messages.
const NAMES: &str =
    "team, user, project, session, agent, model, day, hour, key, outcome, instance, tag:NAME";

/// One way to group exchanges.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dimension {
    /// Who pays.
    Team,
    /// The user the credential belongs to.
    User,
    /// The project the credential belongs to.
    Project,
    /// The client's session.
    Session,
    /// The client's agent; nothing for the main one.
    Agent,
    /// The model that answered, else the one asked for.
    Model,
    /// The day it was opened (UTC).
    Day,
    /// The hour it was opened (UTC).
    Hour,
    /// The credential's fingerprint.
    Key,
    /// Why it closed; nothing while it is open.
    Outcome,
    /// The instance that recorded it.
    Instance,
    /// An asserted fact.
    Tag(String),
}

/// A name that is not a dimension.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DimensionError {
    /// Named in the interface, but not there yet.
    #[error("--by {0} is not delivered yet; use one of {NAMES}")]
    NotDelivered(String),
    /// No such thing.
    #[error("--by {0:?} is not a dimension; use one of {NAMES}")]
    Unknown(String),
}

impl Dimension {
    /// Whether its values are moments, which are shown in their own order.
    #[must_use]
    pub const fn is_time(&self) -> bool {
        matches!(self, Dimension::Day | Dimension::Hour)
    }
}

/// The name used on the command line and in reports.
impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dimension::Team => "team",
            Dimension::User => "user",
            Dimension::Project => "project",
            Dimension::Session => "session",
            Dimension::Agent => "agent",
            Dimension::Model => "model",
            Dimension::Day => "day",
            Dimension::Hour => "hour",
            Dimension::Key => "key",
            Dimension::Outcome => "outcome",
            Dimension::Instance => "instance",
            Dimension::Tag(name) => return write!(f, "tag:{name}"),
        })
    }
}

impl FromStr for Dimension {
    type Err = DimensionError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let shown = || name.chars().take(TAG_NAME_BYTES_MAX).collect();
        Ok(match name {
            "team" => Dimension::Team,
            "user" => Dimension::User,
            "project" => Dimension::Project,
            "session" => Dimension::Session,
            "agent" => Dimension::Agent,
            "model" => Dimension::Model,
            "day" => Dimension::Day,
            "hour" => Dimension::Hour,
            "key" => Dimension::Key,
            "outcome" => Dimension::Outcome,
            "instance" => Dimension::Instance,
            "tool" => return Err(DimensionError::NotDelivered(shown())),
            _ => match name.strip_prefix("tag:") {
                Some(tag) if is_tag_name(tag) => Dimension::Tag(tag.to_owned()),
                _ => return Err(DimensionError::Unknown(shown())),
            },
        })
    }
}

fn is_tag_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"._:/-".contains(&b);
    (1..=TAG_NAME_BYTES_MAX).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_printed() {
        for name in NAMES.split(", ") {
            assert_eq!(name.parse::<Dimension>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn says_what_there_is() {
        let message = "colour".parse::<Dimension>().unwrap_err().to_string();
        assert!(message.contains("\"colour\"") && message.contains(NAMES), "{message}");
        assert!("tool".parse::<Dimension>().unwrap_err().to_string().contains("not delivered yet"));
        for name in ["tag:", "tag:a b", "tag:$.x", "tag:\"", "Team", ""] {
            assert!(name.parse::<Dimension>().is_err(), "{name}");
        }
    }
}
