//! Hook events that carry canaries in every field, and posts that are none.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use super::Rig;
use super::planted::Planted;
use super::planted::Way::Stays;
use super::support::client::{self, Request};
use super::support::hooks::{admin, post, send};

/// Fields that hold an identifier where they are well-formed: left alone the second time.
const IDENTIFIERS: [&str; 8] = [
    "session_id",
    "tool_use_id",
    "tool_name",
    "agent_id",
    "agent_type",
    "prompt_id",
    "permission_mode",
    "model",
];

/// Every event of the fixtures: as it was captured, or its fields by name.
fn events() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/hooks");
    let paths = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|end| end == "json")).collect();
    paths.sort();
    let mut all = Vec::new();
    for path in paths {
        let value: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if value.get("hook_event_name").is_some() {
            all.push(value);
            continue;
        }
        let base = value["BaseHookInput"].as_object().unwrap();
        for fields in value.as_object().unwrap().values() {
            let Some(name) = fields["hook_event_name"].as_str() else { continue };
            let mut event = json!({});
            for (field, kind) in base.iter().chain(fields.as_object().unwrap()) {
                event[field.trim_end_matches('?')] = kind.clone();
            }
            event["hook_event_name"] = name.trim_matches('\'').into();
            all.push(event);
        }
    }
    let unknown = json!({"hook_event_name": "AFutureEvent", "session_id": "", "prompt": ""});
    all.push(unknown);
    all
}

/// A canary in the place of every text.
fn plant(value: &mut Value, p: &mut Planted, place: &str, keep: &[&str]) {
    match value {
        Value::String(text) => *text = p.text(Stays, place),
        Value::Array(list) => {
            for (k, one) in list.iter_mut().enumerate() {
                plant(one, p, &format!("{place}.{k}"), keep);
            }
        }
        Value::Object(fields) => {
            for (name, one) in fields.iter_mut() {
                if name != "hook_event_name" && !keep.contains(&name.as_str()) {
                    plant(one, p, &format!("{place}.{name}"), keep);
                }
            }
        }
        _ => {}
    }
}

/// The event with more that no client has sent so far.
fn grown(mut event: Value, p: &mut Planted, keep: &[&str]) -> Value {
    let name = event["hook_event_name"].as_str().unwrap().to_owned();
    plant(&mut event, p, &name, keep);
    event[p.word(Stays, &format!("{name}: key"))] = json!([{"deep": p.person(Stays, &name)}]);
    if event.get("prompt").is_some() {
        event["prompt"] = p.person(Stays, &format!("{name}.prompt")).into();
    }
    for field in ["tool_input", "tool_response"] {
        if event.get(field).is_some_and(Value::is_object) {
            event[field][p.word(Stays, &format!("{name}.{field}: key"))] =
                p.person(Stays, &format!("{name}.{field}")).into();
        }
    }
    event
}

/// All events, twice: with nothing that is an identifier, and with the client's own identifiers.
pub async fn every_event(rig: &mut Rig) -> usize {
    let mut posted = 0;
    for keep in [&[][..], &IDENTIFIERS] {
        for event in events() {
            let event = grown(event, &mut rig.planted, keep);
            let answer = send(rig.sidecar(), &post(rig.sidecar(), &bytes(&event))).await;
            assert_eq!(answer.status, 200, "{event}");
            rig.own("answer to a hook", &answer);
            posted += 1;
        }
    }
    posted
}

fn bytes(event: &Value) -> Vec<u8> {
    event.to_string().into_bytes()
}

/// Posts that are refused, and other addresses of the operator's.
pub async fn refused(rig: &mut Rig) {
    let p = &mut rig.planted;
    let good = json!({"hook_event_name": "Stop", "session_id": p.text(Stays, "refused event")});
    let good = bytes(&good);
    let text = |what: &str, p: &mut Planted| p.text(Stays, &format!("refused post: {what}"));
    let broken = format!("{{\"hook_event_name\":\"PreToolUse\",\"x\":\"{}", text("broken", p));
    let twice = format!("{{\"hook_event_name\":\"Stop\",\"a\":\"{}\",\"a\":1}}", text("twice", p));
    let nameless = bytes(&json!({"prompt": p.person(Stays, "event without a name")}));
    let named = bytes(&json!({"hook_event_name": text("name of an event", p)}));
    let token = format!("Bearer {}", p.word(Stays, "token that is wrong"));
    let (origin, host) = (text("origin", p), format!("{}.example", p.word(Stays, "host")));
    let (kind, query) = (text("content-type", p), p.word(Stays, "query of a post"));
    let path = format!("/{}?{}", p.word(Stays, "path"), p.word(Stays, "its query"));
    let more = text("header", p);
    let sidecar = rig.sidecar();
    let is = |body: &[u8]| post(sidecar, body).header("x-more", &more);
    let all = [
        (400, is(broken.as_bytes())),
        (400, is(twice.as_bytes())),
        (400, is(&nameless)),
        (200, is(&named)),
        (401, is(&good).without("authorization").header("authorization", &token)),
        (403, is(&good).header("origin", &origin)),
        (403, is(&good).without("host").header("host", &host)),
        (415, is(&good).without("content-type").header("content-type", &kind)),
        (405, Request { method: "PUT".to_owned(), ..is(&good) }),
        (200, Request { target: format!("/hooks?{query}"), ..is(&good) }),
        (404, Request::new("GET", &path)),
        (405, Request { target: path.clone(), ..is(&good) }),
    ];
    let mut answers = Vec::new();
    for (status, request) in all {
        let answer = client::call(admin(sidecar), &request).await;
        // Where rules hold, what cannot be read is denied.
        let denied = status == 400 && answer.status == 200;
        assert!(denied || answer.status == status, "{}: {request:?}", answer.status);
        answers.push(answer);
    }
    answers.push(sidecar.telemetry(&path).await);
    for answer in answers {
        rig.own("answer of the admin listener", &answer);
    }
}

/// `weighbridge hook` with a canary in every variable and on standard input.
pub fn command(rig: &mut Rig) {
    let p = &mut rig.planted;
    let wrong = p.word(Stays, "wrong token in the environment");
    let elsewhere = format!("http://{}.invalid:1/hooks", p.word(Stays, "host in the environment"));
    let none = p.text(Stays, "address that is none in the environment");
    let here = format!("http://{}/hooks", admin(rig.sidecar()));
    let token = rig.sidecar().ready["hook_token"].as_str().unwrap().to_owned();
    for (url, token) in [
        (here.as_str(), token.as_str()),
        (&here, &wrong),
        (&here, &format!("{wrong}\n")),
        (&elsewhere, &wrong),
        (&none, &wrong),
    ] {
        let p = &mut rig.planted;
        let event = json!({"hook_event_name": "PreToolUse", "tool_name": "Bash",
            "tool_input": {"command": p.person(Stays, "standard input of hook")}});
        let mut command = rig.site.command(&["hook"]);
        command.env("WEIGHBRIDGE_HOOK_URL", url).env("WEIGHBRIDGE_HOOK_TOKEN", token);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let _ = child.stdin.take().unwrap().write_all(&bytes(&event));
        let output = child.wait_with_output().unwrap();
        rig.sinks.output("weighbridge hook", &output);
    }
}
