//! Evidence from outside: a ledger of real calls, signed, exported, verified three ways, and
//! damaged in every way that is known here.
#![cfg(test)]

mod changes;
mod claims;
mod controls;
mod events;
mod gaps;
mod parts;
mod schema;
#[path = "../support/mod.rs"]
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

/// The commands of README.txt, as they stand there.
fn with_stock_tools(site: &Site, bundle: &Path) {
    let text = fs::read_to_string(bundle.join("README.txt")).unwrap();
    let from = text.find("   sha256sum -c").unwrap();
    let last = "-sigfile \"$tmp\"/head.sig\n";
    let until = text.find(last).unwrap() + last.len();
    let temporary = site.path("").display().to_string();
    let script = format!("set -e\nexport TMPDIR='{temporary}'\n{}", &text[from..until]);
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
    // A copy that the machine's owner keeps as a witness's is none.
    let kept = site.data.join("audit/witness");
    fs::create_dir_all(&kept).unwrap();
    let mut cut = Frontier::default();
    site.ledger_lines().iter().for_each(|line| cut.push(leaf_hash(line)));
    fs::write(kept.join("notary.note"), head(&site, &cut, &key(&site, 2))).unwrap();
    let told = site.ok(&["audit", "verify"]);
    assert!(told.contains("0 witnesses") && told.contains("can put them here"), "{told}");
    fs::remove_dir_all(&kept).unwrap();
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

/// Whoever got hold of a key that was replaced cannot sign what came after it.
#[tokio::test]
async fn yesterdays_key_signs_nothing_of_today() {
    let site = site().await;
    let mut tree = Frontier::default();
    site.ledger_lines().iter().for_each(|line| tree.push(leaf_hash(line)));
    let forged = head(&site, &tree, &key(&site, 1));
    let not_valid = "is signed by a key that is not valid for its lines";
    let caught = |output: &Output| {
        assert_eq!(output.status.code(), Some(1), "{}", said(output));
        assert!(said(output).contains(not_valid), "{}", said(output));
    };
    let bundle = export(&site, "bundle", &[]);
    let data = site.data.to_str().unwrap().to_owned();
    let of_data =
        |more: &[&str]| site.run(&[&["audit", "verify", "--data-dir", &data], more].concat());

    // As a witness's head.
    let witness = site.file("forged.note", &forged);
    let witness = witness.to_str().unwrap();
    caught(&of_data(&["--witness", witness]));
    caught(&verify(&site, &bundle, &["--witness", witness]));
    assert_eq!(python(&bundle, &[witness]).status.code(), Some(1));

    // In the place of the newest checkpoint, root and all.
    let notes = site.data.join("audit/checkpoints/2026-11-25.notes");
    for (path, is_bundle) in [(notes, false), (bundle.join("audit/checkpoints.notes"), true)] {
        let text = fs::read_to_string(&path).unwrap();
        let halves: Vec<&str> = text.split_inclusive("\n\n").collect();
        let kept = halves[..halves.len() - 2].concat();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, format!("{kept}{forged}\n")).unwrap();
        if is_bundle {
            fs::write(bundle.join("audit/head.note"), &forged).unwrap();
            seal(&bundle);
            caught(&verify(&site, &bundle, &[]));
            assert_eq!(python(&bundle, &[]).status.code(), Some(1));
        } else {
            caught(&of_data(&[]));
        }
    }
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

/// A pipe is waited for without end by whoever opens it.
#[test]
fn a_pipe_in_the_place_of_evidence_is_named_and_never_opened() {
    let site = parts::demo();
    let data = site.data.to_str().unwrap().to_owned();
    fs::create_dir_all(site.data.join("audit/witness")).unwrap();
    for place in ["audit/witness/far.note", "segments/00000000000000999999.jsonl"] {
        let pipe = site.data.join(place);
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let out = site.path("piped");
        for arguments in
            [&["audit", "verify"][..], &["audit", "export", "--out", out.to_str().unwrap()]]
        {
            let output = site.run(&[arguments, &["--data-dir", &data]].concat());
            assert_eq!(output.status.code(), Some(1), "{place}: {}", said(&output));
            assert!(said(&output).contains("no regular file"), "{place}: {}", said(&output));
            let _ = fs::remove_dir_all(&out);
        }
        fs::remove_file(&pipe).unwrap();
    }
}

#[test]
fn an_export_of_nobody_says_so() {
    let site = parts::demo();
    let (data, out) = (site.data.to_str().unwrap(), site.path("nobody"));
    let arguments = ["audit", "export", "--data-dir", data, "--team", "nobody", "--out"];
    let output = site.run(&[&arguments[..], &[out.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("no call of the period is of this team"), "{}", said(&output));
}
