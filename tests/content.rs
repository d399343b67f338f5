//! Contents that a team asks to keep: redacted, sealed, never in the ledger; nothing by default.
#![cfg(test)]

mod support;

use std::fs;
use std::process::Output;

use serde_json::{Value, json};
use support::api::Fake;
use support::client::Request;
use support::eventually;
use support::sidecar::{BINARY, Options, Sidecar, Site, files};

const STRICT: &str = "[capture.team]\nonc = \"redacted\"\nlab = \"strict\"\n";

fn asking(text: &str, key: &str) -> Request {
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 9, "stream": true, "messages": [
        {"role": "user", "content": "An old turn of Zyxela Quorvandel"},
        {"role": "assistant", "content": "Seen."},
        {"role": "user", "content": [
            {"type": "text", "text": text},
            {"type": "image", "source":
                {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}},
            {"type": "tool_result", "tool_use_id": "toolu_1",
                "content": "{\"mrn\": \"0921098\", \"potassium\": 4.2}"},
        ]},
    ]});
    let key = format!("Bearer {key}");
    Request::json("/v1/messages", &body).without("x-api-key").header("authorization", &key)
}

fn site(fake: &Fake, config: &str) -> (Site, Sidecar, [String; 2]) {
    let mut site = Site::new();
    site.env("UPSTREAM_KEY", "sk-ant-fake");
    let keys = [["--team", "onc", "--user", "ana"], ["--team", "lab", "--user", "bo"]]
        .map(|arguments| site.add_key(&arguments));
    let config = format!("[upstream]\nkey = \"env:UPSTREAM_KEY\"\n{config}");
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&config));
    (site, sidecar, keys)
}

fn show(site: &Site, exchange: &str, more: &[&str]) -> Output {
    let data = site.path("data");
    let shown = ["content", "show", exchange, "--data-dir", data.to_str().unwrap()];
    site.run(&[&shown, more].concat())
}

async fn shown(site: &Site, exchange: &str) -> Value {
    let read = || {
        let output = show(site, exchange, &["--format", "json"]);
        output.status.success().then(|| serde_json::from_slice(&output.stdout).unwrap())
    };
    eventually("the content is sealed", read).await
}

#[tokio::test]
async fn what_a_team_keeps_is_redacted_sealed_and_shown() {
    let fake = Fake::start("steady").await;
    let (site, sidecar, [onc, lab]) = site(&fake, STRICT);
    let text = "Patient Zyxela Quorvandel (DOB 03/09/1942) called from 919-555-0121 about \
                metformin.";
    let answer = sidecar.call(&asking(text, &onc)).await;
    assert_eq!(answer.status, 200);
    let kept = shown(&site, &answer.exchange()).await;
    let pieces = kept["pieces"].as_array().unwrap();
    assert_eq!(
        pieces[0]["text"],
        "Patient [NAME] (DOB [DATE]) called from [PHONE] about metformin."
    );
    assert_eq!((&pieces[1]["media"], &pieces[1]["text"]), (&json!("image/png"), &Value::Null));
    assert!(pieces[1]["hash"].as_str().unwrap().starts_with("hmac:"));
    assert_eq!(pieces[2]["text"], "{\"mrn\": \"[MRN]\", \"potassium\": 4.2}");
    // The turn before the last answer was kept with its own call, and is not kept again.
    assert!(pieces[..3].iter().all(|piece| piece["author"] == "user"), "{kept}");
    assert!(pieces[3..].iter().all(|piece| piece["author"] == "assistant"), "{kept}");
    assert!(pieces.len() > 3, "the answer is kept: {kept}");

    // The ledger knows how much was kept and redacted, and none of it.
    let told = || {
        site.ledger_lines().into_iter().rev().find_map(|line| {
            let line: Value = serde_json::from_slice(&line).unwrap();
            (line["kind"] == "content_kept").then(|| line["body"].clone())
        })
    };
    let told = eventually("what was kept is an entry", told).await;
    assert_eq!((&told["exchange"], &told["mode"]), (&json!(answer.exchange()), &json!("standard")));
    assert_eq!(told["pieces"], pieces.len());
    let once = |label: &str| told["redactions"][label] == 1;
    assert!(["NAME", "DATE", "PHONE", "MRN"].into_iter().all(once), "{told}");

    let answer = sidecar.call(&asking("Ask Brzk about ward 71234.", &lab)).await;
    let kept = shown(&site, &answer.exchange()).await;
    assert_eq!(kept["mode"], "strict");
    assert_eq!(kept["pieces"][0]["text"], "Ask [NAME] about ward [ID].");

    let metrics = sidecar.metrics().await;
    let names = metrics.sum("claude_redactions_total", &["team=\"onc\"", "label=\"NAME\""]);
    assert!(names >= 1.0, "{names}");
    assert!(metrics.sum("weighbridge_kept_blocks_total", &["team=\"onc\""]) >= 4.0);
    assert_eq!(metrics.sum("weighbridge_dropped_contents_total", &[]), 0.0);
    sidecar.stop();
    let mut all = Vec::new();
    files(&site.path("data"), &mut all);
    assert!(all.iter().any(|path| path.to_string_lossy().contains("content")));
    for path in all {
        let bytes = fs::read(&path).unwrap();
        for secret in ["Zyxela", "Quorvandel", "919-555", "0921098", "metformin", "potassium"] {
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} is readable in {}", path.display());
        }
    }
}

