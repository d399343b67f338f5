//! The forms in which clients and cloud platforms write a model's name.
//!
//! Only known forms are taken apart, at fixed places; what remains is looked up exactly.

/// Marks the one-million-token window in names that Claude Code sends. No price of its own.
const LONG_CONTEXT_SUFFIX: &str = "[1m]";
/// Bedrock's geographies, one region group each.
const BEDROCK_GEOGRAPHIES: [&str; 5] = ["us.", "eu.", "apac.", "au.", "jp."];
/// What stands before a model's name on Bedrock.
const BEDROCK_VENDOR: &str = "anthropic.";
/// What stands after a dated name on Bedrock.
const BEDROCK_REVISION: &str = "-v1:0";
/// Vertex's form of a name without a date.
const VERTEX_DEFAULT: &str = "@default";
/// What Vertex writes before a date; never part of a Bedrock name.
const VERTEX_MARK: char = '@';
/// Digits of the date at the end of a snapshot's name.
const DATE_DIGITS: usize = 8;

/// Where a model runs, as far as the price depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Platform {
    /// The Claude API, and clouds at its list price: Bedrock's global profiles apart, Vertex's
    /// global endpoint, Foundry's standard deployments, Claude Platform on AWS. Names of Vertex
    /// are here too: they do not tell a regional endpoint from the global one.
    #[default]
    Direct,
    /// Bedrock across all regions: the list price.
    BedrockGlobal,
    /// Bedrock in one region or one geography.
    BedrockRegional,
    /// Bedrock in AWS GovCloud.
    BedrockGov,
    /// Vertex in one region or one multi-region.
    VertexRegional,
    /// Foundry's US Data Zone.
    FoundryUsDataZone,
}

impl Platform {
    /// All of them.
    const ALL: [Platform; 6] = [
        Platform::Direct,
        Platform::BedrockGlobal,
        Platform::BedrockRegional,
        Platform::BedrockGov,
        Platform::VertexRegional,
        Platform::FoundryUsDataZone,
    ];

    /// The name in entries and in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Platform::Direct => "list",
            Platform::BedrockGlobal => "bedrock_global",
            Platform::BedrockRegional => "bedrock_regional",
            Platform::BedrockGov => "bedrock_gov",
            Platform::VertexRegional => "vertex_regional",
            Platform::FoundryUsDataZone => "foundry_us_data_zone",
        }
    }

    /// The inverse of [`Platform::name`].
    #[must_use]
    pub fn named(name: &str) -> Option<Platform> {
        Platform::ALL.into_iter().find(|platform| platform.name() == name)
    }
}

/// Takes the platform's form off a name. Allocates nothing.
pub(super) fn split(name: &str) -> (&str, Platform) {
    let name = name.strip_suffix(LONG_CONTEXT_SUFFIX).unwrap_or(name);
    let Some((place, rest)) = name.split_once(BEDROCK_VENDOR) else {
        let base = name.strip_suffix(VERTEX_DEFAULT).filter(|base| !base.contains(VERTEX_MARK));
        return (base.unwrap_or(name), Platform::Direct);
    };
    let platform = match place {
        _ if rest.contains(VERTEX_MARK) => return (name, Platform::Direct),
        "global." => Platform::BedrockGlobal,
        "us-gov." => Platform::BedrockGov,
        "" => Platform::BedrockRegional,
        place if BEDROCK_GEOGRAPHIES.contains(&place) => Platform::BedrockRegional,
        // Not a form that is known: looked up whole, as it is written.
        _ => return (name, Platform::Direct),
    };
    let dated = rest.strip_suffix(BEDROCK_REVISION).filter(|base| split_date(base).is_some());
    (dated.unwrap_or(rest), platform)
}

/// Vertex's form of a dated name: `claude-x-20250929` is `claude-x@20250929` there.
pub(super) fn vertex_form(name: &str) -> Option<String> {
    let (base, date) = split_date(name)?;
    Some(format!("{base}{VERTEX_MARK}{date}"))
}

fn split_date(name: &str) -> Option<(&str, &str)> {
    name.rsplit_once('-')
        .filter(|(_, date)| date.len() == DATE_DIGITS && date.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_known_forms_apart() {
        use Platform::{BedrockGlobal, BedrockGov, BedrockRegional, Direct};
        for (name, rest, platform) in [
            ("claude-x", "claude-x", Direct),
            ("claude-x[1m]", "claude-x", Direct),
            ("claude-x@default", "claude-x", Direct),
            ("claude-x@default[1m]", "claude-x", Direct),
            ("claude-x@20250929", "claude-x@20250929", Direct),
            ("anthropic.claude-x", "claude-x", BedrockRegional),
            ("apac.anthropic.claude-x", "claude-x", BedrockRegional),
            ("global.anthropic.claude-x-20250929-v1:0", "claude-x-20250929", BedrockGlobal),
            ("us.anthropic.claude-x-20250929-v1:0[1m]", "claude-x-20250929", BedrockRegional),
            ("us-gov.anthropic.claude-x", "claude-x", BedrockGov),
        ] {
            assert_eq!(split(name), (rest, platform), "{name}");
        }
    }

    #[test]
    fn leaves_unknown_forms_whole() {
        for name in [
            "mars.anthropic.claude-x",
            "arn:us.anthropic.claude-x",
            "claude-x-20250929-v1:0",
            "claude-x[2m]",
            "claude-x@latest",
            "claude-x@20250929@default",
            "us.anthropic.claude-x@20250929",
            "anthropic.claude-x@default",
        ] {
            assert_eq!(split(name), (name, Platform::Direct));
        }
        assert_eq!(split("anthropic.claude-x-v1:0").0, "claude-x-v1:0");
    }
}
