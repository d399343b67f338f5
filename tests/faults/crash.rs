//! `kill -9` under load, and what a power cut leaves of the last lines.

use std::collections::HashSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::chain::{Chain, entries, sound, tail, verify};
use crate::copy;
use crate::support::api::Fake;
use crate::support::client::{Raw, Request};
use crate::support::sidecar::{Options, Sidecar, Site};
use crate::support::wire::{End, find};
use crate::support::{SOON, eventually};

const CLIENTS: usize = 64;
const ROUNDS_DEFAULT: u32 = 10;
/// A restart may take two seconds; the rest is for a debug build on a busy machine.
const RESTART_MAX: Duration = Duration::from_secs(6);

/// Calls again and again until the sidecar is gone; keeps the ids of complete answers.
async fn customer(
    address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
) {
    let mut count = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let Some(mut raw) = Raw::try_connect(address).await else { return };
        loop {
            count += 1;
            let streamed = count.is_multiple_of(2);
            raw.send(&Request::messages("burst", streamed)).await;
            let Some(response) = raw.try_response().await else { break };
            let end: &[u8] = if streamed { b"message_stop" } else { b"\"usage\"" };
            let whole = response.end == End::Clean && find(&response.body, end).is_some();
            if response.status == 200 && whole {
                acknowledged.lock().unwrap().push(response.exchange());
            }
            if response.end != End::Clean || stop.load(Ordering::Relaxed) {
                break;
            }
        }
    }
}

fn rounds() -> u32 {
    let set = std::env::var("WEIGHBRIDGE_CRASH_ROUNDS").ok();
    set.map_or(ROUNDS_DEFAULT, |text| text.parse().expect("a number of rounds"))
}

/// The last whole checkpoint that the witness's file holds, as a file of its own.
fn witnessed(site: &Site) -> Option<String> {
    let text = fs::read_to_string(site.path("worm.notes")).ok()?;
    let whole = &text[..text.rfind("\n\n")?];
    let parts: Vec<&str> = whole.split("\n\n").collect();
    let [statement, signature] = parts.chunks_exact(2).next_back()? else { return None };
    let head = site.file("head.note", &format!("{statement}\n\n{signature}\n"));
    Some(head.to_str().unwrap().to_owned())
}

/// Every acknowledged call is closed in the ledger.
fn assert_logged(site: &Site, acknowledged: &[String], round: u32) {
    let closed: HashSet<String> = entries(site, "closed")
        .iter()
        .filter_map(|line| line["body"]["exchange"].as_str().map(str::to_owned))
        .collect();
    for id in acknowledged {
        assert!(closed.contains(id), "round {round}: {id} was acknowledged and is lost");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a01_killed_under_load_loses_nothing_that_was_acknowledged() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let witness =
        format!("[witness.worm]\nkind = 'file'\nto = '{}'\n", site.path("worm.notes").display());
    let options = Options::to(&fake.url).config(&witness);
    // Later rounds may be too short for the witness: it holds something from here on.
    let sidecar = Sidecar::start(&site, &options);
    eventually("the witness holds something", || witnessed(&site)).await;
    sidecar.kill();
    let mut chain = Chain::default();
    let (mut slowest, mut total) = (Duration::ZERO, 0);
    for round in 0..rounds() {
        let start = Instant::now();
        let sidecar = Sidecar::start(&site, &options);
        let took = start.elapsed();
        slowest = slowest.max(took);
        assert!(took < RESTART_MAX, "round {round}: {took:?} to restart");
        chain.follow(&site);
        let open: Vec<_> = chain.opened.difference(&chain.closed).collect();
        assert!(open.is_empty(), "round {round}: open after the restart: {open:?}");
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let customers: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let acknowledged = Arc::clone(&acknowledged);
                tokio::spawn(customer(sidecar.address, Arc::clone(&stop), acknowledged))
            })
            .collect();
        // Between 50 and 800 ms, another moment in every round.
        let moment = 50 + u64::from(round) * 7_919 % 750;
        tokio::time::sleep(Duration::from_millis(moment)).await;
        sidecar.kill();
        stop.store(true, Ordering::Relaxed);
        for customer in customers {
            let _ = tokio::time::timeout(SOON, customer).await;
        }
        let acknowledged = acknowledged.lock().unwrap();
        assert_logged(&site, &acknowledged, round);
        total += acknowledged.len();
        // The killed ledger contains what the witness holds.
        let head = witnessed(&site).expect("a whole checkpoint");
        let (code, told) = verify(&site, &["--witness", &head]);
        assert_eq!((code, &told["verified"]), (0, &true.into()), "round {round}: {told:#}");
        assert!(told["witnesses"].as_u64() >= Some(1), "round {round}: {told:#}");
    }
    let sidecar = Sidecar::start(&site, &options);
    chain.follow(&site);
    assert!(total > 0, "no answer came at all");
    assert_eq!(chain.opened.len(), chain.closed.len());
    assert_eq!(site.report("outcome")["total"]["exchanges"], chain.opened.len());
    println!("{total} acknowledged, {} entries, slowest start {slowest:?}", chain.lines);
    sidecar.stop();
}

/// Inside, at the ends of and between the last three lines. `ledger::tests::recovery` cuts at each
/// byte; here it is the whole program.
#[tokio::test]
async fn a03_a_torn_tail_is_dropped_and_said() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let options = Options::to(&fake.url);
    let sidecar = Sidecar::start(&site, &options);
    for _ in 0..3 {
        assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
    }
    sidecar.kill();
    // What is torn was not synced, and what was not synced is not signed.
    fs::remove_dir_all(site.data.join("audit/checkpoints")).unwrap();
    let (_, bytes) = tail(&site);
    let ends = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(at, _)| at + 1);
    let ends: Vec<usize> = ends.collect();
    for lines in ends[ends.len() - 4..].windows(2) {
        let (start, end) = (lines[0], lines[1]);
        for cut in [start, start + 1, usize::midpoint(start, end), end - 1] {
            let torn = Site::new();
            copy(&site.data, &torn.data);
            let (path, _) = tail(&torn);
            fs::write(&path, &bytes[..cut]).unwrap();
            let sidecar = Sidecar::start(&torn, &options);
            assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
            // Whoever is killed in the first second has signed nothing yet.
            sidecar.stop();
            sound(&torn);
            let recovered = entries(&torn, "recovered");
            let dropped = recovered.iter().map(|line| &line["body"]["truncated_bytes"]);
            let dropped: u64 = dropped.map(|bytes| bytes.as_u64().unwrap()).sum();
            assert_eq!(dropped, (cut - start) as u64, "cut at {cut} of {start} to {end}");
        }
    }
}
