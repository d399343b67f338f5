//! `[org]`, `[project.NAME]`, `[team.NAME]`, `[task.NAME]`: rules in layers. And the same rules in
//! the file that a project keeps beside its code.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use super::budget::{amount, is_subject};
use super::file::{File, Source};
use super::reader::{ConfigError, Reader, Setting};
use crate::accounting::Money;
use crate::policy::{
    Layer, Mode, Pattern, PatternError, RuleSet, Rules, ServerPattern, Url, permission_mode,
};

/// Values in one list.
const VALUES_MAX: usize = 1_000;

/// The rules of one layer as they are written.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RuleTable {
    rules: Option<String>,
    trust_project_files: Option<bool>,
    tools_allowed: Option<Vec<String>>,
    tools_denied: Option<Vec<String>>,
    mcp_servers_allowed: Option<Vec<String>>,
    mcp_servers_denied: Option<Vec<String>>,
    permission_modes: Option<Vec<String>>,
    models_allowed: Option<Vec<String>>,
    inference_geo: Option<Vec<String>>,
    upstreams_allowed: Option<Vec<String>>,
    turns_per_session_max: Option<u64>,
    calls_per_turn_max: Option<u64>,
    usd_per_session_max: Option<String>,
    parallel_agents_max: Option<u64>,
    repeated_calls_max: Option<u64>,
}

/// The layers of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyConfig {
    /// `[org]`
    pub org: Option<Layer>,
    /// `[project.NAME]`
    pub projects: BTreeMap<String, Layer>,
    /// `[team.NAME]`
    pub teams: BTreeMap<String, Layer>,
    /// `[task.NAME]`
    pub tasks: BTreeMap<String, Layer>,
    /// Whether the files that projects keep beside their code are read.
    pub trust_project_files: bool,
    /// What one run may cost: `weighbridge run --budget`.
    pub run_usd_max: Option<Money>,
}

impl PolicyConfig {
    /// Whether nobody set a rule, and no file can.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == PolicyConfig::default()
    }

    /// Whether any layer may limit what a session spends.
    #[must_use]
    pub fn limits_spend(&self) -> bool {
        let maps = [&self.projects, &self.teams, &self.tasks];
        let mut all = self.org.iter().chain(maps.into_iter().flat_map(BTreeMap::values));
        self.trust_project_files || all.any(|layer| layer.rules.usd_per_session_max.is_some())
    }

    /// The layers that hold for a caller. `files`: the project's own file and its team's.
    #[must_use]
    pub fn rules_for(
        &self,
        project: Option<&str>,
        team: &str,
        task: Option<&str>,
        files: &[Layer],
    ) -> Rules {
        let of = |layers: &BTreeMap<String, Layer>, name: Option<&str>| {
            name.and_then(|name| layers.get(name)).cloned()
        };
        let configured = [
            self.org.clone(),
            of(&self.projects, project),
            of(&self.teams, Some(team)),
            of(&self.tasks, task),
        ];
        let files = files.iter().filter(|_| self.trust_project_files).cloned();
        Rules { layers: configured.into_iter().flatten().chain(files).collect() }
    }
}

/// Reads a project's own file; `title` names it in explanations.
///
/// # Errors
///
/// It is no such file, or a rule in it does not do; in words.
pub fn parse_project_file(title: &str, text: &str) -> Result<Layer, String> {
    let table: RuleTable =
        toml::from_str(text).map_err(|e: toml::de::Error| e.message().trim_end().to_owned())?;
    if table.trust_project_files.is_some() {
        return Err("trust_project_files belongs into [org] of weighbridge.toml".to_owned());
    }
    let mut settings = Vec::new();
    let (source, settings) = (Source::File, &mut settings);
    let layer = LayerReader { section: "", title, table: &table, source, settings };
    layer.read().map_err(|error| format!("{}: {}", error.key, error.problem))
}

pub(super) fn read(reader: &mut Reader<'_>) -> Result<PolicyConfig, ConfigError> {
    let mut config = PolicyConfig::default();
    let found =
        reader.layers.iter().rev().find_map(|layer| Some((layer.file.org.clone()?, layer.source)));
    if let Some((table, source)) = found {
        let settings = &mut reader.settings;
        if let Some(trust) = table.trust_project_files {
            config.trust_project_files = trust;
            let key = Cow::Borrowed("org.trust_project_files");
            settings.push(Setting { key, value: trust.to_string(), source });
        }
        let (section, title, table) = ("org.", "org", &table);
        let layer = LayerReader { section, title, table, source, settings };
        config.org = Some(layer.read()?);
    }
    config.projects = named(reader, "project", |file| &file.project)?;
    config.teams = named(reader, "team", |file| &file.team)?;
    config.tasks = named(reader, "task", |file| &file.task)?;
    Ok(config)
}

/// What `[team.NAME]` and its like hold.
pub(super) type RuleTables = BTreeMap<String, RuleTable>;

