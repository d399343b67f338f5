//! `[capture]` and `[redaction]`: what of contents is kept, and what the rules are to find besides.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::file::{File, one_or_more};
use super::reader::{ConfigError, Reader, keyed, table_names};
use crate::privacy::Label;
use crate::privacy::rules::{Mode, Rules};

/// `[capture]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CaptureTable {
    level: Option<String>,
    /// `[capture.team]`: a level of its own for a team.
    team: BTreeMap<String, String>,
}

/// `[redaction]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedactionTable {
    #[serde(deserialize_with = "one_or_more")]
    allow: Option<Vec<String>>,
    #[serde(deserialize_with = "one_or_more")]
    hosts: Option<Vec<String>>,
    #[serde(deserialize_with = "one_or_more")]
    names: Option<Vec<String>>,
    /// `[redaction.field]`: names of fields whose values are masked whole, with their label.
    field: BTreeMap<String, String>,
    /// `[redaction.pattern]`: regular expressions, by name.
    pattern: BTreeMap<String, String>,
}

/// The level of one team.
const TEAM_KEY: &str = "capture.team.NAME";

/// How much of contents is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaptureLevel {
    /// Sizes, counts and commitments.
    #[default]
    Metadata,
    /// Contents too, redacted in this mode.
    Kept(Mode),
}

/// What is kept, by team.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptureConfig {
    /// Where a team has no level of its own.
    pub level: CaptureLevel,
    /// By team.
    pub teams: BTreeMap<String, CaptureLevel>,
}

impl CaptureConfig {
    /// The level that holds for a team.
    #[must_use]
    pub fn of(&self, team: &str) -> CaptureLevel {
        self.teams.get(team).copied().unwrap_or(self.level)
    }

    /// Some contents are kept.
    #[must_use]
    pub fn keeps_anything(&self) -> bool {
        let kept = |level: &CaptureLevel| *level != CaptureLevel::Metadata;
        kept(&self.level) || self.teams.values().any(kept)
    }
}

/// What an operator adds to the rules, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedactionConfig {
    allow: Vec<String>,
    hosts: Vec<String>,
    names: Vec<String>,
    fields: BTreeMap<String, Label>,
    patterns: BTreeMap<String, String>,
}

impl RedactionConfig {
    /// The rules in a mode. Patterns were checked when they were read.
    #[must_use]
    pub fn rules(&self, mode: Mode) -> Rules {
        let mut rules = Rules::new(mode);
        rules.own_hosts.clone_from(&self.hosts);
        self.allow.iter().for_each(|text| rules.allow(text));
        self.names.iter().for_each(|name| rules.add_name(name));
        for (key, label) in &self.fields {
            rules.add_field(key, *label);
        }
        for (name, pattern) in &self.patterns {
            let added = rules.add_pattern(name, pattern, Label::Custom);
            debug_assert!(added.is_ok(), "the pattern {name} was checked");
        }
        rules
    }
}

/// Reads `[capture]`.
pub(super) fn read_capture(reader: &mut Reader<'_>) -> Result<CaptureConfig, ConfigError> {
    let level = reader.parsed("capture.level", "metadata", |f| f.capture.level.clone(), level)?;
    let section = TEAM_KEY.trim_end_matches(".NAME");
    let names = table_names(reader, section, |file| file.capture.team.keys())?;
    let mut teams = BTreeMap::new();
    for name in names {
        let get = |file: &File| file.capture.team.get(&name).cloned();
        let key = keyed(TEAM_KEY, &name);
        teams.insert(name.clone(), reader.parsed(key, "metadata", get, self::level)?);
    }
    Ok(CaptureConfig { level, teams })
}

fn level(text: &str) -> Result<CaptureLevel, String> {
    match text {
        "metadata" => Ok(CaptureLevel::Metadata),
        "redacted" => Ok(CaptureLevel::Kept(Mode::Standard)),
        "strict" => Ok(CaptureLevel::Kept(Mode::Strict)),
        _ => Err("write metadata, redacted or strict".to_owned()),
    }
}