#[tokio::test]
async fn an_erased_user_is_mute_and_the_ledger_stays() {
    let fake = Fake::start("steady").await;
    let (site, sidecar, [onc, lab]) = site(&fake, STRICT);
    let mut ids = Vec::new();
    for key in [&onc, &lab] {
        let answer = sidecar.call(&asking("Nothing of note.", key)).await;
        shown(&site, &answer.exchange()).await;
        ids.push(answer.exchange());
    }
    let told = site.ok(&["content", "erase", "--team", "onc", "--user", "ana"]);
    assert!(told.starts_with("Erased"), "{told}");
    let gone = show(&site, &ids[0], &[]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&gone.stderr).contains("erased"));
    assert!(site.ok(&["content", "show", &ids[1]]).contains("Nothing of note."));
    assert_eq!(site.exchanges().len(), 2);
    // Whoever comes back has a new key; what was erased stays so.
    let answer = sidecar.call(&asking("Back again.", &onc)).await;
    shown(&site, &answer.exchange()).await;
    let gone = show(&site, &ids[0], &[]);
    assert_eq!(gone.status.code(), Some(1));
    let said = String::from_utf8_lossy(&gone.stderr);
    assert!(said.contains("erased") && !said.contains("damaged"), "{said}");
    sidecar.stop();
}

#[tokio::test]
async fn what_waits_when_its_user_is_erased_is_dropped() {
    let fake = Fake::start("steady").await;
    let (site, sidecar, [onc, _]) = site(&fake, STRICT);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let answer = sidecar.call(&asking(&"Seen by Dr. Roe. ".repeat(50_000), &onc)).await;
        ids.push(answer.exchange());
    }
    // Whether or not the first is sealed by now, the last one waits.
    let data = site.path("data");
    let erase = ["content", "erase", "--team", "onc", "--user", "ana", "--data-dir"];
    site.run(&[&erase[..], &[data.to_str().unwrap()]].concat());
    let answer = sidecar.call(&asking("Back again.", &onc)).await;
    shown(&site, &answer.exchange()).await;
    for id in &ids {
        assert_eq!(show(&site, id, &[]).status.code(), Some(1), "{id} can be read");
    }
    let metrics = sidecar.metrics().await;
    let dropped = metrics.sum("weighbridge_dropped_contents_total", &["reason=\"erased\""]);
    assert!((1.0..=4.0).contains(&dropped), "{dropped}");
    sidecar.stop();
}

#[tokio::test]
async fn a_session_or_a_call_alone_is_erased_by_the_name_that_people_know() {
    let fake = Fake::start("steady").await;
    let (mut site, sidecar, _) = site(&fake, STRICT);
    site.env("UPSTREAM_KEY", "sk-ant-fake");
    let key = site.add_key(&["--team", "onc"]);
    // Recorded as a keyed hash: it names somebody.
    let session = "visit of Jane Roe";
    let header = "x-claude-code-session-id";
    let mine = sidecar.call(&asking("Of a session.", &key).header(header, session)).await;
    let other = sidecar.call(&asking("Of another.", &key).header(header, "s-2")).await;
    let alone = sidecar.call(&asking("Of nobody.", &key)).await;
    let ids = [&mine, &other, &alone].map(|answer| answer.exchange());
    for id in &ids {
        shown(&site, id).await;
    }
    let recorded = site.exchange(&ids[0])["session"].as_str().unwrap().to_owned();
    assert!(recorded.starts_with("hmac:"), "{recorded}");
    let data = site.path("data");
    let erase = |flag: &str, name: &str| {
        let all = ["content", "erase", flag, name, "--data-dir", data.to_str().unwrap()];
        let output = site.run(&all);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let of_session = erase("--exchange", &ids[0]);
    assert!(of_session.0 == Some(1) && of_session.1.contains("--session"), "{of_session:?}");
    assert_eq!(erase("--session", session).0, Some(0));
    assert!(String::from_utf8_lossy(&show(&site, &ids[0], &[]).stderr).contains("erased"));
    // The recorded name is the same session.
    let again = sidecar.call(&asking("Again.", &key).header(header, session)).await.exchange();
    shown(&site, &again).await;
    assert_eq!(erase("--session", &recorded).0, Some(0));
    assert_eq!(show(&site, &again, &[]).status.code(), Some(1));
    assert_eq!(erase("--exchange", &ids[2].to_uppercase()).0, Some(0));
    assert!(String::from_utf8_lossy(&show(&site, &ids[2], &[]).stderr).contains("erased"));
    assert_eq!(erase("--exchange", &ids[2]).0, Some(1));
    // The rest is as it was, and is found by the beginning of its id. Ids of one test begin alike.
    let shortest = (8..36).find(|length| {
        ids.iter().chain([&again]).all(|id| *id == ids[1] || id[..*length] != ids[1][..*length])
    });
    let beginning = &ids[1][..shortest.unwrap()].to_uppercase();
    assert!(site.ok(&["content", "show", beginning]).contains("Of another."));
    let ambiguous = show(&site, &ids[1][..8], &[]);
    assert_eq!(ambiguous.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&ambiguous.stderr).contains("more than one exchange"));
    assert_eq!(show(&site, &ids[1][..7], &[]).status.code(), Some(2));
    sidecar.stop();
}

