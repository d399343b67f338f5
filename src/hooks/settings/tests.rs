use super::*;

const USER: &str = "http://127.0.0.1:8485/hooks";

fn hooks() -> Hooks {
    Hooks {
        url: USER.to_owned(),
        program: "/opt/weigh bridge/$bin/weighbridge".to_owned(),
        variable: TOKEN_VARIABLE,
        enforce: false,
    }
}

fn installed(text: &str) -> String {
    with_token(&with_hooks(text, &hooks()).unwrap(), "secret").unwrap()
}

/// Files as people and programs write them.
const FILES: [&str; 9] = [
    "{}",
    "{\n  \"model\": \"opus\"\n}\n",
    "{\n  \"model\": \"opus\"\n}",
    "{\n\t\"model\": \"opus\",\n\n\t\"permissions\": {\"allow\": [\"Bash(ls:*)\"]}\n}\n",
    "{\r\n    \"model\": \"opus\"\r\n}\r\n",
    "\u{feff}{\n  \"z\": 1,\n  \"a\": 1.50,\n  \"escaped\": \"\\u00e9\\/\"\n}\n",
    "{\n  \"hooks\": {\n    \"PreToolUse\": [\n      { \"matcher\": \"Bash\", \"hooks\": [\n        \
     { \"type\": \"command\", \"command\": \"theirs\" }\n      ] }\n    ]\n  },\n  \"x\": null\n}\n",
    "{\n  \"env\": {\n    \"A\": \"1\"\n  },\n  \"hooks\": {\n    \"Stop\": [\n      {\n        \"hooks\": \
     [\n          {\n            \"type\": \"http\",\n            \"url\": \"http://127.0.0.1:1/theirs\",\n            \
     \"headers\": {\n              \"Authorization\": \"Bearer $THEIRS\"\n            }\n          }\n        \
     ]\n      }\n    ],\n    \"WorktreeCreate\": [\n      {\n        \"hooks\": []\n      }\n    ]\n  }\n}\n",
    "{\n  \"hooks\": {\n    \"Unheard\": []\n  }\n}\n",
];

#[test]
fn what_was_there_is_there_again_after_taking_out() {
    for file in FILES {
        let with = installed(file);
        assert_eq!(without(&with, false).unwrap(), file, "{with}");
    }
}

#[test]
fn what_was_there_stays_and_every_event_is_hooked_once() {
    for file in FILES {
        let with = installed(file);
        let settings = read(&with).unwrap();
        let mut found: Vec<_> = settings.hooks.iter().map(|hook| hook.event.as_str()).collect();
        let mut all: Vec<_> = events().collect();
        found.sort_unstable();
        all.sort_unstable();
        assert_eq!(found, all);
        assert_eq!(settings.env[TOKEN_VARIABLE], "secret");
        for line in file.lines().map(|line| line.trim_end_matches([',', '\u{feff}'])) {
            assert!(line.len() < 3 || with.contains(line), "{line} is not in {with}");
        }
    }
}

#[test]
fn a_second_time_changes_nothing_and_another_address_replaces_ours() {
    for file in FILES {
        let once = installed(file);
        assert_eq!(installed(&once), once);
        let other = Hooks { url: "http://127.0.0.1:9/hooks".to_owned(), ..hooks() };
        let moved = with_hooks(&once, &other).unwrap();
        assert!(!moved.contains(USER), "{moved}");
        let found = read(&moved).unwrap().hooks;
        assert_eq!(found.len(), HTTP_EVENTS.len() + COMMAND_EVENTS.len());
        assert!(found.iter().all(|hook| hook.target.url() == other.url));
        assert_eq!(with_token(&once, "new").unwrap(), once.replace("secret", "new"));
        assert_eq!(without(&moved, false).unwrap(), file);
    }
}

