//! Evidence from outside: a ledger of real calls, signed, exported, verified three ways, and damaged
//! in every way that is known here.
#![cfg(test)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use support::api::Fake;
use support::client::Request;
use support::sidecar::{Options, Sidecar, Site, files};
use weighbridge::audit::checkpoint::{Checkpoint, origin};
use weighbridge::audit::merkle::{Frontier, leaf_hash};
use weighbridge::audit::note::{KeyKind, SigningKey};

/// Enough for a full tile, its parent, and a second tile.
const CALLS: usize = 140;

/// Where the second key takes over.
const ROTATED: u64 = 90;

fn key(site: &Site, seed: u8) -> SigningKey {
    let instance = fs::read_to_string(site.data.join("instance")).unwrap();
    SigningKey::from_seed(&origin(instance.trim()), KeyKind::Note, &[seed; 32]).unwrap()
}

/// Signs the ledger as it is, in the format of `docs/audit.md`, at some sizes and at its end.
fn sign(site: &Site) {
    let audit = site.data.join("audit");
    let _ = fs::remove_dir_all(&audit);
    fs::create_dir_all(audit.join("keys")).unwrap();
    fs::create_dir_all(audit.join("checkpoints")).unwrap();
    let (first, second) = (key(site, 1), key(site, 2));
    fs::write(audit.join("keys/0001.vkey"), format!("{}\n0\n", first.verifier())).unwrap();
    let claim = format!("{}\n{ROTATED}\n", second.verifier());
    let signature = STANDARD.encode(first.sign(claim.as_bytes()));
    fs::write(audit.join("keys/0002.vkey"), format!("{claim}{signature}\n")).unwrap();
    let lines = site.ledger_lines();
    let mut tree = Frontier::default();
    let mut notes = String::new();
    for line in &lines {
        tree.push(leaf_hash(line));
        let size = tree.size();
        if [1, 40, ROTATED, 150, 200, lines.len() as u64].contains(&size) {
            let by = if size <= ROTATED { &first } else { &second };
            notes.push_str(&head(site, &tree, by));
            notes.push('\n');
        }
    }
    fs::write(audit.join("checkpoints/2026-11-25.notes"), notes).unwrap();
}

fn head(site: &Site, tree: &Frontier, by: &SigningKey) -> String {
    let instance = fs::read_to_string(site.data.join("instance")).unwrap();
    Checkpoint::of(&origin(instance.trim()), tree).sign(by).to_string()
}

/// A stopped site with a signed ledger of real calls.
async fn site() -> Site {
    let fake = Fake::start("basic").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    for at in 0..CALLS {
        let scenario = if at % 10 == 3 { "plain" } else { "basic" };
        let request = Request::messages(scenario, true);
        assert_eq!(sidecar.call(&request).await.status, 200);
    }
    sidecar.stop();
    sign(&site);
    site
}

fn export(site: &Site, name: &str, more: &[&str]) -> PathBuf {
    let out = site.path(name);
    let told = site.ok(&[&["audit", "export", "--out", out.to_str().unwrap()], more].concat());
    assert!(told.contains("Verify it"), "{told}");
    out
}

fn verify(site: &Site, bundle: &Path, more: &[&str]) -> Output {
    site.run(&[&["audit", "verify", bundle.to_str().unwrap()], more].concat())
}

fn said(output: &Output) -> String {
    let both = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8_lossy(&both).into_owned()
}

fn python(bundle: &Path, more: &[&str]) -> Output {
    Command::new("python3").arg("-B").arg(bundle.join("verify.py")).args(more).output().unwrap()
}

