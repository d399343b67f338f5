//! A disk without space, and one that fails.

use std::fs;
use std::time::{Duration, Instant};

use crate::chain::{entries, sound, verify};
use crate::disk::SmallDisk;
use crate::shim::{Full, Shim};
use crate::support::api::Fake;
use crate::support::client::Request;
use crate::support::sidecar::{Options, Sidecar, Site};
use crate::support::wire::End;
use crate::support::{SOON, eventually};
use crate::tree::{check, kinds, lines, newest, notes};

/// Calls until one is answered with 200; gives how many were refused.
async fn recovers(sidecar: &Sidecar) -> u64 {
    let (start, mut refused) = (Instant::now(), 0);
    while sidecar.call(&Request::messages("burst", true)).await.status != 200 {
        assert!(start.elapsed() < SOON, "it does not recover: {}", sidecar.said());
        tokio::time::sleep(Duration::from_millis(100)).await;
        refused += 1;
    }
    refused
}

/// New calls on a disk that `fill` fills, until what it gives makes space again.
async fn full_disk(mode: &str, site: &Site, fill: impl FnOnce() -> Box<dyn FnOnce()>) {
    let fake = Fake::start("burst").await;
    let config = format!("[ledger]\nmode = '{mode}'\n");
    let sidecar = Sidecar::start(site, &Options::to(&fake.url).config(&config));
    let request = Request::messages("burst", true);
    assert_eq!(sidecar.call(&request).await.status, 200);
    let free = fill();
    let before = fake.count();
    let (mut served, mut refused) = (0, None);
    for _ in 0..200 {
        let response = sidecar.call(&request).await;
        if response.status != 200 {
            refused = Some(response);
            break;
        }
        served += 1;
    }
    assert_eq!(fake.count(), before + served, "a refused call is not sent on");
    let first = u64::from(refused.is_some());
    match refused {
        Some(response) if mode == "strict" => {
            assert_eq!((response.status, response.error_type().as_str()), (503, "api_error"));
            assert!(response.header("retry-after").is_some());
        }
        None if mode == "closed" => {} // The reserve has room for more than these.
        other => panic!("{mode}: {served} served, then {other:?}"),
    }
    free();
    let refused = first + recovers(&sidecar).await;
    let told = || {
        let kinds = kinds(site);
        let has = |kind: &str| kinds.iter().any(|one| one == kind);
        (has("reserve") || mode == "strict" && has("gap")).then_some(())
    };
    eventually("it is written down", told).await;
    if mode == "strict" {
        let gap = &entries(site, "gap")[0]["body"];
        assert_eq!((&gap["reason"], &gap["count"]), (&"new_calls_refused".into(), &refused.into()));
    }
    sidecar.stop();
    sound(site);
}

#[tokio::test]
async fn a06_a_full_disk_refuses_new_calls_and_passes() {
    for mode in ["strict", "closed"] {
        let mut site = Site::new();
        let Some(disk) = SmallDisk::mount(&site.data) else {
            println!("no small disk here; a06_a_disk_that_does_not_grow shows the same");
            return;
        };
        site.data.clone_from(&disk.path);
        let fill = || -> Box<dyn FnOnce()> {
            let filler = disk.fill();
            Box::new(move || fs::remove_file(filler).unwrap())
        };
        full_disk(mode, &site, fill).await;
    }
}

#[tokio::test]
async fn a06_a_disk_that_does_not_grow_refuses_new_calls_and_passes() {
    for mode in ["strict", "closed"] {
        let mut site = Site::new();
        let shim = std::rc::Rc::new(Shim::load(&mut site));
        let fill = || -> Box<dyn FnOnce()> {
            shim.full(Full::Growth);
            let shim = std::rc::Rc::clone(&shim);
            Box::new(move || shim.full(Full::Nothing))
        };
        full_disk(mode, &site, fill).await;
        assert!(shim.refused() > 0);
    }
}

