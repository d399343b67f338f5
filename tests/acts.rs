//! What operators do is in the ledger, by whom and when: changes of keys and configuration,
//! erasures, exports, backups. A backup verifies, and runs.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test runs its own tasks")]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Value, json};
use support::api::Fake;
use support::client::Request;
use support::eventually;
use support::sidecar::{Options, Sidecar, Site, files};

/// The bodies of all entries of one kind.
fn bodies(site: &Site, kind: &str) -> Vec<Value> {
    let lines = site.ledger_lines().into_iter();
    let parsed = lines.map(|line| serde_json::from_slice::<Value>(&line).unwrap());
    parsed.filter(|line| line["kind"] == kind).map(|line| line["body"].clone()).collect()
}

async fn body(site: &Site, kind: &str) -> Value {
    eventually(kind, || bodies(site, kind).pop()).await
}

fn uid(site: &Site) -> Value {
    json!(fs::metadata(&site.data).unwrap().uid())
}

#[tokio::test]
async fn changed_keys_and_another_configuration_are_entries() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    site.add_key(&["--team", "onc", "--user", "ana"]);
    let changed = body(&site, "payers_changed").await;
    assert_ne!(changed["before"], changed["after"]);
    assert_eq!(changed["by_uid"], uid(&site));
    sidecar.stop();

    // The same configuration and the same keys: nothing is said.
    Sidecar::start(&site, &Options::to(&fake.url)).stop();
    assert_eq!(bodies(&site, "config_changed"), Vec::<Value>::new());
    assert_eq!(bodies(&site, "payers_changed").len(), 1);

    site.add_key(&["--team", "lab", "--user", "bo"]);
    let another = Options::to(&fake.url).config("[audit]\nheartbeat = \"90s\"\n");
    Sidecar::start(&site, &another).stop();
    let (config, keys) = (body(&site, "config_changed").await, body(&site, "payers_changed").await);
    let starts = bodies(&site, "started");
    assert_eq!(config["before"], starts[1]["config"]);
    assert_eq!(config["after"], starts[2]["config"]);
    assert_eq!((&config["by_uid"], &starts[2]["uid"]), (&uid(&site), &uid(&site)));
    assert_eq!((&keys["before"], &keys["after"]), (&changed["after"], &starts[2]["payers"]));
}

#[tokio::test]
async fn what_was_in_force_outlives_its_segment() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    Sidecar::start(&site, &Options::to(&fake.url)).stop();
    // A sealed segment is followed by another one.
    let newest = site.segments().pop().unwrap();
    fs::set_permissions(&newest, fs::Permissions::from_mode(0o400)).unwrap();
    Sidecar::start(&site, &Options::to(&fake.url)).stop();
    let newest = site.segments().pop().unwrap();
    let start: Value =
        serde_json::from_slice(&fs::read(newest.with_extension("start")).unwrap()).unwrap();
    assert_eq!(start["in_force"]["config"], bodies(&site, "started")[0]["config"]);
}

#[tokio::test]
async fn an_erasure_leaves_an_entry() {
    let mut site = Site::new();
    site.env("UPSTREAM_KEY", "sk-ant-fake");
    let fake = Fake::start("steady").await;
    let key = site.add_key(&["--team", "onc", "--user", "ana"]);
    let config = "[upstream]\nkey = \"env:UPSTREAM_KEY\"\n[capture.team]\nonc = \"redacted\"\n";
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(config));
    let request = Request::messages("steady", true).without("x-api-key");
    let request = request.header("authorization", &format!("Bearer {key}"));
    assert_eq!(sidecar.call(&request).await.status, 200);
    let keys = site.data.join("content/keys");
    let sealed = || fs::read_dir(&keys).ok().and_then(|mut list| list.next()).map(drop);
    eventually("the content is sealed", sealed).await;

    site.ok(&["content", "erase", "--team", "onc", "--user", "ana"]);
    let erased = body(&site, "erased").await;
    assert_eq!((&erased["team"], &erased["user"]), (&json!("onc"), &json!("ana")));
    assert_eq!((&erased["found"], &erased["by_uid"]), (&json!(true), &uid(&site)));
    assert!(fs::read_dir(site.data.join("inbox")).unwrap().next().is_none(), "it is taken once");
    sidecar.stop();
    site.ok(&["audit", "verify"]);
    // Evidence of both: what was kept, in counts, and that it was erased.
    let bundle = site.path("bundle");
    site.ok(&["audit", "export", "--team", "onc", "--out", bundle.to_str().unwrap()]);
    let kept = fs::read_to_string(bundle.join("contents.csv")).unwrap();
    let rows: Vec<&str> = kept.lines().skip(1).collect();
    assert!(rows.len() == 1 && rows[0].contains(",onc,"), "{kept}");
    let changes = fs::read_to_string(bundle.join("changes.csv")).unwrap();
    assert!(changes.contains("erased") && !changes.contains("content_kept"), "{changes}");
    let other = site.path("other");
    site.ok(&["audit", "export", "--team", "lab", "--out", other.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(other.join("contents.csv")).unwrap().lines().count(), 1);
    let verified = site.run(&["audit", "verify", bundle.to_str().unwrap()]);
    assert!(verified.status.success(), "{verified:?}");
}

