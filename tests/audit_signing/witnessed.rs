//! Witnesses on the network: what they hold, and that nobody waits for them.

use std::fs;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::rollback::{copy, refused, run};
use crate::support::api::Fake;
use crate::support::client::Request;
use crate::support::eventually;
use crate::support::sidecar::{Metrics, Options, Sidecar, Site};
use crate::tree::{check, lines, newest};
use crate::witness::{Manner, Witness};

const LAG: &str = "weighbridge_audit_witness_lag_seconds";
const ERRORS: &str = "weighbridge_audit_witness_errors_total";

/// Scrapes until it is so.
async fn until(sidecar: &Sidecar, what: &str, is: impl Fn(&Metrics) -> bool) {
    let start = Instant::now();
    while !is(&sidecar.metrics().await) {
        assert!(start.elapsed() < crate::support::SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_witness_cosigns_every_newest_checkpoint() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let witness = Witness::start(Manner::Honest);
    let options = Options::to(&fake.url).config(&witness.config());
    for calls in [3, 40, 7] {
        run(&site, &options, calls).await;
        assert_eq!(witness.held(), lines(&site), "the last one before the end");
    }
    check(&site);
    assert!(!witness.state().answers.contains(&422));
    let kept = fs::read_to_string(site.data.join("audit/witness/far.note")).unwrap();
    assert!(kept.contains("\n\u{2014} witness.test/1 "), "{kept}");
    let said = site.ok(&["audit", "checkpoint"]);
    assert!(said.contains(&format!("witness far: {} entries, the newest", lines(&site))), "{said}");
    cosignatures_are_checked(&site, &kept);

    // A witness that has forgotten everything, and one that was away, are brought up to date.
    witness.state().held = None;
    run(&site, &options, 1).await;
    assert_eq!(witness.held(), lines(&site));
    run(&site, &Options::to(&fake.url), 9).await;
    run(&site, &options, 1).await;
    assert_eq!(witness.held(), newest(&site).size);
    assert!(!witness.state().answers.contains(&422));
}

/// With the witness's key `audit verify` says what it cosigned, and when; another key finds none.
fn cosignatures_are_checked(site: &Site, kept: &str) {
    let (right, wrong) = (Witness::verifier(7), Witness::verifier(8));
    let said = site.ok(&["audit", "verify", "--witness-key", &right]);
    let cosigned =
        format!("witness.test/1 cosigned witness audit/witness/far.note (size {}", lines(site));
    assert!(said.contains(&cosigned) && said.contains("at 2026-09-21T"), "{said}");
    let data = site.data.to_str().unwrap();
    let output = site.run(&["audit", "verify", "--data-dir", data, "--witness-key", &wrong]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("no checkpoint that was given bears a cosignature of"), "{said}");
    assert_eq!(output.status.code(), Some(1), "{said}");

    // The same key with another signature.
    let (note, line) = kept.trim_end().rsplit_once('\n').unwrap();
    let (name, signature) = line.rsplit_once(' ').unwrap();
    let mut bytes = STANDARD.decode(signature).unwrap();
    bytes[40] ^= 1;
    let forged = format!("{note}\n{name} {}\n", STANDARD.encode(bytes));
    let forged = site.file("forged.note", &forged);
    let arguments = ["audit", "verify", "--data-dir", data, "--witness-key", &right, "--witness"];
    let output = site.run(&[&arguments[..], &[forged.to_str().unwrap()]].concat());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && said.contains("that is not valid"), "{said}");
    let output = site.run(&["audit", "verify", "--witness-key", "nonsense"]);
    assert_eq!(output.status.code(), Some(2));
}

#[tokio::test]
async fn a13_a_witness_finds_out_older_copies_and_clones() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let witness = Witness::start(Manner::Honest);
    let options = Options::to(&fake.url).config(&witness.config());
    run(&site, &options, 2).await;
    copy(&site.data, &site.path("older"));
    run(&site, &options, 2).await;
    copy(&site.path("older"), &site.data);
    refused(&site, &options, "witness.far holds a checkpoint of");

    // A clone starts while the first one runs, and has grown.
    let clone = Site::new();
    witness.state().held = None;
    copy(&site.data, &clone.data);
    let first = Sidecar::start(&site, &options);
    let grown = || (witness.held() > lines(&clone)).then_some(());
    eventually("the witness holds what the clone lacks", grown).await;
    refused(&clone, &options, "witness.far holds a checkpoint of");
    first.stop();

    // Two at once while the witness knows neither: both run, until it does.
    copy(&site.data, &clone.data);
    (witness.state().held, witness.state().manner) = (None, Manner::Unknown);
    let first = Sidecar::start(&site, &options);
    let second = Sidecar::start(&clone, &options);
    witness.state().manner = Manner::Honest;
    let inconsistent = |m: &Metrics| m.sum(ERRORS, &["reason=\"inconsistent\""]);
    for _ in 0..3 {
        assert_eq!(first.call(&Request::messages("basic", true)).await.status, 200);
        assert_eq!(second.call(&Request::messages("basic", true)).await.status, 200);
    }
    let instance = std::fs::read_to_string(site.data.join("instance")).unwrap();
    let identity = format!("ledger=\"{}\"", instance.trim());
    let start = Instant::now();
    loop {
        let found = [&first, &second];
        let (one, two) = (found[0].metrics().await, found[1].metrics().await);
        let ledgers = [&one, &two].map(|shown| shown.sum("weighbridge_ledger_info", &[&identity]));
        assert_eq!(ledgers, [1.0, 1.0], "the alarm names both");
        if inconsistent(&one) + inconsistent(&two) > 0.0 {
            break;
        }
        assert!(start.elapsed() < crate::support::SOON, "the clone is found out");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    first.stop();
    second.stop();
    let refusals = [&site, &clone].map(|site| Sidecar::try_start(site, &options).is_err());
    assert!(refusals.contains(&true), "one of them does not start again");
}

#[tokio::test]
async fn bad_witnesses_are_counted_and_nobody_waits() {
    for (manner, reason) in
        [(Manner::Garbage, "invalid"), (Manner::WrongKey, "invalid"), (Manner::Unknown, "refused")]
    {
        let (site, fake) = (Site::new(), Fake::start("basic").await);
        let witness = Witness::start(manner);
        let options = Options::to(&fake.url).config(&witness.config());
        let sidecar = Sidecar::start(&site, &options);
        assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
        let reason = format!("reason=\"{reason}\"");
        let counted = |m: &Metrics| m.sum(ERRORS, &[&reason]) > 0.0 && m.sum(LAG, &[]) > 0.0;
        until(&sidecar, "it is counted, and behind", counted).await;
        assert!(!site.data.join("audit/witness/far.note").exists(), "{manner:?}");
        // It comes to its senses.
        witness.state().manner = Manner::Honest;
        until(&sidecar, "it catches up", |m: &Metrics| m.sum(LAG, &[]) == 0.0).await;
        sidecar.stop();
        assert_eq!(witness.held(), lines(&site));
        check(&site);
    }
}

#[tokio::test]
async fn a_witness_that_hangs_or_is_away_delays_nothing_for_long() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let witness = Witness::start(Manner::Hangs);
    let away = "[witness.away]\nkind = 'webhook'\nto = 'http://127.0.0.1:9/'\n";
    let options = Options::to(&fake.url).config(&witness.config()).config(away);
    let started = Instant::now();
    let sidecar = Sidecar::start(&site, &options);
    let took = started.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    let entries = lines(&site);
    eventually("it is signed", || (newest(&site).size >= entries).then_some(())).await;
    let reason = ["witness=\"away\"", "reason=\"unreachable\""];
    until(&sidecar, "counted", |m: &Metrics| m.sum(ERRORS, &reason) > 0.0).await;
    let stopping = Instant::now();
    sidecar.stop();
    assert!(stopping.elapsed() < Duration::from_secs(8), "{:?}", stopping.elapsed());
    check(&site);
}

#[tokio::test]
async fn a_size_that_cannot_be_refuses_the_start() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let witness = Witness::start(Manner::Far);
    let mut options = Options::to(&fake.url).config(&witness.config());
    refused(&site, &options, "witness.far holds a checkpoint of 99999999");
    options.arguments.push("--accept-rollback".to_owned());
    run(&site, &options, 1).await;
    check(&site);
}

#[tokio::test]
async fn a_webhook_gets_notes() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let witness = Witness::start(Manner::Honest);
    let options = Options::to(&fake.url).config(&witness.webhook());
    run(&site, &options, 1).await;
    assert!(witness.state().posts > 0);
    let said = site.ok(&["audit", "checkpoint"]);
    assert!(
        said.contains(&format!("witness hook: {} entries, the newest", lines(&site))),
        "{said}"
    );
}
