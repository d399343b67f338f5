use super::super::{Layer, Mode, Pattern, ServerPattern};
use super::*;

fn patterns(list: &[&str]) -> Vec<Pattern> {
    list.iter().map(|text| Pattern::new(text).unwrap()).collect()
}

fn servers(list: &[&str]) -> Vec<ServerPattern> {
    list.iter().map(|text| ServerPattern::new(text).unwrap()).collect()
}

fn layer(title: &str, rules: RuleSet) -> Layer {
    Layer { title: title.to_owned(), mode: Mode::Enforce, rules }
}

fn rules(layers: Vec<Layer>) -> Rules {
    Rules { layers }
}

fn why(verdict: &Verdict) -> Option<(&'static str, &str)> {
    verdict.denied.as_ref().map(|denial| (denial.rule.name(), denial.layer.as_str()))
}

fn tool(name: &str) -> ToolUse<'_> {
    ToolUse { name, ..ToolUse::default() }
}

#[test]
fn allow_lists_intersect_and_deny_lists_unite() {
    let org = RuleSet {
        tools_allowed: Some(patterns(&["Read", "Bash", "mcp__*"])),
        tools_denied: patterns(&["mcp__x__*"]),
        ..RuleSet::default()
    };
    let team = RuleSet {
        tools_allowed: Some(patterns(&["Read", "WebFetch", "mcp__*"])),
        tools_denied: patterns(&["mcp__y__*"]),
        ..RuleSet::default()
    };
    let both = rules(vec![layer("org", org), layer("team search", team)]);
    for (name, expected) in [
        ("Read", None),
        ("WebFetch", Some(("tools_allowed", "org"))),
        ("Bash", Some(("tools_allowed", "team search"))),
        ("mcp__x__a", Some(("tools_denied", "org"))),
        ("mcp__y__a", Some(("tools_denied", "team search"))),
        ("mcp__z__a", None),
    ] {
        assert_eq!(why(&both.tool(&tool(name))), expected, "{name}");
    }
}

#[test]
fn an_observing_layer_says_what_it_would_have_done() {
    let denies = RuleSet { tools_denied: patterns(&["Bash"]), ..RuleSet::default() };
    let watching = Layer { mode: Mode::Observe, ..layer("org", denies.clone()) };
    let alone = rules(vec![watching.clone()]).tool(&tool("Bash"));
    assert_eq!((why(&alone), alone.observed.len()), (None, 1));
    let both = rules(vec![watching, layer("task nightly", denies)]).tool(&tool("Bash"));
    assert_eq!(why(&both), Some(("tools_denied", "task nightly")));
    assert_eq!(both.observed[0].layer, "org");
}

#[test]
fn a_server_must_be_approved_as_what_it_is() {
    let one = rules(vec![layer(
        "org",
        RuleSet {
            mcp_servers_allowed: Some(servers(&["github@managed", "https://crm.example/*"])),
            ..RuleSet::default()
        },
    )]);
    let asked = |server| ToolUse { server: Some(server), ..tool("mcp__github__get") };
    let github = |source| Server { name: Some("github"), source, url: None };
    assert_eq!(why(&one.tool(&asked(github(Some("managed"))))), None);
    for source in [None, Some("project"), Some("user")] {
        let denied = one.tool(&asked(github(source)));
        assert_eq!(why(&denied), Some(("mcp_servers_allowed", "org")));
    }
    let named = |url| Server { name: Some("crm"), source: None, url: Some(url) };
    let call = |url| Call { servers: vec![named(url)], ..Call::default() };
    assert_eq!(why(&one.call(&call("https://crm.example/mcp"))), None);
    let elsewhere = one.call(&call("https://crm.example.evil.org/mcp"));
    assert_eq!(why(&elsewhere), Some(("mcp_servers_allowed", "org")));
}

#[test]
fn the_smallest_limit_holds_and_is_told_from_what_is_never_allowed() {
    let limited = |turns, calls, usd: &str| RuleSet {
        turns_per_session_max: Some(turns),
        calls_per_turn_max: Some(calls),
        usd_per_session_max: Some(usd.parse().unwrap()),
        repeated_calls_max: Some(3),
        parallel_agents_max: Some(2),
        ..RuleSet::default()
    };
    let both = rules(vec![layer("org", limited(9, 50, "5")), layer("team a", limited(2, 60, "4"))]);
    let call = Call { turns: Some(1), calls_in_turn: 49, ..Call::default() };
    assert_eq!(why(&both.call(&call)), None);
    let at = |turns, calls_in_turn, spent: &str, repeated| {
        let spent = spent.parse().unwrap();
        let verdict = both.call(&Call { turns, calls_in_turn, spent, repeated, ..Call::default() });
        let denied = verdict.denied.unwrap();
        assert!(denied.rule.is_limit());
        (denied.rule.name(), denied.layer)
    };
    let expected = |rule, layer: &str| (rule, layer.to_owned());
    assert_eq!(at(Some(2), 0, "0", 0), expected("turns_per_session_max", "team a"));
    assert_eq!(at(None, 50, "0", 0), expected("calls_per_turn_max", "org"));
    assert_eq!(at(None, 0, "4", 0), expected("usd_per_session_max", "team a"));
    assert_eq!(at(None, 0, "0", 6), expected("repeated_calls_max", "org"));
    let again = ToolUse { repeats: 3, ..tool("Bash") };
    assert_eq!(why(&both.tool(&again)), Some(("repeated_calls_max", "org")));
    let agent = ToolUse { starts_agent: true, agents_running: 2, ..tool("Agent") };
    assert_eq!(why(&both.tool(&agent)), Some(("parallel_agents_max", "org")));
    let other = ToolUse { agents_running: 2, ..tool("Bash") };
    assert_eq!(why(&both.tool(&other)), None);
    let prompt = both.prompt(&Prompt { mode: None, turns: 2 });
    assert_eq!(why(&prompt), Some(("turns_per_session_max", "team a")));
}

