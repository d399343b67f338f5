//! The layers as they are written: every key optional, unknown keys refused.

use serde::{Deserialize, Deserializer};

use super::{audit, budget, notify, policy, redaction};
use crate::accounting::price_book::Override;

/// What one layer says. Absent means: ask the layer below.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct File {
    /// Where calls go.
    pub upstream: Upstream,
    /// Where the sidecar listens.
    pub listen: Listen,
    /// What is written down, and how surely.
    pub ledger: Ledger,
    /// What calls cost.
    pub pricing: Pricing,
    /// Where traces, metrics and logs go.
    pub otlp: Otlp,
    /// What is said on standard error.
    pub log: Log,
    /// What of contents is kept.
    pub capture: redaction::CaptureTable,
    /// What the redaction rules are to find besides.
    pub redaction: redaction::RedactionTable,
    /// How checkpoints are signed.
    pub audit: audit::AuditTable,
    /// Who holds them besides, by name.
    pub witness: audit::Tables,
    /// Limits on spend, by name.
    pub budget: budget::Tables,
    /// Where crossings are told, by name.
    pub notify: notify::Tables,
    /// Rules for everybody.
    pub org: Option<policy::RuleTable>,
    /// Rules by project.
    pub project: policy::RuleTables,
    /// Rules by team.
    pub team: policy::RuleTables,
    /// Rules by task.
    pub task: policy::RuleTables,
}

/// `[upstream]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Upstream {
    pub(super) url: Option<String>,
    pub(super) key: Option<String>,
    pub(super) connect_timeout: Option<String>,
    pub(super) head_timeout: Option<String>,
    pub(super) idle_timeout: Option<String>,
    pub(super) proxy: Option<String>,
    pub(super) no_proxy: Option<String>,
    pub(super) ca_file: Option<String>,
    pub(super) oauth_tokens: Option<String>,
    pub(super) platform: Option<String>,
}

/// `[listen]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    pub(super) api: Option<String>,
    pub(super) admin: Option<String>,
    pub(super) telemetry: Option<String>,
    pub(super) tls_certificate: Option<String>,
    pub(super) tls_key: Option<String>,
    pub(super) require_key: Option<bool>,
    pub(super) connections_max: Option<u64>,
    pub(super) body_bytes_max: Option<u64>,
    pub(super) drain_timeout: Option<String>,
}

/// `[ledger]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ledger {
    pub(super) dir: Option<String>,
    pub(super) mode: Option<String>,
    pub(super) durability: Option<String>,
    pub(super) segment_bytes: Option<u64>,
    pub(super) retention_months: Option<u64>,
}

/// `[pricing]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Pricing {
    #[serde(deserialize_with = "one_or_more")]
    pub(super) files: Option<Vec<String>>,
    #[serde(rename = "override")]
    pub(super) overrides: Option<Vec<Override>>,
}

/// `[otlp]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Otlp {
    pub(super) endpoint: Option<String>,
    #[serde(deserialize_with = "one_or_more")]
    pub(super) signals: Option<Vec<String>>,
    pub(super) headers: Option<String>,
    pub(super) semconv: Option<String>,
    pub(super) timeout: Option<String>,
    pub(super) delay: Option<String>,
    pub(super) metrics_interval: Option<String>,
}

/// `[log]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    pub(super) level: Option<String>,
    pub(super) format: Option<String>,
}

/// A list, or one text with commas: a variable cannot hold a list.
pub(super) fn one_or_more<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Vec<String>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "write one text or a list of texts")]
    enum Written {
        One(String),
        Several(Vec<String>),
    }
    Ok(Some(match Written::deserialize(deserializer)? {
        Written::One(text) => text.split(',').map(|path| path.trim().to_owned()).collect(),
        Written::Several(list) => list,
    }))
}