fn hex(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What somebody does who changes a bundle and knows of the manifest.
fn seal(bundle: &Path) {
    let mut all = Vec::new();
    files(bundle, &mut all);
    let name = |path: &PathBuf| path.strip_prefix(bundle).unwrap().to_str().unwrap().to_owned();
    let mut names: Vec<String> = all.iter().map(name).filter(|n| n != "MANIFEST.sha256").collect();
    names.sort();
    let line = |name: &String| format!("{}  {name}\n", hex(&fs::read(bundle.join(name)).unwrap()));
    fs::write(bundle.join("MANIFEST.sha256"), names.iter().map(line).collect::<String>()).unwrap();
}

fn copy(from: &Path, to: &Path) {
    let mut all = Vec::new();
    files(from, &mut all);
    for path in all {
        let target = to.join(path.strip_prefix(from).unwrap());
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(path, target).unwrap();
    }
}

const LINES: &str = "ledger/00000000000000000000.jsonl";
const TILE: &str = "audit/tiles/tile/0/000";
const NOTES: &str = "audit/checkpoints.notes";

/// Changes a file's text.
fn edit(bundle: &Path, name: &str, change: impl FnOnce(String) -> String) {
    let path = bundle.join(name);
    let text = fs::read_to_string(&path).unwrap();
    let changed = change(text.clone());
    assert_ne!(text, changed, "{name}: nothing was changed");
    fs::write(path, changed).unwrap();
}

/// Changes a file's lines.
fn lines(bundle: &Path, name: &str, change: impl FnOnce(&mut Vec<String>)) {
    edit(bundle, name, |text| {
        let mut all: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut all);
        all.join("\n") + "\n"
    });
}

fn bytes(bundle: &Path, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
    let path = bundle.join(name);
    let mut all = fs::read(&path).unwrap();
    change(&mut all);
    fs::write(path, all).unwrap();
}

/// Changes the notes, each with its empty line.
fn notes(bundle: &Path, change: impl FnOnce(&mut Vec<String>)) {
    edit(bundle, NOTES, |text| {
        let halves: Vec<&str> = text.split_inclusive("\n\n").collect();
        let mut all: Vec<String> = halves.chunks(2).map(<[&str]>::concat).collect();
        change(&mut all);
        all.concat()
    });
}

/// The name, what is done, what the program must say, and whether `verify.py` must see it too where
/// the manifest was written anew.
type Mutation = (&'static str, fn(&Path), &'static str, bool);