#[tokio::test]
async fn an_export_leaves_an_entry_that_names_the_bundle() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    sidecar.stop();
    let bundle = site.path("bundle");
    let controls = ["--control", "CC8.1,164.312(b)"];
    site.ok(&[&["audit", "export", "--out", bundle.to_str().unwrap()], &controls[..]].concat());
    // Nobody ran: the next start writes it down.
    assert_eq!(bodies(&site, "exported"), Vec::<Value>::new());
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let exported = body(&site, "exported").await;
    let manifest = fs::read(bundle.join("MANIFEST.sha256")).unwrap();
    let hash: String =
        digest(&SHA256, &manifest).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(exported["manifest"], hash);
    let facts: Value = serde_json::from_slice(&fs::read(bundle.join("ipe.json")).unwrap()).unwrap();
    assert_eq!(exported["root"], facts["tree"]["root"]);
    assert_eq!(exported["controls"], json!(["CC8.1", "164.312(b)"]));
    assert_eq!(exported["by_uid"], uid(&site));
    sidecar.stop();
}

#[tokio::test]
async fn a_forged_act_is_put_aside() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let inbox = site.data.join("inbox");
    fs::create_dir_all(&inbox).unwrap();
    let body = json!({"found": true, "id": "e1", "user": "Jane Doe, born 1942", "team": "onc"});
    let act = json!({"kind": "erased", "body": body});
    fs::write(inbox.join("e1.json"), act.to_string()).unwrap();
    let entry = json!({"kind": "gap", "body": {"count": 1, "from": 0, "reason": "x", "to": 0}});
    fs::write(inbox.join("e2.json"), entry.to_string()).unwrap();
    let digest = "a".repeat(64);
    let body = json!({"controls": ["Jane Doe, 1942"], "end": 0, "first": 0, "id": "e3",
        "manifest": digest, "root": digest, "size": 0});
    let export = json!({"kind": "exported", "body": body});
    fs::write(inbox.join("e3.json"), export.to_string()).unwrap();
    let aside = |name: &str| inbox.join(name).exists().then_some(());
    eventually("free text is no name", || aside("e1.rejected")).await;
    eventually("a gap is no act", || aside("e2.rejected")).await;
    eventually("free text is no criterion", || aside("e3.rejected")).await;
    sidecar.stop();
    assert!(!String::from_utf8_lossy(&site.ledger_lines().concat()).contains("Jane"));
}

#[tokio::test]
async fn nothing_in_the_inbox_stops_the_sidecar() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let inbox = site.data.join("inbox");
    fs::create_dir_all(inbox.join("d.json")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(inbox.join("a.json")).status().unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/dev/zero", inbox.join("b.json")).unwrap();
    let long = json!({"found": true, "id": "c", "session": "s".repeat(20_000)});
    let act = json!({"kind": "erased", "body": long});
    fs::write(inbox.join("c.json"), act.to_string()).unwrap();
    let good = json!({"kind": "backed_up", "body": {"entries": 1, "id": "z"}});
    fs::write(inbox.join("z.json"), good.to_string()).unwrap();
    assert_eq!(body(&site, "backed_up").await["entries"], 1);
    let aside = |name: &str| inbox.join(name).exists().then_some(());
    for name in ["a.rejected", "b.rejected", "c.rejected", "d.rejected"] {
        eventually(name, || aside(name)).await;
    }
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    sidecar.stop();
    assert_eq!(bodies(&site, "backed_up").len(), 1, "once");
}

fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(folder, &mut found);
    found
}

#[tokio::test]
async fn a17_a_backup_under_load_verifies_and_runs() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let url = sidecar.address;
    let load = tokio::spawn(async move {
        let request = Request::messages("basic", true);
        let mut calls = 0_u64;
        loop {
            assert_eq!(support::client::call(url, &request).await.status, 200);
            calls += 1;
            if calls == 100 {
                return;
            }
        }
    });
    eventually("calls run", || (site.ledger_lines().len() > 40).then_some(())).await;
    let copy = site.path("copy");
    let arguments: Vec<String> = ["backup", "--out", copy.to_str().unwrap(), "--data-dir"]
        .map(str::to_owned)
        .into_iter()
        .chain([site.data.to_str().unwrap().to_owned()])
        .collect();
    let mut command = site.command(&[]);
    command.args(&arguments);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("VERIFIED"), "{said}");
    load.await.unwrap();
    let backed_up = body(&site, "backed_up").await;
    sidecar.stop();
    for path in tree(&copy) {
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }

    // The copy is a data directory of its own: the index is whole, and it goes on.
    let lines: usize = tree(&copy.join("segments"))
        .iter()
        .filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"))
        .map(|path| fs::read(path).unwrap().iter().filter(|byte| **byte == b'\n').count())
        .sum();
    assert_eq!(backed_up["entries"], lines);
    assert!(lines > 40);
    let index = rusqlite::Connection::open(copy.join("index.sqlite")).unwrap();
    let whole: String = index.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(whole, "ok");
    drop(index);
    let mut restored = site;
    fs::rename(&restored.data, restored.path("lost")).unwrap();
    fs::rename(&copy, &restored.data).unwrap();
    restored.env("RESTORED", "1");
    let sidecar = Sidecar::start(&restored, &Options::to(&fake.url));
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    sidecar.stop();
    restored.ok(&["audit", "verify"]);
    let again = restored.data.to_str().unwrap();
    let output = restored.run(&["backup", "--out", again, "--data-dir", again]);
    assert_eq!(output.status.code(), Some(2), "an existing folder is never written into");
    let inside = restored.data.join("audit/copy");
    let inside = inside.to_str().unwrap();
    let output = restored.run(&["backup", "--out", inside, "--data-dir", again]);
    assert_eq!(output.status.code(), Some(2), "nor is the data directory itself");
}