#[tokio::test]
async fn a_user_is_erased_by_the_name_of_the_key() {
    let fake = Fake::start("steady").await;
    let (site, sidecar, _) = site(&fake, STRICT);
    // As an identifier from outside it would be hashed; `weighbridge keys` keeps it.
    let key = site.add_key(&["--team", "onc", "--user", "jane.roe"]);
    let id = sidecar.call(&asking("Nothing of note.", &key)).await.exchange();
    shown(&site, &id).await;
    site.ok(&["content", "erase", "--team", "onc", "--user", "jane.roe"]);
    assert!(String::from_utf8_lossy(&show(&site, &id, &[]).stderr).contains("erased"));
    sidecar.stop();
}

#[tokio::test]
async fn an_answer_of_bedrock_is_kept_in_each_of_its_forms() {
    let fake = Fake::start("basic").await;
    let (site, sidecar, [onc, _]) = site(&fake, STRICT);
    let mut said = Vec::new();
    for verb in ["invoke", "invoke-with-response-stream", "converse", "converse-stream"] {
        let target = format!("/model/global.anthropic.claude-opus-5-5/{verb}");
        let answer = sidecar.call(&Request { target, ..asking("Hello.", &onc) }).await;
        assert_eq!(answer.status, 200, "{verb}");
        let kept = shown(&site, &answer.exchange()).await;
        let pieces = kept["pieces"].as_array().unwrap();
        let texts = pieces.iter().filter(|piece| piece["author"] == "assistant");
        let texts: Vec<_> = texts.map(|piece| piece["text"].as_str().unwrap().to_owned()).collect();
        assert!(!texts.is_empty() && texts.iter().all(|text| !text.is_empty()), "{verb}: {kept}");
        said.push(texts);
    }
    assert_eq!(said[0], said[1], "one answer, whole and in frames");
    assert_eq!(said[2], ["hello"]);
    assert_eq!(said[2], said[3]);
    sidecar.stop();
}

#[tokio::test]
async fn data_in_a_result_leaves_type_size_and_hash() {
    let fake = Fake::start("basic").await;
    let (site, sidecar, [onc, _]) = site(&fake, STRICT);
    let source = json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0x"});
    let body = json!({"model": "claude-opus-5-5", "max_tokens": 9, "messages": [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": [
            {"type": "text", "text": "Seen by Dr. Roe."},
            {"type": "document", "source": source},
        ]}]},
    ]});
    let request = Request::json("/v1/messages", &body).without("x-api-key");
    let request = request.header("authorization", &format!("Bearer {onc}"));
    let kept = shown(&site, &sidecar.call(&request).await.exchange()).await;
    assert_eq!(kept["pieces"][0]["text"], "Seen by Dr. [NAME].");
    let piece = &kept["pieces"][1];
    let shape = (&piece["kind"], &piece["media"], &piece["bytes"], &piece["text"]);
    let wanted = (&json!("document"), &json!("application/pdf"), &json!(8), &Value::Null);
    assert_eq!(shape, wanted);
    assert!(piece["hash"].as_str().unwrap().starts_with("hmac:"));
    sidecar.stop();
}