const MUTATIONS: [Mutation; 29] = [
    (
        "line edited",
        |b| lines(b, LINES, |l| l[20] = l[20].replace("\"body\":{", "\"body\":{\"x\":1,")),
        "index 20",
        true,
    ),
    (
        "time edited",
        |b| lines(b, LINES, |l| l[7] = l[7].replace("\"t\":", "\"t\":1")),
        "index 7",
        true,
    ),
    ("line deleted", |b| lines(b, LINES, |l| drop(l.remove(30))), "line 30 is missing", true),
    (
        "line inserted",
        |b| lines(b, LINES, |l| l.insert(40, l[40].replace("wb-", "wx-"))),
        "index 40",
        true,
    ),
    ("lines swapped", |b| lines(b, LINES, |l| l.swap(50, 51)), "index 50", true),
    (
        "line duplicated",
        |b| lines(b, LINES, |l| l.insert(60, l[60].clone())),
        "line 60 stands again",
        true,
    ),
    ("line cut", |b| edit(b, LINES, |t| t[..t.len() - 9].to_owned()), "ends within line", true),
    ("last line cut", |b| lines(b, LINES, |l| drop(l.pop())), "are missing", true),
    ("lines removed", |b| fs::remove_file(b.join(LINES)).unwrap(), "lines 0 to", true),
    (
        "hash in tile edited",
        |b| bytes(b, TILE, |t| t[33] ^= 1),
        "line 1 does not have its hash in audit/tiles/tile/0/000",
        true,
    ),
    (
        "hashes in tile swapped",
        |b| bytes(b, TILE, |t| (0..32).for_each(|i| t.swap(64 + i, 96 + i))),
        "line 2 does not have its hash in",
        true,
    ),
    ("tile cut", |b| bytes(b, TILE, |t| t.truncate(32 * 200)), "tile/0/000 is damaged", true),
    ("tile deleted", |b| fs::remove_file(b.join(TILE)).unwrap(), "tile/0/000 is damaged", true),
    (
        "upper tile edited",
        |b| bytes(b, "audit/tiles/tile/1/000.p/1", |t| t[0] ^= 1),
        "tile/1/000.p/1 is not the hashes",
        true,
    ),
    (
        "checkpoint edited",
        |b| notes(b, |n| n[1] = n[1].replacen("\n40\n", "\n41\n", 1)),
        "checkpoint 2 of",
        true,
    ),
    (
        "signature edited",
        |b| {
            notes(b, |n| {
                let at = n[2].len() - 12;
                let other = if &n[2][at..=at] == "A" { "B" } else { "A" };
                n[2].replace_range(at..=at, other);
            })
        },
        "checkpoint 3 of",
        true,
    ),
    (
        "newest checkpoint deleted",
        |b| notes(b, |n| drop(n.pop())),
        "no checkpoint covers all",
        true,
    ),
    ("checkpoints swapped", |b| notes(b, |n| n.swap(1, 3)), "fewer than one before", true),
    (
        "checkpoint cut",
        |b| edit(b, NOTES, |t| t[..t.len() - 60].to_owned()),
        "is not a signed note",
        true,
    ),
    (
        "key replaced",
        |b| {
            lines(b, "audit/keys/0001.vkey", |l| {
                let name = l[0].split('+').next().unwrap().to_owned();
                let other = SigningKey::from_seed(&name, KeyKind::Note, &[9; 32]).unwrap();
                l[0] = other.verifier().to_string();
            })
        },
        "0002.vkey is not a key that the one before it signed",
        true,
    ),
    (
        "key deleted",
        |b| fs::remove_file(b.join("audit/keys/0002.vkey")).unwrap(),
        "none of the ledger's keys",
        true,
    ),
    (
        "key's range edited",
        |b| lines(b, "audit/keys/0001.vkey", |l| l[1] = "45".into()),
        "not valid for its lines",
        true,
    ),
    (
        "rotation edited",
        |b| lines(b, "audit/keys/0002.vkey", |l| l[1] = "10".into()),
        "0002.vkey is not a key",
        true,
    ),
    (
        "cell edited",
        |b| edit(b, "exchanges.csv", |t| t.replacen("completed", "refused", 1)),
        "exchanges.csv is not what the lines give",
        false,
    ),
    (
        "row deleted",
        |b| lines(b, "exchanges.csv", |l| drop(l.remove(5))),
        "exchanges.csv is not what",
        false,
    ),
    (
        "event edited",
        |b| edit(b, "ocsf.jsonl", |t| t.replacen("Success", "Failure", 1)),
        "ocsf.jsonl is not what",
        false,
    ),
    (
        "total edited",
        |b| edit(b, "ipe.json", |t| t.replacen("\"calls\": 140", "\"calls\": 139", 1)),
        "other counts or totals",
        false,
    ),
    (
        "root edited",
        |b| {
            edit(b, "ipe.json", |t| {
                let at = t.find("\"root\": \"").unwrap() + 9;
                let digit = if &t[at..=at] == "0" { "1" } else { "0" };
                format!("{}{digit}{}", &t[..at], &t[at + 1..])
            })
        },
        "root that ipe.json names",
        true,
    ),
    (
        "page edited",
        |b| edit(b, "summary.html", |t| t.replacen("140", "141", 1)),
        "summary.html is not what",
        false,
    ),
];

/// The commands of README.txt, as they stand there.
fn with_stock_tools(site: &Site, bundle: &Path) {
    let text = fs::read_to_string(bundle.join("README.txt")).unwrap();
    let from = text.find("   sha256sum -c").unwrap();
    let until = text.find("/tmp/head.sig\n\n").unwrap() + "/tmp/head.sig\n".len();
    let temporary = format!("{}/", site.path("").display());
    let script = format!("set -e\n{}", text[from..until].replace("/tmp/", &temporary));
    let output = Command::new("sh").arg("-c").arg(&script).current_dir(bundle).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("Signature Verified Successfully"), "{}", said(&output));
}

