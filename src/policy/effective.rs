//! What each layer says of each rule, and what comes of it: for people.

use super::pattern::{Pattern, ServerPattern, Url};
use super::rules::{Layer, Mode, Rule, RuleSet, Rules};

/// What one layer says of one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Which rule.
    pub rule: Rule,
    /// The layer's title.
    pub layer: String,
    /// Its value, as it is written in the configuration.
    pub value: String,
    /// What it does beside the other layers.
    pub effect: Effect,
}

/// What a layer's rule does beside those of the other layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It denies.
    Holds,
    /// Another layer's limit is smaller.
    Looser,
    /// Its layer only writes down.
    Observed,
}

impl Effect {
    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Effect::Holds => "holds",
            Effect::Looser => "another limit is smaller",
            Effect::Observed => "observed only",
        }
    }
}

impl Rules {
    /// Everything that the layers say, rule by rule, the organisation's layer first.
    #[must_use]
    pub fn effective(&self) -> Vec<Said> {
        let of = |rule: Rule| {
            let least = self.least(rule);
            self.layers.iter().filter_map(move |layer| {
                let value = layer.rules.written(rule)?;
                let effect = match layer.mode {
                    Mode::Observe => Effect::Observed,
                    Mode::Enforce if layer.rules.limit(rule) == least => Effect::Holds,
                    Mode::Enforce => Effect::Looser,
                };
                Some(Said { rule, layer: layer.title.clone(), value, effect })
            })
        };
        Rule::LAYERED.into_iter().flat_map(of).collect()
    }

    /// The smallest limit that denies; `None` where the rule is none.
    fn least(&self, rule: Rule) -> Option<i128> {
        let enforced = self.layers.iter().filter(|layer| layer.mode == Mode::Enforce);
        enforced.filter_map(|layer: &Layer| layer.rules.limit(rule)).min()
    }
}

impl RuleSet {
    /// A limit as a number that compares; `None` for what is no limit, or is not set.
    fn limit(&self, rule: Rule) -> Option<i128> {
        let count = match rule {
            Rule::UsdPerSession => return self.usd_per_session_max.map(|usd| usd.atto()),
            Rule::TurnsPerSession => self.turns_per_session_max,
            Rule::CallsPerTurn => self.calls_per_turn_max,
            Rule::ParallelAgents => self.parallel_agents_max,
            Rule::RepeatedCalls => self.repeated_calls_max,
            _ => None,
        };
        count.map(i128::from)
    }

    /// A rule's value as it is written; `None` where nothing is said of it.
    fn written(&self, rule: Rule) -> Option<String> {
        let names = |list: &[Pattern]| joined(list.iter().map(Pattern::text));
        let servers = |list: &[ServerPattern]| joined(list.iter().map(ServerPattern::text));
        match rule {
            Rule::ToolsAllowed => self.tools_allowed.as_deref().map(names),
            Rule::ToolsDenied => (!self.tools_denied.is_empty()).then(|| names(&self.tools_denied)),
            Rule::McpServersAllowed => self.mcp_servers_allowed.as_deref().map(servers),
            Rule::McpServersDenied => {
                (!self.mcp_servers_denied.is_empty()).then(|| servers(&self.mcp_servers_denied))
            }
            Rule::PermissionModes => self.permission_modes.as_ref().map(joined),
            Rule::ModelsAllowed => self.models_allowed.as_deref().map(names),
            Rule::InferenceGeo => self.inference_geo.as_ref().map(joined),
            Rule::UpstreamsAllowed => {
                self.upstreams_allowed.as_ref().map(|list| joined(list.iter().map(Url::text)))
            }
            Rule::UsdPerSession => self.usd_per_session_max.map(|usd| usd.to_string()),
            limit => self.limit(limit).map(|count| count.to_string()),
        }
    }
}

/// An empty list allows nothing, which is not the same as saying nothing.
fn joined<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let all: Vec<String> = texts.into_iter().map(|text| text.as_ref().to_owned()).collect();
    if all.is_empty() { "(nothing)".to_owned() } else { all.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(title: &str, mode: Mode, rules: RuleSet) -> Layer {
        Layer { title: title.to_owned(), mode, rules }
    }

    #[test]
    fn each_layer_is_told_with_what_it_does() {
        let usd = |text: &str| Some(text.parse().unwrap());
        let denied = |name: &str| vec![Pattern::new(name).unwrap()];
        let org = RuleSet {
            tools_denied: denied("Bash"),
            usd_per_session_max: usd("10.50"),
            ..RuleSet::default()
        };
        let team = RuleSet {
            tools_denied: denied("mcp__*"),
            models_allowed: Some(Vec::new()),
            usd_per_session_max: usd("2"),
            ..RuleSet::default()
        };
        let task = RuleSet { usd_per_session_max: usd("1"), ..RuleSet::default() };
        let rules = Rules {
            layers: vec![
                layer("org", Mode::Enforce, org),
                layer("team a", Mode::Enforce, team),
                layer("task b", Mode::Observe, task),
            ],
        };
        let told: Vec<_> = rules
            .effective()
            .into_iter()
            .map(|s| format!("{} {} {} {}", s.rule.name(), s.layer, s.value, s.effect.name()))
            .collect();
        assert_eq!(
            told,
            [
                "tools_denied org Bash holds",
                "tools_denied team a mcp__* holds",
                "models_allowed team a (nothing) holds",
                "usd_per_session_max org 10.5 another limit is smaller",
                "usd_per_session_max team a 2 holds",
                "usd_per_session_max task b 1 observed only",
            ]
        );
        assert!(Rules::default().effective().is_empty());
    }
}