#[tokio::test]
async fn a07_no_space_for_a_checkpoint_signs_nothing_that_is_not_there() {
    let (mut site, fake) = (Site::new(), Fake::start("burst").await);
    let shim = Shim::load(&mut site);
    let worm = site.path("worm.notes");
    let witness = format!("[witness.worm]\nkind = 'file'\nto = '{}'\n", worm.display());
    let options = Options::to(&fake.url).config(&witness);
    let sidecar = Sidecar::start(&site, &options);
    assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
    let entries = lines(&site);
    eventually("it is signed", || (newest(&site).size >= entries).then_some(())).await;
    shim.full(Full::Checkpoints);
    let signed = notes(&site).len();
    for _ in 0..3 {
        assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
    }
    // Half of a note gets in, then nothing.
    eventually("a checkpoint found no space", || (shim.refused() >= 4).then_some(())).await;
    let errors = sidecar.metrics().await.sum("weighbridge_audit_checkpoint_errors_total", &[]);
    assert!(errors >= 1.0, "it is counted: {errors}");
    assert_eq!(notes(&site).len(), signed, "none is published");
    check(&site);
    assert_eq!(verify(&site, &[]).0, 0);
    // Space comes back: the lines were the truth all the time, and are signed now.
    shim.full(Full::Nothing);
    let entries = lines(&site);
    eventually("they are signed", || (newest(&site).size >= entries).then_some(())).await;
    // A kill in the middle of it.
    shim.full(Full::Checkpoints);
    let refused = shim.refused();
    assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
    eventually("no space again", || (shim.refused() > refused).then_some(())).await;
    sidecar.kill();
    shim.full(Full::Nothing);
    check(&site);
    assert_eq!(verify(&site, &[]).0, 0);
    Sidecar::start(&site, &options).stop();
    check(&site);
    assert_eq!(newest(&site).size, lines(&site));
    let witnessed = fs::read_to_string(&worm).unwrap();
    assert!(witnessed.contains(&format!("\n{}\n", newest(&site).size)), "{witnessed}");
    sound(&site);
}

/// Each sync of the segment in turn.
const FAILING_SYNCS: i64 = 6;

#[tokio::test]
async fn a08_a_failed_sync_is_final_and_loses_no_acknowledged_call() {
    for number in 1..=FAILING_SYNCS {
        let (mut site, fake) = (Site::new(), Fake::start("burst").await);
        let shim = Shim::load(&mut site);
        // `strict` waits for the disk before it acknowledges anything.
        let options = Options::to(&fake.url).config("[ledger]\nmode = 'strict'\n");
        shim.fail_sync(number);
        let mut acknowledged = Vec::new();
        match Sidecar::try_start(&site, &options) {
            Err((status, said)) => {
                assert!(!status.success() && said.contains("a sync failed"), "{number}: {said}");
            }
            Ok(sidecar) => {
                let start = Instant::now();
                loop {
                    let response = sidecar.call(&Request::messages("burst", false)).await;
                    if response.status != 200 {
                        assert_eq!(response.status, 503, "sync {number}");
                        break;
                    }
                    // Without its end an answer acknowledges nothing.
                    if response.end == End::Clean {
                        acknowledged.push(response.exchange());
                    }
                    assert!(start.elapsed() < SOON, "sync {number} of {}", shim.syncs());
                }
                assert!(shim.syncs() >= number);
                let after = shim.syncs();
                for _ in 0..5 {
                    let response = sidecar.call(&Request::messages("burst", false)).await;
                    assert_eq!(response.status, 503, "it is not tried again");
                }
                assert_eq!(shim.syncs(), after, "no later sync reports success for it");
                sidecar.kill();
            }
        }
        shim.fail_sync(0);
        let sidecar = Sidecar::start(&site, &options);
        assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
        sidecar.stop();
        sound(&site);
        let closed = entries(&site, "closed");
        for id in acknowledged {
            let closed = closed.iter().find(|line| line["body"]["exchange"] == *id).unwrap();
            assert_eq!(closed["body"]["outcome"], "completed", "sync {number}: {closed}");
        }
        check(&site);
    }
}
