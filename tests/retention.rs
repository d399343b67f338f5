//! Old lines go as the configuration asks, an entry says so, and what is left still verifies.
#![cfg(test)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::api::Fake;
use support::client::Request;
use support::eventually;
use support::sidecar::{Options, Sidecar, Site};
use weighbridge::ledger::{Durability, Ledger, Mode, Purpose, SEGMENT_BYTES_DEFAULT};
use weighbridge::record::act::Pruned;
use weighbridge::record::encoding::{Origin, Stamp};
use weighbridge::record::{Entry, Line};

const DAY_NS: u64 = 86_400_000_000_000;
const KEEP: &str = "[ledger]\nretention_months = 3\n";

/// Puts a ledger of real calls, once 400 and once 200 days old, before the one of today.
async fn old_ledger(site: &Site, fake: &Fake) -> u64 {
    let sidecar = Sidecar::start(site, &Options::to(&fake.url));
    for _ in 0..3 {
        assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    }
    sidecar.stop();
    let lines = site.ledger_lines();
    let instance = fs::read_to_string(site.data.join("instance")).unwrap().trim().to_owned();
    for folder in ["segments", "audit"] {
        fs::remove_dir_all(site.data.join(folder)).unwrap();
    }
    fs::remove_file(site.data.join("index.sqlite")).unwrap();
    let options = weighbridge::ledger::Options {
        dir: site.data.clone(),
        durability: Durability::Process,
        mode: Mode::Closed,
        segment_bytes_max: SEGMENT_BYTES_DEFAULT,
    };
    let now = || Stamp { wall_ns: 1, mono_ns: 1 };
    let origin = Origin { instance, boot: "b00c".to_owned() };
    let (ledger, _) = Ledger::open(options, origin, now).unwrap();
    for days in [400, 200] {
        for line in &lines {
            let line = Line::parse(line).unwrap();
            // Ids begin with the time: no call comes twice.
            let text = line.body.get().replace("\"01", &format!("\"{}1", days / 100));
            let entry = entry(line.kind, &text);
            let stamp = Stamp { wall_ns: line.wall_ns - days * DAY_NS, mono_ns: line.mono };
            ledger.append_now(&entry, stamp, Purpose::Running).unwrap();
        }
    }
    ledger.shutdown().unwrap();
    lines.len() as u64
}

/// An entry out of a body, by way of a line.
fn entry(kind: &str, body: &str) -> Entry {
    let zeros = "0".repeat(64);
    let line = format!(
        "{{\"body\":{body},\"boot\":\"b\",\"i\":0,\"instance\":\"i\",\"kind\":\"{kind}\",\
         \"mono\":1,\"prev\":\"{zeros}\",\"t\":1,\"v\":1}}"
    );
    Line::parse(line.as_bytes()).unwrap().entry().unwrap().unwrap()
}

fn hashes(site: &Site) -> Vec<PathBuf> {
    let listed = fs::read_dir(site.data.join("segments")).unwrap();
    let paths = listed.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "leaves")).collect()
}

fn verified(site: &Site, path: Option<&Path>) -> (bool, Value) {
    let path = path.map(|path| path.to_str().unwrap().to_owned());
    let mut arguments = vec!["audit", "verify", "--json"];
    let data = site.data.to_str().unwrap();
    match &path {
        Some(bundle) => arguments.push(bundle),
        None => arguments.extend(["--data-dir", data]),
    }
    let output = site.run(&arguments);
    let answer = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.success(), answer)
}

fn calls(site: &Site) -> u64 {
    site.report("team")["total"]["exchanges"].as_u64().unwrap()
}

#[tokio::test]
async fn old_months_go_and_the_rest_is_proved() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let lines = old_ledger(&site, &fake).await;
    Sidecar::start(&site, &Options::to(&fake.url)).stop();
    assert_eq!((calls(&site), hashes(&site).len()), (6, 0), "nothing goes unasked");

    let keep = Options::to(&fake.url).config(KEEP);
    let sidecar = Sidecar::start(&site, &keep);
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    // A file of hashes for each of the two old segments, and no lines.
    let gone = || {
        let first = site.segments()[0].file_stem()?.to_str()?.parse::<u64>().ok()?;
        (first == 2 * lines).then_some(())
    };
    eventually("the old lines are gone", gone).await;
    assert_eq!(hashes(&site).len(), 2);
    eventually("the index is of what is left", || (calls(&site) == 1).then_some(())).await;
    sidecar.stop();

    let (good, answer) = verified(&site, None);
    assert!(good, "{answer:#}");
    assert_eq!(answer["first"], 2 * lines);
    let limits = answer["not_provable"].to_string();
    assert!(limits.contains(&format!("lines 0 to {} said", 2 * lines - 1)), "{limits}");
    let all = site.ledger_lines();
    let pruned: Vec<Value> = all
        .iter()
        .map(|line| serde_json::from_slice::<Value>(line).unwrap())
        .filter(|line| line["kind"] == "pruned")
        .collect();
    assert_eq!(pruned.len(), 1);
    assert_eq!(pruned[0]["body"]["first"], 2 * lines);
    assert_eq!(pruned[0]["body"]["retention_months"], 3);

    // Reports say since when they know anything.
    let output = site.run(&["report", "--data-dir", site.data.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("ledger.retention_months"), "{said}");
    let known = site.report("team")["kept_since"].as_str().unwrap().to_owned();
    for format in ["html", "markdown"] {
        let page = site.ok(&["report", "--format", format]);
        let since = format!("nothing from before {} is here", known[..19].replace('T', " "));
        assert!(page.contains(&since), "{since}: {page}");
    }

    // A bundle has all tiles and verifies; so does a backup, and a restart.
    let (bundle, copy) = (site.path("bundle"), site.path("copy"));
    site.ok(&["audit", "export", "--out", bundle.to_str().unwrap()]);
    let (good, answer) = verified(&site, Some(&bundle));
    assert!(good, "{answer:#}");
    let facts: Value = serde_json::from_slice(&fs::read(bundle.join("ipe.json")).unwrap()).unwrap();
    assert_eq!(facts["tree"]["pruned"], 2 * lines);
    site.ok(&["backup", "--out", copy.to_str().unwrap()]);
    Sidecar::start(&site, &keep).stop();
    assert!(verified(&site, None).0);
}