fn named(
    reader: &mut Reader<'_>,
    kind: &str,
    get: impl Fn(&File) -> &RuleTables,
) -> Result<BTreeMap<String, Layer>, ConfigError> {
    let mut layers = BTreeMap::new();
    for file_layer in reader.layers {
        for (name, table) in get(&file_layer.file) {
            let wrong = |key: Cow<'static, str>, problem: &str| ConfigError {
                key,
                value: name.clone(),
                source_name: file_layer.source,
                problem: problem.to_owned(),
            };
            if !is_subject(name) {
                let key = Cow::Owned(format!("{kind}.{name}"));
                return Err(wrong(key, "write 1 to 128 letters, digits or . _ : / @ -"));
            }
            let (section, title) = (format!("{kind}.{name}."), format!("{kind} {name}"));
            if table.trust_project_files.is_some() {
                let key = Cow::Owned(format!("{section}trust_project_files"));
                return Err(wrong(key, "only [org] can trust project files"));
            }
            let (section, title) = (&*section, &*title);
            let (source, settings) = (file_layer.source, &mut reader.settings);
            let one = LayerReader { section, title, table, source, settings };
            layers.insert(name.clone(), one.read()?);
        }
    }
    Ok(layers)
}

/// Reads one table and notes what it found.
struct LayerReader<'a> {
    section: &'a str,
    title: &'a str,
    table: &'a RuleTable,
    source: Source,
    settings: &'a mut Vec<Setting>,
}

impl LayerReader<'_> {
    fn read(mut self) -> Result<Layer, ConfigError> {
        let table = self.table;
        let mode = self.value("LAYER.rules", table.rules.clone(), |text| match text {
            "enforce" => Ok(Mode::Enforce),
            "observe" => Ok(Mode::Observe),
            _ => Err("write enforce or observe".to_owned()),
        })?;
        let rules = RuleSet {
            tools_allowed: self.list("LAYER.tools_allowed", &table.tools_allowed, pattern)?,
            tools_denied: self
                .list("LAYER.tools_denied", &table.tools_denied, pattern)?
                .unwrap_or_default(),
            mcp_servers_allowed: self.list(
                "LAYER.mcp_servers_allowed",
                &table.mcp_servers_allowed,
                server,
            )?,
            mcp_servers_denied: self
                .list("LAYER.mcp_servers_denied", &table.mcp_servers_denied, server)?
                .unwrap_or_default(),
            permission_modes: self.list(
                "LAYER.permission_modes",
                &table.permission_modes,
                client_mode,
            )?,
            models_allowed: self.list("LAYER.models_allowed", &table.models_allowed, pattern)?,
            inference_geo: self
                .list("LAYER.inference_geo", &table.inference_geo, |text| Ok(text.to_owned()))?,
            upstreams_allowed: self.list(
                "LAYER.upstreams_allowed",
                &table.upstreams_allowed,
                |text| Url::new(text).map_err(said),
            )?,
            turns_per_session_max: self
                .count("LAYER.turns_per_session_max", table.turns_per_session_max)?,
            calls_per_turn_max: self.count("LAYER.calls_per_turn_max", table.calls_per_turn_max)?,
            usd_per_session_max: self.value(
                "LAYER.usd_per_session_max",
                table.usd_per_session_max.clone(),
                dollars,
            )?,
            parallel_agents_max: self
                .count("LAYER.parallel_agents_max", table.parallel_agents_max)?,
            repeated_calls_max: self.count("LAYER.repeated_calls_max", table.repeated_calls_max)?,
        };
        Ok(Layer { title: self.title.to_owned(), mode: mode.unwrap_or_default(), rules })
    }

    /// `key` begins with `LAYER.`, which stands for the section.
    fn value<T>(
        &mut self,
        key: &'static str,
        value: Option<String>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<T>, ConfigError> {
        let (Some(value), source) = (value, self.source) else { return Ok(None) };
        let key: Cow<'static, str> = Cow::Owned(key.replacen("LAYER.", self.section, 1));
        self.settings.push(Setting { key: key.clone(), value: value.clone(), source });
        let parsed = parse(&value);
        parsed.map(Some).map_err(|problem| ConfigError { key, value, source_name: source, problem })
    }

    fn count(&mut self, key: &'static str, count: Option<u64>) -> Result<Option<u64>, ConfigError> {
        self.value(key, count.map(|count| count.to_string()), |text| {
            let count = text.parse().ok().filter(|count| *count > 0);
            count.ok_or_else(|| "write a number above zero".to_owned())
        })
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        list: &Option<Vec<String>>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<Option<Vec<T>>, ConfigError> {
        let Some(list) = list else { return Ok(None) };
        let whole = if list.is_empty() { "(nothing)".to_owned() } else { list.join(", ") };
        self.value(key, Some(whole), |_| {
            if list.len() > VALUES_MAX {
                return Err(format!("write at most {VALUES_MAX} values"));
            }
            let numbered = (1..).zip(list);
            // By its place: a project's file is logged, and may hold anything.
            let read = |(n, text): (usize, &String)| {
                parse(text).map_err(|why| format!("value {n}: {why}"))
            };
            numbered.map(read).collect()
        })
    }
}

fn said(error: PatternError) -> String {
    error.to_string()
}

fn pattern(text: &str) -> Result<Pattern, String> {
    Pattern::new(text).map_err(said)
}

fn server(text: &str) -> Result<ServerPattern, String> {
    ServerPattern::new(text).map_err(said)
}

fn client_mode(text: &str) -> Result<&'static str, String> {
    permission_mode(text).ok_or_else(|| {
        "write default, acceptEdits, plan, dontAsk, auto or bypassPermissions".to_owned()
    })
}

