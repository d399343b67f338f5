//! Too few file descriptors, too many bytes.

use std::fs;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;

use crate::chain::{entries, sound};
use crate::support::SOON;
use crate::support::api::Fake;
use crate::support::client::{Raw, Request};
use crate::support::sidecar::{Options, Sidecar, Site};

/// More connections than the descriptors that there are.
const IDLE: usize = 80;

#[tokio::test]
async fn a18_without_descriptors_the_ledger_goes_on_and_it_recovers() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let options = Options::to(&fake.url).through(&["prlimit", "--nofile=64"]);
    let sidecar = Sidecar::start(&site, &options);
    let request = Request::messages("burst", true);
    let mut early = Raw::connect(sidecar.address).await;
    early.send(&request).await;
    assert_eq!(early.response().await.status, 200);
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        idle.push(TcpStream::connect(sidecar.address).await.unwrap());
    }
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", sidecar.pid())).unwrap().count();
    let start = Instant::now();
    while descriptors() < 64 {
        assert!(start.elapsed() < SOON, "{} are open", descriptors());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Who was there before goes on, and is recorded; now and then it needs another connection to
    // the API than the one that there is, and is told so.
    for _ in 0..10 {
        early.send(&request).await;
        assert!([200, 502].contains(&early.response().await.status));
    }
    assert_eq!(entries(&site, "closed").len(), 11);
    // Somebody new waits, and is served once there is room.
    let mut late = Raw::connect(sidecar.address).await;
    late.send(&request).await;
    drop(idle);
    assert_eq!(late.response().await.status, 200);
    assert_eq!(sidecar.call(&request).await.status, 200);
    assert_eq!(site.exchanges().len(), 13);
    sidecar.stop();
    sound(&site);
}

/// Bodies that are on their way at once, and how long each is.
const BODIES: usize = 60;
const BODY_BYTES: usize = 10 << 20;
/// The bound on all of them is 256 MiB; the rest is for everything else.
const MEMORY_MAX_KIB: u64 = 448 * 1024;

/// The most memory that the sidecar ever held.
fn peak_kib(sidecar: &Sidecar) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", sidecar.pid())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A call whose body does not end: all but its last bytes.
async fn begun(sidecar: &Sidecar, request: &Request) -> Raw {
    let mut raw = Raw::connect(sidecar.address).await;
    let bytes = request.bytes();
    // Where it is refused in the middle, the rest is not taken.
    raw.send_bytes(&bytes[..bytes.len() - 2]).await;
    raw
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a19_long_bodies_are_shed_before_memory_ends() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let before = Request::messages("burst", true);
    assert_eq!(sidecar.call(&before).await.status, 200);
    let text = "x".repeat(BODY_BYTES);
    let request = Request::plain(&text);
    let mut waiting = Vec::new();
    for _ in 0..BODIES {
        waiting.push(begun(&sidecar, &request).await);
    }
    // One more is refused in the API's form, and told to come again. A short one has room.
    let shed = begun(&sidecar, &request).await.response().await;
    assert_eq!((shed.status, shed.error_type().as_str()), (503, "overloaded_error"));
    assert_eq!(shed.header("retry-after"), Some("1"));
    assert_eq!(sidecar.call(&before).await.status, 200);
    let refused = sidecar.metrics().await;
    let refused = refused.sum("weighbridge_refusals_total", &["reason=\"no_room\""]);
    assert!(refused >= (BODIES / 2) as f64, "{refused} of {BODIES}");
    let peak = peak_kib(&sidecar);
    assert!(peak < MEMORY_MAX_KIB, "{peak} KiB");
    println!("{refused} of {BODIES} were shed, at most {} MiB", peak / 1024);
    drop(waiting);
    let start = Instant::now();
    while sidecar.call(&before).await.status != 200 {
        assert!(start.elapsed() < SOON, "the room is never given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sidecar.stop();
    sound(&site);
}
