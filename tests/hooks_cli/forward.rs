//! `weighbridge hook`: never in the way, and the one exception.

use std::io::Write;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use super::receiver::{Receiver, Reply};
use super::support::sidecar::Site;

/// Must never come out again.
const SECRET: &str = "canary-2f8e";

fn event() -> Vec<u8> {
    let event = json!({"hook_event_name": "PreToolUse", "tool_name": "Bash",
        "tool_input": {"command": SECRET}});
    event.to_string().into_bytes()
}

/// Runs the forwarder with this on standard input.
fn hook(arguments: &[&str], input: &[u8]) -> Output {
    let site = Site::new();
    let mut command = site.command(&[&["hook"], arguments].concat());
    command.env("WEIGHBRIDGE_HOOK_TOKEN", SECRET).env("ANTHROPIC_API_KEY", SECRET);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // It may leave without having read it.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let said = [&output.stdout[..], &output.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains(SECRET), "it says what it must not");
    output
}

/// Exit code 0, nothing for the client to read, one line for a person.
#[track_caller]
fn assert_out_of_the_way(output: &Output, why: &str) {
    let told = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{told}");
    assert!(output.stdout.is_empty(), "{why}: the client would read it");
    assert!(told.contains(why), "{told:?} does not say {why:?}");
    assert_eq!(told.lines().count(), 1, "{told}");
}

#[test]
fn an_event_goes_on_as_it_came_and_nothing_is_said() {
    let receiver = Receiver::start(Reply::With(200, "{}".to_owned()));
    let output = hook(&["--url", &receiver.url()], &event());
    assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(0), vec![], vec![]));
    let posts = receiver.posts();
    assert_eq!(posts.len(), 1);
    assert_eq!(posts[0].body, event());
    for line in ["post /hooks http/1.1", "content-type: application/json"] {
        assert!(posts[0].head.contains(line), "{}", posts[0].head);
    }
    assert!(posts[0].head.contains(&format!("authorization: bearer {SECRET}")));
}

#[test]
fn the_address_comes_from_the_environment_too() {
    let receiver = Receiver::start(Reply::With(200, "{}".to_owned()));
    let mut site = Site::new();
    site.env("WEIGHBRIDGE_HOOK_URL", &receiver.url());
    let mut command = site.command(&["hook"]);
    let file = site.file("event.json", "{\"hook_event_name\":\"Stop\"}");
    let output = command.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    assert_eq!(receiver.posts()[0].event(), "Stop");
}

#[test]
fn a_denial_is_one_for_clients_that_read_json_and_for_those_that_do_not() {
    let tool = json!({"hookSpecificOutput": {"hookEventName": "PreToolUse",
        "permissionDecision": "deny", "permissionDecisionReason": "Bash is not allowed"}});
    let prompt = json!({"decision": "block", "reason": "no more turns"});
    for (decision, reason) in [(tool, "Bash is not allowed\n"), (prompt, "no more turns\n")] {
        let receiver = Receiver::start(Reply::With(200, decision.to_string()));
        let output = hook(&["--url", &receiver.url()], &event());
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(String::from_utf8_lossy(&output.stderr), reason);
        let given: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(given, decision);
    }
}

#[test]
fn whatever_a_sidecar_answers_else_does_not_stop_the_agent() {
    for (status, body, why) in [
        (401, "", "token"),
        (403, "", "403"),
        (404, "", "admin"),
        (413, "", "1 MiB"),
        (415, "", "415"),
        (400, "", "hook_event_name"),
        (500, "{\"decision\":\"block\"}", "500"),
        (503, "", "ledger"),
        (302, "", "302"),
        (200, "hello", "not a sidecar's"),
        (200, "[]", "not a sidecar's"),
        (200, "", "not a sidecar's"),
    ] {
        let receiver = Receiver::start(Reply::With(status, body.to_owned()));
        assert_out_of_the_way(&hook(&["--url", &receiver.url()], &event()), why);
    }
    for body in ["{\"decision\":\"approve\"}", "{\"hookSpecificOutput\":7}", " {} "] {
        let receiver = Receiver::start(Reply::With(200, body.to_owned()));
        let output = hook(&["--url", &receiver.url()], &event());
        assert_eq!((output.status.code(), output.stdout, output.stderr), (Some(0), vec![], vec![]));
    }
}

#[test]
fn no_sidecar_no_event_and_wrong_usage_do_not_stop_it_either() {
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/hooks", listener.local_addr().unwrap())
    };
    assert_out_of_the_way(&hook(&["--url", &closed], &event()), "no sidecar answers");
    let silent = Receiver::start(Reply::Never);
    assert_out_of_the_way(&hook(&["--url", &silent.url()], &event()), "takes too long");
    for url in ["127.0.0.1:8485", "file:///etc/passwd", "http://", "", "\n"] {
        assert_out_of_the_way(&hook(&["--url", url], &event()), "address");
    }
    let receiver = Receiver::start(Reply::With(200, "{}".to_owned()));
    let url = receiver.url();
    assert_out_of_the_way(&hook(&["--url", &url], b""), "none on standard input");
    let long = vec![b' '; 1024 * 1024 + 1];
    assert_out_of_the_way(&hook(&["--url", &url], &long), "longer than 1 MiB");
    assert!(receiver.posts().is_empty(), "nothing of that was sent");
    let longest = vec![b' '; 1024 * 1024];
    assert!(hook(&["--url", &url], &longest).stderr.is_empty(), "1 MiB is not too long");

    for wrong in [["--nope"].as_slice(), &["extra"], &["--url"], &["--url", "a", "--url", "b"]] {
        let output = hook(wrong, &event());
        assert_eq!(output.status.code(), Some(0), "{wrong:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{wrong:?}");
    }
}

#[test]
fn standard_input_that_stays_open_is_left_behind() {
    let receiver = Receiver::start(Reply::With(200, "{}".to_owned()));
    let site = Site::new();
    let mut command = site.command(&["hook", "--url", &receiver.url()]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let held = child.stdin.take().unwrap();
    assert_out_of_the_way(&child.wait_with_output().unwrap(), "takes too long");
    drop(held);
}
