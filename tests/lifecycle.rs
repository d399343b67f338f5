//! Start, stop, and what a user meets before the first call.
#![cfg(test)]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use rustix::process::Signal;
use support::api::Fake;
use support::client::{Raw, Request};
use support::eventually;
use support::sidecar::{Options, Sidecar, Site};
use support::wire::End;

const OPEN_STREAMS: usize = 100;

#[tokio::test]
async fn sigterm_lets_open_streams_finish() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let mut sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let mut open = Vec::new();
    for _ in 0..OPEN_STREAMS {
        let mut raw = Raw::connect(sidecar.address).await;
        raw.send(&Request::messages("gate_all", true)).await;
        open.push(raw);
    }
    let waiting =
        || (fake.seen().iter().filter(|s| s.at_gate).count() == OPEN_STREAMS).then_some(());
    eventually("all streams are open", waiting).await;
    sidecar.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let late = tokio::net::TcpStream::connect(sidecar.address).await;
    if late.is_ok() {
        let mut raw = Raw::connect(sidecar.address).await;
        raw.send(&Request::plain("too late")).await;
        let answer = tokio::time::timeout(support::SOON, raw.try_response()).await;
        let refused = answer.is_ok_and(|a| a.is_none_or(|response| response.status == 503));
        assert!(refused, "no new call begins");
    }
    for _ in 0..OPEN_STREAMS {
        fake.open_gate();
    }
    for mut raw in open {
        let response = raw.response().await;
        assert_eq!((response.status, response.end), (200, End::Clean));
        assert!(support::wire::find(&response.body, b"message_stop").is_some());
    }
    assert!(sidecar.wait().success(), "{}", sidecar.said());
    let records = site.exchanges();
    let completed = records.iter().filter(|e| e["outcome"] == "completed");
    assert_eq!(completed.count(), OPEN_STREAMS);
    let last = site.ledger_lines().pop().unwrap();
    assert!(String::from_utf8_lossy(&last).contains("\"kind\":\"stopped\""));
}

#[tokio::test]
async fn a_second_sigterm_does_not_wait() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let mut sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let mut raw = Raw::connect(sidecar.address).await;
    raw.send(&Request::messages("stall", true)).await;
    raw.read_until(b"event: ping").await;
    sidecar.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    sidecar.signal(Signal::TERM);
    sidecar.wait();
    let again = Sidecar::start(&site, &Options::to(&fake.url));
    let records = site.exchanges();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["outcome"], "interrupted", "{records:?}");
    again.stop();
}

#[tokio::test]
async fn the_ready_file_says_where_and_is_private() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let mode = std::fs::metadata(&sidecar.ready_file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(sidecar.ready["pid"], sidecar.pid());
    assert_ne!(sidecar.address.port(), 0);
    assert!(sidecar.ready["admin"].as_str().is_some_and(|url| url.starts_with("http://127.")));
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(sidecar.telemetry(path).await.status, 200, "{path}");
    }
    assert_eq!(sidecar.telemetry("/v1/messages").await.status, 404, "only these three");
    let mode = std::fs::metadata(&site.data).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "the data directory is nobody else's business");
    assert_eq!(fake.count(), 0, "nothing is sent upstream without a call");
    sidecar.stop();
}

#[tokio::test]
async fn it_runs_without_a_configuration_file() {
    let site = Site::new();
    let ready = site.path("ready.json");
    let ready_text = ready.to_str().unwrap().to_owned();
    let mut command = site.command(&["serve", "--listen", "127.0.0.1:0", "--admin"]);
    command.args(["127.0.0.1:0", "--ready-file", &ready_text]);
    let mut child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    eventually("it is ready", || ready.exists().then_some(())).await;
    let state = site.path("home/.local/state/weighbridge");
    assert!(state.is_dir(), "the ledger is in the user's state directory");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn bad_input_is_named_in_one_sentence() {
    let site = Site::new();
    for (config, names) in [
        ("[upstream]\nurll = \"x\"\n", "urll"),
        ("[upstream]\nidle_timeout = \"soon\"\n", "idle_timeout"),
        ("[upstream]\nkey = \"sk-ant-in-plain\"\n", "upstream.key"),
        ("[ledger]\nmode = \"maybe\"\n", "mode"),
        ("[listen]\napi = \"everywhere\"\n", "listen.api"),
        ("not toml", "weighbridge.toml"),
    ] {
        let path = site.file("weighbridge.toml", config);
        for command in ["serve", "check"] {
            let output = site.run(&[command, "--config", path.to_str().unwrap()]);
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{command} {config:?}: {said}");
            assert!(said.contains(names), "{command} {config:?}: {said}");
            assert_eq!(said.trim().lines().count(), 1, "{command} {config:?}: {said}");
        }
    }
    let output = site.run(&["serve", "--no-such-flag"]);
    assert_eq!(output.status.code(), Some(2));
    let output = site.run(&["report", "--by", "moon", "--data-dir", site.data.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("moon"));
}

#[test]
fn every_command_has_help_with_an_example() {
    let site = Site::new();
    let help = String::from_utf8(site.run(&["--help"]).stdout).unwrap();
    for command in ["serve", "run", "demo", "report", "exchanges", "sessions", "keys", "check"] {
        assert!(help.contains(command), "{command} is not in --help");
        let output = site.run(&[command, "--help"]);
        assert!(output.status.success(), "{command}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.to_lowercase().contains("example"), "{command} has no example: {text}");
    }
}

#[tokio::test]
async fn an_idle_sidecar_survives_a_thousand_connections() {
    let (site, fake) = (Site::new(), Fake::start("basic").await);
    let sidecar = Sidecar::start(&site, &Options::to(&fake.url));
    let mut idle = Vec::new();
    for _ in 0..1_000 {
        idle.push(tokio::net::TcpStream::connect(sidecar.address).await.unwrap());
    }
    assert_eq!(sidecar.call(&Request::plain("still there")).await.status, 200);
    drop(idle);
    sidecar.stop();
}