#[tokio::test]
async fn what_is_refused_is_not_kept_and_what_fails_is() {
    let fake = Fake::start("steady").await;
    let (site, sidecar, [onc, lab]) = site(&fake, STRICT);
    let listed = site.ok(&["keys", "list", "--format", "json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let of_lab = listed.as_array().unwrap().iter().find(|key| key["team"] == "lab").unwrap();
    site.ok(&["keys", "revoke", of_lab["fingerprint"].as_str().unwrap()]);
    let mut refused = sidecar.call(&asking("Not sent.", &lab)).await;
    // Until the sidecar has read the keys again.
    for _ in 0..500 {
        if refused.status != 200 {
            break;
        }
        refused = sidecar.call(&asking("Not sent.", &lab)).await;
    }
    assert_ne!(refused.status, 200);
    let failed = sidecar.call(&asking("Sent.", &onc).header("x-fake-scenario", "e400")).await;
    assert_eq!(failed.status, 400);
    // In their order: what is behind the refused call is sealed, it is not.
    assert_eq!(shown(&site, &failed.exchange()).await["pieces"][0]["text"], "Sent.");
    let output = show(&site, &refused.exchange(), &[]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was kept"));
    sidecar.stop();
}

#[test]
fn a_panic_tells_its_place_and_not_its_message() {
    let site = Site::new();
    // Where a runtime has too few files for its signals it panics, and its message says so.
    let starved = |files: u32| {
        let mut command = std::process::Command::new("sh");
        command.env_clear().env("HOME", site.path("home")).env("RUST_BACKTRACE", "1");
        command.args(["-c", "ulimit -n \"$1\" && shift && exec \"$@\"", "sh"]);
        command.args([&files.to_string(), BINARY, "serve", "--listen", "127.0.0.1:0"]);
        command.args(["--admin", "127.0.0.1:0", "--telemetry", "127.0.0.1:0"]);
        command.args(["--upstream", "http://127.0.0.1:9", "--data-dir"]).arg(site.path("data"));
        String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned()
    };
    let panics: Vec<_> = (4..9).map(starved).filter(|said| said.contains("panicked")).collect();
    assert!(!panics.is_empty(), "nothing panicked: find another way to make it");
    for said in panics {
        assert!(said.contains("thread main panicked at ") && said.contains(".rs:"), "{said}");
        assert!(!said.contains("Too many open files") && said.lines().count() == 1, "{said}");
    }
}

#[tokio::test]
async fn nothing_is_kept_where_nobody_asks_for_it() {
    let fake = Fake::start("steady").await;
    let (site, sidecar, [onc, lab]) = site(&fake, "[capture.team]\nlab = \"redacted\"\n");
    let answer = sidecar.call(&asking("Not mine.", &onc)).await;
    let other = sidecar.call(&asking("Mine.", &lab)).await;
    shown(&site, &other.exchange()).await;
    assert_eq!(show(&site, &answer.exchange(), &[]).status.code(), Some(1));
    sidecar.stop();
    let (site, sidecar, [onc, _]) = self::site(&fake, "");
    sidecar.call(&asking("Nobody's.", &onc)).await;
    sidecar.stop();
    assert!(!site.path("data").join("content").exists());
}

#[tokio::test]
async fn a_content_too_long_is_dropped_and_counted() {
    let fake = Fake::start("steady").await;
    let (site, sidecar, [onc, _]) = site(&fake, STRICT);
    let answer = sidecar.call(&asking(&"long ".repeat(1_000_000), &onc)).await;
    let kept = shown(&site, &answer.exchange()).await;
    assert_eq!(kept["pieces"][0]["dropped"], "too_long");
    assert_eq!(kept["pieces"][0]["bytes"], 5_000_000);
    // An answer that is not there is not one that was too long.
    let failed = sidecar.call(&asking("Short.", &onc).header("x-fake-scenario", "e400")).await;
    assert_eq!(failed.status, 400);
    shown(&site, &failed.exchange()).await;
    let metrics = sidecar.metrics().await;
    let dropped = metrics.sum("weighbridge_dropped_contents_total", &["reason=\"too_long\""]);
    assert_eq!(dropped, 1.0);
    sidecar.stop();
}

#[tokio::test]
async fn what_waits_at_the_end_is_sealed_before_it() {
    let fake = Fake::start("steady").await;
    let (site, sidecar, [onc, _]) = site(&fake, STRICT);
    let mut ids = Vec::new();
    for _ in 0..4 {
        let answer = sidecar.call(&asking(&"Seen by Dr. Roe. ".repeat(5_000), &onc)).await;
        ids.push(answer.exchange());
    }
    sidecar.stop();
    for id in &ids {
        assert!(show(&site, id, &[]).status.success(), "{id} was not sealed");
    }
    // Without the key nothing is erased, and none is made.
    fs::remove_file(site.path("data").join("content.key")).unwrap();
    let data = site.path("data");
    let erase = ["content", "erase", "--team", "onc", "--user", "ana", "--data-dir"];
    let erased = site.run(&[&erase[..], &[data.to_str().unwrap()]].concat());
    assert_eq!(erased.status.code(), Some(1));
    assert!(!data.join("content.key").exists());
}
