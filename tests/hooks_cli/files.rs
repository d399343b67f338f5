//! `weighbridge hooks settings | install | uninstall`: what happens to the files.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::support::sidecar::Site;

/// A user's file with all that must stay: order, spaces, foreign hooks, numbers as written.
pub const THEIRS: &str = r#"{
    "model": "opus",
    "hooks": {
        "PostToolUse": [
            { "matcher": "Edit|Write", "hooks": [ { "type": "command", "command": "fmt.sh" } ] }
        ],
        "Stop": [
            {
                "hooks": [
                    {
                        "type": "http",
                        "url": "https://hooks.example.test/stop"
                    }
                ]
            }
        ]
    },

    "env": {
        "A_FIRST": "1"
    },
    "cleanupPeriodDays": 3.0e1
}
"#;

fn user(site: &Site) -> PathBuf {
    site.path("home/.claude/settings.json")
}

fn write(path: &Path, text: &str, mode: u32) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[track_caller]
pub fn hooks(site: &Site, arguments: &[&str]) -> Output {
    let output = site.run(&[&["hooks"], arguments].concat());
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {told}");
    output
}

#[track_caller]
fn assert_refused(output: &Output, code: i32, why: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{told}");
    assert!(told.contains(why), "{told}");
}

fn token(site: &Site) -> String {
    read(&site.path("home/.local/state/weighbridge/hook.token")).trim().to_owned()
}

#[test]
fn in_and_out_again_leaves_the_rest_as_it_was() {
    let site = Site::new();
    for text in [THEIRS, "{\n  \"a\": 1\n}", "{\r\n\t\"a\": {}\r\n}\r\n", "{}"] {
        write(&user(&site), text, 0o600);
        hooks(&site, &["install"]);
        let with: Value = serde_json::from_str(&read(&user(&site))).unwrap();
        assert_eq!(with["env"]["WEIGHBRIDGE_HOOK_TOKEN"], token(&site).as_str());
        let own = &with["hooks"]["PreToolUse"][0]["hooks"][0];
        assert_eq!(own["url"], "http://127.0.0.1:8485/hooks");
        assert_eq!(own["headers"]["Authorization"], "Bearer $WEIGHBRIDGE_HOOK_TOKEN");
        let command = with["hooks"]["SessionStart"][0]["hooks"][0]["command"].as_str().unwrap();
        assert!(command.starts_with(&format!("\"{}\" hook", env!("CARGO_BIN_EXE_weighbridge"))));
        hooks(&site, &["uninstall"]);
        assert_eq!(read(&user(&site)), text);
    }
}

#[test]
fn every_event_that_can_be_hooked_is() {
    let fields = include_str!("../fixtures/hooks/_fields_2.1.330.json");
    let fields: Value = serde_json::from_str(fields).unwrap();
    let mut known: Vec<String> = fields
        .as_object()
        .unwrap()
        .values()
        .filter_map(|fields| Some(fields.get("hook_event_name")?.as_str()?.replace('\'', "")))
        .collect();
    assert_eq!(known.len(), 33);
    // A hook there would have to make the worktree.
    known.retain(|event| event != "WorktreeCreate");
    let printed = hooks(&Site::new(), &["settings"]).stdout;
    let printed: Value = serde_json::from_slice(&printed).unwrap();
    let mut hooked: Vec<String> = printed["hooks"].as_object().unwrap().keys().cloned().collect();
    known.sort();
    hooked.sort();
    assert_eq!(hooked, known);
    for (event, groups) in printed["hooks"].as_object().unwrap() {
        let kind = &groups[0]["hooks"][0]["type"];
        let expected =
            if matches!(event.as_str(), "SessionStart" | "Setup") { "command" } else { "http" };
        assert_eq!(kind, expected, "{event}");
    }
}

#[test]
fn a_second_time_touches_nothing_and_another_address_replaces_the_first() {
    let site = Site::new();
    write(&user(&site), THEIRS, 0o644);
    hooks(&site, &["install"]);
    let (text, before) = (read(&user(&site)), fs::metadata(user(&site)).unwrap());
    let said = hooks(&site, &["install", "--user"]).stdout;
    assert!(String::from_utf8_lossy(&said).contains("as before"));
    let after = fs::metadata(user(&site)).unwrap();
    assert_eq!((before.ino(), before.mtime_nsec()), (after.ino(), after.mtime_nsec()));
    hooks(&site, &["install", "--admin", "http://127.0.0.1:9485/"]);
    let moved = read(&user(&site));
    assert_eq!(moved, text.replace("127.0.0.1:8485", "127.0.0.1:9485"));
    hooks(&site, &["uninstall"]);
    assert_eq!(read(&user(&site)), THEIRS);
}

