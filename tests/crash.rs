//! What survives: `kill -9` under load, a torn tail, a lost index, a full disk.
//!
//! The ledger's chain is verified here from the files alone, not with the program's own code.
#![cfg(test)]
#![expect(clippy::disallowed_methods, reason = "tests measure time and run their own tasks")]

mod support;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use aws_lc_rs::digest::{SHA256, digest};
use serde_json::Value;
use support::api::Fake;
use support::client::{Raw, Request};
use support::sidecar::{Options, Sidecar, Site, files};
use support::wire::{End, find};

const CLIENTS: usize = 64;
const ROUNDS_DEFAULT: u32 = 10;
/// A restart may take two seconds; the rest is for a debug build on a busy machine.
const RESTART_MAX: Duration = Duration::from_secs(6);

/// Reads a ledger from the start, or from where it stopped the last time.
#[derive(Default)]
struct Chain {
    lines: usize,
    previous: String,
    opened: HashSet<String>,
    closed: HashSet<String>,
}

fn leaf_hash(line: &[u8]) -> String {
    let leaf = [&[0_u8], line].concat();
    digest(&SHA256, &leaf).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Chain {
    /// Every new line has the next index and the hash of the line before.
    fn follow(&mut self, site: &Site) {
        let lines = site.ledger_lines();
        assert!(lines.len() >= self.lines, "{} lines, there were {}", lines.len(), self.lines);
        if self.lines == 0 {
            self.previous = "0".repeat(64);
        }
        for (index, bytes) in lines.iter().enumerate().skip(self.lines) {
            let line: Value = serde_json::from_slice(bytes).expect("every line is whole");
            assert_eq!(line["i"], index, "indices have no gap");
            assert_eq!(line["prev"], self.previous.as_str(), "line {index} follows the one before");
            self.previous = leaf_hash(bytes);
            let exchange = line["body"]["exchange"].as_str().unwrap_or_default().to_owned();
            match line["kind"].as_str() {
                Some("opened") => assert!(self.opened.insert(exchange), "opened twice"),
                Some("closed") => {
                    assert!(self.opened.contains(&exchange), "closed before it was opened");
                    assert!(self.closed.insert(exchange), "closed twice");
                }
                _ => {}
            }
        }
        self.lines = lines.len();
    }
}

/// Calls again and again until the sidecar is gone; keeps the ids of complete answers.
async fn customer(
    address: std::net::SocketAddr,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<String>>>,
) {
    let mut count = 0_u32;
    while !stop.load(Ordering::Relaxed) {
        let Ok(tcp) = tokio::net::TcpStream::connect(address).await else { return };
        drop(tcp);
        let mut raw = Raw::connect(address).await;
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_that_was_acknowledged_is_lost() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let mut chain = Chain::default();
    let (mut slowest, mut total) = (Duration::ZERO, 0);
    for round in 0..rounds() {
        let start = Instant::now();
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
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
            let _ = tokio::time::timeout(support::SOON, customer).await;
        }
        let lines = site.ledger_lines();
        let closed: HashSet<String> = lines
            .iter()
            .filter_map(|line| serde_json::from_slice::<Value>(line).ok())
            .filter(|line| line["kind"] == "closed")
            .filter_map(|line| line["body"]["exchange"].as_str().map(str::to_owned))
            .collect();
        let acknowledged = acknowledged.lock().unwrap();
        for id in acknowledged.iter() {
            assert!(closed.contains(id), "round {round}: {id} was acknowledged and is lost");
        }
        total += acknowledged.len();
    }
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    chain.follow(&site);
    assert!(total > 0, "no answer came at all");
    assert_eq!(chain.opened.len(), chain.closed.len());
    assert_eq!(site.report("outcome")["total"]["exchanges"], chain.opened.len());
    println!("{total} acknowledged, {} entries, slowest start {slowest:?}", chain.lines);
    sidecar.stop();
}

/// One call and a `kill -9`.
async fn after_a_crash() -> (Site, Fake) {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    for _ in 0..3 {
        assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
    }
    sidecar.kill();
    (site, fake)
}

/// The newest segment without the zeros of a reserve.
fn tail(site: &Site) -> (PathBuf, Vec<u8>) {
    let path = site.segments().pop().expect("a segment");
    let mut bytes = fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    bytes.truncate(end);
    (path, bytes)
}

#[tokio::test]
async fn a_torn_tail_is_dropped_and_said() {
    for torn in [1, 40, 200] {
        let (site, fake) = after_a_crash().await;
        let (path, bytes) = tail(&site);
        let last = bytes[..bytes.len() - 1].iter().rposition(|b| *b == b'\n').unwrap() + 1;
        assert!(bytes.len() - last > torn, "the last line is long enough");
        fs::write(&path, &bytes[..bytes.len() - torn]).unwrap();
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
        assert_eq!(sidecar.call(&Request::messages("burst", true)).await.status, 200);
        let mut chain = Chain::default();
        chain.follow(&site);
        assert_eq!(chain.opened.len(), chain.closed.len(), "the torn one was closed again");
        let recovered = site
            .ledger_lines()
            .iter()
            .map(|line| serde_json::from_slice::<Value>(line).unwrap())
            .find(|line| line["kind"] == "recovered")
            .expect("it is written down");
        let dropped = recovered["body"]["truncated_bytes"].as_u64().unwrap();
        assert_eq!(dropped, (bytes.len() - torn - last) as u64);
        assert_eq!(site.report("outcome")["total"]["exchanges"], 4);
        sidecar.stop();
    }
}

/// The SQLite files below a folder, with what belongs to them.
fn index_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(folder, &mut found);
    let is_index = |path: &PathBuf| {
        let bytes = fs::read(path).unwrap_or_default();
        bytes.starts_with(b"SQLite format 3")
    };
    let bases: Vec<String> =
        found.iter().filter(|p| is_index(p)).map(|p| p.display().to_string()).collect();
    found.retain(|path| bases.iter().any(|base| path.display().to_string().starts_with(base)));
    found
}