#[test]
fn ours_in_a_group_of_others_or_behind_a_matcher_is_moved_out() {
    let own = serde_json::json!({"type": "http", "url": USER, "timeout": 1,
        "headers": {"Authorization": "Bearer $WEIGHBRIDGE_HOOK_TOKEN"},
        "allowedEnvVars": ["WEIGHBRIDGE_HOOK_TOKEN"]});
    let theirs = serde_json::json!({"type": "command", "command": "weighbridge hook"});
    for group in [
        serde_json::json!({"hooks": [theirs, own]}),
        serde_json::json!({"matcher": "Bash", "hooks": [own]}),
    ] {
        let text = serde_json::json!({"hooks": {"PreToolUse": [group]}}).to_string();
        let with = with_hooks(&text, &hooks()).unwrap();
        let found = read(&with).unwrap().hooks;
        assert_eq!(found.iter().filter(|hook| hook.event == "PreToolUse").count(), 1);
        let value: Value = serde_json::from_str(&with).unwrap();
        let groups = value["hooks"]["PreToolUse"].as_array().unwrap();
        assert_eq!(groups.last().unwrap(), &serde_json::json!({"hooks": [own]}));
        assert_eq!(groups.len() == 2, group.get("matcher").is_none(), "{with}");
    }
}

#[test]
fn what_the_client_would_not_read_is_refused() {
    for (text, said) in [
        ("{ // mine\n}", "line 1 column 3"),
        ("{\"a\": 1,}", "trailing comma"),
        ("{'a': 1}", "is not JSON"),
        ("{\"a\" 1}", "is not JSON"),
        ("{\"a\": 0x1}", "is not JSON"),
        ("{\"a\": 1} {}", "is not JSON"),
        ("[]", "the whole is not an object"),
        ("{\"hooks\": []}", "hooks is not an object"),
        ("{\"hooks\": {\"Stop\": {}}}", "hooks.Stop is not a list"),
        ("{\"a\": 1, \"a\": 2}", "twice"),
    ] {
        let error = with_hooks(text, &hooks()).unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
    assert!(with_token("{\"env\": 1}", "secret").unwrap_err().to_string().contains("env"));
    assert!(read("{ // mine\n}").is_err() && read("[]").is_err());
}

#[test]
fn enforcement_blocks_before_tools_and_prompts_and_nowhere_else() {
    let hooks = Hooks { enforce: true, ..hooks() };
    let text = with_rules(&with_hooks("", &hooks).unwrap(), &hooks.url).unwrap();
    let settings = read(&text).unwrap();
    let enforced: Vec<_> = settings.hooks.iter().filter(|hook| hook.enforced).collect();
    assert_eq!(enforced.len(), ENFORCED_EVENTS.len());
    assert!(enforced.iter().all(|hook| ENFORCED_EVENTS.contains(&hook.event.as_str())));
    assert!(settings.managed_only && settings.env.is_empty());
    assert_eq!(settings.allowed_urls.as_deref(), Some([USER.to_owned()].as_slice()));
    assert_eq!(with_rules(&text, &hooks.url).unwrap(), text);
    assert_eq!(without(&text, true).unwrap().trim(), "{}");
}

#[test]
fn a_command_of_ours_is_told_from_others() {
    let command = hooks().command();
    assert!(
        command.starts_with(r#""/opt/weigh bridge/\$bin/weighbridge" hook --url "#),
        "{command}"
    );
    assert_eq!(forwarder(&command), Some((hooks().program, USER)));
    let run = Hooks { variable: RUN_TOKEN_VARIABLE, ..hooks() };
    assert_eq!(forwarder(&run.command()), Some((hooks().program, USER)));
    for other in ["weighbridge hook", "\"weighbridge\" hook", "\"x\" hook --url a && rm b", "\"x"] {
        assert_eq!(forwarder(other), None, "{other}");
    }
}

#[test]
fn a_star_stands_for_anything() {
    for (pattern, url, expected) in [
        (USER, USER, true),
        ("*", USER, true),
        ("http://127.0.0.1:*/hooks", USER, true),
        ("http://127.0.0.1*", USER, true),
        ("https://*", USER, false),
        ("http://127.0.0.1:8485", USER, false),
        ("*x", "x", true),
        ("a*b*c", "a-b-c", true),
        ("a*b*c", "a-c-b", false),
    ] {
        assert_eq!(allows(&[pattern.to_owned()], url), expected, "{pattern}");
    }
    assert!(!allows(&[], USER));
}