/// Reads `[redaction]`.
pub(super) fn read_redaction(reader: &mut Reader<'_>) -> Result<RedactionConfig, ConfigError> {
    let joined = |list: &Option<Vec<String>>| list.as_ref().map(|list| list.join(", "));
    reader.text("redaction.allow", "", |f| joined(&f.redaction.allow));
    reader.text("redaction.hosts", "", |f| joined(&f.redaction.hosts));
    reader.text("redaction.names", "", |f| joined(&f.redaction.names));
    let mut config = RedactionConfig {
        allow: reader.list(|f| f.redaction.allow.clone()),
        hosts: reader.list(|f| f.redaction.hosts.clone()),
        names: reader.list(|f| f.redaction.names.clone()),
        ..RedactionConfig::default()
    };
    let fields = |f: &File| f.redaction.field.clone();
    for name in tables(reader, fields) {
        let get = |file: &File| file.redaction.field.get(&name).cloned();
        let key = keyed("redaction.field.NAME", &name);
        let label = reader.parsed(key, "", get, |text| {
            Label::ALL.into_iter().find(|label| label.as_str() == text).ok_or_else(|| {
                "write a label as docs/privacy.md lists them, like MRN or CUSTOM".to_owned()
            })
        })?;
        config.fields.insert(name, label);
    }
    let patterns = |f: &File| f.redaction.pattern.clone();
    for name in tables(reader, patterns) {
        let get = |file: &File| file.redaction.pattern.get(&name).cloned();
        let key = keyed("redaction.pattern.NAME", &name);
        let pattern = reader.parsed(key, "", get, |text| {
            let added = Rules::default().add_pattern(&name, text, Label::Custom);
            added.map(|()| text.to_owned()).map_err(|error| error.to_string())
        })?;
        config.patterns.insert(name, pattern);
    }
    Ok(config)
}

/// The names in a table of all layers, each once.
fn tables(reader: &Reader<'_>, get: impl Fn(&File) -> BTreeMap<String, String>) -> Vec<String> {
    let mut names: Vec<String> =
        reader.layers.iter().flat_map(|layer| get(&layer.file).into_keys()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
mod tests {
    use super::super::file::parse_file;
    use super::super::settings::{Config, Surroundings};
    use super::*;

    fn read(text: &str) -> Result<Config, ConfigError> {
        let state_dir = "state".to_owned();
        let surroundings = Surroundings { state_dir, ..Surroundings::default() };
        Config::merge(&[parse_file("w.toml", text).unwrap()], &surroundings)
    }

    #[test]
    fn nothing_is_kept_unless_a_team_asks_for_it() {
        assert!(!read("").unwrap().capture.keeps_anything());
        let capture = read("[capture.team]\noncology = 'strict'").unwrap().capture;
        assert_eq!(capture.of("oncology"), CaptureLevel::Kept(Mode::Strict));
        assert_eq!(capture.of("search"), CaptureLevel::Metadata);
        assert!(capture.keeps_anything());
    }

    #[test]
    fn a_bad_pattern_is_refused_with_its_name() {
        for (text, key) in [
            ("[redaction.pattern]\nstudy = '[A-'", "redaction.pattern.study"),
            ("[redaction.pattern]\nempty = 'x*'", "redaction.pattern.empty"),
            ("[redaction.field]\ncohort = 'COHORT'", "redaction.field.cohort"),
            ("[capture]\nlevel = 'all'", "capture.level"),
        ] {
            assert_eq!(read(text).unwrap_err().key, key);
        }
        let added = "[redaction]\nnames = ['Xq']\n[redaction.pattern]\nstudy = 'ST-\\d{4}'\n";
        assert_eq!(read(added).unwrap().redaction.patterns.len(), 1);
    }
}