#[tokio::test]
async fn what_a_sidecar_signed_itself_verifies_over_a_change_of_keys() {
    let fake = Fake::start("basic").await;
    let site = Site::new();
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    for _ in 0..5 {
        assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    }
    let told = site.ok(&["audit", "rotate-key"]);
    assert!(told.contains("new key"), "{told}");
    for _ in 0..5 {
        assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    }
    // While it runs, what is signed so far; the lines after it are named.
    let told = site.ok(&["audit", "verify"]);
    assert!(told.contains("2 keys"), "{told}");
    sidecar.stop();
    let told = site.ok(&["audit", "verify"]);
    assert!(!told.contains("covered by no checkpoint"), "{told}");
    let bundle = export(&site, "bundle", &[]);
    let output = verify(&site, &bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    let output = python(&bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    with_stock_tools(&site, &bundle);
    assert!(fs::read_to_string(bundle.join("changes.csv")).unwrap().contains("key_rotated"));
    let mut all = Vec::new();
    files(&bundle, &mut all);
    assert!(all.iter().all(|path| path.extension().is_none_or(|e| e != "key")), "{all:?}");
}

/// What `ocsf/ocsf-schema` requires (read at a5cfc68, 2026-07-22, 1.9.0-dev): `events/base_event`,
/// `events/application/api_activity`, `events/system/{system,process_activity,file_activity}`,
/// `events/network/{network,http_activity}`, `events/iam/entity_management`, and of `objects` those
/// that we fill. One of each group in the last list must be there.
fn check_event(event: &Value, version: &str) {
    let required = |object: &Value, names: &[&str]| {
        for name in names {
            assert!(!object[name].is_null(), "{name} is missing: {event}");
        }
    };
    let one_of = |object: &Value, names: &[&str]| {
        assert!(names.iter().any(|name| !object[name].is_null()), "none of {names:?}: {event}");
    };
    let base = ["activity_id", "category_uid", "class_uid", "metadata", "severity_id", "time"];
    required(event, &base);
    required(&event["metadata"], &["product", "version"]);
    assert_eq!(event["metadata"]["version"], version);
    let (class, activity) = (event["class_uid"].as_u64().unwrap(), &event["activity_id"]);
    assert_eq!(event["type_uid"].as_u64(), Some(class * 100 + activity.as_u64().unwrap()));
    let category = class / 1000;
    assert_eq!(event["category_uid"].as_u64(), Some(category));
    if activity == 99 {
        required(event, &["activity_name"]);
    }
    match class {
        6003 => {
            required(event, &["actor", "api", "src_endpoint"]);
            required(&event["api"], &["operation"]);
            required(&event["api"]["request"], &["uid"]);
        }
        1001 => {
            required(event, &["actor", "device", "file"]);
            required(&event["file"], &["name", "type_id"]);
        }
        1007 => {
            required(event, &["actor", "device", "process"]);
            one_of(&event["process"], &["pid", "uid", "cpid"]);
        }
        4002 => {
            one_of(event, &["http_request", "http_response"]);
            one_of(event, &["src_endpoint", "dst_endpoint"]);
        }
        3004 => {
            required(event, &["entity"]);
            one_of(&event["entity"], &["name", "uid"]);
        }
        other => panic!("class {other} is not one of ours: {event}"),
    }
    if !event["device"].is_null() {
        required(&event["device"], &["type_id"]);
        one_of(&event["device"], &["name", "uid", "hostname", "ip"]);
    }
    if !event["actor"].is_null() {
        one_of(&event["actor"]["user"], &["name", "uid", "account"]);
    }
    if !event["api"]["response"].is_null() {
        required(&event["api"]["response"], &["code"]);
    }
    if version == "1.9.0" {
        let attestation = &event["attestation_list"][0];
        required(attestation, &["fingerprint", "chain_uid"]);
        required(&attestation["fingerprint"], &["algorithm_id", "value"]);
        if !attestation["prev_event"].is_null() {
            required(&attestation["prev_event"], &["uid"]);
        }
        assert!(event["ai_model"].is_null() || event["ai_model"]["ai_provider"].is_string());
    } else {
        assert!(event["attestation_list"].is_null() && event["ai_model"].is_null(), "{event}");
    }
}

fn demo() -> Site {
    let site = Site::new();
    site.ok(&["demo"]);
    site
}

#[test]
fn events_have_what_the_schema_requires() {
    let site = demo();
    for version in ["1.9.0", "1.6.0"] {
        let bundle = export(&site, version, &["--ocsf", version]);
        let text = fs::read_to_string(bundle.join("ocsf.jsonl")).unwrap();
        let events: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        events.iter().for_each(|event| check_event(event, version));
        let classes: Vec<_> = events.iter().map(|e| e["class_uid"].as_u64().unwrap()).collect();
        assert!(classes.contains(&6003) && classes.contains(&3004), "{classes:?}");
        let mut ids: Vec<_> = events.iter().map(|e| e["metadata"]["uid"].to_string()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), events.len());
        assert!(verify(&site, &bundle, &[]).status.success());
    }
}

#[test]
fn a_part_of_the_ledger_is_proved_like_the_whole() {
    let site = demo();
    let calls = site.exchanges();
    let middle = calls[calls.len() / 2]["opened_at"].as_str().unwrap().to_owned();
    let later = calls[calls.len() - 5]["opened_at"].as_str().unwrap().to_owned();
    let whole = export(&site, "whole", &[]);
    let part = export(&site, "part", &["--from", &middle, "--to", &later, "--team", "search"]);
    for bundle in [&whole, &part] {
        let output = verify(&site, bundle, &[]);
        assert!(output.status.success(), "{}", said(&output));
        let output = python(bundle, &[]);
        assert!(output.status.success(), "{}", said(&output));
    }
    let facts = |bundle: &Path| -> Value {
        serde_json::from_slice(&fs::read(bundle.join("ipe.json")).unwrap()).unwrap()
    };
    let (whole, facts) = (facts(&whole), facts(&part));
    assert!(facts["lines"]["first"].as_u64().unwrap() > 0, "{facts}");
    assert!(facts["lines"]["first"].as_u64() <= facts["period"]["first"].as_u64());
    assert_eq!(facts["tree"]["root"], whole["tree"]["root"], "the same tree");
    let rows = fs::read_to_string(part.join("exchanges.csv")).unwrap();
    assert!(rows.lines().count() > 1);
    assert!(rows.lines().skip(1).all(|row| row.split(',').nth(5) == Some("search")), "{rows}");
    // The sums agree with each other, and the whole with what reports say.
    let sums = fs::read(part.join("reconciliation.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&sums).unwrap()["agrees"], true);
    let report = site.report("team");
    assert_eq!(whole["derived"]["calls"], report["total"]["exchanges"], "{report}");
    assert_eq!(whole["derived"]["usd"], report["total"]["usd"], "{report}");
    // The sample can be drawn again.
    let seed = facts["sample"]["seed"].as_str().unwrap();
    let ids = rows.lines().skip(1).map(|row| row.split(',').next().unwrap());
    let mut ranks: Vec<(String, &str)> =
        ids.map(|id| (hex(format!("{seed}:{id}").as_bytes()), id)).collect();
    ranks.sort();
    ranks.truncate(25);
    let sample = fs::read_to_string(part.join("sample.csv")).unwrap();
    let drawn: Vec<String> =
        sample.lines().skip(1).map(|row| row.split(',').nth(1).unwrap().to_owned()).collect();
    assert_eq!(drawn, ranks.iter().map(|(_, id)| (*id).to_owned()).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_unchanged_bundle_verifies_three_ways_and_no_change_passes() {
    let site = site().await;
    let bundle = export(&site, "bundle", &[]);
    let output = verify(&site, &bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("no witness"), "{}", said(&output));
    let output = python(&bundle, &[]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(fs::metadata(bundle.join("ipe.json")).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(&bundle).unwrap().permissions().mode() & 0o777, 0o700);

    with_stock_tools(&site, &bundle);
    for (name, change, expected, python_too) in MUTATIONS {
        for sealed in [false, true] {
            let copied = site.path("copy");
            let _ = fs::remove_dir_all(&copied);
            copy(&bundle, &copied);
            change(&copied);
            if sealed {
                seal(&copied);
            }
            let output = verify(&site, &copied, &[]);
            assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
            // Of what the manifest alone tells, the file is named.
            let expected = if python_too || sealed { expected } else { "does not have the hash" };
            assert!(said(&output).contains(expected), "{name}: {}", said(&output));
            let output = python(&copied, &[]);
            let caught = i32::from(python_too || !sealed);
            assert_eq!(output.status.code(), Some(caught), "verify.py, {name}: {}", said(&output));
        }
    }
}

#[tokio::test]
async fn the_manifest_holds_every_file_and_nothing_leads_outside() {
    let site = site().await;
    let bundle = export(&site, "bundle", &[]);
    let manifest = "MANIFEST.sha256";
    let changes: [Mutation; 7] = [
        (
            "entry deleted",
            |b| lines(b, "MANIFEST.sha256", |l| drop(l.remove(0))),
            "README.txt is not in",
            true,
        ),
        (
            "hash edited",
            |b| {
                lines(b, "MANIFEST.sha256", |l| {
                    let digit = if l[1].starts_with('0') { "1" } else { "0" };
                    l[1].replace_range(..1, digit);
                })
            },
            "access.csv does not have the hash",
            true,
        ),
        (
            "entry doubled",
            |b| lines(b, "MANIFEST.sha256", |l| l.insert(0, l[0].clone())),
            "line 2 is not a line",
            true,
        ),
        (
            "a file more",
            |b| fs::write(b.join("more.txt"), "x").unwrap(),
            "more.txt is not in",
            true,
        ),
        (
            "a way out",
            |b| lines(b, "MANIFEST.sha256", |l| l.push(format!("{}  ../x", "0".repeat(64)))),
            "is not a line of a manifest",
            true,
        ),
        (
            "an absolute name",
            |b| lines(b, "MANIFEST.sha256", |l| l.push(format!("{}  /etc/hosts", "0".repeat(64)))),
            "is not a line of a manifest",
            true,
        ),
        (
            "a link",
            |b| {
                fs::remove_file(b.join("gaps.csv")).unwrap();
                std::os::unix::fs::symlink("/etc/hosts", b.join("gaps.csv")).unwrap();
            },
            "gaps.csv is not a file of a bundle",
            true,
        ),
    ];
    assert!(bundle.join(manifest).is_file());
    for (name, change, expected, _) in changes {
        let copied = site.path("copy");
        let _ = fs::remove_dir_all(&copied);
        copy(&bundle, &copied);
        change(&copied);
        let output = verify(&site, &copied, &[]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", said(&output));
        assert!(said(&output).contains(expected), "{name}: {}", said(&output));
        assert_eq!(python(&copied, &[]).status.code(), Some(1), "verify.py, {name}");
    }
    // What exists is not written to: a folder, a file, a link.
    std::os::unix::fs::symlink(site.path("elsewhere"), site.path("link")).unwrap();
    for taken in ["bundle", "said.txt", "link"] {
        let data = site.data.to_str().unwrap();
        let out = site.path(taken);
        let arguments = ["audit", "export", "--data-dir", data, "--out", out.to_str().unwrap()];
        let output = site.run(&arguments);
        assert_eq!(output.status.code(), Some(2), "{taken}: {}", said(&output));
        assert!(said(&output).contains("it exists"), "{taken}: {}", said(&output));
    }
    assert!(!site.path("elsewhere").exists());
}

#[tokio::test]
async fn a_cut_is_caught_by_a_witness_and_named_as_not_provable_without() {
    let site = site().await;
    let lines = site.ledger_lines();
    let whole = lines.len();
    let mut tree = Frontier::default();
    lines.iter().for_each(|line| tree.push(leaf_hash(line)));
    let witness = site.file("head.note", &head(&site, &tree, &key(&site, 2)));
    let witness = witness.to_str().unwrap();
    let told = site.ok(&["audit", "verify", "--witness", witness]);
    assert!(told.contains("1 witnesses") && !told.contains("no witness"), "{told}");
    assert!(told.contains("calls and amounts against index.sqlite"), "{told}");

    // The last 100 lines and every checkpoint that covers them.
    let left = whole - 100;
    let segment = site.segments().remove(0);
    let text = fs::read_to_string(&segment).unwrap();
    fs::set_permissions(&segment, fs::Permissions::from_mode(0o600)).unwrap();
    let text: String = text.split_inclusive('\n').take(left).collect();
    fs::write(&segment, text).unwrap();
    for suffix in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(site.data.join(format!("index.sqlite{suffix}")));
    }
    sign(&site);
    let told = site.ok(&["audit", "verify"]);
    let proved = format!("proved up to index {}", left - 1);
    assert!(told.contains("would not be seen") && told.contains(&proved), "{told}");
    let data = site.data.to_str().unwrap();
    let output = site.run(&["audit", "verify", "--data-dir", data, "--witness", witness]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let missing = format!("lines {left} to {} are missing", whole - 1);
    assert!(said(&output).contains(&missing), "{}", said(&output));

    let bundle = export(&site, "bundle", &[]);
    assert!(verify(&site, &bundle, &[]).status.success());
    let output = verify(&site, &bundle, &["--witness", witness]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains(&missing), "{}", said(&output));
    assert_eq!(python(&bundle, &[witness]).status.code(), Some(1));

    // Without the newest checkpoint, what it covered is named.
    let notes = site.data.join("audit/checkpoints/2026-11-25.notes");
    let text = fs::read_to_string(&notes).unwrap();
    let halves: Vec<&str> = text.split_inclusive("\n\n").collect();
    fs::write(&notes, halves[..halves.len() - 2].concat()).unwrap();
    let told = site.ok(&["audit", "verify"]);
    assert!(told.contains(&format!("to {} are covered by no checkpoint", left - 1)), "{told}");
}

#[tokio::test]
async fn damage_in_a_data_directory_is_named() {
    let site = site().await;
    let segment = site.segments().remove(0);
    let whole = fs::read_to_string(&segment).unwrap();
    fs::set_permissions(&segment, fs::Permissions::from_mode(0o600)).unwrap();
    let data = site.data.to_str().unwrap().to_owned();
    for (from, to) in
        [("\"status\":200", "\"status\":201"), ("\"kind\":\"closed\"", "\"kind\":\"gap\"")]
    {
        let mut all: Vec<String> = whole.lines().map(str::to_owned).collect();
        let at =
            all.iter().rposition(|line| line.contains(from) && line.contains("\"i\":20")).unwrap();
        all[at] = all[at].replace(from, to);
        fs::write(&segment, all.join("\n") + "\n").unwrap();
        let output = site.run(&["audit", "verify", "--data-dir", &data, "--json"]);
        assert_eq!(output.status.code(), Some(1));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["damages"]["first_index"], at as u64, "{told}");
        assert_eq!(told["verified"], false);
    }
    // An index that says something else than the lines.
    fs::write(&segment, &whole).unwrap();
    site.ok(&["report"]);
    let index = rusqlite::Connection::open(site.data.join("index.sqlite")).unwrap();
    index.execute("UPDATE exchanges SET usd_nano = usd_nano + 1 WHERE sequence = 1", []).unwrap();
    drop(index);
    let output = site.run(&["audit", "verify", "--data-dir", &data]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("index.sqlite holds 140 closed calls"), "{}", said(&output));
}