#[tokio::test]
async fn a_lost_index_changes_no_figure() {
    let (site, fake) = (Site::new(), Fake::start("burst").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    for scenario in ["burst", "websearch", "e529"] {
        sidecar.call(&Request::messages(scenario, true)).await;
    }
    let before = (site.report("model,outcome"), site.exchanges());
    let index = index_files(&site.data);
    assert!(!index.is_empty(), "there is an index");
    for path in &index {
        fs::remove_file(path).unwrap();
    }
    assert_eq!((site.report("model,outcome"), site.exchanges()), before);
    let response = sidecar.call(&Request::messages("burst", true)).await;
    assert_eq!(site.exchange(&response.exchange())["outcome"], "completed");
    sidecar.stop();
}

/// A small file system, or nothing where this user may not mount. It has no room for two reserves
/// of 10 MiB: to leave the one in use, the ledger must give its rest back first.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Option<SmallDisk> {
        fs::create_dir_all(folder).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", "size=16m,mode=0700", "tmpfs"]).arg(folder);
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then(|| SmallDisk(folder.to_owned()))
    }

    /// Leaves no byte free; removing the file ends it.
    fn fill(&self) -> PathBuf {
        use std::io::Write;
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).unwrap();
        for size in [1 << 16, 1 << 12, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

#[tokio::test]
async fn a_full_disk_refuses_new_calls_and_passes() {
    for mode in ["strict", "closed"] {
        let (site, fake) = (Site::new(), Fake::start("burst").await);
        let Some(disk) = SmallDisk::mount(&site.data) else {
            println!("skipped: this user may not mount a small file system");
            return;
        };
        let config = format!("[ledger]\nmode = \"{mode}\"\n");
        let sidecar = Sidecar::start(&site, &Options::to(&fake.url).config(&config));
        let request = Request::messages("burst", true);
        assert_eq!(sidecar.call(&request).await.status, 200);
        let filler = disk.fill();
        let before = fake.count();
        let (mut served, mut refused) = (0, None);
        for _ in 0..200 {
            let response = sidecar.call(&request).await;
            if response.status == 200 {
                served += 1;
                continue;
            }
            refused = Some(response);
            break;
        }
        assert_eq!(fake.count(), before + served, "a refused call is not sent on");
        match refused {
            Some(response) if mode == "strict" => {
                assert_eq!(response.status, 503);
                assert_eq!(response.error_type(), "api_error");
                assert!(response.header("retry-after").is_some());
            }
            None if mode == "closed" => {} // The reserve has room for more than these.
            other => panic!("{mode}: {served} served, then {other:?}"),
        }
        fs::remove_file(filler).unwrap();
        let start = Instant::now();
        while sidecar.call(&request).await.status != 200 {
            assert!(start.elapsed() < support::SOON, "it does not recover");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let mut chain = Chain::default();
        chain.follow(&site);
        assert_eq!(chain.opened.len(), chain.closed.len());
        sidecar.stop();
        drop(disk);
    }
}