#[tokio::test]
async fn lines_that_somebody_else_removed_are_damage() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let lines = old_ledger(&site, &fake).await;
    Sidecar::start(&site, &Options::to(&fake.url)).stop();
    let first = site.segments()[0].clone();
    let kept = fs::read(&first).unwrap();
    // Removed with their hashes kept, as pruning does it, and no entry says so.
    let mut leaves = Vec::new();
    for line in kept.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        leaves.extend_from_slice(weighbridge::audit::merkle::leaf_hash(line).as_bytes());
    }
    let hashes = first.with_extension("leaves");
    fs::write(&hashes, &leaves).unwrap();
    fs::remove_file(&first).unwrap();
    let (good, answer) = verified(&site, None);
    let damages = answer["damages"]["named"].to_string();
    assert!(!good && damages.contains("no entry says that they were pruned"), "{damages}");

    // An entry of somebody who has no key does not change that.
    let options = weighbridge::ledger::Options {
        dir: site.data.clone(),
        durability: Durability::Process,
        mode: Mode::Closed,
        segment_bytes_max: SEGMENT_BYTES_DEFAULT,
    };
    let instance = fs::read_to_string(site.data.join("instance")).unwrap().trim().to_owned();
    let origin = Origin { instance, boot: "b00d".to_owned() };
    let before = site.segments().pop().unwrap();
    let untouched = fs::read(&before).unwrap();
    let now = || Stamp { wall_ns: 1, mono_ns: 1 };
    let (ledger, _) = Ledger::open(options, origin, now).unwrap();
    let root = weighbridge::ledger::tree_at(&site.data, lines).unwrap().unwrap().root();
    let pruned = Pruned { first: lines, retention_months: 3, root: root.to_string() };
    ledger.append_now(&Entry::Pruned(pruned), now(), Purpose::Running).unwrap();
    ledger.shutdown().unwrap();
    let damages = verified(&site, None).1["damages"]["named"].to_string();
    assert!(damages.contains("is not signed"), "{damages}");
    fs::write(&before, untouched).unwrap();

    // Another hash in the place of one: the roots do not agree.
    leaves[40] ^= 1;
    fs::write(&hashes, &leaves).unwrap();
    let damages = verified(&site, None).1["damages"]["named"].to_string();
    assert!(damages.contains("has another root"), "{damages}");

    // No hashes at all: the lines are missing.
    fs::remove_file(&hashes).unwrap();
    let (good, answer) = verified(&site, None);
    let damages = answer["damages"]["named"].to_string();
    assert!(
        !good && damages.contains(&format!("lines 0 to {} are missing", lines - 1)),
        "{damages}"
    );
    fs::write(&first, kept).unwrap();
    assert!(verified(&site, None).0, "put back, all is well");
}

#[tokio::test]
async fn a_removal_that_was_cut_short_is_finished() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let lines = old_ledger(&site, &fake).await;
    Sidecar::start(&site, &Options::to(&fake.url)).stop();
    let second = site.data.join(format!("segments/{lines:020}.jsonl"));
    let kept = fs::read(&second).unwrap();
    let keep = Options::to(&fake.url).config(KEEP);
    let gone = || (site.segments().first()? > &second).then_some(());
    let sidecar = Sidecar::start(&site, &keep);
    eventually("the old lines are gone", gone).await;
    sidecar.stop();

    // As if the machine had stopped between the first file and the second: the hashes are there,
    // the entry is signed.
    fs::write(&second, &kept).unwrap();
    let (good, answer) = verified(&site, None);
    assert!(good, "{answer:#}");
    assert_eq!(answer["first"], lines);
    let sidecar = Sidecar::start(&site, &keep);
    eventually("the rest is gone", gone).await;
    sidecar.stop();
    let (good, answer) = verified(&site, None);
    assert!(good, "{answer:#}");
    assert_eq!((&answer["first"], hashes(&site).len()), (&Value::from(2 * lines), 2));
}

#[tokio::test]
async fn a_clock_that_is_ahead_removes_nothing_before_the_next_start() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let lines = old_ledger(&site, &fake).await;
    // The newest line is 200 days old: a sidecar that was away so long, or a clock that is wrong.
    let keep = Options::to(&fake.url).config(KEEP);
    let sidecar = Sidecar::start(&site, &keep);
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    let said = || sidecar.said().contains("nothing is removed in this run").then_some(());
    eventually("it says why", said).await;
    eventually("all is indexed", || (calls(&site) == 7).then_some(())).await;
    sidecar.stop();
    assert_eq!((site.segments().len() > 2, hashes(&site).len()), (true, 0));
    let sidecar = Sidecar::start(&site, &keep);
    let gone = || {
        let first = site.segments()[0].file_stem()?.to_str()?.parse::<u64>().ok()?;
        (first == 2 * lines).then_some(())
    };
    eventually("the next run removes them", gone).await;
    sidecar.stop();
}