fn dollars(text: &str) -> Result<Money, String> {
    let usd = amount(text).filter(|usd| *usd > Money::ZERO);
    usd.ok_or_else(|| "write dollars above zero as a text, like \"5.00\"".to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::file::parse_file;
    use super::super::settings::{Config, Surroundings};
    use super::*;

    fn merge(text: &str) -> Result<Config, ConfigError> {
        let surroundings =
            Surroundings { state_dir: "state".to_owned(), ..Surroundings::default() };
        Config::merge(&[parse_file("w.toml", text).unwrap()], &surroundings)
    }

    #[test]
    fn a_caller_stands_under_its_layers() {
        let config = merge(
            "[org]\ntools_denied = ['WebFetch']\npermission_modes = ['ask', 'acceptAll']\n\
             [team.search]\nusd_per_session_max = '5'\nrules = 'observe'\n\
             [project.web]\nmodels_allowed = ['claude-*']\n[task.nightly]\ncalls_per_turn_max = 9\n",
        )
        .unwrap();
        let titles = |project, team, task| {
            let rules = config.policy.rules_for(project, team, task, &[Layer::default()]);
            rules.layers.iter().map(|layer| layer.title.clone()).collect::<Vec<_>>()
        };
        assert_eq!(
            titles(Some("web"), "search", Some("nightly")),
            ["org", "project web", "team search", "task nightly"]
        );
        assert_eq!(titles(None, "other", Some("unknown")), ["org"]);
        let org = config.policy.org.as_ref().unwrap();
        assert_eq!(org.rules.permission_modes, Some(vec!["default", "bypassPermissions"]));
        assert_eq!(config.policy.teams["search"].mode, Mode::Observe);
        let shown = |key: &str| config.settings.iter().find(|s| s.key == key).unwrap();
        assert_eq!(shown("team.search.usd_per_session_max").value, "5");
        assert_eq!(shown("org.tools_denied").source, Source::File);
        assert!(merge("").unwrap().policy.is_empty());
    }

    #[test]
    fn bad_rules_name_key_and_remedy() {
        for (text, key, remedy) in [
            ("[org]\ntools_denied=['Bash(rm *)']", "org.tools_denied", "without (…)"),
            ("[team.a]\npermission_modes=['yolo']", "team.a.permission_modes", "acceptEdits"),
            (
                "[team.a]\nmcp_servers_allowed=['command:x']",
                "team.a.mcp_servers_allowed",
                "@managed",
            ),
            ("[org]\nupstreams_allowed=['eu']", "org.upstreams_allowed", "an address"),
            ("[task.a]\nusd_per_session_max='0'", "task.a.usd_per_session_max", "above zero"),
            ("[org]\nturns_per_session_max=0", "org.turns_per_session_max", "above zero"),
            ("[org]\nrules='off'", "org.rules", "enforce or observe"),
            ("[team.a]\ntrust_project_files=true", "team.a.trust_project_files", "only [org]"),
            ("[team.'a b']\n", "team.a b", "letters"),
        ] {
            let error = merge(text).unwrap_err();
            assert_eq!(error.key, key, "{text}");
            assert!(error.to_string().contains(remedy), "{error}");
        }
        let unknown = parse_file("w.toml", "[org]\ntools = ['x']\n").unwrap_err().to_string();
        assert!(unknown.contains("line 2") && unknown.contains("tools"), "{unknown}");
    }

    #[test]
    fn a_project_file_holds_rules_and_nothing_else() {
        let file = |text| parse_project_file("./.weighbridge.toml", text);
        let layer = file("tools_denied = ['WebSearch']\n").unwrap();
        assert_eq!(layer.title, "./.weighbridge.toml");
        assert!(!layer.rules.tools_denied.is_empty());
        for text in ["[org]\n", "trust_project_files = true", "tools_denied = 'x'", "usd = 1"] {
            assert!(file(text).is_err(), "{text}");
        }
        let trusting = merge("[org]\ntrust_project_files = true\n").unwrap().policy;
        assert_eq!(trusting.rules_for(None, "a", None, &[layer]).layers.len(), 2);
    }
}