#[test]
fn the_token_is_for_its_owner_and_never_in_a_project() {
    let site = Site::new();
    let project = site.path(".claude/settings.json");
    write(&user(&site), THEIRS, 0o664);
    write(&project, "{\n  \"model\": \"haiku\"\n}\n", 0o640);
    hooks(&site, &["install", "--project"]);
    let token = token(&site);
    assert_eq!(token.len(), 64);
    assert!(!read(&project).contains(&token) && read(&project).contains("PreToolUse"));
    assert!(read(&user(&site)).contains(&token) && !read(&user(&site)).contains("PreToolUse"));
    assert_eq!((mode(&user(&site)), mode(&project)), (0o600, 0o640));
    hooks(&site, &["uninstall", "--project"]);
    assert_eq!(read(&project), "{\n  \"model\": \"haiku\"\n}\n");
    hooks(&site, &["uninstall"]);
    assert_eq!(read(&user(&site)), THEIRS);
    for form in [["settings"].as_slice(), &["settings", "--managed"]] {
        let printed = hooks(&site, form);
        let all = [printed.stdout, printed.stderr].concat();
        assert!(!String::from_utf8_lossy(&all).contains(&token), "{form:?}");
    }
    // A new file: private for the user, the usual for a project.
    fs::remove_file(user(&site)).unwrap();
    fs::remove_file(&project).unwrap();
    hooks(&site, &["install", "--project"]);
    assert_eq!((mode(&user(&site)), mode(&project)), (0o600, 0o644));
}

#[test]
fn a_link_stays_a_link_and_nothing_is_left_beside_the_file() {
    let site = Site::new();
    let real = site.path("dotfiles/claude.json");
    write(&real, THEIRS, 0o600);
    fs::create_dir_all(site.path("home/.claude")).unwrap();
    std::os::unix::fs::symlink(&real, user(&site)).unwrap();
    hooks(&site, &["install"]);
    assert!(fs::symlink_metadata(user(&site)).unwrap().is_symlink());
    assert!(read(&real).contains("WEIGHBRIDGE_HOOK_TOKEN"));
    hooks(&site, &["uninstall"]);
    assert_eq!(read(&real), THEIRS);
    for folder in ["dotfiles", "home/.claude"] {
        assert_eq!(fs::read_dir(site.path(folder)).unwrap().count(), 1, "{folder}");
    }
}

#[test]
fn what_claude_code_would_not_read_is_left_alone() {
    let site = Site::new();
    for text in ["{ // mine\n}", "{\"a\": 1,}", "not JSON", "[]", "{\"hooks\": 1}", "{\"env\": []}"]
    {
        write(&user(&site), text, 0o644);
        assert_refused(&site.run(&["hooks", "install"]), 2, "settings.json");
        assert_eq!((read(&user(&site)).as_str(), mode(&user(&site))), (text, 0o644));
        assert_eq!(fs::read_dir(site.path("home/.claude")).unwrap().count(), 1, "{text}");
    }
    fs::write(user(&site), [b'{', 0xff, b'}']).unwrap();
    assert_refused(&site.run(&["hooks", "install"]), 1, "UTF-8");
    let output = site.run(&["hooks", "uninstall", "--project"]);
    assert!(output.status.success(), "nothing there is nothing to do: {output:?}");
}

#[test]
fn the_form_for_administrators() {
    let site = Site::new();
    let print = |arguments: &[&str]| {
        let output = hooks(&site, &[&["settings"], arguments].concat());
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let managed = print(&["--managed", "--admin", "http://127.0.0.1:9000"]);
    assert_eq!(managed["allowManagedHooksOnly"], true);
    assert_eq!(managed["allowedHttpHookUrls"], serde_json::json!(["http://127.0.0.1:9000/hooks"]));
    assert!(managed.get("env").is_none());
    assert!(!managed.to_string().contains("onFailure"));
    let enforced = print(&["--managed", "--enforce"]);
    let blocking: Vec<_> = enforced["hooks"].as_object().unwrap().iter().collect();
    let blocking = blocking.into_iter().filter(|(_, groups)| groups.to_string().contains("block"));
    let names: Vec<_> = blocking.map(|(event, _)| event.as_str()).collect();
    assert_eq!(names, ["PreToolUse", "UserPromptSubmit"]);
    for wrong in [
        ["hooks", "settings", "--enforce"].as_slice(),
        &["hooks", "install", "--enforce"],
        &["hooks", "install", "--user", "--project"],
        &["hooks", "install", "--admin", "127.0.0.1:8485"],
        &["hooks", "install", "--admin", "http://127.0.0.1:8485/ x"],
        &["hooks"],
    ] {
        assert_refused(&site.run(wrong), 2, "");
    }
}
