//! Checkpoints, keys and witnesses, from outside.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "a test measures how long something takes")]

mod keys;
mod rollback;
#[path = "../support/mod.rs"]
mod support;
mod tree;
mod witness;
mod witnessed;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use support::api::Fake;
use support::client::Request;
use support::eventually;
use support::sidecar::{Options, Sidecar, Site};
use tree::{check, lines, newest, notes, vkey};

/// Promised is 1 s; the rest is for a busy machine.
const BEHIND_MAX: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_call_is_signed_at_once_and_openssl_agrees() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let request = Request::messages("basic", true);
    assert_eq!(sidecar.call(&request).await.status, 200);
    let (answered, entries) = (Instant::now(), lines(&site));
    eventually("the call is signed", || (newest(&site).size >= entries).then_some(())).await;
    let behind = answered.elapsed();
    assert!(behind < BEHIND_MAX, "{behind:?}");
    eprintln!("signed {behind:?} after the answer");
    sidecar.stop();
    check(&site);
    assert_eq!(newest(&site).size, lines(&site), "the last sync is signed too");

    let newest = notes(&site).pop().unwrap();
    let public = vkey(&site, 1);
    let mut der = vec![0x30, 0x2a, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 3, 0x21, 0];
    der.extend_from_slice(public.public());
    fs::write(site.path("key.der"), der).unwrap();
    fs::write(site.path("signature"), &newest.signatures[0].bytes).unwrap();
    assert!(openssl_accepts(&site, &newest.text));
    assert!(!openssl_accepts(&site, &newest.text.replacen("weigh", "Weigh", 1)));
}

fn openssl_accepts(site: &Site, text: &str) -> bool {
    let body = site.file("body", text);
    let mut command = Command::new("openssl");
    command.args(["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey"]);
    command.arg(site.path("key.der")).arg("-in").arg(body);
    let output = command.arg("-sigfile").arg(site.path("signature")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("Signature Verif"), "{said} {output:?}");
    output.status.success()
}

#[tokio::test]
async fn idle_time_is_signed_and_nothing_comes_after_the_end() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let options = Options::to(&fake.url).config("[audit]\nheartbeat = '300ms'\n");
    let sidecar = Sidecar::start(&site, &options);
    let beats = || tree::kinds(&site).into_iter().filter(|kind| kind == "heartbeat").count();
    eventually("three heartbeats", || (beats() >= 3).then_some(())).await;
    let entries = lines(&site);
    eventually("they are signed", || (newest(&site).size >= entries).then_some(())).await;
    let metrics = sidecar.metrics().await;
    assert!(metrics.sum("weighbridge_audit_checkpoint_size", &[]) >= 4.0);
    assert_eq!(metrics.sum("weighbridge_audit_checkpoint_errors_total", &[]), 0.0);
    sidecar.stop();
    assert_eq!(tree::kinds(&site).pop().unwrap(), "stopped");
    assert_eq!(newest(&site).size, lines(&site));
    check(&site);
}

/// Between `stopped` and the end of the ledger the index is waited for, here for seconds.
#[tokio::test]
async fn no_heartbeat_comes_after_the_end_however_long_it_takes() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let options = Options::to(&fake.url).config("[audit]\nheartbeat = '1ms'\n");
    let sidecar = Sidecar::start(&site, &options);
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    site.ok(&["report"]);
    let index = rusqlite::Connection::open(site.data.join("index.sqlite")).unwrap();
    index.execute_batch("BEGIN IMMEDIATE").unwrap();
    let wanted = site.data.join("index.wanted");
    let beats = || tree::kinds(&site).iter().filter(|kind| *kind == "heartbeat").count();
    let before = beats();
    fs::write(&wanted, "").unwrap();
    // Who takes it away waits for the lock once there is something new: a second later it does.
    eventually("the index is to be written", || (!wanted.exists()).then_some(())).await;
    eventually("heartbeats come", || (beats() >= before + 3).then_some(())).await;
    sidecar.stop();
    drop(index);
    assert_eq!(tree::kinds(&site).pop().unwrap(), "stopped");
    assert_eq!(newest(&site).size, lines(&site));
    check(&site);
}

