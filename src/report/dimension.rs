//! What a report can be grouped by.

use std::fmt;
use std::str::FromStr;

/// The longest tag name that can be asked for: no longer one is ever kept.
const TAG_NAME_BYTES_MAX: usize = 128;
/// The names, for messages.
const NAMES: &str = "team, user, project, session, turn, agent, agent_type, tool, mcp_server, \
                     skill, model, day, hour, key, outcome, instance, tag:NAME";

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
    /// The prompt that it helps to answer: the id of the first exchange that did.
    Turn,
    /// The client's agent; nothing for the main one.
    Agent,
    /// What kind of agent, as its hooks say.
    AgentType,
    /// The tools whose results it carries.
    Tool,
    /// The MCP servers of those tools.
    McpServer,
    /// The skill that is at work.
    Skill,
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

    /// Whether an exchange can have several values of it: then it is divided among them.
    #[must_use]
    pub const fn divides(&self) -> bool {
        matches!(self, Dimension::Tool | Dimension::McpServer)
    }

    /// Whether its values stand in other entries than the exchange's own.
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        self.divides() || self.is_replayed() || matches!(self, Dimension::AgentType)
    }

    /// Whether a value follows from what came before in the ledger, not from the exchange alone.
    #[must_use]
    pub const fn is_replayed(&self) -> bool {
        matches!(self, Dimension::Turn | Dimension::Skill)
    }

    /// What a reader must know of it.
    #[must_use]
    pub const fn note(&self) -> Option<&'static str> {
        Some(match self {
            Dimension::Tool => {
                "an exchange counts for the tools whose results it carries, in equal parts (as a \
                 call for the first of them); without a result for none (–)"
            }
            Dimension::McpServer => {
                "an exchange counts for the MCP servers of the tools whose results it carries, in \
                 equal parts (as a call for the first of them)"
            }
            Dimension::Skill => {
                "a skill counts from the exchange that carries the result of its call to the end of \
                 the turn, or to the next skill, for the same agent"
            }
            Dimension::Turn => {
                "a turn is one prompt until its final answer, named by its first call"
            }
            _ => return None,
        })
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
            Dimension::Turn => "turn",
            Dimension::Agent => "agent",
            Dimension::AgentType => "agent_type",
            Dimension::Tool => "tool",
            Dimension::McpServer => "mcp_server",
            Dimension::Skill => "skill",
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
            "turn" => Dimension::Turn,
            "agent" => Dimension::Agent,
            "agent_type" => Dimension::AgentType,
            "tool" => Dimension::Tool,
            "mcp_server" => Dimension::McpServer,
            "skill" => Dimension::Skill,
            "model" => Dimension::Model,
            "day" => Dimension::Day,
            "hour" => Dimension::Hour,
            "key" => Dimension::Key,
            "outcome" => Dimension::Outcome,
            "instance" => Dimension::Instance,
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
        for name in ["tag:", "tag:a b", "tag:$.x", "tag:\"", "Team", ""] {
            assert!(name.parse::<Dimension>().is_err(), "{name}");
        }
    }
}