/// Where a value came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The documented default.
    Default,
    /// The configuration file.
    File,
    /// A `WEIGHBRIDGE_*` variable.
    Environment,
    /// A flag on the command line.
    Flag,
}

impl Source {
    /// In words, for `weighbridge check`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Source::Default => "default",
            Source::File => "file",
            Source::Environment => "environment",
            Source::Flag => "flag",
        }
    }
}

/// A layer and where it came from.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Where it came from.
    pub source: Source,
    /// What it says.
    pub file: File,
}

/// A layer cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// The file is not what a configuration file is.
    #[error("{name}: {detail}")]
    File {
        /// The file's name.
        name: String,
        /// Line, key and what is wrong with it.
        detail: String,
    },
    /// A variable names no key, or its value does not fit. The value is not shown: where the name
    /// is wrong, it can be a secret.
    #[error("{variable}: {detail}")]
    Variable {
        /// The variable.
        variable: String,
        /// What is wrong with it.
        detail: String,
    },
}

/// Reads a configuration file's text.
pub fn parse_file(name: &str, text: &str) -> Result<Layer, LayerError> {
    // Where and what, not the line itself: it may hold a secret that does not belong there.
    let file = toml::from_str(text).map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let detail = format!("line {line}: {}", error.message().trim_end().replace('\n', " "));
        LayerError::File { name: name.to_owned(), detail }
    })?;
    Ok(Layer { source: Source::File, file })
}

/// What variables of ours start with.
const VARIABLE_PREFIX: &str = "WEIGHBRIDGE_";
/// The sections a variable can name: `WEIGHBRIDGE_UPSTREAM_URL` is `upstream.url`.
const SECTIONS: [&str; 9] = [
    "UPSTREAM_",
    "LISTEN_",
    "LEDGER_",
    "PRICING_",
    "OTLP_",
    "LOG_",
    "CAPTURE_",
    "REDACTION_",
    "AUDIT_",
];

/// Reads `WEIGHBRIDGE_SECTION_KEY` variables; others that start with `WEIGHBRIDGE_` are left to
/// whoever set them.
pub fn environment_layer(
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<Layer, LayerError> {
    let mut table = toml::Table::new();
    for (variable, value) in variables {
        let Some(rest) = variable.strip_prefix(VARIABLE_PREFIX) else { continue };
        let Some(section) = SECTIONS.into_iter().find(|section| rest.starts_with(section)) else {
            continue;
        };
        let key = rest.strip_prefix(section).unwrap_or(rest).to_ascii_lowercase();
        let section = section.trim_end_matches('_').to_ascii_lowercase();
        let typed = match (value.parse::<bool>(), value.parse::<i64>()) {
            (Ok(truth), _) => toml::Value::Boolean(truth),
            (_, Ok(number)) => toml::Value::Integer(number),
            _ => toml::Value::String(value),
        };
        let one = toml::Table::from_iter([(
            section.clone(),
            toml::Value::Table(toml::Table::from_iter([(key.clone(), typed.clone())])),
        )]);
        one.try_into::<File>().map_err(|error| LayerError::Variable {
            variable: variable.clone(),
            detail: error.to_string().trim_end().replace('\n', " "),
        })?;
        let entry = table.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        if let toml::Value::Table(keys) = entry {
            keys.insert(key, typed);
        }
    }
    let file = table.try_into().unwrap_or_default();
    Ok(Layer { source: Source::Environment, file })
}

impl Layer {
    /// A layer of flags; `None` where a flag was not given.
    #[must_use]
    pub fn flags(
        upstream: Option<String>,
        [api, admin, telemetry]: [Option<String>; 3],
        dir: Option<String>,
    ) -> Layer {
        let file = File {
            upstream: Upstream { url: upstream, ..Upstream::default() },
            listen: Listen { api, admin, telemetry, ..Listen::default() },
            ledger: Ledger { dir, ..Ledger::default() },
            ..File::default()
        };
        Layer { source: Source::Flag, file }
    }
}