#[tokio::test]
async fn checkpoints_agree_over_crashes_and_torn_notes() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    for round in 0..5 {
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
        for _ in 0..20 {
            assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
        }
        let seen = notes(&site).len();
        eventually("one more", || (notes(&site).len() > seen).then_some(())).await;
        sidecar.kill();
        check(&site);
        // The next start must cut off what a crash left half written.
        let file = tree::note_files(&site).pop().unwrap();
        let whole = fs::read_to_string(&file).unwrap();
        let torn = whole.lines().nth(round).map_or(String::new(), |line| format!("{line}\nx\n\n"));
        fs::write(&file, format!("{whole}{torn}\u{2014} torn")).unwrap();
    }
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    sidecar.stop();
    check(&site);
    let text = fs::read_to_string(tree::note_files(&site).pop().unwrap()).unwrap();
    assert!(!text.contains("torn"));
}

#[tokio::test]
async fn a_busy_ledger_is_signed_all_the_time() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let (start, mut calls, mut behind, mut sizes) = (Instant::now(), 0_u32, 0.0_f64, vec![0.0]);
    while start.elapsed() < Duration::from_secs(4) {
        assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
        calls += 1;
        if calls.is_multiple_of(10) {
            let metrics = sidecar.metrics().await;
            behind = behind.max(metrics.sum("weighbridge_audit_checkpoint_lag_seconds", &[]));
            let size = metrics.sum("weighbridge_audit_checkpoint_size", &[]);
            sizes.extend((sizes.last() != Some(&size)).then_some(size));
        }
    }
    eprintln!("{calls} calls, {} checkpoints, at most {behind} s behind", sizes.len() - 1);
    assert!(behind < BEHIND_MAX.as_secs_f64(), "{behind} s");
    assert!(sizes.len() > 3 && sizes.is_sorted(), "{sizes:?}");
    sidecar.stop();
    check(&site);
}

#[tokio::test]
async fn a_line_that_was_damaged_later_stops_neither_start_nor_signing() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let options = Options::to(&fake.url);
    rollback::run(&site, &options, 3).await;
    let segment = site.segments().pop().unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let newlines = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let end = newlines.map(|(at, _)| at).nth(2).unwrap();
    // A digit of the third line's time, in front of `,"v":1}`.
    let digit = end - 8;
    bytes[digit] = if bytes[digit] == b'1' { b'2' } else { b'1' };
    fs::write(&segment, bytes).unwrap();
    let signed = newest(&site).size;
    let sidecar = Sidecar::start(&site, &options);
    let told = || sidecar.said().contains("this ledger entry is damaged").then_some(());
    eventually("the damaged line is named", told).await;
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    eventually("it is signed", || (newest(&site).size > signed).then_some(())).await;
    sidecar.stop();
    assert_eq!(newest(&site).size, lines(&site));
}

#[tokio::test]
async fn nothing_is_signed_after_a_failed_sync() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let options = Options::to(&fake.url).config("[ledger]\nmode = 'observe'\n");
    let sidecar = Sidecar::start(&site, &options);
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    let entries = lines(&site);
    eventually("it is signed", || (newest(&site).size >= entries).then_some(())).await;
    let signed = notes(&site).len();
    // A segment that is gone takes writes in silence; the sync is what notices.
    let segment = site.segments().pop().unwrap();
    fs::rename(&segment, site.path("moved.jsonl")).unwrap();
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    let start = Instant::now();
    while sidecar.metrics().await.sum("weighbridge_audit_checkpoint_errors_total", &[]) == 0.0 {
        assert!(start.elapsed() < support::SOON, "{}", sidecar.said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(sidecar.call(&Request::messages("basic", true)).await.status, 200);
    let said = sidecar.said();
    assert!(said.contains("no checkpoints are signed until a restart"), "{said}");
    drop(sidecar);
    assert_eq!(notes(&site).len(), signed);
    // What is left is less than what was signed.
    rollback::refused(&site, &options, "audit/checkpoints holds a checkpoint of");
    fs::rename(site.path("moved.jsonl"), &segment).unwrap();
    Sidecar::start(&site, &options).stop();
    check(&site);
}

#[tokio::test]
async fn a_data_directory_without_checkpoints_has_none_to_print() {
    let site = Site::new();
    fs::create_dir(&site.data).unwrap();
    let data = site.data.to_str().unwrap().to_owned();
    for command in ["checkpoint", "rotate-key"] {
        let output = site.run(&["audit", command, "--data-dir", &data]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("nothing was signed there"));
    }
}