#[test]
fn where_a_call_goes_and_what_it_offers_is_looked_at() {
    let one = rules(vec![layer(
        "org",
        RuleSet {
            models_allowed: Some(patterns(&["claude-sonnet-*"])),
            inference_geo: Some(vec!["eu".to_owned()]),
            upstreams_allowed: Some(vec![
                super::super::pattern::Url::new("https://eu.api.example").unwrap(),
            ]),
            tools_denied: patterns(&["web_search"]),
            permission_modes: Some(vec!["default", "plan"]),
            ..RuleSet::default()
        },
    )]);
    let good = || Call {
        model: Some("claude-sonnet-5-5"),
        inference_geo: Some("eu"),
        upstream: "https://eu.api.example/anthropic",
        ..Call::default()
    };
    assert_eq!(why(&one.call(&good())), None);
    for (call, rule) in [
        (Call { model: Some("claude-opus-5-5"), ..good() }, "models_allowed"),
        (Call { model: None, ..good() }, "models_allowed"),
        (Call { inference_geo: Some("us"), ..good() }, "inference_geo"),
        (Call { inference_geo: None, ..good() }, "inference_geo"),
        (Call { upstream: "https://api.anthropic.com", ..good() }, "upstreams_allowed"),
        (Call { server_tools: vec!["web_search"], ..good() }, "tools_denied"),
    ] {
        let denied = one.call(&call).denied.unwrap();
        assert_eq!((denied.rule.name(), denied.rule.is_limit()), (rule, false));
    }
    let mode = |mode| one.prompt(&Prompt { mode: Some(mode), turns: 0 });
    assert_eq!(why(&mode("plan")), None);
    assert_eq!(why(&mode("bypassPermissions")), Some(("permission_modes", "org")));
    assert_eq!(why(&mode("a future mode")), Some(("permission_modes", "org")));
}

/// A small generator: the same numbers in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    fn names(&mut self) -> Vec<Pattern> {
        let all = ["Bash", "Read", "mcp__*", "W*", "*"];
        let some = (0..self.roll(3)).map(|_| all[usize::try_from(self.roll(5)).unwrap()]);
        patterns(&some.collect::<Vec<_>>())
    }

    fn layer(&mut self) -> Layer {
        let maybe = |roll: u64, value: u64| (roll == 0).then_some(value);
        let (allowed, denied) = (self.names(), self.names());
        let rules = RuleSet {
            tools_allowed: (self.roll(2) == 0).then_some(allowed),
            tools_denied: denied,
            turns_per_session_max: maybe(self.roll(2), self.roll(4)),
            repeated_calls_max: maybe(self.roll(2), self.roll(4)),
            permission_modes: (self.roll(3) == 0).then(|| vec!["plan"]),
            ..RuleSet::default()
        };
        let mode = if self.roll(4) == 0 { Mode::Observe } else { Mode::Enforce };
        Layer { mode, ..layer("any", rules) }
    }
}

#[test]
fn no_layer_loosens_another() {
    let mut dice = Dice(7);
    let mut denied = 0;
    for _ in 0..5_000 {
        let mut layers: Vec<Layer> = (0..dice.roll(4)).map(|_| dice.layer()).collect();
        let before = rules(layers.clone());
        let place = usize::try_from(dice.roll(layers.len() as u64 + 1)).unwrap();
        layers.insert(place, dice.layer());
        let after = rules(layers);
        let mode = ["plan", "default"][usize::try_from(dice.roll(2)).unwrap()];
        let turns = dice.roll(4);
        for name in ["Bash", "Read", "WebFetch", "mcp__a__b"] {
            let asked = ToolUse { mode: Some(mode), repeats: turns, ..tool(name) };
            if before.tool(&asked).denied.is_some() {
                denied += 1;
                assert!(after.tool(&asked).denied.is_some());
            }
        }
        let prompt = Prompt { mode: Some(mode), turns };
        let call = Call { turns: Some(turns), repeated: turns, ..Call::default() };
        assert!(before.prompt(&prompt).denied.is_none() || after.prompt(&prompt).denied.is_some());
        assert!(before.call(&call).denied.is_none() || after.call(&call).denied.is_some());
    }
    assert!(denied > 1_000, "{denied}");
}

#[test]
fn servers_are_in_names() {
    let cases = [
        ("mcp__github__create_issue", Some("github")),
        ("mcp__a_b__c__d", Some("a_b")),
        ("mcp__github", None),
        ("mcp____x", None),
        ("Bash", None),
    ];
    for (tool, server) in cases {
        assert_eq!(server_of(tool), server, "{tool}");
    }
}
