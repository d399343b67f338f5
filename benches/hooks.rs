//! Hook events of many agents at once, beside a bare HTTP server that takes the same bodies in the
//! same run: 200 sessions on a connection each, 1,000 events a second, each sent when it is due and
//! timed from then, so that a slow answer delays no later measurement unseen.
//!
//! ```sh
//! cargo bench --bench hooks            # 4 rounds of 15 s each
//! cargo bench --bench hooks -- 1 5     # rounds and seconds
//! ```
//!
//! Ends with an error where an event is lost, never because of a time.

#![expect(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench measures time, prints, and ends at the first surprise"
)]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

const SESSIONS: u32 = 200;
const EVENTS_A_SECOND: u32 = 1_000;
/// One in so many events carries a large input.
const LARGE_EVERY: u32 = 50;
const START_MAX: Duration = Duration::from_secs(15);

struct Target {
    address: SocketAddr,
    token: String,
}

/// Ends the program with this bench.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    // `cargo nextest` starts this program too, without `--bench`.
    if !words.iter().any(|word| word == "--bench") {
        return;
    }
    let mut numbers = words.iter().filter_map(|word| word.parse::<u32>().ok());
    let (rounds, seconds) = (numbers.next().unwrap_or(4), numbers.next().unwrap_or(15));
    let site = tempfile::tempdir().unwrap();
    let (program, target) = weighbridge(site.path());
    let bare = std::thread::spawn(bare_server).join().unwrap();
    let idle = resident_kib(program.0.id());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        // A B, then B A, so that a slow drift of the machine cancels.
        for turn in 0..2 {
            let is_ours = (round + turn) % 2 == 0;
            let (target, all) = if is_ours { (&target, &mut ours) } else { (&bare, &mut theirs) };
            all.extend(runtime.block_on(load(target, round, seconds)));
        }
    }
    let after = resident_kib(program.0.id());
    drop(program);
    let recorded = recorded(&site.path().join("data"));
    println!("| target | events | p50 | p99 | max |\n|---|---|---|---|---|");
    let beyond = [row("bare server", &mut theirs), row("weighbridge", &mut ours)];
    println!("\np99 beyond the bare server: {:.2} ms", beyond[1] - beyond[0]);
    println!("memory: {} MiB idle, {} MiB after", idle / 1024, after / 1024);
    println!("in the ledger: {recorded} of {}", ours.len());
    assert_eq!(recorded, ours.len(), "events are lost");
}

/// Prints a target's row; gives its p99 in milliseconds.
fn row(name: &str, latencies: &mut [Duration]) -> f64 {
    latencies.sort_unstable();
    let at = |of_thousand: usize| {
        let place = (latencies.len() * of_thousand / 1_000).min(latencies.len() - 1);
        latencies[place].as_secs_f64() * 1_000.0
    };
    let (middle, high, most) = (at(500), at(990), at(1_000));
    println!("| {name} | {} | {middle:.2} ms | {high:.2} ms | {most:.2} ms |", latencies.len());
    high
}

/// The program as it is shipped, without configuration.
fn weighbridge(site: &Path) -> (Program, Target) {
    let ready = site.join("ready.json");
    let child = Command::new(env!("CARGO_BIN_EXE_weighbridge"))
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(["--upstream", "http://127.0.0.1:9"])
        .arg("--data-dir")
        .arg(site.join("data"))
        .arg("--ready-file")
        .arg(&ready)
        .env_clear()
        .env("HOME", site)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(site.join("log")).unwrap())
        .spawn();
    let program = Program(child.unwrap());
    let since = Instant::now();
    loop {
        let text = std::fs::read(&ready).unwrap_or_default();
        if let Ok(facts) = serde_json::from_slice::<Value>(&text) {
            let address = facts["admin"].as_str().unwrap().trim_start_matches("http://");
            let token = facts["hook_token"].as_str().unwrap().to_owned();
            return (program, Target { address: address.parse().unwrap(), token });
        }
        assert!(since.elapsed() < START_MAX, "the program is not ready");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Takes a body whole and answers `{}`, on a thread of its own until the bench ends.
fn bare_server() -> Target {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                stream.set_nodelay(true).unwrap();
                let service = service_fn(async |request: Request<Incoming>| {
                    request.into_body().collect().await?;
                    Ok::<_, hyper::Error>(Response::new(Full::new(Bytes::from_static(b"{}"))))
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(stream), service));
            }
        });
    });
    Target { address: told.recv().unwrap(), token: String::new() }
}

/// All sessions at once; how long each event took from when it was due.
async fn load(target: &Target, round: u32, seconds: u32) -> Vec<Duration> {
    let mut senders = Vec::new();
    for _ in 0..SESSIONS {
        senders.push(connected(target.address).await);
    }
    let begin = Instant::now() + Duration::from_millis(200);
    let each = Duration::from_secs(1) * SESSIONS / EVENTS_A_SECOND;
    let sessions = senders.into_iter().zip(0..SESSIONS).map(|(mut sender, session)| {
        let token = target.token.clone();
        tokio::spawn(async move {
            let mut latencies = Vec::new();
            let first = begin + each * session / SESSIONS;
            for number in 0..seconds * EVENTS_A_SECOND / SESSIONS {
                let body = event(round, session, number);
                let due = first + each * number;
                tokio::time::sleep_until(due.into()).await;
                post(&mut sender, &token, body).await;
                latencies.push(due.elapsed());
            }
            latencies
        })
    });
    let mut all = Vec::new();
    for session in sessions.collect::<Vec<_>>() {
        all.extend(session.await.unwrap());
    }
    all
}

async fn connected(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn post(sender: &mut SendRequest<Full<Bytes>>, token: &str, body: Bytes) {
    let request = Request::post("/hooks")
        .header("host", "127.0.0.1")
        .header("content-type", "application/json")
        .header("authorization", format!("Bearer {token}"))
        .body(Full::new(body))
        .unwrap();
    sender.ready().await.unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    response.into_body().collect().await.unwrap();
}

/// What an agent tells: a prompt, then tools before and after they run.
fn event(round: u32, session: u32, number: u32) -> Bytes {
    let name = match number % 10 {
        0 => "UserPromptSubmit",
        9 => "Stop",
        odd if odd % 2 == 1 => "PreToolUse",
        _ => "PostToolUse",
    };
    let size = if number % LARGE_EVERY == 1 { 20_000 } else { 500 };
    let call = number.div_ceil(2);
    let event = json!({
        "session_id": format!("bench-{round}-{session}"), "cwd": "/srv/project",
        "permission_mode": "default", "hook_event_name": name, "number": number,
        "tool_name": "Bash", "tool_use_id": format!("toolu_{round}_{session}_{call}"),
        "tool_input": {"command": "x".repeat(size)},
        "tool_response": {"stdout": "hello", "stderr": "", "interrupted": false},
    });
    Bytes::from(event.to_string())
}

/// Entries of hooks in all segments.
fn recorded(data: &Path) -> usize {
    let segments = std::fs::read_dir(data.join("segments")).unwrap().flatten();
    let of = |path: &Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().filter(|line| line.contains("\"kind\":\"hook\"")).count()
    };
    segments.map(|entry| of(&entry.path())).sum()
}

/// The memory of a process that is in RAM, KiB.
fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
